//! An attempt to connect, as a future.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::Connection;
use super::executor::Executor;
use super::in_task;
use super::link::{Awaited, Guest, Link};
use super::slot::Slot;
use crate::{Address, Connect, Connector, ConnectorId, Factory, Protocol, Reason};

type Outcome = Rc<Slot<io::Result<Connection>>>;

/// The future of [`connect`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Connecting {
    to: Option<Connect>,
    attempt: Option<(ConnectorId, Outcome, Rc<Executor>)>,
}

/// Connects to a place, from the first poll on.
pub fn connect(to: impl Into<Connect>) -> Connecting {
    Connecting { to: Some(to.into()), attempt: None }
}

impl Future for Connecting {
    type Output = io::Result<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(to) = self.to.take() {
            self.attempt = Some(in_task(|reactor| {
                let (executor, outcome) = (Executor::of(reactor), Slot::new());
                let link = Link::new(&executor);
                let id = reactor.connect(to, Caller { link, outcome: Rc::clone(&outcome) });
                (id, outcome, executor)
            }));
        }
        match &self.attempt {
            Some((_, outcome, _)) => outcome.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some((id, outcome, executor)) = self.attempt.take()
            && !outcome.is_given()
        {
            executor.command(move |reactor| _ = reactor.cancel_connect(id));
        }
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

/// The factory of one attempt.
struct Caller {
    link: Rc<Link>,
    outcome: Outcome,
}

impl Factory for Caller {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let awaited = Awaited::Connecting(Rc::clone(&self.outcome));
        Some(Box::new(Guest::new(Rc::clone(&self.link), awaited)))
    }

    fn connection_failed(&mut self, _: &mut Connector<'_>, reason: &Reason) {
        self.outcome.give(Err(reason.into()));
    }
}
