//! How tasks get connections: by connecting, and by listening.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;

use super::connection::Connection;
use super::executor::Executor;
use super::guest::{Guest, Link, Receive};
use super::shared::{Shared, Undo};
use super::{in_task, outside};
use crate::{
    Address, Connect, Connector, Factory, Listen, ListenerId, Protocol, Reactor, Reason, Transport,
};

/// With so many connections that the task has not taken no more are accepted: as many as a listener accepts in
/// one turn.
const MOST_WAITING: usize = 64;

/// The future of [`connect`].
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Connection>>>>;

/// Connects to a place, from the first poll on. To drop the future cancels the attempt.
///
/// It has one outcome, as any attempt of [`Reactor::connect`]; with TLS that is after the handshake.
///
/// # Errors
///
/// The [`Reason`] as an error, with its errno if the system gave one.
///
/// # Panics
///
/// If it is awaited outside of a task.
///
/// # Examples
///
/// ```
/// use std::io::ErrorKind;
/// use crocus::futures::{connect, run_until};
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let error = run_until(simulation.reactor(), connect("127.0.0.1:9"))?.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
/// # std::io::Result::Ok(())
/// ```
pub fn connect(to: impl Into<Connect>) -> Connecting {
    let to = to.into();
    Box::pin(async {
        let outcome = Rc::new(Shared::new(None));
        let _cancel = in_task(|reactor| {
            let executor = Executor::of(reactor);
            let link = Link::new(&executor);
            let id = reactor.connect(to, Caller { link, outcome: Rc::downgrade(&outcome) });
            Undo { executor, id, undo: |reactor, id| _ = reactor.cancel_connect(id) }
        });
        outcome.wait().await
    })
}

/// The factory of one attempt. It lives as long as the connection, and longer than the future may.
struct Caller {
    link: Rc<Link>,
    outcome: Weak<Shared<Outcome>>,
}

type Outcome = Option<io::Result<Connection>>;

impl Receive for Shared<Outcome> {
    fn receive(&self, connection: Connection, _: &mut Transport<'_>) {
        self.note(|place| *place = Some(Ok(connection)));
    }
}

impl Factory for Caller {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let receiver: Weak<dyn Receive> = self.outcome.clone();
        Some(Box::new(Guest::new(Rc::clone(&self.link), Some(receiver))))
    }

    fn connection_failed(&mut self, _: &mut Connector<'_>, reason: &Reason) {
        if let Some(outcome) = self.outcome.upgrade() {
            outcome.note(|place| *place = Some(Err(reason.into())));
        }
    }
}

/// Listens at a place, at once.
///
/// # Errors
///
/// As of [`Reactor::listen`], and `NotConnected` outside of a task.
///
/// # Examples
///
/// ```
/// use crocus::Listen;
/// use crocus::futures::{listen, run_until};
///
/// let mut reactor = crocus::Reactor::new()?;
/// let addr = run_until(&mut reactor, async {
///     let incoming = listen(Listen::at("127.0.0.1:0").max_connections(100))?;
///     std::io::Result::Ok(incoming.local_addr().clone())
/// })??;
/// assert!(addr.ip().unwrap().is_loopback());
/// # std::io::Result::Ok(())
/// ```
pub fn listen(at: impl Into<Listen>) -> io::Result<Incoming> {
    let opened = Reactor::with_lent(|reactor| {
        let (executor, queue) = (Executor::of(reactor), Rc::new(Shared::new(Queue::default())));
        let host = Host { executor: Rc::clone(&executor), queue: Rc::clone(&queue) };
        let id = reactor.listen(at, host)?;
        let local = reactor.local_addr(id).ok_or(io::ErrorKind::NotConnected)?;
        let undo = Undo { executor, id, undo: |reactor, id| _ = reactor.stop_listening(id) };
        Ok(Incoming { queue, local, undo })
    });
    opened.unwrap_or_else(|| Err(outside()))
}

/// The connections of a listener; made by [`listen`]. A stream, which ends when the listener is closed.
///
/// A connection that waits to be taken is open, and what its peer sends is kept for it. With 64 of them no more are
/// [accepted](Reactor::pause_accepting). To drop this closes the listener, and the connections that were not taken.
///
/// A [shutdown](Reactor::shutdown) that comes while no more are accepted takes none of those that wait in the kernel, which
/// resets them. So take connections as they come. To serve few at once, [limit](Listen::max_connections) them: then a
/// shutdown takes all that wait, and they are served when there is room.
///
/// # Examples
///
/// ```
/// use crocus::futures::{listen, spawn};
/// use crocus::testing::{End, Simulation};
///
/// let mut simulation = Simulation::new();
/// let task = spawn(simulation.reactor(), async {
///     let mut incoming = listen("127.0.0.1:7").unwrap();
///     println!("{} listens at {}", incoming.id(), incoming.local_addr());
///     let one = incoming.accept().await.unwrap(); // the next is refused, for `incoming` is dropped
///     one.peer_addr().clone()
/// });
/// simulation.settle();
/// let peer = simulation.dial("127.0.0.1:7");
/// simulation.settle();
/// assert_eq!(task.take().unwrap().unwrap().socket_addr(), Some(peer.addr()));
/// assert!(matches!(simulation.dial("127.0.0.1:7").end(), Some(End::Failed(_))));
/// ```
#[derive(Debug)]
pub struct Incoming {
    queue: Rc<Shared<Queue>>,
    local: Address,
    undo: Undo<ListenerId>,
}

/// The connections that the task has not taken.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Connection>,
    /// Whether accepting pauses until it has.
    paused: bool,
    ended: bool,
}

impl Incoming {
    /// Waits for the next connection; `None` when the listener is closed.
    pub async fn accept(&mut self) -> Option<Connection> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The address it listens at.
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// The name of the listener.
    pub fn id(&self) -> ListenerId {
        self.undo.id
    }
}

impl Stream for Incoming {
    type Item = Connection;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        self.queue.poll(cx, |queue| {
            let next = queue.waiting.pop_front();
            if next.is_some() && mem::take(&mut queue.paused) {
                let id = self.undo.id;
                self.undo.executor.command(move |reactor| _ = reactor.resume_accepting(id));
            }
            if next.is_some() || queue.ended { Poll::Ready(next) } else { Poll::Pending }
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let waiting = self.queue.look(|queue| {
            queue.ended = true;
            mem::take(&mut queue.waiting)
        });
        drop(waiting);
    }
}

impl Receive for Shared<Queue> {
    fn receive(&self, connection: Connection, transport: &mut Transport<'_>) {
        let (id, reactor) = (connection.id(), transport.reactor());
        self.note(|queue| {
            if queue.ended {
                return drop(connection);
            }
            queue.waiting.push_back(connection);
            if queue.waiting.len() >= MOST_WAITING && !queue.paused {
                let listener = reactor.listener_of(id);
                queue.paused = listener.is_some_and(|it| reactor.pause_accepting(it));
            }
        });
    }
}

/// The factory of a listener.
struct Host {
    executor: Rc<Executor>,
    queue: Rc<Shared<Queue>>,
}

impl Factory for Host {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let queue: Rc<dyn Receive> = self.queue.clone();
        Some(Box::new(Guest::new(Link::new(&self.executor), Some(Rc::downgrade(&queue)))))
    }
}

impl Drop for Host {
    /// The listener is closed. It is dropped also if the loop has not served it before, and then `stopped` is not called.
    fn drop(&mut self) {
        self.queue.note(|queue| queue.ended = true);
    }
}
