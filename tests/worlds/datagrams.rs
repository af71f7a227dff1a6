//! Protocols of datagrams that act at random, and sockets outside.

use std::io;
use std::net::SocketAddr;
use std::panic::panic_any;
use std::rc::Rc;

use crocus::testing::{DatagramPeer, Simulation};
use crocus::{DatagramProtocol, DatagramTransport, Reactor, Reason};

use crate::actors::{OnPurpose, Scene};

/// A world stays small: so many sockets were ever opened, and so many are outside.
const MAX_SOCKETS: usize = 24;
pub const OUTSIDE: usize = 2;

/// The longest datagram.
const MAX_LENGTH: usize = 1400;

/// An address of which there are few, so that they are used again.
fn some_address(scene: &Scene) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7000 + scene.chance.below(5) as u16))
}

impl Scene {
    /// Something with datagrams, inside the reactor.
    pub fn post(self: &Rc<Self>, reactor: &mut Reactor) {
        let sockets = self.ledger.borrow().post.sockets.len();
        let inside: Vec<usize> = (0..sockets)
            .filter(|&socket| !self.ledger.borrow().post.sockets[socket].outside)
            .collect();
        let Some(&socket) = self.chance.pick(&inside).filter(|_| !self.chance.one_in(6)) else {
            return self.open_socket(reactor);
        };
        let id = self.ledger.borrow().post.sockets[socket].id;
        let Some(mut transport) = id.and_then(|id| reactor.datagram(id)) else { return };
        match self.chance.weighted(&[(12, 0), (1, 1), (2, 2)]) {
            0 => self.send_some(&mut transport, socket),
            1 => {
                let done = transport.stop_listening();
                self.ledger.borrow_mut().datagrams_closed(socket, done);
            }
            _ => self.connect_socket(&mut transport, socket),
        }
    }

    fn open_socket(self: &Rc<Self>, reactor: &mut Reactor) {
        if self.ledger.borrow().post.sockets.len() >= MAX_SOCKETS {
            return;
        }
        let at = some_address(self);
        let taken = self.ledger.borrow().post.owner(at).is_some();
        let number = self.ledger.borrow_mut().post.add(None, at, false);
        let opened = reactor.listen_udp(at, Postman { scene: Rc::clone(self), number });
        let mut ledger = self.ledger.borrow_mut();
        let ends = ledger.shutdown_in.is_some();
        match &opened {
            Ok(id) => ledger.post.sockets[number].id = Some(*id),
            Err(_) => ledger.post.sockets[number].open = false,
        }
        let right = match opened.map_err(|error| error.kind()) {
            Ok(_) => !taken && !ends,
            Err(io::ErrorKind::AddrInUse) => taken,
            Err(io::ErrorKind::ConnectionAborted) => ends || ledger.stop_asked,
            Err(_) => false,
        };
        ledger.demand(right, || format!("socket {number} at {at}: {taken}, {ends}"));
    }

    fn send_some(&self, transport: &mut DatagramTransport, socket: usize) {
        for _ in 0..self.chance.size(12) {
            let length = self.chance.size(MAX_LENGTH).max(4);
            let data = self.ledger.borrow().post.write(length);
            let peer = self.ledger.borrow().post.sockets[socket].peer;
            let (to, sent) = match peer.filter(|_| self.chance.one_in(2)) {
                Some(peer) => (peer, transport.send(&data)),
                None => {
                    let to = some_address(self);
                    (to, transport.send_to(&data, to))
                }
            };
            self.note_sent(socket, to, length, &sent);
        }
    }

    /// Enters the outcome of a send.
    pub fn note_sent(&self, socket: usize, to: SocketAddr, length: usize, sent: &io::Result<()>) {
        let mut ledger = self.ledger.borrow_mut();
        let (window, moment) = (ledger.window, (ledger.turn, self.clock.now()));
        match sent {
            Ok(()) => ledger.post.sent((socket, to), length, window, moment),
            Err(error) => ledger.no_room(socket, error.kind() == io::ErrorKind::WouldBlock),
        }
    }

    fn connect_socket(&self, transport: &mut DatagramTransport, socket: usize) {
        let to = some_address(self);
        let connected = transport.connect(to).is_ok();
        let mut ledger = self.ledger.borrow_mut();
        let party = &mut ledger.post.sockets[socket];
        let possible = party.open && party.peer.is_none();
        if connected {
            party.peer = Some(to);
        }
        ledger.demand(connected == possible, || format!("socket {socket} connected: {connected}"));
    }

    /// Closes all sockets in order.
    pub fn close_sockets(&self, reactor: &mut Reactor) {
        let sockets = self.ledger.borrow().post.sockets.len();
        for socket in 0..sockets {
            let id = self.ledger.borrow().post.sockets[socket].id;
            if let Some(mut transport) = id.and_then(|id| reactor.datagram(id)) {
                let done = transport.stop_listening();
                self.ledger.borrow_mut().datagrams_closed(socket, done);
            }
        }
    }
}

/// A protocol of datagrams that acts at random.
struct Postman {
    scene: Rc<Scene>,
    number: usize,
}

impl Postman {
    fn told(
        &self,
        call: &'static str,
        transport: &mut DatagramTransport,
        then: impl FnOnce(&Rc<Scene>, &mut DatagramTransport),
    ) {
        let scene = &self.scene;
        scene.note(|| format!("socket {} {call}", self.number));
        let _inside = scene.enter("a protocol of datagrams");
        let now = transport.reactor().now();
        scene.ledger.borrow_mut().datagram_told(self.number, call, now);
        then(scene, transport);
        scene.act(transport.reactor(), None);
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
    }
}

impl DatagramProtocol for Postman {
    fn start_protocol(&mut self, transport: &mut DatagramTransport) {
        self.told("start", transport, |_, _| {});
    }

    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        let number = self.number;
        self.told("datagram", transport, |scene, transport| {
            let now = transport.reactor().now();
            let mut ledger = scene.ledger.borrow_mut();
            ledger.datagram_served(number, data.len());
            ledger.delivered(number, data, from, now);
        });
    }

    fn connection_refused(&mut self, transport: &mut DatagramTransport) {
        self.told("refused", transport, |_, _| {});
    }

    fn resume_writing(&mut self, transport: &mut DatagramTransport) {
        let number = self.number;
        self.told("resume", transport, |scene, transport| {
            if scene.may_act() {
                scene.send_some(transport, number);
            }
        });
    }

    fn shutting_down(&mut self, transport: &mut DatagramTransport) {
        let number = self.number;
        self.told("shutdown", transport, |scene, transport| {
            if !scene.chance.one_in(4) {
                let done = transport.stop_listening();
                scene.ledger.borrow_mut().datagrams_closed(number, done);
            }
        });
    }

    fn stop_protocol(&mut self, transport: &mut DatagramTransport, reason: &Reason) {
        let number = self.number;
        self.told("stop", transport, |scene, _| {
            scene.ledger.borrow_mut().datagrams_stop(number, reason);
        });
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.scene.ledger.borrow_mut().datagrams_dropped(self.number);
    }
}

/// The sockets outside.
#[derive(Default)]
pub struct Outside(Vec<(usize, DatagramPeer)>);

impl Outside {
    pub fn open(&mut self, sim: &mut Simulation, scene: &Scene) {
        for port in 0..OUTSIDE {
            let addr = SocketAddr::from(([127, 0, 0, 1], 7000 + port as u16));
            let socket = sim.bind_udp(addr).expect("the first at its address");
            self.0.push((scene.ledger.borrow_mut().post.add(None, addr, true), socket));
        }
    }

    /// One of them sends, or reads.
    pub fn act(&mut self, scene: &Scene) {
        if self.0.is_empty() {
            return;
        }
        let (number, socket) = &mut self.0[scene.chance.below(OUTSIDE)];
        for _ in 0..scene.chance.size(30) {
            let length = scene.chance.size(MAX_LENGTH).max(4);
            let (to, data) = (some_address(scene), scene.ledger.borrow().post.write(length));
            if let Ok(()) = socket.send_to(&data, to) {
                scene.note_sent(*number, to, length, &Ok(()));
            }
        }
    }

    pub fn read(&mut self, scene: &Scene) {
        for (number, socket) in &mut self.0 {
            while let Some((data, from)) = socket.receive() {
                let now = scene.clock.now();
                scene.ledger.borrow_mut().delivered(*number, &data, from, now);
            }
        }
    }
}
