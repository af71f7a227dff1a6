//! One client: the order of its packets, and its time limits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use crocus::framing::{FrameError, FrameHandler};
use crocus::{Protocol, Reason, TimerId, Transport};

use super::broker::Broker;
use super::packet::{self, Connect, Mqtt, Packet, Publish, Welcome};

/// How long a client may take to send CONNECT.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The longest name of a client, in bytes.
const MAX_NAME: usize = 256;

/// The connection of a client.
pub(crate) struct Session {
    broker: Rc<RefCell<Broker>>,
    /// The name of the client, once it is connected.
    name: Option<Rc<str>>,
    /// The limit for CONNECT, then the keep-alive.
    silence: Option<(TimerId, Duration)>,
    /// The topics whose retained messages the client is still to get.
    retained: VecDeque<Rc<str>>,
}

/// The client has broken a rule.
type Fault = Box<dyn Error + Send + Sync>;

impl Session {
    pub(crate) fn new(broker: &Rc<RefCell<Broker>>) -> Self {
        let broker = Rc::clone(broker);
        Self { broker, name: None, silence: None, retained: VecDeque::new() }
    }

    fn handle(&mut self, transport: &mut Transport, packet: Packet) -> Result<(), Fault> {
        if self.name.is_none() {
            return match packet {
                Packet::Connect(connect) => self.connect(transport, &connect),
                Packet::OtherVersion(level) => {
                    transport.write(&packet::connack(Welcome::UnacceptableVersion));
                    Err(format!("the client wants protocol level {level}").into())
                }
                _ => Err("the first packet is not CONNECT".into()),
            };
        }
        let id = transport.id();
        match packet {
            Packet::Connect(_) | Packet::OtherVersion(_) => return Err("a second CONNECT".into()),
            Packet::Publish(publish) => return self.publish(transport, &publish),
            Packet::Subscribe { id, filters } => self.subscribe(transport, id, filters),
            Packet::Unsubscribe { id: packet_id, filters } => {
                self.broker.borrow_mut().unsubscribe(id, &filters);
                transport.write(&packet::unsuback(packet_id));
            }
            Packet::Ping => _ = transport.write(&packet::PINGRESP),
            Packet::Disconnect => {
                self.broker.borrow_mut().forget_will(id);
                self.close(transport, None);
            }
            Packet::Stray(kind) => return Err(format!("{kind} without a cause").into()),
        }
        Ok(())
    }

    fn connect(&mut self, transport: &mut Transport, connect: &Connect) -> Result<(), Fault> {
        let refusal = match connect.client {
            _ if transport.reactor().is_stopping() => Some((Welcome::Unavailable, "shutting down")),
            "" if !connect.clean => {
                Some((Welcome::IdentifierRejected, "a session to keep needs a client id"))
            }
            name if name.len() > MAX_NAME => {
                Some((Welcome::IdentifierRejected, "the client id is too long"))
            }
            _ => None,
        };
        if let Some((welcome, fault)) = refusal {
            transport.write(&packet::connack(welcome));
            return Err(fault.into());
        }
        let id = transport.id();
        let joined = self.broker.borrow_mut().join(id, connect);
        log::info!("{id} {}: connected as {:?}", transport.peer_addr(), joined.name);
        transport.write(&packet::connack(Welcome::Accepted));
        self.set_silence(transport, Duration::from_secs(connect.keep_alive.into()) * 3 / 2);
        if let Some(former) = joined.former {
            let reactor = transport.reactor();
            if let Some(mut former) = reactor.transport(former) {
                former
                    .lose_connection_because(Reason::protocol(format!("{id} takes over its name")));
            }
            self.broker.borrow_mut().leave(reactor, former);
        }
        self.name = Some(joined.name);
        Ok(())
    }

    fn publish(&self, transport: &mut Transport, publish: &Publish) -> Result<(), Fault> {
        if publish.qos == 2 {
            return Err("QoS 2 is not supported".into());
        }
        self.broker.borrow_mut().publish(transport.reactor(), publish);
        if publish.qos == 1 {
            transport.write(&packet::puback(publish.id));
        }
        Ok(())
    }

    fn subscribe(&mut self, transport: &mut Transport, packet: u16, mut filters: Vec<&str>) {
        let mut broker = self.broker.borrow_mut();
        let accepted = broker.subscribe(transport.id(), &filters);
        log::debug!("{} subscribes to {filters:?}: {accepted:?}", transport.id());
        transport.write(&packet::suback(packet, &accepted));
        let mut accepted = accepted.into_iter();
        filters.retain(|_| accepted.next() == Some(true));
        self.retained.extend(broker.retained_topics(&filters));
        drop(broker);
        self.send_retained(transport);
    }

    /// Sends retained messages until the buffer is above its high mark; `resume_writing` goes on.
    ///
    /// A message may change while its topic waits here. Then the client gets the new one twice, and
    /// never the old one after it.
    fn send_retained(&mut self, transport: &mut Transport) {
        let (high, _) = transport.write_buffer_limits();
        let broker = self.broker.borrow();
        while transport.buffered() <= high {
            let Some(topic) = self.retained.pop_front() else { return };
            if let Some(packet) = broker.retained(&topic) {
                transport.write(packet);
            }
        }
    }

    /// Sets how long the client may send nothing; zero is for ever.
    fn set_silence(&mut self, transport: &mut Transport, limit: Duration) {
        if let Some((timer, _)) = self.silence.take() {
            transport.reactor().cancel_timer(timer);
        }
        if !limit.is_zero() {
            self.silence = Some((transport.call_later(limit), limit));
        }
    }

    /// Closes the connection. The others see the client gone at once, and get its will.
    fn close(&self, transport: &mut Transport, fault: Option<Fault>) {
        match fault {
            Some(fault) => {
                // `connection_lost` comes only when the peer has closed too, some seconds later.
                log::warn!("{} {}: {fault}", transport.id(), transport.peer_addr());
                transport.lose_connection_because(Reason::protocol(fault));
            }
            None => transport.lose_connection(),
        }
        self.leave(transport);
    }

    fn leave(&self, transport: &mut Transport) {
        let id = transport.id();
        self.broker.borrow_mut().leave(transport.reactor(), id);
    }
}

impl FrameHandler<Mqtt> for Session {
    fn frame_received(&mut self, transport: &mut Transport, packet: Packet) {
        if let Err(fault) = self.handle(transport, packet) {
            return self.close(transport, Some(fault));
        }
        if let Some((timer, limit)) = self.silence.filter(|_| self.name.is_some()) {
            transport.reactor().reset_timer(timer, limit);
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
        self.close(transport, Some(error.into()));
    }
}

impl Protocol for Session {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.set_silence(transport, CONNECT_LIMIT);
    }

    /// The client was silent. While the broker does not read it, because it does not keep up, it
    /// shows by taking bytes that it is alive.
    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        let Some((_, limit)) = self.silence else { return };
        let idle = transport.reactor().now().duration_since(transport.idle_since());
        if !transport.is_reading() && idle < limit {
            self.silence = Some((transport.call_later(limit - idle), limit));
            return;
        }
        let fault = match self.name {
            Some(_) => format!("no packet within the keep-alive, {limit:?}"),
            None => format!("no CONNECT within {limit:?}"),
        };
        self.close(transport, Some(fault.into()));
    }

    /// Goes on with the retained messages. Packets wait while the buffer is above the high mark, so
    /// no second SUBSCRIBE comes before all are sent, and the queue is bounded.
    fn resume_writing(&mut self, transport: &mut Transport) {
        self.send_retained(transport);
        transport.default_resume_writing();
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        let name = self.name.as_deref().unwrap_or_default();
        log::info!("{} {}: {name:?} is gone: {reason}", transport.id(), transport.peer_addr());
        self.leave(transport);
    }
}
