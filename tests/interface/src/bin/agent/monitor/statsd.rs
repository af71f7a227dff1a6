//! Takes statsd datagrams.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crocus::{DatagramProtocol, DatagramTransport, Reactor, Reason, TimerId};

use super::{Shared, finish};

/// A shutdown gives the loop so long to take the datagrams that wait in the kernel. By default the socket
/// would close after one turn, which takes 64 of them.
const LAST_DATAGRAMS: Duration = Duration::from_millis(100);

pub(crate) fn listen(reactor: &mut Reactor, agent: &Shared, place: &str) -> io::Result<SocketAddr> {
    let id = reactor.listen_udp(place, Statsd { agent: Rc::clone(agent) })?;
    let socket = reactor.datagram(id).ok_or(io::ErrorKind::NotConnected)?;
    Ok(socket.local_addr())
}

struct Statsd {
    agent: Shared,
}

impl DatagramProtocol for Statsd {
    fn datagram_received(&mut self, _: &mut DatagramTransport, data: &[u8], _: SocketAddr) {
        self.agent.borrow_mut().figures.take_datagram(data);
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport) {
        transport.call_later(LAST_DATAGRAMS);
    }

    fn timer_fired(&mut self, transport: &mut DatagramTransport, _: TimerId) {
        transport.stop_listening();
    }

    fn stop_protocol(&mut self, transport: &mut DatagramTransport, _: &Reason) {
        self.agent.borrow_mut().is_counting = false;
        finish(&self.agent, transport.reactor());
    }
}
