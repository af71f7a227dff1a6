//! Name lookups: which names are wanted, by which attempts, and which are being looked up.
//!
//! The system's resolver blocks, for many seconds if its server does not answer, and nothing can call it
//! back. So threads call it, and these rules keep a slow name from delaying others:
//!
//! * All attempts at one name share a lookup, whatever their ports. So a name occupies one thread.
//! * A lookup begins in the order in which its name was first asked for.
//! * A lookup that has not begun leaves the queue with the last attempt that waits for it.
//! * A lookup that nobody waits for any more does not count among the [`LOOKUPS_AT_ONCE`], as long as
//!   there are no more than [`LOOKUP_THREADS`]. The next attempt at its name takes its answer.
//! * No more than [`MAX_WAITING`] names wait. An attempt at one more fails at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::parts::arena::Key;
use crate::parts::pool::Pool;
use crate::system::resolver::Resolver;

/// How many names that are waited for are looked up at once, each by a thread.
///
/// A program that connects has a few servers, and an answer takes some milliseconds. But as long as so many
/// names get none, and attempts wait for them, a good name waits too. These are not the threads of
/// `call_in_thread`: connecting must not wait for the user's long work.
const LOOKUPS_AT_ONCE: usize = 32;

/// How many threads there may be, with those whose answer nobody waits for any more: enough for an
/// outage of the resolver, in which every attempt times out, and few enough for any system.
const LOOKUP_THREADS: usize = 2 * LOOKUPS_AT_ONCE;

/// How many names may wait for a thread: more than a program that works needs, and at a hundred bytes
/// each no burden for one that does not.
const MAX_WAITING: usize = 1024;

/// The lookups of a reactor.
pub(super) struct Lookups {
    pub(super) resolver: Resolver,
    pub(super) pool: Pool,
    pub(super) agenda: Agenda,
    /// Answers come here, and not with the call that wakes the loop: a stop drops queued calls.
    pub(super) answers: (Sender<Answer>, Receiver<Answer>),
}

pub(super) type Answer = (Arc<str>, io::Result<Vec<SocketAddr>>);

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            pool: Pool::new("crocus-lookup", LOOKUP_THREADS),
            agenda: Agenda::default(),
            answers: mpsc::channel(),
        }
    }
}

/// The names that are wanted, and the attempts that wait for them. These are named by `K`, which a test counts.
pub(super) struct Agenda<K = Key> {
    /// It keeps its memory after a peak, which [`MAX_WAITING`] bounds.
    names: HashMap<Arc<str>, Lookup<K>>,
    /// The names whose lookups have not begun, in order.
    waiting: VecDeque<Arc<str>>,
    /// How many lookups have begun, and for how many of these nobody waits any more.
    begun: usize,
    abandoned: usize,
}

struct Lookup<K> {
    /// By connector: thousands may wait for one name, and all be cancelled in one turn.
    askers: BTreeMap<K, Asker<K>>,
    begun: bool,
}

/// An attempt that waits for a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asker<K = Key> {
    pub(super) connector: K,
    pub(super) round: u64,
    pub(super) port: u16,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        let (names, waiting) = (HashMap::new(), VecDeque::new());
        Self { names, waiting, begun: 0, abandoned: 0 }
    }
}

impl<K: Copy + Ord> Agenda<K> {
    /// Adds an attempt to those that wait for a name.
    ///
    /// # Errors
    ///
    /// If too many names wait.
    pub(super) fn ask(&mut self, host: &str, asker: Asker<K>) -> io::Result<()> {
        if let Some(lookup) = self.names.get_mut(host) {
            if lookup.askers.is_empty() {
                self.abandoned -= 1;
            }
            lookup.askers.insert(asker.connector, asker);
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{MAX_WAITING} other names wait already to be looked up"),
            ));
        }
        let host = Arc::<str>::from(host);
        let askers = [(asker.connector, asker)].into();
        self.names.insert(Arc::clone(&host), Lookup { askers, begun: false });
        self.waiting.push_back(host);
        Ok(())
    }

    /// Takes an attempt off those that wait for a name.
    pub(super) fn forget(&mut self, host: &str, connector: K) {
        let Some(lookup) = self.names.get_mut(host) else { return };
        if lookup.askers.remove(&connector).is_none() || !lookup.askers.is_empty() {
            return;
        }
        if lookup.begun {
            self.abandoned += 1;
        } else {
            self.names.remove(host);
            self.waiting.retain(|name| **name != *host);
        }
    }

    /// The name to be looked up now, if any.
    pub(super) fn begin(&mut self) -> Option<Arc<str>> {
        if self.begun - self.abandoned >= LOOKUPS_AT_ONCE || self.begun >= LOOKUP_THREADS {
            return None;
        }
        let host = self.waiting.pop_front()?;
        if let Some(lookup) = self.names.get_mut(&host) {
            lookup.begun = true;
            self.begun += 1;
        }
        Some(host)
    }

    /// Ends a lookup that has begun; returns the attempts that wait for it.
    pub(super) fn finish(&mut self, host: &str) -> Vec<Asker<K>> {
        let Some(lookup) = self.names.remove(host) else { return Vec::new() };
        self.begun -= 1;
        if lookup.askers.is_empty() {
            self.abandoned -= 1;
        }
        lookup.askers.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;
    use crate::parts::arena::Arena;

    /// As many attempts, each at port 1.
    fn askers(count: usize) -> Vec<Asker> {
        let mut arena = Arena::new();
        (0..count).map(|_| Asker { connector: arena.insert(()), round: 1, port: 1 }).collect()
    }

    /// Asks for `a0`, `a1`, … each once.
    fn ask_for_many(agenda: &mut Agenda, askers: &[Asker]) {
        for (number, &asker) in askers.iter().enumerate() {
            agenda.ask(&format!("a{number}"), asker).unwrap();
        }
    }

    fn begin_all(agenda: &mut Agenda) -> Vec<Arc<str>> {
        std::iter::from_fn(|| agenda.begin()).collect()
    }

    #[test]
    fn attempts_at_one_name_share_its_lookup() {
        let (mut agenda, askers) = (Agenda::default(), askers(3));
        agenda.ask("a", askers[0]).unwrap();
        agenda.ask("a", askers[1]).unwrap();
        assert_eq!(begin_all(&mut agenda), ["a".into()]);
        agenda.ask("a", askers[2]).unwrap();
        assert_eq!(begin_all(&mut agenda), []);
        assert_eq!(agenda.finish("a"), askers);
        assert_eq!((agenda.begun, agenda.abandoned, agenda.names.len()), (0, 0, 0));
    }

    #[test]
    fn a_name_that_nobody_waits_for_leaves_the_queue() {
        let (mut agenda, askers) = (Agenda::default(), askers(LOOKUPS_AT_ONCE + 3));
        ask_for_many(&mut agenda, &askers);
        assert_eq!(begin_all(&mut agenda).len(), LOOKUPS_AT_ONCE);
        agenda.forget(&format!("a{LOOKUPS_AT_ONCE}"), askers[LOOKUPS_AT_ONCE].connector);
        agenda.finish("a0");
        assert_eq!(begin_all(&mut agenda), [format!("a{}", LOOKUPS_AT_ONCE + 1).into()]);
    }

    #[test]
    fn an_abandoned_lookup_makes_room_until_the_threads_run_out() {
        let (mut agenda, askers) = (Agenda::default(), askers(LOOKUP_THREADS + 9));
        ask_for_many(&mut agenda, &askers);
        let mut begun = 0;
        loop {
            let names = begin_all(&mut agenda);
            if names.is_empty() {
                break;
            }
            for name in names {
                agenda.forget(&name, askers[begun].connector);
                begun += 1;
            }
        }
        assert_eq!(begun, LOOKUP_THREADS);
        assert_eq!(agenda.finish("a3"), []);
        assert_eq!(begin_all(&mut agenda).len(), 1);
        // An attempt at an abandoned name waits for the lookup that is under way.
        agenda.ask("a4", askers[4]).unwrap();
        assert_eq!(agenda.finish("a4"), [askers[4]]);
        assert_eq!((agenda.begun, agenda.abandoned), (LOOKUP_THREADS - 1, LOOKUP_THREADS - 2));
    }

    /// The name of an attempt that counts how often it is compared with another.
    #[derive(Clone, Copy)]
    struct Counted<'a>(usize, &'a Cell<usize>);

    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    impl Eq for Counted<'_> {}

    /// All of them may time out, or be given up by a shutdown, in one turn.
    #[test]
    fn each_of_many_attempts_at_one_name_is_forgotten_in_few_steps() {
        const MANY: usize = 4_000;
        let (compared, mut agenda) = (Cell::new(0), Agenda::default());
        let attempts = || (0..MANY).map(|number| Counted(number, &compared));
        for connector in attempts() {
            agenda.ask("a", Asker { connector, round: 1, port: 1 }).unwrap();
        }
        compared.set(0);
        // The last first: those who ask are mostly forgotten in their order, where a search from the front is short.
        attempts().rev().for_each(|connector| agenda.forget("a", connector));
        assert!(agenda.names.is_empty());
        let steps = compared.get() / MANY;
        assert!((1..100).contains(&steps), "{steps} steps for each of {MANY}");
    }

    #[test]
    fn one_name_too_many_is_refused() {
        let (mut agenda, askers) = (Agenda::default(), askers(MAX_WAITING));
        ask_for_many(&mut agenda, &askers);
        let error = agenda.ask("one more", askers[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        agenda.ask("a7", askers[0]).unwrap();
        agenda.begin();
        agenda.ask("one more", askers[0]).unwrap();
    }
}
