//! A listener, as a stream of connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::connection::Connection;
use super::executor::Executor;
use super::link::{Awaited, Guest, Link};
use super::slot::{keep, wake};
use crate::{Address, Factory, Listen, ListenerId, Protocol, Reactor, Transport};

/// With so many connections that the task has not taken, no more are accepted: as many as a listener accepts in one turn.
const MOST_WAITING: usize = 64;

/// The connections of a listener that the task has not taken.
pub(super) struct Queue {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Connection>,
    waker: Option<Waker>,
    paused: bool,
    ended: bool,
}

impl Queue {
    pub(super) fn push(&self, connection: Connection, transport: &mut Transport<'_>) {
        let mut state = self.state.borrow_mut();
        if state.ended {
            return;
        }
        state.waiting.push_back(connection);
        let id = transport.id();
        if state.waiting.len() >= MOST_WAITING
            && let Some(listener) = transport.reactor().listener_of(id)
        {
            state.paused = transport.reactor().pause_accepting(listener);
        }
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }
}

/// Listens at a place.
///
/// # Errors
///
/// As of [`Reactor::listen`], and `NotConnected` outside of a task.
pub fn listen(at: impl Into<Listen>) -> io::Result<Incoming> {
    let opened = Reactor::with_lent(|reactor| {
        let executor = Executor::of(reactor);
        let queue = Rc::new(Queue { state: RefCell::default() });
        let host = Host { executor: Rc::clone(&executor), queue: Rc::clone(&queue) };
        let id = reactor.listen(at, host)?;
        let local = reactor.local_addr(id).ok_or(io::ErrorKind::NotConnected)?;
        Ok(Incoming { id, local, queue, executor })
    });
    opened.unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::NotConnected, super::OUTSIDE)))
}

/// The connections of a listener; made by [`listen`].
pub struct Incoming {
    id: ListenerId,
    local: Address,
    queue: Rc<Queue>,
    executor: Rc<Executor>,
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
        self.id
    }
}

impl Stream for Incoming {
    type Item = Connection;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        let mut state = self.queue.state.borrow_mut();
        match state.waiting.pop_front() {
            Some(connection) => {
                if std::mem::take(&mut state.paused) {
                    let id = self.id;
                    self.executor.command(move |reactor| _ = reactor.resume_accepting(id));
                }
                Poll::Ready(Some(connection))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                keep(&mut state.waker, cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.queue.state.borrow_mut();
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        let id = self.id;
        self.executor.command(move |reactor| _ = reactor.stop_listening(id));
        drop(waiting);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("local", &self.local).finish_non_exhaustive()
    }
}

/// The factory of the listener.
struct Host {
    executor: Rc<Executor>,
    queue: Rc<Queue>,
}

impl Factory for Host {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let awaited = Awaited::Incoming(Rc::clone(&self.queue));
        Some(Box::new(Guest::new(Link::new(&self.executor), awaited)))
    }

    fn stopped(&mut self, _: &mut Reactor, _: ListenerId) {
        self.queue.end();
    }
}
