//! The reactor, its parts, and the order of its modules. **The loop** is in `turn`.
//!
//! In this folder, `turn` runs all phases, `visit` serves and flushes connections, `flushing` is the flush phase,
//! `timing` runs timers, `calls` runs calls, `working` runs blocking work in threads, `stopping` ends the
//! reactor, and `dispatch` is the only place where the user's code is called. `source` has the sources that are
//! served, `queues` their order, and `state` the rest of a reactor's state. `commands`, `adopting` and `hosting`
//! are the interface from outside; `extending` and `lending` are for code that builds upon a reactor. The folders
//! `listener/`, `connector/`, `datagram/` and `descriptor/` serve the other kinds of source.

// `rustdoc` shows the methods of a type in the order of the modules that they stand in. So the modules are
// declared in the order in which a newcomer wants to read them.
pub(crate) mod builder;
mod turn;

mod calls;
mod stopping;
mod timing;
mod working;

mod extending;
mod hosting;
mod lending;

pub(crate) mod adopting;
mod commands;

// Nothing public.
pub(crate) mod dispatch;
mod flushing;
#[cfg(feature = "proxy")]
mod identifying;
mod kind;
pub(crate) mod limits;
pub(crate) mod monitor;
pub(crate) mod preparations;
pub(crate) mod preparing;
pub(crate) mod queues;
#[cfg(feature = "tls")]
mod securing;
mod session;
pub(crate) mod source;

pub(crate) mod state;
mod visit;

use std::io;
use std::marker::PhantomData;

use mio::{Token, Waker};

use crate::handle::Shared;
use crate::parts::clock::Clock;
use crate::parts::random::Random;
use crate::parts::timers::Timers;
use crate::system::poller::Poller;
use limits::{HotLimits, Limits};
use monitor::Monitor;
use queues::Queues;
use source::Sources;
use state::{Calls, Ended, Ending, Extension, Memory, Threads, Time, TimerAction};

/// The token of the waker; no key has it, since an arena never has 2³² slots.
const WAKE: Token = Token(usize::MAX);

/// Owns the poller, the clock and all sources, and calls the protocols.
///
/// A reactor is a plain value: a program may have several, on any thread, and one may run inside
/// another's loop. Everything it does happens in [`turn`](Self::turn), on the thread that calls it.
/// Callbacks get the reactor by `&mut`, through [`Transport::reactor`](crate::Transport::reactor), and
/// may call any of its methods.
///
/// Dropping a reactor stops it and tells every connection first, unless its thread is panicking.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::Reactor;
///
/// let mut reactor = Reactor::new()?;
/// reactor.call_later(Duration::from_millis(5), |_reactor| println!("tick"));
/// reactor.run()?; // nothing is left to wait for after the tick
/// # std::io::Result::Ok(())
/// ```
pub struct Reactor {
    /// First, so that the compiler names it first when a reactor is sent to a thread.
    _marker: StaysOnItsThread,
    // Parts that a message does not ask for are in boxes, for a loan moves all the rest.
    pub(crate) poller: Box<Poller>,
    pub(crate) time: Time,
    pub(crate) sources: Sources,
    pub(crate) queues: Queues,
    pub(crate) timers: Box<Timers<TimerAction>>,
    pub(crate) calls: Calls,
    pub(crate) threads: Box<Threads>,
    pub(crate) memory: Memory,
    pub(crate) limits: Box<Limits>,
    pub(crate) hot: HotLimits,
    pub(crate) monitor: Monitor,
    pub(crate) ending: Ending,
    pub(crate) random: Random,
    pub(crate) ended: Option<Ended>,
    pub(crate) extension: Box<Extension>,
}

/// A reactor stays on its thread: protocols and closures need not be `Send`. Its name is part of the compiler's
/// message.
struct StaysOnItsThread(PhantomData<*const ()>);

impl Reactor {
    pub(crate) fn with_poller(
        poller: Poller,
        clock: Clock,
        random: Random,
        limits: Limits,
    ) -> io::Result<Self> {
        let waker = poller.registry().map(|registry| Waker::new(registry, WAKE)).transpose()?;
        let time = Time::new(clock);
        // The rest cannot panic, so that nobody needs a second copy of the code that drops it.
        let (calls, timers) = (Calls::new(Shared::new(waker)), Box::new(Timers::new()));
        let (memory, hot) = (Memory::new(&limits, &time.clock), HotLimits::from(&limits));
        let (poller, limits) = (Box::new(poller), Box::new(limits));
        let (threads, extension) = (Box::default(), Box::default());
        Ok(Self {
            _marker: StaysOnItsThread(PhantomData),
            poller,
            time,
            sources: Sources::new(),
            queues: Queues::default(),
            timers,
            calls,
            threads,
            memory,
            limits,
            hot,
            monitor: Monitor::default(),
            ending: Ending::No,
            random,
            ended: None,
            extension,
        })
    }
}
