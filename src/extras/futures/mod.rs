//! Tasks: `async`/`await` on the reactor.
//!
//! A task is a future that the reactor polls, on its own thread: in the callback of the connection that it waits for, else
//! in the calls phase. It need not be `Send`, and it lives beside protocols: a program may have both, and a connection
//! can go [from one](Connection::take_over) [to the other](Connection::set_protocol). This module is built on the public
//! interface alone. Nothing in it is faster than callbacks; it is for code whose state is a place in a dialogue.
//!
//! [`Connection`] has the traits of `futures-io`, [`Incoming`] and [`Interval`] are streams of `futures-core`: so
//! crates that speak futures run here, and bring what is missing here, such as `select!`, `join!`, `copy` and channels.
//!
//! # Examples
//!
//! ```
//! use std::io;
//! use crocus::Reactor;
//! use crocus::futures::{Connection, connect, listen, run_until, spawn_local};
//! use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
//!
//! async fn serve(mut peer: Connection) -> io::Result<()> {
//!     peer.write_all(b"your name?\n").await?;
//!     let mut name = String::new();
//!     (&mut peer).take(80).read_line(&mut name).await?; // a longer line is cut
//!     peer.write_all(format!("hello, {}!\n", name.trim()).as_bytes()).await
//! } // here the connection is closed, behind the last byte
//!
//! let mut reactor = Reactor::new()?;
//! let answer = run_until(&mut reactor, async {
//!     let mut incoming = listen("127.0.0.1:0")?;
//!     let server = connect(incoming.local_addr());
//!     spawn_local(async move {
//!         while let Some(peer) = incoming.accept().await {
//!             spawn_local(serve(peer));
//!         }
//!     });
//!     let mut server = server.await?;
//!     server.write_all(b"Ada\n").await?;
//!     let mut answer = String::new();
//!     server.read_to_string(&mut answer).await?;
//!     io::Result::Ok(answer)
//! })??;
//! assert_eq!(answer, "your name?\nhello, Ada!\n");
//! # io::Result::Ok(())
//! ```
//!
//! # Tests without sockets, and without waiting
//!
//! **A task runs in a [`Simulation`](crate::testing::Simulation) unchanged**: over a network in memory that keeps the
//! manners of Linux, by a clock that the test winds by hand, and, with a seed, the same way each time. A timeout of
//! an hour takes no time to test, and no test depends on how fast a machine is:
//!
//! ```
//! use std::time::Duration;
//! use crocus::futures::{connect, spawn, timeout};
//! use crocus::testing::Simulation;
//! use futures_lite::AsyncReadExt;
//!
//! let mut simulation = Simulation::with_seed(17);
//! let mut server = simulation.listen("192.0.2.9:80")?;
//! let client = spawn(simulation.reactor(), async {
//!     let mut server = connect("192.0.2.9:80").await.unwrap();
//!     let mut answer = [0; 64];
//!     timeout(Duration::from_secs(3600), server.read(&mut answer)).await.is_err()
//! });
//! simulation.advance(Duration::from_secs(3599));
//! assert!(!client.is_finished());
//! simulation.advance(Duration::from_secs(1));
//! assert_eq!(client.take().unwrap().unwrap(), true); // the hour is over
//! assert_eq!(server.accept().unwrap().end(), Some(crocus::testing::End::Closed));
//! # std::io::Result::Ok(())
//! ```
//!
//! # How long it runs
//!
//! - **A task keeps no reactor running.** The thing it waits for does: a connection, a listener, a timer, work in a thread.
//!   [`Reactor::run`] returns when the tasks are done, or when nobody is left that could wake one. A task that waits for
//!   another thread, for instance at a channel, takes a [`Hold`](crate::Hold) for that time.
//! - **[`Reactor::stop`]** drops all tasks, at the end of the turn and before anything else. So does the drop of the
//!   reactor.
//! - **[`Reactor::shutdown`]** is told: [`Incoming`] ends; who waits for bytes of a [`Connection`] gets the error
//!   `ConnectionAborted` when none are left, unless the task [wants to go on](Connection::read_in_shutdown);
//!   a [`DatagramSocket`] is closed; and [`closing`] is ready. A task in the middle of an answer finishes it. The
//!   shutdown waits for connections, and for each hold that `closing` gave; then the tasks that are left are dropped.
//!
//! # What else is promised
//!
//! - *Memory is bounded* beside any peer. From a peer whose bytes the task does not read, at most the high mark and
//!   one read are kept, twice: 640 KiB, since a read may take 256 KiB
//!   ([`read_buffer`](crate::ReactorBuilder::read_buffer)). A task that writes waits while more than the high mark is unsent.
//!   It may write back more in the callback in which it has read that; then no more is read until the peer has caught up.
//!   Beside all that, eight read buffers are kept. Those of which nobody has bytes are given back after 500 turns that needed
//!   none of them. After a peak of tasks their memory is given back, once the last of them is over.
//! - *To drop a future undoes it*, at any `.await`: its timer, its attempt to connect, its connection, its socket are
//!   gone. No byte is lost: a read that is dropped has taken nothing.
//! - *A panic costs its task only*, and is the [`JoinError`] of the handle. If nobody has the handle, the loop reports it like any
//!   other, and in a simulation lets it through.
//! - *A task that does not yield* holds everything up, as a callback would. The log
//!   [names](crate::ReactorBuilder::slow_callback) it, or the connection in whose callback it was polled.
//! - *A task that waits for a connection is polled in its callback*, once for each. Bytes that it writes there to this
//!   connection leave as if the callback had written them. The first task that it spawns there, mostly the session of a connection
//!   that it has accepted, is polled right after it if it has the same name.
//! - *Whatever else wakes a task*, such as a timer, another task, or the end of a connection, has it polled with the other
//!   calls, once in a turn. One that is woken by such a poll is polled in the next turn, as a call that a call makes. To
//!   wake one on the loop's thread costs neither a system call nor an allocation. A [`Waker`](std::task::Waker) may go to
//!   any thread.
//!
//! A future of this module belongs to the reactor in whose task it was polled first. Except [`spawn`], [`spawn_named`]
//! and [`run_until`], nothing here works outside of a task.

mod closing;
mod connection;
mod datagrams;
mod executor;
mod guest;
mod halves;
mod making;
mod outcome;
mod places;
mod shared;
mod task;
mod ticket;
mod time;

pub use closing::closing;
pub use connection::Connection;
pub use datagrams::{DatagramSocket, listen_udp};
pub use halves::{Reader, Writer};
pub use making::{Connecting, Incoming, connect, listen};
pub use task::{JoinError, JoinHandle, run_until, spawn, spawn_local, spawn_named, task_count};
pub use time::{Interval, Sleep, interval, sleep, sleep_until, timeout};

use std::io;
use std::rc::Rc;

use crate::{Reactor, ThreadError};
use shared::Shared;

/// The complaint about a future that has no reactor.
const OUTSIDE: &str = "it works in a task of a reactor, and this is none";

/// Runs `work`, which may block, in a thread, from the first poll on, and waits for its result.
///
/// See [`Reactor::call_in_thread`]. To drop the future does not end the work, but nobody waits for it.
///
/// # Errors
///
/// If the work panicked, or no thread could be started.
///
/// # Panics
///
/// If it is awaited outside of a task.
///
/// # Examples
///
/// ```
/// use crocus::Reactor;
/// use crocus::futures::{call_in_thread, run_until};
///
/// let mut reactor = Reactor::new()?;
/// let read = call_in_thread(|| std::fs::read_to_string("Cargo.toml"));
/// let text = run_until(&mut reactor, read)?.unwrap()?;
/// assert!(text.contains("crocus"));
/// # std::io::Result::Ok(())
/// ```
pub async fn call_in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let result = Rc::new(Shared::new(None));
    let place = Rc::clone(&result);
    in_task(|reactor| {
        reactor.call_in_thread(work, move |_, result| place.note(|place| *place = Some(result)));
    });
    result.wait().await
}

/// Calls `code` with the reactor of the task that is being polled.
///
/// # Panics
///
/// Outside of a task.
#[track_caller]
fn in_task<R>(code: impl FnOnce(&mut Reactor) -> R) -> R {
    match Reactor::with_lent(code) {
        Some(result) => result,
        None => panic!("{OUTSIDE}"),
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, OUTSIDE)
}
