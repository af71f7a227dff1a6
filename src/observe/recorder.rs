//! The observer that keeps the last notices.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use super::{Notice, Observer, Origin, Subject};

/// One notice of a [`Recorder`].
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use crocus::testing::Simulation;
/// use crocus::{Notice, Record, Recorder};
///
/// /// The numbers of the turns that were recorded.
/// fn turns(records: &[Record]) -> Vec<u64> {
///     let turn = |record: &Record| match record.notice {
///         Notice::TurnBegin { turn } => Some(turn),
///         _ => None,
///     };
///     records.iter().filter_map(turn).collect()
/// }
///
/// let recorder = Rc::new(RefCell::new(Recorder::new(100)));
/// let mut simulation = Simulation::new();
/// simulation.reactor().set_observer(Some(Box::new(Rc::clone(&recorder))));
/// simulation.turn();
/// simulation.turn();
/// assert_eq!(turns(&recorder.borrow().since(0)), [1, 2]);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Which notice it is, counted from 0 since the recorder was made.
    pub number: u64,
    /// When it happened.
    pub at: Instant,
    /// The notice.
    pub notice: Notice,
}

/// Keeps the last notices, so that a program can look back at what its reactor did.
///
/// It holds as many as it was made for; a new one takes the place of the oldest. It takes its memory when it
/// is made, and none later, except for what a notice itself shares, such as the error in a reason.
///
/// A page or a console that shows the records would fill them with itself: [`leave_out`](Self::leave_out)
/// keeps it out.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use crocus::testing::Simulation;
/// use crocus::Recorder;
///
/// let recorder = Rc::new(RefCell::new(Recorder::new(1_000)));
/// let mut simulation = Simulation::new();
/// simulation.reactor().set_observer(Some(Box::new(Rc::clone(&recorder))));
/// simulation.reactor().call_soon(|_reactor| {});
/// simulation.turn();
///
/// let seen = recorder.borrow().since(0);
/// assert!(seen.iter().any(|record| record.notice.to_string() == "reactor: a call begins"));
/// let next = recorder.borrow().count();
/// assert!(recorder.borrow().since(next).is_empty(), "nothing has happened since");
/// ```
pub struct Recorder {
    ring: Vec<(Instant, Notice)>,
    capacity: usize,
    /// The place in the ring of the next one, which is that of the oldest once it is full.
    next: usize,
    /// How many notices were recorded since it was made.
    count: u64,
    left_out: BTreeSet<Subject>,
    /// Whether anything was ever left out.
    sifts: bool,
    /// The state of this turn, once something was left out.
    turn: Turn,
    /// The marks of a turn of which nothing else was recorded yet.
    marks: Vec<(Instant, Notice)>,
}

/// The notices that a turn has brought so far.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Nothing but its own marks.
    Empty,
    /// Something that is left out.
    LeftOut,
    /// Something that is recorded.
    Recorded,
}

impl Recorder {
    /// A recorder of the last `capacity` notices.
    ///
    /// A notice takes some hundred bytes. A turn that serves one message tells about 16.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a recorder keeps at least one notice");
        Self {
            ring: Vec::with_capacity(capacity),
            capacity,
            next: 0,
            count: 0,
            left_out: BTreeSet::new(),
            sifts: false,
            turn: Turn::Empty,
            marks: Vec::new(),
        }
    }

    /// Leaves out what is about this subject from now on: of a listener or a connector also its connections,
    /// from their beginning, with their timers and commands. Turns in which nothing else happens are left
    /// out too.
    ///
    /// Call it before the listener has its first connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::cell::RefCell;
    /// # use std::rc::Rc;
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Recorder, Subject};
    /// # struct Page;
    /// # impl Protocol for Page {}
    /// # let recorder = Rc::new(RefCell::new(Recorder::new(1_000)));
    /// # let mut simulation = Simulation::new();
    /// # let reactor = simulation.reactor();
    /// # reactor.set_observer(Some(Box::new(Rc::clone(&recorder))));
    /// let page = reactor.listen("127.0.0.1:8080", |_peer| Page)?;
    /// recorder.borrow_mut().leave_out(Subject::Listener(page));
    /// simulation.settle();
    ///
    /// let before = recorder.borrow().count();
    /// let peer = simulation.dial("127.0.0.1:8080");
    /// simulation.turn();
    /// assert_eq!(recorder.borrow().count(), before);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn leave_out(&mut self, subject: Subject) {
        if !std::mem::replace(&mut self.sifts, true) {
            self.turn = Turn::Recorded; // a turn that has begun is recorded to its end
        }
        self.left_out.insert(subject);
    }

    /// How many notices were recorded since the recorder was made; the next one gets this number.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Copies of the notices from this number on. Those that are not kept any more are missing: the first
    /// one's [`number`](Record::number) says so.
    pub fn since(&self, number: u64) -> Vec<Record> {
        let copy = |(number, at, notice): (u64, Instant, &Notice)| Record {
            number,
            at,
            notice: notice.clone(),
        };
        self.iter_since(number).map(copy).collect()
    }

    /// The same notices without a copy, each with its number and its time.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Notice, Recorder};
    ///
    /// /// How many bytes came since a notice.
    /// fn bytes_since(recorder: &Recorder, number: u64) -> usize {
    ///     let bytes = |(_number, _at, notice): (u64, std::time::Instant, &Notice)| match notice {
    ///         Notice::Received { bytes, .. } => *bytes,
    ///         _ => 0,
    ///     };
    ///     recorder.iter_since(number).map(bytes).sum()
    /// }
    ///
    /// assert_eq!(bytes_since(&Recorder::new(10), 0), 0);
    /// ```
    pub fn iter_since(&self, number: u64) -> impl Iterator<Item = (u64, Instant, &Notice)> {
        let (newer, older) = self.ring.split_at(self.next);
        let first = self.count - self.ring.len() as u64;
        let skipped = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        let kept = (first..).zip(older.iter().chain(newer)).skip(skipped);
        kept.map(|(number, (at, notice))| (number, *at, notice))
    }

    #[inline]
    fn push(&mut self, at: Instant, notice: &Notice) {
        self.count += 1;
        match self.ring.get_mut(self.next) {
            Some(place) => *place = (at, notice.clone()),
            None => self.fill(at, notice),
        }
        self.next = if self.next + 1 == self.capacity { 0 } else { self.next + 1 };
    }

    /// Takes a place that is not used yet. Out of line, since it is the case only until the ring is full.
    #[cold]
    fn fill(&mut self, at: Instant, notice: &Notice) {
        self.ring.push((at, notice.clone()));
    }

    /// Whether a notice is left out; learns and forgets the connections of what is left out.
    fn leaves_out(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Opened { connection, origin, .. } => {
                let owner = match origin {
                    Origin::Accepted(listener) => Subject::Listener(*listener),
                    Origin::Connected(connector) => Subject::Connector(*connector),
                    Origin::Adopted => return false,
                };
                let theirs = self.left_out.contains(&owner);
                if theirs {
                    self.left_out.insert(Subject::Connection(*connection));
                }
                theirs
            }
            // The drop of its protocol comes before this.
            Notice::Gone { connection, .. } => {
                self.left_out.remove(&Subject::Connection(*connection))
            }
            Notice::Command { by: Some(by), to, .. } => {
                self.left_out.contains(by) || self.left_out.contains(to)
            }
            notice => notice.subject().is_some_and(|subject| self.left_out.contains(&subject)),
        }
    }

    /// Records a notice once something was left out. The marks of a turn wait until it is known whether
    /// anything else happens in it.
    #[inline(never)] // else each notice that is not sifted reserves the stack that this needs
    fn sift(&mut self, at: Instant, notice: &Notice) {
        let is_mark = matches!(notice, Notice::TurnBegin { .. }) || notice.is_of_the_turn();
        if !is_mark {
            if self.leaves_out(notice) {
                self.turn = self.turn.max(Turn::LeftOut);
                return;
            }
            self.turn = Turn::Recorded;
        }
        if matches!(notice, Notice::TurnBegin { .. }) {
            self.turn = Turn::Empty;
        }
        let ends = matches!(notice, Notice::TurnEnd(_));
        self.marks.push((at, notice.clone()));
        if self.turn == Turn::Recorded || ends && self.turn == Turn::Empty {
            let mut marks = std::mem::take(&mut self.marks);
            marks.drain(..).for_each(|(at, notice)| self.push(at, &notice));
            self.marks = marks;
        } else if ends {
            self.marks.clear();
        }
    }
}

impl Observer for Recorder {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        // To the end, also when all of it is gone: marks of this turn may wait.
        if self.sifts {
            self.sift(at, notice);
        } else {
            self.push(at, notice);
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("capacity", &self.capacity)
            .field("count", &self.count)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}
