//! A small reactor on [`mio`](https://docs.rs/mio): one thread, one poller, many connections.
//!
//! Its design is Twisted's. A [`Protocol`] is the state of one connection, a [`Factory`] makes
//! protocols, and the [`Reactor`] calls them and lends each its connection as a [`Transport`].
//!
//! This server answers every connection with sixteen random bytes, and closes:
//!
//! ```no_run
#![doc = include_str!("../examples/minimal.rs")]
//! ```
//!
//! # What it is for
//!
//! * To **learn or teach** how an event loop works: the [guide] builds one from a server that blocks, in
//!   sixteen chapters. [`Reactor::turn`] is the loop, and the source is made to be read (see
//!   [Layout](#layout)).
//! * To **embed** in a small server: a plain value without globals, bounded buffers, few dependencies, and
//!   [tests without sockets](testing).
//! * To run and change its example programs: the repository has some twenty, from an echo to HTTP.
//!
//! # How do I…?
//!
//! Each page has code that is tested:
//! [share state](how::share_state) · [send much](how::send_much) ·
//! [talk to another connection](how::talk_to_another) ·
//! [answer later](how::answer_later) ·
//! [use async and await](how::use_await) ·
//! [join two connections](how::join_two) ·
//! [time out](how::time_out) ·
//! [drain](how::drain) ·
//! [embed in another loop](how::embed) ·
//! [call in from a thread, and get an answer](how::call_in) ·
//! [take over sockets from systemd](how::take_over) ·
//! [encrypt](how::encrypt) ·
//! [stand behind a proxy](how::stand_behind_a_proxy) ·
//! [log](how::log) ·
//! [test](how::test) ·
//! [watch](how::watch) ·
//! [measure](how::measure).
//!
//! The page [production] is about systemd, HAProxy, limits, and restarts that lose no request.
//!
//! Where to begin: [`Protocol`] and [`Transport`] for a server; [`Reactor::connect`] and [`Reconnecting`]
//! for a client; [`framing`] for messages; [`DatagramProtocol`] for UDP. If you know another library, the
//! page [terms] has its words beside those of crocus, and a glossary.
//!
//! # What crocus promises
//!
//! 1. **Callbacks come from the loop.** No callback runs inside another callback or inside a command:
//!    the loop carries out the commands of a callback after it has returned. (A cancelled closure is
//!    dropped at once, with its captures.)
//! 2. **One order of calls.** [`Protocol`] documents it. Every protocol that got `connection_made` gets
//!    `connection_lost`, exactly once and last, unless it has [handed over](Transport::set_protocol) to
//!    another. After `lose_connection` or `abort_connection` nothing else is delivered.
//! 3. **An orderly close loses nothing.** The reactor flushes the buffer, sends FIN, and keeps the
//!    socket until the peer has closed too or [some seconds](ReactorBuilder::linger) have passed, so
//!    that no reset overtakes the last bytes. A peer that takes the rest steadily, however slowly, gets all
//!    of it; one that takes nothing for [30 s](ReactorBuilder::close_timeout) is cut off, and the reason says
//!    so. Bytes that a peer sends after the close are read and discarded, up to 16 MiB and less eagerly
//!    than those of others; more stay in the kernel, which slows the peer down.
//! 4. **End of file means: flush, then close.** A client that sends its request and closes its half gets
//!    its answer. A protocol that goes on writing overrides one method.
//! 5. **Buffers are bounded.** If a peer does not read, the reactor does not read from it either, unless
//!    the protocol decides otherwise: an echo buffers at most the high mark and one turn's reading, 64 +
//!    256 KiB. If a protocol writes on although more than a [cap](ReactorBuilder::write_buffer_cap) of
//!    32 MiB could not be sent, the connection ends. Files that are being sent take no memory, and do not
//!    count for the cap. After a peak of connections, timers or calls their
//!    memory is given back. An idle connection costs some 200 bytes beside
//!    its protocol.
//! 6. **A bug stays in its connection.** A panic in a callback is logged with the peer and ends only
//!    that connection, with [`Reason::Panicked`], unless the program is built with `panic = "abort"`. At
//!    a datagram socket, which has many peers, a panic costs that datagram only.
//!    The same holds for a `Drop` of yours. But if two values panic when they are dropped together, fields of one
//!    protocol or captures of one closure, Rust ends the process. The standard library prints each panic to
//!    stderr as it is; in the log, and in the text of a [`Reason`], a line break is escaped.
//! 7. **Work is shared fairly.** In one turn at most 256 KiB are read from a connection, and at most as
//!    much is written to it, or half of what waits for it in memory, if that is more. A listener accepts at most
//!    64 connections, a datagram socket delivers at most 64 datagrams, and
//!    [1,024](ReactorBuilder::call_budget) calls run. Calls made by calls, and timers set by timers, wait for the next
//!    turn. Without a free descriptor a listener pauses, costs
//!    nothing, and accepts the waiting connections as soon as the reactor closes a descriptor, or after
//!    100 ms.
//! 8. **Bind fails at once, connect fails later.** Each attempt has one outcome. Errors keep their
//!    errno; an error of bind names the address and has the errno in its inner error.
//! 9. **Names are never reused.** A stale [`ConnectionId`] or [`TimerId`] refers to nothing, and methods
//!    that take one report this.
//! 10. **A reactor is a plain value.** No globals and no signal handlers unless asked for; `run` may be
//!    called again, a host loop may call [`turn`](Reactor::turn) instead.
//! 11. **One order of everything.** The phases of a [turn](Reactor::turn) are fixed. Time is monotonic,
//!     and a turn judges by one reading what is due; timers with one deadline fire in the order they were
//!     made. A delay counts from the moment it was asked for, so no timer is early, however long a
//!     callback has worked before.
//! 12. **Silence is judged by what has come, not by what was read.** Before a timeout is told, of a silent
//!     connection or of an attempt to connect, the reactor asks the socket once more. Bytes that wait in it
//!     count, and so do those that the peer has taken, as far as the kernel shows it:
//!     [`set_timeout`](Transport::set_timeout) says how far.
//!
//! # What it does not do
//!
//! * More than one thread. Everything happens on the thread that turns the reactor. Other threads reach
//!   it by a [`Handle`], and [`call_in_thread`](Reactor::call_in_thread) gives them blocking work. For
//!   several cores, run several reactors at one port ([`Cores`]).
//! * HTTP, child processes. Futures are guests: the feature `futures` polls them on the reactor's one thread, and
//!   their crates bring the rest.
//! * Help against callbacks that block: while one runs, nothing else is served. The log reports it after
//!   [100 ms](ReactorBuilder::slow_callback).
//! * Promise that written bytes have arrived. No transport can; it takes an answer in the protocol.
//!
//! # When to use something else
//!
//! * **tokio** when you want tasks on all cores, io_uring or the whole of the crates that build on it: for most servers
//!   in production. [`futures`] runs those that ask for the traits of `futures-io`, and in a simulation.
//! * **mio** when you want readiness and nothing else, and write the loop yourself.
//! * **calloop** when your program is a desktop client or compositor, and descriptors of all kinds
//!   are its sources.
//! * **Twisted** or **asyncio** when you write Python; this crate uses their terms.
//! * Threads, one per connection, when there are at most some hundreds and they do not wait for each
//!   other: nothing is simpler.
//!
//! # What it costs
//!
//! The page [performance] has figures, and compares them with the minimum that the kernel needs and with
//! other libraries. The page [getting_there] tells what was slow, and how it was found.
//!
//! # Features
//!
//! * `signals` (off): `Reactor::on_signal` and `Reactor::drain_on_signals`, and `Simulation::signal` to test
//!   what they do.
//! * `tls` (off): encrypted connections, `crocus::tls`, by rustls with ring: thirteen crates more.
//! * `activation` (off): sockets that systemd or a parent has opened, `Listen::inherited` and `Datagrams::inherited`:
//!   one crate more.
//! * `sendfile` (off): `Transport::send_file`, by which the kernel sends files; on Unix: three crates more.
//! * `futures` (off): tasks, `async` and `await`, [`crocus::futures`](futures): two crates more, which have only
//!   traits.
//! * `proxy` (off): the PROXY protocol, `crocus::proxy`, with which a server behind a proxy knows its clients: one
//!   crate more.
//!
//! ```toml
//! [dependencies]
//! crocus = { version = "0.1", features = ["signals", "tls", "activation"] }
//! ```
//!
//! # Layout
//!
//! For readers of the source, in reading order. The first three rows are the core of crocus, the fourth
//! is what its users implement. The file `ARCHITECTURE.md` in the repository has a diagram, and says
//! where each task is done.
//!
//! | file or folder | what it is |
//! |---|---|
//! | [`reactor/turn.rs`](../src/crocus/reactor/turn.rs.html) | **the loop**: sleep, latch, timers, serve, calls, flush |
//! | [`connection/mod.rs`](../src/crocus/connection/mod.rs.html) | **the state machine** of one connection, which decides what happens to it next |
//! | [`reactor/visit.rs`](../src/crocus/reactor/visit.rs.html) | asks a connection what to do until it rests, and calls its protocol |
//! | [`protocol.rs`](../src/crocus/protocol.rs.html) | the traits that a user implements: [`Protocol`], [`Factory`] |
//! | `reactor/` | the rest of the loop: what is served and in which order, commands, timers, stopping |
//! | `listener/`, `connector/`, `datagram/`, `descriptor/` | the other kinds of source, each with its options, state and serving |
//! | `transport/`, `handle.rs`, `answer.rs`, `observe/` | a connection, lent to a callback; other threads; watching the loop |
//! | `reason/`, `address/`, `ids.rs`, `callback.rs` | why a connection ended; addresses; identifiers |
//! | `system/` | the kernel: poller, streams, listening sockets |
//! | `tls/`, `proxy/` | TLS without I/O, by rustls; the PROXY protocol |
//! | `simulation/` | the simulated network in memory, and [`testing`] |
//! | `parts/` | plain values: arena, timers, buffers, token bucket, clock |
//! | `extras/` | built on the public interface alone: [`framing`], [`Reconnecting`], [`Tunnel`], [`Cores`], [`futures`] |
#![cfg_attr(docsrs, feature(doc_cfg))]

// `rustdoc` shows the methods of a type in the order of the modules that they stand in: the loop first, then
// listening and connecting.
mod reactor;

mod listener;

mod connector;
mod datagram;
#[cfg(unix)]
mod descriptor;

mod address;
mod answer;
mod callback;
mod connection;
mod extras;
mod factories;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(doc)]
/// [performance]: crate::performance
#[doc = "\n"]
#[doc = include_str!("../docs/getting_there.md")]
pub mod getting_there {}
#[cfg(all(doc, not(doctest)))]
pub mod guide;
mod handle;
#[cfg(doc)]
pub mod how;
mod ids;
mod observe;
mod parts;
#[cfg(doc)]
#[doc = include_str!("../docs/performance.md")]
pub mod performance {}
#[cfg(doc)]
// Of two definitions of a link the first one counts. Those of rustdoc come before those of GitHub.
/// [100 ms]: crate::ReactorBuilder::slow_callback
/// [`Cores`]: crate::Cores
/// [`LogObserver`]: crate::LogObserver
/// [`Reactor::stats`]: crate::Reactor::stats
/// [`backlog`]: crate::Listen::backlog
/// [`max_connections_per_peer`]: crate::Listen::max_connections_per_peer
/// [`max_connections`]: crate::Listen::max_connections
/// [`reuse_port`]: crate::SocketOptions::reuse_port
/// [`shutting_down`]: crate::Protocol::shutting_down
/// [`write_buffer_cap`]: crate::ReactorBuilder::write_buffer_cap
/// [close timeout]: crate::ReactorBuilder::close_timeout
/// [observer]: crate::how::watch
/// [take over]: crate::how::take_over
#[doc = "\n"]
#[doc = include_str!("../docs/production.md")]
pub mod production {}
mod protocol;
#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
pub mod proxy;
mod reason;
mod simulation;
mod system;
#[cfg(doc)]
#[doc = include_str!("../docs/terms.md")]
pub mod terms {}
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
mod transport;

pub use address::{Address, Endpoint, UnixAddress};
pub use answer::Answer;
pub use bytes::Bytes;
pub use callback::Callback;
pub use connector::{Connect, Connector};
pub use datagram::{DatagramProtocol, DatagramTransport, Datagrams};
#[cfg(unix)]
pub use descriptor::Ready;
pub use extras::cores::{Core, Cores, CoresHandle};
pub use extras::framing;
#[cfg(feature = "futures")]
#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
pub use extras::futures;
pub use extras::reconnecting::{Backoff, Reconnecting};
pub use extras::tunnel::{Tunnel, TunnelEnd, TunnelHandler, TunnelSide};
pub use factories::IntoProtocol;
pub use handle::{Handle, Hold};
#[cfg(unix)]
pub use ids::WatchId;
pub use ids::{ConnectionId, ConnectorId, DatagramId, ListenerId};
pub use listener::Listen;
pub use observe::{
    ChromeTrace, Command, LogObserver, Notice, Observer, Origin, Outcome, Phase, Queue, Record,
    Recorder, Stage, Stats, Subject, TimerEvent, TimerOwner, TurnReport,
};
pub use parts::pool::ThreadError;
pub use parts::timers::TimerId;
pub use parts::token_bucket::Rate;
pub use protocol::{Factory, Protocol};
pub use reactor::Reactor;
pub use reactor::adopting::Connected;
pub use reactor::builder::ReactorBuilder;
pub use reactor::state::{Ended, Tick};
pub use reason::{Activity, Reason, Who};
pub use simulation::testing;
#[cfg(all(unix, feature = "activation"))]
pub use system::inherited::Inherited;
pub use system::keep_alive::KeepAlive;
pub use system::options::SocketOptions;
pub use system::poller::Readiness;
pub use transport::Transport;

/// The code blocks of the README are tested like those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
