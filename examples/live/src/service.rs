//! The three services: the article's answer, an echo, and a chat.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::{Address, ConnectionId, Protocol, Reactor, Reason, TimerId, Transport};

use crate::feed::Feed;
use crate::shared::frame;

/// The longest line of the chat, in bytes.
const LONGEST_LINE: usize = 1024;

/// A guest that has said nothing for so long is told what to do.
const HINT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// 16 random bytes in a frame of 81.
    Random,
    /// Sends back what comes.
    Echo,
    /// Sends each line to all others.
    Chat,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Echo => "echo",
            Self::Chat => "chat",
        }
    }
}

/// The state that all connections share.
#[derive(Clone)]
pub(crate) struct Service {
    mode: Mode,
    /// How long each answer blocks.
    slow: Duration,
    feed: Rc<RefCell<Feed>>,
    members: Rc<RefCell<BTreeSet<ConnectionId>>>,
}

impl Service {
    pub(crate) fn new(mode: Mode, slow: Duration, feed: &Rc<RefCell<Feed>>) -> Self {
        Self { mode, slow, feed: Rc::clone(feed), members: Rc::default() }
    }

    pub(crate) fn factory(self) -> impl Fn(Address) -> Box<dyn Protocol> {
        move |_peer| match self.mode {
            Mode::Random => Box::new(Random(self.clone())),
            Mode::Echo => Box::new(Echo(self.clone())),
            Mode::Chat => {
                let lines = Lines::new().max_length(LONGEST_LINE);
                Box::new(Framed::new(lines, Guest::new(self.clone())))
            }
        }
    }

    /// Blocks, if it was told to: what no callback should do.
    fn work(&self) {
        if !self.slow.is_zero() {
            thread::sleep(self.slow);
        }
    }
}

struct Random(Service);

impl Protocol for Random {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let reply = frame::encode(rand::random());
        self.0.work();
        transport.write(&reply);
        transport.lose_connection();
        if let Ok(points) = frame::decode(&reply) {
            let mut feed = self.0.feed.borrow_mut();
            for point in points {
                feed.add_point(point.x, point.y);
            }
        }
    }
}

struct Echo(Service);

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.0.work();
        transport.write(data);
    }
}

/// A guest of the chat. The others know it by its id.
struct Guest {
    service: Service,
    silent: bool,
}

impl Guest {
    fn new(service: Service) -> Self {
        Self { service, silent: true }
    }
}

impl Service {
    /// Says something to all guests but one.
    fn tell_others(&self, reactor: &mut Reactor, from: ConnectionId, text: &str) {
        for &id in self.members.borrow().iter().filter(|&&id| id != from) {
            if let Some(mut other) = reactor.transport(id) {
                other.write(text.as_bytes());
            }
        }
    }
}

impl Protocol for Guest {
    /// It is announced in a call, so that guests who come in one turn hear of each other.
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        let id = transport.id();
        self.service.members.borrow_mut().insert(id);
        transport.call_later(HINT);
        let service = self.service.clone();
        transport.reactor().call_soon(move |reactor| {
            service.tell_others(reactor, id, &format!("{id} is here\n"));
        });
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, _: TimerId) {
        if self.silent {
            transport.write(b"say something, or /quit and why\n");
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, _: &Reason) {
        self.service.members.borrow_mut().remove(&transport.id());
    }
}

impl FrameHandler<Lines> for Guest {
    fn frame_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) {
        self.silent = false;
        self.service.work();
        let text = String::from_utf8_lossy(line);
        match text.strip_prefix("/quit") {
            Some(why) => {
                transport.lose_connection_because(Reason::protocol(why.trim()));
            }
            None => {
                let from = transport.id();
                let line = format!("{from}: {}\n", line.escape_ascii());
                self.service.tell_others(transport.reactor(), from, &line);
            }
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.lose_connection_because(Reason::protocol(error));
    }
}
