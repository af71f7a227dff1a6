//! A small reactor on [`mio`](https://docs.rs/mio): one thread, one poller, many connections.
//!
//! It has Twisted's shape. A [`Protocol`] is one connection's state, a [`Factory`] makes protocols,
//! and the [`Reactor`] calls them back, lending each its connection as a [`Transport`]. It is made to
//! be read by people who learn how an event loop works, and to be built on by people who write a small
//! server.
//!
//! This server answers every connection with sixteen random bytes, and closes:
//!
//! ```no_run
#![doc = include_str!("../examples/minimal.rs")]
//! ```
//!
//! # What crocus promises
//!
//! 1. **Notices come from the loop.** No callback runs inside another one, nor inside a command:
//!    what a callback asks for is carried out after it has returned. (A closure that is cancelled is
//!    dropped at once, and so is what it captured.)
//! 2. **One order of calls.** [`Protocol`] says which; `connection_lost` comes exactly once and last
//!    to whoever was told `connection_made`, whatever happened, unless it has
//!    [handed over](Transport::set_protocol) to another. Nothing else is delivered after
//!    `lose_connection` or `abort_connection`.
//! 3. **An orderly close loses nothing.** The rest is flushed, FIN is sent, and the socket is kept
//!    until the peer has closed too or [some seconds](ReactorBuilder::linger) have passed, so that no
//!    reset overtakes the last bytes. A peer that does not take the rest is cut off after
//!    [30 s](ReactorBuilder::close_timeout), and the reason says so.
//! 4. **End of file means: flush, then close.** A client that says all it has to say and closes its
//!    half gets its answer. Who wants to go on writing overrides one method.
//! 5. **Buffers are bounded.** A connection whose peer does not read is not read either, unless its
//!    protocol decides otherwise: an echo keeps at most the high mark and one turn's reading for it,
//!    64 + 256 KiB. Whoever writes on regardless ends the connection at a
//!    [cap](ReactorBuilder::write_buffer_cap) of 32 MiB. An idle connection costs some 200 bytes
//!    beside its protocol.
//! 6. **A bug stays in its connection.** A panic in a callback is logged with the peer, ends that
//!    connection with [`Reason::Panicked`], and nobody else notices; unless the program is built with
//!    `panic = "abort"`. At a datagram socket, which has many peers, it costs that datagram only.
//! 7. **Everyone has their turn.** In one turn nobody gets more than 256 KiB read, and as much written
//!    when they are served and, if others write to them, once more; no listener accepts more than 64,
//!    and no datagram socket delivers more than 64; what calls make, and timers set, waits for the next
//!    turn. Without descriptors a listener rests, costs nothing, and serves those who wait as soon as
//!    one of ours is closed, or after 100 ms.
//! 8. **Bind fails at once, connect fails later.** Each attempt has one outcome. Errors keep their
//!    errno; that of bind, which names the address, has it in the error within.
//! 9. **Names are never reused.** A stale [`ConnectionId`] or [`TimerId`] finds nobody, and whoever is
//!    given one says so.
//! 10. **A reactor is a plain value.** No globals, no signal handlers unless asked for; `run` may be
//!    called again, a host loop may call [`turn`](Reactor::turn) instead.
//! 11. **One order of everything.** The phases of a [turn](Reactor::turn) are fixed. Time is monotonic,
//!     and one reading serves all of a turn; timers with one deadline fire in the order they were made.
//!
//! # What it does not do
//!
//! * More than one thread. Everything happens on the thread that turns the reactor; [`Handle`] lets
//!   others in, and [`call_in_thread`](Reactor::call_in_thread) has them do what blocks. For several
//!   cores, run several reactors at one port ([`Cores`]).
//! * Futures, TLS, HTTP, child processes.
//! * Help against callbacks that block: while one runs, nobody else is served. The log says so after
//!   [100 ms](ReactorBuilder::slow_callback).
//! * Promise that what was written has arrived. No transport can; protocols answer.
//!
//! # When to use something else
//!
//! * **tokio** when you want futures, all cores, TLS or any of the crates that build on it: for most
//!   servers in production.
//! * **mio** when you want readiness and nothing else, and write the loop yourself.
//! * **calloop** when your program is a desktop client or compositor, and descriptors of all kinds
//!   are its sources.
//! * **Twisted** or **asyncio** when you write Python; this crate's words are theirs.
//! * Threads, one per connection, when there are at most some hundreds and they do not wait for each
//!   other: nothing is simpler.
//!
//! # What it costs
//!
//! The page [performance] has figures, beside the least that the kernel asks for and beside others.
//!
//! # Features
//!
//! * `signals` (off): `Reactor::on_signal` and `Reactor::shutdown_on_signals`.
//!
//! # Layout
//!
//! For readers of the source, in the order to read it in. The first three rows say how crocus works, the
//! fourth what it asks of its users. The file `ARCHITECTURE.md` in the repository has the picture, and where
//! each thing is done.
//!
//! | file or folder | what it is |
//! |---|---|
//! | `reactor/mod.rs` | **the loop**: sleep, latch, timers, calls, serve, flush |
//! | `connection/` | **the machine**: one connection, which decides what happens to it next |
//! | `reactor/visit.rs` | asks a connection what to do until it rests, and tells its protocol |
//! | `protocol.rs` | what a user writes: [`Protocol`], [`Factory`], [`ClientFactory`] |
//! | `reactor/` | the rest of the loop: what is served and in which order, commands, timers, stopping |
//! | `listener/`, `connector/`, `datagram/`, `descriptor/` | the other kinds of source, each with its options, state and serving |
//! | `transport/`, `handle.rs`, `observe/` | a connection, lent to a callback; other threads; watching the loop |
//! | `reason.rs`, `address/`, `ids.rs`, `callback.rs` | why a connection ended; where it leads; names |
//! | `system/` | the kernel: poller, streams, listening sockets |
//! | `simulation/` | the network in memory that stands in for it, and [`testing`] |
//! | `parts/` | plain values: arena, timers, buffers, token bucket, clock |
//! | `extras/` | built on the public interface alone: [`framing`], [`Reconnecting`], [`Cores`] |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod callback;
mod connection;
mod connector;
mod datagram;
#[cfg(unix)]
mod descriptor;
mod extras;
mod frame_error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handle;
mod ids;
mod listener;
mod observe;
mod parts;
#[cfg(doc)]
#[doc = include_str!("../docs/performance.md")]
pub mod performance {}
mod protocol;
mod reactor;
mod reason;
mod simulation;
mod system;
mod transport;

pub use address::{Address, Endpoint, UnixAddress};
pub use callback::Callback;
pub use connector::{ConnectOptions, Connector};
pub use datagram::{DatagramOptions, DatagramProtocol, DatagramTransport};
#[cfg(unix)]
pub use descriptor::Ready;
pub use extras::cores::{Core, Cores, CoresHandle};
pub use extras::framing;
pub use extras::reconnecting::{Backoff, Reconnecting};
pub use frame_error::FrameError;
pub use handle::{Handle, WeakHandle};
#[cfg(unix)]
pub use ids::WatchId;
pub use ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
pub use listener::ListenOptions;
pub use observe::{LogObserver, Observer, Stats, Subject, TimerEvent, TurnReport};
pub use parts::pool::ThreadError;
pub use parts::timers::TimerId;
pub use parts::token_bucket::Rate;
pub use protocol::{ClientFactory, Factory, Protocol};
pub use reactor::Reactor;
pub use reactor::builder::ReactorBuilder;
pub use reactor::state::Tick;
pub use reason::{Phase, Reason, Who};
pub use simulation::testing;
pub use system::poller::Readiness;
pub use transport::Transport;

/// The code blocks of the README are tested like those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
