//! Deadlines in order: cancellable, lazily reset; independent of the clock and the reactor.
//!
//! A binary heap of deadlines beside an arena of timers. The heap is never searched. A cancelled
//! timer leaves its entry behind, unless that is at the top; and a timer moved to a later deadline
//! keeps its old entry. An entry is checked when it reaches the top. So a later `reset` touches one
//! slot and no heap, and `cancel` the top at the most. Idle timeouts, which move with every chunk of
//! data, depend on that. The entry of a moved timer goes to its new place when the old deadline comes.
//! Before that only a bounded number of entries at the top move, so moving a million timers at once
//! does not cost one turn a million steps. The price: the next deadline may seem earlier than it is.
//! When more than half of the heap is dead it is swept, so a million timers made and cancelled leave
//! nothing behind.
//!
//! When a million are due at once, most of the cost is memory: a page that is touched first takes a microsecond or
//! more. So an entry has sixteen bytes, and a large batch is sorted where its entries lie.
//!
//! Timers with equal deadlines fire in the order in which they were made: the heap compares the
//! deadline, then the order of making, which a reset does not change. (Twisted's and asyncio's
//! heaps compare only the deadline, so equal ones fire in any order.)

use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Instant;

use crate::parts::arena::{Arena, Key, id_type};
use crate::parts::moment::{Moment, Origin, is_near};
use crate::parts::surplus::surplus;
use crate::parts::timer::{Entry, Place, Timer, sort, sort_by_deadline};

id_type! {
    /// Names a timer made by `call_later` or `call_every`.
    TimerId
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let timer = simulation.reactor().call_later(Duration::from_secs(1), |_reactor| {});
    /// simulation.advance(Duration::from_secs(1));
    /// assert!(!simulation.reactor().cancel_timer(timer), "it has fired");
    /// ```
}

/// A heap with fewer entries is not worth sweeping.
const SWEEP_FROM: usize = 64;

/// After each so many entries that were popped, a sample tells whether a crowd is due. A smaller batch is cheap in
/// any case, and the sample costs no more than its pops.
const SAMPLE_EVERY: usize = 64;

/// If more than one in this many entries is due at once, they are sorted, not popped one by one. As many entries
/// are looked at to know it.
///
/// Sorting looks at every timer, and still takes a fraction of the time for a million: it reads memory in
/// order, where the heap jumps. To pop one entry of a million takes as long as to look at some 60.
const CROWD: usize = 64;

/// How many timers of a batch are fetched together, shortly before they are needed: they lie anywhere in memory. More
/// of them would gain little, and take more of the cache than these, which are 4 to 8 KiB.
const AHEAD: usize = 64;

/// How many outdated entries are taken off the top at a time, before their own deadlines.
///
/// This costs some microseconds in a large heap, and keeps turns that come too early for a timer
/// rare.
const SETTLE_MOVES: usize = 64;

/// Timers, each with a `T` that is handed out when the timer is due.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    timers: Arena<Timer<T>>,
    heap: BinaryHeap<Entry>,
    /// The timers found due by the last [`gather`](Self::gather) and not handed out yet, in order.
    due: VecDeque<Entry>,
    /// The order of the timer made last.
    made: u32,
    origin: Origin,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        let (heap, due) = (BinaryHeap::new(), VecDeque::new());
        Self { timers: Arena::new(), heap, due, made: 0, origin: Origin::now() }
    }

    /// How many timers there are: pending or firing.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Sets a timer.
    pub(crate) fn insert(&mut self, deadline: Instant, action: T) -> TimerId {
        if self.made == u32::MAX {
            self.number_anew();
        }
        self.made += 1;
        let (order, deadline) = (self.made, self.origin.moment(deadline));
        let place = Place::entry(deadline.rank());
        let key = self.timers.insert(Timer { deadline, order, place, action: Some(action) });
        self.heap.push(Entry::new(deadline.rank(), order, key.slot()));
        TimerId(key)
    }

    /// Cancels a timer, also one that is due but not handed out yet; `None` if there is none.
    ///
    /// A timer may be cancelled while it fires. Then there is no action to return, and it cannot be
    /// put back.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<Option<T>> {
        let timer = self.timers.remove(id.0)?;
        if self.heap.peek().is_some_and(|top| top.order() == timer.order) {
            self.clear_top(); // else the next deadline would be that of a timer that is gone
        }
        self.sweep();
        Some(timer.action)
    }

    /// Moves a pending timer to another deadline; `false` if it is not pending.
    ///
    /// A timer that is due in the current batch leaves the batch.
    pub(crate) fn reset(&mut self, id: TimerId, deadline: Instant) -> bool {
        let Some(timer) = self.timers.get_mut(id.0) else { return false };
        if timer.place == Place::FIRING {
            return false;
        }
        timer.deadline = self.origin.moment(deadline);
        if !timer.place.is_entry_until(timer.deadline) {
            self.heap.push(timer.enter(id.0.slot()));
            self.sweep();
        }
        true
    }

    /// Whether a timer was handed out, and neither put back nor cancelled.
    pub(crate) fn is_firing(&self, id: TimerId) -> bool {
        self.timers.get(id.0).is_some_and(|timer| timer.place == Place::FIRING)
    }

    /// The action of a pending timer.
    pub(crate) fn action_mut(&mut self, id: TimerId) -> Option<&mut T> {
        self.timers.get_mut(id.0)?.action.as_mut()
    }

    /// When a pending timer is to fire.
    pub(crate) fn deadline(&self, id: TimerId) -> Option<Instant> {
        let timer = self.timers.get(id.0).filter(|timer| timer.place != Place::FIRING)?;
        Some(self.instant(timer.deadline))
    }

    /// The moment of a deadline that was handed out.
    pub(crate) fn instant(&self, deadline: Moment) -> Instant {
        self.origin.instant(deadline)
    }

    /// A moment not after the next deadline; `None` if there is no timer.
    ///
    /// It is early if the timer at the top was moved, or many were cancelled.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.len() == 0 {
            return None; // every heap entry is dead
        }
        let due = self.due.front().and_then(|&entry| self.timer(entry));
        let next = due.map(|timer| timer.deadline).or_else(|| self.earliest_entry());
        next.map(|next| self.instant(next))
    }

    /// When to look again: at the next deadline, or sometimes before.
    ///
    /// It clears only a bounded number of outdated entries off the top of the heap.
    pub(crate) fn settle(&mut self) -> Option<Instant> {
        self.clear_top();
        self.next_deadline()
    }

    /// Makes a batch of all timers due at `now`; timers set from here on are not in it.
    pub(crate) fn gather(&mut self, now: Instant) {
        if self.heap.is_empty() {
            return; // mostly, and saves a conversion
        }
        let now = self.origin.moment(now);
        for taken in 1.. {
            let Some(&entry) = self.heap.peek() else { break };
            if entry.rank() > now.rank() {
                break;
            }
            // Among the far moments of one rank the heap does not know the order.
            let is_far = !is_near(entry.rank()) || !is_near(now.rank());
            if is_far || (taken % SAMPLE_EVERY == 0 && self.is_crowded(now)) {
                self.gather_crowd(now);
                break;
            }
            if !self.judge(entry) {
                continue;
            }
            self.heap.pop();
            if let Some((_, timer)) = self.timers.tenant_mut(entry.slot()) {
                timer.place = Place::DUE;
            }
            self.due.push_back(entry);
        }
        self.clear_top();
    }

    /// Whether so many timers are due that it is better to look at them all, by a sample of the heap below its top.
    fn is_crowded(&self, now: Moment) -> bool {
        let entries = self.heap.as_slice();
        let step = entries.len().div_ceil(CROWD);
        entries.iter().skip(step).step_by(step).any(|entry| entry.rank() <= now.rank())
    }

    /// Makes the rest of a large batch: looks at all entries as they lie in the heap, and sorts those that are due.
    fn gather_crowd(&mut self, now: Moment) {
        let mut crowd = mem::take(&mut self.heap).into_vec();
        let mut late = Vec::new();
        crowd.retain(|&entry| {
            let is_late = entry.rank() > now.rank();
            if is_late {
                late.push(entry);
            }
            !is_late
        });
        for some in crowd.chunks_mut(AHEAD) {
            self.timers.fetch(some.iter().map(|entry| entry.slot()));
            for entry in some {
                let timer = self.timers.tenant_mut(entry.slot()).map(|(_, timer)| timer);
                let Some(timer) = timer.filter(|timer| timer.counts(*entry)) else {
                    *entry = Entry::DEAD;
                    continue;
                };
                *entry = timer.enter(entry.slot());
                if timer.deadline <= now {
                    timer.place = Place::DUE;
                } else {
                    late.push(mem::replace(entry, Entry::DEAD));
                }
            }
        }
        crowd.retain(|&entry| entry != Entry::DEAD);
        self.heap = late.into();
        let rest_of = |entry| self.timer(entry).map_or(0, |timer| timer.deadline.rest());
        sort_by_deadline(&mut crowd, rest_of);
        let before = mem::replace(&mut self.due, crowd.into());
        before.into_iter().rev().for_each(|entry| self.due.push_front(entry));
    }

    /// Hands out the next timer of the batch that was neither cancelled nor moved meanwhile.
    ///
    /// A timer that `stays`, by its action, keeps its id, as firing, until it is [put back](Self::put_back) or
    /// [cancelled](Self::cancel). Any other is over: most are, and so need no second look at their slot.
    pub(crate) fn next_due(&mut self, stays: impl Fn(&T) -> bool) -> Option<(TimerId, Moment, T)> {
        loop {
            if self.due.len().is_multiple_of(AHEAD) {
                self.fetch_ahead();
            }
            let Some(entry) = self.due.pop_front() else {
                self.give_memory_back();
                return None;
            };
            let Some((key, timer)) = self.timers.tenant_mut(entry.slot()) else { continue };
            if timer.place != Place::DUE || timer.order != entry.order() {
                continue;
            }
            let deadline = timer.deadline;
            let action = if timer.action.as_ref().is_some_and(&stays) {
                timer.place = Place::FIRING;
                timer.action.take()
            } else {
                self.timers.remove(key).and_then(|timer| timer.action)
            };
            if let Some(action) = action {
                return Some((TimerId(key), deadline, action));
            }
        }
    }

    /// Brings the next timers of the batch into the processor's cache.
    fn fetch_ahead(&self) {
        let (front, back) = self.due.as_slices();
        let next = if front.len() < AHEAD { back } else { front };
        self.timers.fetch(next.iter().take(AHEAD).map(|entry| entry.slot()));
    }

    /// Sets a firing timer again, under its old id and in its old order among equals.
    ///
    /// Returns the action if the timer was cancelled while it fired.
    pub(crate) fn put_back(&mut self, id: TimerId, deadline: Instant, action: T) -> Result<(), T> {
        let Some(timer) = self.timers.get_mut(id.0) else { return Err(action) };
        timer.action = Some(action);
        timer.deadline = self.origin.moment(deadline);
        self.heap.push(timer.enter(id.0.slot()));
        Ok(())
    }

    /// The action of a timer; `None` while it fires.
    pub(crate) fn action(&self, id: TimerId) -> Option<&T> {
        self.timers.get(id.0)?.action.as_ref()
    }

    /// All timers, pending or firing.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.timers.keys()
    }

    fn earliest_entry(&self) -> Option<Moment> {
        let first = self.heap.peek()?.rank();
        if is_near(first) {
            return Some(Moment::of_rank(first));
        }
        let exact = |&entry: &Entry| {
            let timer = self.timer(entry).filter(|timer| timer.deadline.rank() == first);
            timer.map_or_else(|| Moment::of_rank(first), |timer| timer.deadline)
        };
        self.heap.iter().filter(|entry| entry.rank() == first).map(exact).min()
    }

    /// The timer of an entry, which may have another by now.
    fn timer(&self, entry: Entry) -> Option<&Timer<T>> {
        let (_, timer) = self.timers.tenant(entry.slot())?;
        (timer.order == entry.order()).then_some(timer)
    }

    /// Takes a bounded number of outdated entries off the top.
    fn clear_top(&mut self) {
        for _ in 0..SETTLE_MOVES {
            let Some(&entry) = self.heap.peek() else { return };
            if self.judge(entry) {
                return;
            }
        }
    }

    /// Whether the entry at the top counts, and has its timer's own deadline.
    ///
    /// Otherwise the entry is removed, or moved to its timer's deadline.
    fn judge(&mut self, entry: Entry) -> bool {
        let timer = self.timers.tenant_mut(entry.slot()).map(|(_, timer)| timer);
        let Some(timer) = timer.filter(|timer| timer.counts(entry)) else {
            self.heap.pop();
            return false;
        };
        if timer.deadline.rank() == entry.rank() {
            return true;
        }
        let moved = timer.enter(entry.slot());
        if let Some(mut top) = self.heap.peek_mut() {
            *top = moved; // it sinks to its place when `top` is dropped
        }
        false
    }

    /// Drops the dead entries once they are the majority: constant cost per cancelled timer.
    fn sweep(&mut self) {
        if self.heap.len() > SWEEP_FROM && self.heap.len() > 2 * self.timers.len() {
            self.drop_dead();
            self.give_memory_back();
        }
    }

    fn drop_dead(&mut self) {
        let mut entries = mem::take(&mut self.heap).into_vec();
        entries.retain(|&entry| self.timer(entry).is_some_and(|timer| timer.counts(entry)));
        self.heap = entries.into();
    }

    /// Numbers the timers from one again, in their order. Once in four billion timers, so that an order takes no more
    /// than four bytes.
    #[cold]
    fn number_anew(&mut self) {
        self.drop_dead();
        let of_one_rank = |(key, timer): (Key, &Timer<T>)| Entry::new(0, timer.order, key.slot());
        let mut all: Vec<Entry> = self.timers.iter().map(of_one_rank).collect();
        sort(&mut all);
        let mut heap = mem::take(&mut self.heap).into_vec();
        for entry in heap.iter_mut().chain(&mut self.due) {
            let place = all.binary_search_by_key(&entry.order(), |entry| entry.order());
            // One that is due may have been cancelled.
            *entry = place.map_or(Entry::DEAD, |place| {
                Entry::new(entry.rank(), place as u32 + 1, entry.slot()) // fewer than 2^32, as slots are
            });
        }
        self.heap = heap.into();
        for (entry, order) in all.iter().zip(1..) {
            if let Some((_, timer)) = self.timers.tenant_mut(entry.slot()) {
                timer.order = order;
            }
        }
        self.made = all.len() as u32;
    }

    fn give_memory_back(&mut self) {
        if let Some(room) = surplus(self.heap.len(), self.heap.capacity()) {
            self.heap.shrink_to(room);
        }
        if let Some(room) = surplus(self.due.len(), self.due.capacity()) {
            self.due.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fire<T>(timers: &mut Timers<T>, now: Instant) -> Vec<T> {
        timers.gather(now);
        let mut fired = Vec::new();
        let stays = Cell::new(false);
        while let Some((id, _, action)) = timers.next_due(|_| stays.get()) {
            let known = timers.cancel(id).is_some();
            assert_eq!(
                known,
                stays.replace(!stays.get()),
                "one that stays is known while it fires"
            );
            fired.push(action);
        }
        fired
    }

    #[test]
    fn by_deadline_then_by_making() {
        let mut timers = Timers::new();
        let start = Instant::now();
        for (delay, name) in [(3, "c"), (1, "a1"), (2, "b"), (1, "a2"), (1, "a3")] {
            timers.insert(start + SECOND * delay, name);
        }
        assert_eq!(fire(&mut timers, start), [""; 0]);
        assert_eq!(fire(&mut timers, start + SECOND * 2), ["a1", "a2", "a3", "b"]);
        assert_eq!(fire(&mut timers, start + SECOND * 9), ["c"]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn reset_later_then_sooner_fires_once_at_the_last_deadline() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let id = timers.insert(start + SECOND * 5, "x");
        assert!(timers.reset(id, start + SECOND * 9));
        assert!(timers.reset(id, start + SECOND * 2));
        assert!(timers.reset(id, start + SECOND * 3));
        assert_eq!(timers.settle(), Some(start + SECOND * 3));
        assert_eq!(fire(&mut timers, start + SECOND * 2), [""; 0]);
        assert_eq!(fire(&mut timers, start + SECOND * 3), ["x"]);
        assert_eq!(fire(&mut timers, start + SECOND * 20), [""; 0]);
    }

    #[test]
    fn the_batch_obeys_what_its_members_do_to_each_other() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let first = timers.insert(start, 1);
        let cancelled = timers.insert(start, 2);
        let moved = timers.insert(start, 3);
        timers.insert(start, 4);
        timers.gather(start);
        assert_eq!(timers.next_due(|_| true).map(|due| due.0), Some(first));
        assert!(timers.deadline(first).is_none());
        assert_eq!(timers.cancel(cancelled), Some(Some(2)));
        assert!(timers.reset(moved, start));
        timers.insert(start, 5);
        assert_eq!(
            timers.next_due(|_| true).map(|due| due.2),
            Some(4),
            "2 is cancelled, 3 moved, 5 is new"
        );
        assert!(timers.next_due(|_| true).is_none());
        assert_eq!(fire(&mut timers, start), [3, 5]);
    }

    #[test]
    fn the_next_deadline_is_never_that_of_a_cancelled_timer() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let [first, second, _] = [1, 2, 3].map(|delay| timers.insert(start + SECOND * delay, ()));
        timers.cancel(second);
        assert_eq!(timers.next_deadline(), Some(start + SECOND));
        timers.cancel(first);
        assert_eq!(timers.next_deadline(), Some(start + SECOND * 3), "both have left the top");
    }

    #[test]
    fn a_firing_timer_can_be_put_back_or_cancelled() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let id = timers.insert(start, "tick");
        timers.gather(start);
        let (_, _, action) = timers.next_due(|_| true).unwrap();
        assert!(!timers.reset(id, start), "not pending while it fires");
        assert_eq!(timers.put_back(id, start + SECOND, action), Ok(()));
        assert_eq!(timers.deadline(id), Some(start + SECOND));
        timers.gather(start + SECOND);
        let (_, _, action) = timers.next_due(|_| true).unwrap();
        assert_eq!(timers.cancel(id), Some(None));
        assert_eq!(timers.cancel(id), None);
        assert_eq!(timers.put_back(id, start + SECOND * 2, action), Err("tick"));
    }

    #[test]
    fn a_timer_that_does_not_stay_is_gone_when_it_fires() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let id = timers.insert(start, "once");
        timers.gather(start);
        assert_eq!(timers.next_due(|_| false).map(|due| (due.0, due.2)), Some((id, "once")));
        assert_eq!((timers.len(), timers.cancel(id)), (0, None));
        assert_eq!(timers.put_back(id, start, "again"), Err("again"));
        assert!(timers.next_due(|_| false).is_none());
    }

    #[test]
    fn a_large_batch_comes_in_the_order_of_its_deadlines() {
        const CROWD: u32 = 10_000;
        let scattered = |index: u32| SECOND * (index.wrapping_mul(2_654_435_761) >> 25);
        let start = Instant::now();
        let mut timers = Timers::new();
        let ids: Vec<TimerId> =
            (0..CROWD).map(|index| timers.insert(start + scattered(index), index)).collect();
        let mut expected = Vec::new();
        for (&id, index) in ids.iter().zip(0..) {
            // Every third is moved, twice, and every seventh cancelled.
            let mut deadline = start + scattered(index);
            if index % 3 == 0 {
                assert!(timers.reset(id, start + scattered(index + 1)));
                deadline = start + scattered(index + 2);
                assert!(timers.reset(id, deadline));
            }
            if index % 7 == 0 {
                timers.cancel(id);
            } else {
                expected.push((deadline, index));
            }
        }
        expected.sort_unstable();
        let now = start + SECOND * 100;
        let due = expected.partition_point(|&(deadline, _)| deadline <= now);
        let (soon, late) = expected.split_at(due);
        let indices = |some: &[(Instant, u32)]| some.iter().map(|&(_, index)| index).collect();
        let (soon, late): (Vec<u32>, Vec<u32>) = (indices(soon), indices(late));
        assert!(soon.len() > 6_000 && late.len() > 1_000);
        assert_eq!(fire(&mut timers, now), soon);
        assert_eq!(fire(&mut timers, start + SECOND * 200), late);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_crowd_is_known_by_a_sample() {
        const ALL: u32 = 100_000;
        let start = Instant::now();
        for (due, crowded) in [(200, false), (ALL / 20, true), (ALL, true)] {
            let mut timers = Timers::new();
            for index in 0..ALL {
                let delay = (u64::from(index) * 7_919 % u64::from(ALL)) as u32; // each once, scattered
                timers.insert(start + SECOND * delay, ());
            }
            let now = timers.origin.moment(start + SECOND * due);
            assert_eq!(timers.is_crowded(now), crowded, "{due}");
        }
    }

    #[test]
    fn far_timers_of_one_rank_fire_by_deadline() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let far = start + SECOND * 10_000_000 * 1000; // 317 years
        let moments = [3, 1, 2, 3, 0].map(|nanos| far + Duration::from_nanos(nanos));
        for (index, &at) in moments.iter().enumerate() {
            timers.insert(at, index);
        }
        timers.insert(start, 9);
        assert_eq!(fire(&mut timers, start), [9]);
        for (at, fired) in [(4, vec![4]), (1, vec![1]), (2, vec![2]), (0, vec![0, 3])] {
            assert_eq!(timers.settle(), Some(moments[at]), "exactly");
            assert_eq!(fire(&mut timers, moments[at]), fired);
        }
        let Some(past) = start.checked_sub(far - start) else { return }; // not every system has so old ones
        for (index, nanos) in [3, 1, 2, 3, 0].into_iter().enumerate() {
            timers.insert(past + Duration::from_nanos(nanos), index);
        }
        timers.insert(start, 5);
        assert_eq!(timers.settle(), Some(past));
        assert_eq!(fire(&mut timers, start), [4, 1, 2, 0, 3, 5]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn orders_begin_anew_and_equal_deadlines_keep_theirs() {
        let mut timers = Timers::new();
        let start = Instant::now();
        timers.made = u32::MAX - 6;
        let set =
            |timers: &mut Timers<u32>, name: u32| timers.insert(start + SECOND * (name % 2), name);
        let [cancelled, ids @ ..] = [8, 0, 1, 2, 3].map(|name| set(&mut timers, name));
        timers.gather(start); // 8, 0 and 2
        timers.cancel(cancelled);
        assert!(timers.reset(ids[1], start + SECOND * 2));
        timers.cancel(ids[3]);
        for name in 4..8 {
            set(&mut timers, name);
        }
        assert!(timers.made < 10, "{}", timers.made);
        assert_eq!(timers.next_due(|_| true).map(|(id, _, name)| (id, name)), Some((ids[0], 0)));
        assert_eq!(timers.put_back(ids[0], start, 0), Ok(()));
        assert_eq!(timers.next_due(|_| true).map(|due| due.2), Some(2));
        timers.cancel(ids[2]);
        assert_eq!(timers.next_due(|_| true).map(|due| due.2), None);
        assert_eq!(fire(&mut timers, start), [0, 4, 6]);
        assert_eq!(fire(&mut timers, start + SECOND), [5, 7]);
        assert_eq!(fire(&mut timers, start + SECOND * 2), [1]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn dead_entries_are_swept() {
        let mut timers = Timers::new();
        let start = Instant::now();
        let keep = timers.insert(start + SECOND * 7, ());
        for _ in 0..100_000 {
            let id = timers.insert(start + SECOND, ());
            timers.cancel(id);
            assert!(timers.heap.len() <= SWEEP_FROM + 1);
            timers.reset(keep, start + SECOND * 6);
            timers.reset(keep, start + SECOND * 7);
        }
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.settle(), Some(start + SECOND * 7));
        assert_eq!(timers.keys(), [keep.0]);
        timers.cancel(keep);
        assert_eq!(timers.settle(), None);
    }
}
