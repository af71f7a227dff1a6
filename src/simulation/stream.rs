//! One end of a connection in memory.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use mio::Token;

use super::fault::Fault;
use super::link::{Kind, Payload, Request, Stage};
#[cfg(unix)]
use super::listener::Place;
use super::network::Network;
use super::ports::{Bound, canonical, target};
use crate::address::Address;
#[cfg(unix)]
use crate::address::UnixAddress;
use crate::parts::clock::later;
use crate::system::options::SocketOptions;
use crate::system::poller::Readiness;
use crate::system::simulated::SimulatedStream;

/// How long the kernel waits for the answer to a request to connect: ten repetitions, as
/// net.ipv4.tcp_syn_retries (6) and tcp_syn_linear_timeouts (4) have it.
const PATIENCE: Duration = Duration::from_secs(131);

/// One end of a link.
#[derive(Debug)]
pub(crate) struct MemoryStream {
    network: Rc<RefCell<Network>>,
    link: u32,
    /// Which end it is, 0 or 1.
    side: bool,
}

impl MemoryStream {
    /// Both ends of a new connection.
    pub(crate) fn pair(
        network: &Rc<RefCell<Network>>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> (Self, Self) {
        let mut net = network.borrow_mut();
        let link = net.new_link(Kind::Tcp, Address::Tcp(from), Address::Tcp(to));
        for end in &mut net.links[link].ends {
            end.stage = Stage::Up;
            end.options = SocketOptions::default().remembered();
        }
        net.links[link].ends[1].sharing.reuse = true; // as what a std listener accepts
        (Self::end(network, link, 0), Self::end(network, link, 1))
    }

    /// Starts to connect; readiness reports the result, as with a socket.
    ///
    /// # Errors
    ///
    /// The outer error is that of connect(2), the inner that of bind(2).
    pub(crate) fn connect(
        network: &Rc<RefCell<Network>>,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<io::Result<Self>> {
        let mut net = network.borrow_mut();
        let to = target(to, from.map(|from| from.ip()));
        let asked = from.map(|from| options.bound(from));
        let local = match net.route(asked, to)? {
            Ok(local) => local,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let link = net.request(options.bound(local), to, false);
        net.links[link].ends[0].options = options.remembered();
        Ok(Ok(Self::end(network, link, 0)))
    }

    /// Connects from outside of the reactor, as a program does that waits for the answer.
    pub(crate) fn dial(network: &Rc<RefCell<Network>>, to: SocketAddr) -> io::Result<Self> {
        let mut net = network.borrow_mut();
        let to = target(to, None);
        let from = net.route(None, to)??;
        let link = net.request(Bound::plain(from), to, true);
        Ok(Self::end(network, link, 0))
    }

    /// Connects to the server of a Unix socket.
    ///
    /// # Errors
    ///
    /// As connect(2): `NotFound` if there is nothing at the path, `WouldBlock` if the backlog is full.
    #[cfg(unix)]
    pub(crate) fn connect_unix(
        network: &Rc<RefCell<Network>>,
        path: &UnixAddress,
    ) -> io::Result<Self> {
        let link = network.borrow_mut().connect_unix(path)?;
        Ok(Self::end(network, link, 0))
    }

    pub(super) fn end(network: &Rc<RefCell<Network>>, link: usize, side: u8) -> Self {
        Self { network: Rc::clone(network), link: link as u32, side: side == 1 }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Network, usize, usize) -> R) -> R {
        f(&mut self.network.borrow_mut(), self.link as usize, self.side.into())
    }

    /// Whether everything was read, and a read would give the end or an error.
    pub(crate) fn is_at_end(&self) -> bool {
        self.with(|net, index, side| {
            let link = &net.links[index];
            let pipe = &link.pipes[1 - side];
            let over = pipe.end_arrived || link.ends[side].stage == Stage::Down;
            pipe.arrived.is_empty() && over
        })
    }
}

impl SimulatedStream for MemoryStream {
    /// Gives what has come, then the peer's end or the error. An error is given once; after that comes
    /// the end for ever.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|net, index, side| {
            let link = &mut net.links[index];
            let pipe = &mut link.pipes[1 - side];
            if !pipe.arrived.is_empty() {
                let count = buf.len().min(pipe.arrived.len());
                for (to, from) in buf.iter_mut().zip(pipe.arrived.drain(..count)) {
                    *to = from;
                }
                net.tell_of_room(index, 1 - side);
                return Ok(count);
            }
            let end = &mut link.ends[side];
            // TCP forgets the error of a reset behind the peer's end; a Unix socket does not.
            let ended = pipe.end_arrived && link.kind == Kind::Tcp;
            if let Some(fault) = end.error.take_if(|_| !ended) {
                return Err(fault.into());
            }
            if pipe.end_arrived || end.stage == Stage::Down {
                return Ok(0);
            }
            Err(Fault::WouldBlock.into())
        })
    }

    fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.with(|net, index, side| {
            let count = net.write(index, side, data)?;
            net.hasten(index, side);
            Ok(count)
        })
    }

    /// Writes the last bytes before FIN, which leave with it (MSG_MORE).
    fn write_last(&self, data: &[u8]) -> io::Result<usize> {
        if self.is_unix() {
            return self.write(data);
        }
        self.with(|net, index, side| Ok(net.write(index, side, data)?))
    }

    /// Writes these slices in one call.
    fn write_slices(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let data: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if more { self.write_last(&data) } else { self.write(&data) }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with(|net, index, side| {
            let link = &net.links[index];
            if link.kind == Kind::Tcp && link.ends[side].stage == Stage::Down {
                return Err(Fault::NotConnected.into());
            }
            if how != Shutdown::Read {
                net.finish(index, side);
                if net.links[index].is_shut(side) {
                    net.announce_state(index, side);
                }
            }
            Ok(())
        })
    }

    /// Makes closing reset the connection, as SO_LINGER 0 does. A Unix socket has no reset.
    fn reset_on_close(&self) {
        self.with(|net, index, side| {
            let link = &mut net.links[index];
            link.ends[side].resets = link.kind == Kind::Tcp;
        });
    }

    fn take_error(&self) -> Option<io::Error> {
        self.with(|net, link, side| net.links[link].ends[side].error.take().map(Into::into))
    }

    /// The peer's address; `NotConnected` before a TCP connection is established, and once it is over.
    fn peer_addr(&self) -> io::Result<Address> {
        self.with(|net, index, side| {
            let link = &net.links[index];
            match link.ends[side].stage {
                Stage::Up => Ok(link.ends[side].peer.clone()),
                _ if link.kind == Kind::Unix => Ok(link.ends[side].peer.clone()),
                Stage::Connecting | Stage::Down => Err(Fault::NotConnected.into()),
            }
        })
    }

    fn local_addr(&self) -> Address {
        self.with(|net, link, side| net.links[link].ends[side].local.clone())
    }

    fn is_unix(&self) -> bool {
        self.with(|net, link, _| net.links[link].kind == Kind::Unix)
    }

    /// TCP_NODELAY, which has no effect here.
    fn no_delay(&self) -> io::Result<bool> {
        self.with(|net, link, side| Ok(net.links[link].tcp_options(side)?.no_delay))
    }

    fn set_no_delay(&self, on: bool) -> io::Result<()> {
        self.with(|net, link, side| {
            net.links[link].tcp_options(side)?.no_delay = on;
            Ok(())
        })
    }

    /// SO_KEEPALIVE, which has no effect here.
    fn keep_alive(&self) -> bool {
        self.with(|net, link, side| net.links[link].ends[side].options.keep_alive)
    }

    /// Sets it; the time that the peer may be silent is an option of TCP.
    fn set_keep_alive(&self, on: bool) -> io::Result<()> {
        self.with(|net, link, side| {
            let link = &mut net.links[link];
            link.ends[side].options.keep_alive = on;
            if on {
                link.tcp_options(side)?;
            }
            Ok(())
        })
    }

    /// Registers this end under `token`, and reports its present readiness.
    fn register(&self, token: Token) {
        self.with(|net, index, side| {
            let window = net.window;
            let link = &mut net.links[index];
            link.ends[side].token = Some(token);
            link.ends[side].awaits_room = link.kind == Kind::Tcp;
            let readiness = link.readiness(side, window);
            let writable = readiness.contains(Readiness::WRITABLE);
            link.pipes[side].sender_waits = !writable && link.ends[side].stage == Stage::Up;
            net.announce_end(index, side, readiness);
        });
    }

    /// Has a Unix socket be told of room, or no longer; what is ready already is reported at once.
    fn await_room(&self, wait: bool) {
        self.with(|net, index, side| {
            let link = &mut net.links[index];
            link.ends[side].awaits_room = wait;
            let readiness = link.readiness(side, net.window);
            net.announce_end(index, side, readiness);
        });
    }
}

impl Network {
    /// Connects to the server of a Unix socket, which takes no time.
    #[cfg(unix)]
    fn connect_unix(&mut self, path: &UnixAddress) -> Result<usize, Fault> {
        let place = Place::Unix(path.clone());
        match self.listening.get(&place) {
            Some(listening) if listening.has_room() => {}
            Some(_) => return Err(Fault::WouldBlock),
            // The file of a socket goes with its listener.
            None if path.as_pathname().is_some() => return Err(Fault::NoSuchPath),
            None => return Err(Fault::Refused),
        }
        let unnamed = Address::Unix(UnixAddress::unnamed());
        let link = self.new_link(Kind::Unix, unnamed, Address::Unix(path.clone()));
        self.establish(link, &place);
        Ok(link)
    }

    /// Connects to the server of a path and closes at once, as a server does that wants the path.
    #[cfg(unix)]
    pub(super) fn look_for_server(&mut self, path: &UnixAddress) {
        if let Ok(link) = self.connect_unix(path) {
            self.close(link, 0);
        }
    }

    /// Asks a server for a connection.
    fn request(&mut self, bound: Bound, to: SocketAddr, blocking: bool) -> usize {
        let (from, to) = (Address::Tcp(canonical(bound.addr)), Address::Tcp(canonical(to)));
        self.reset_predecessor(&from, &to);
        let link = self.new_link(Kind::Tcp, from, to);
        self.links[link].ends[0].sharing = bound.into();
        let now = self.clock.now();
        let arrives = later(now, self.latency);
        self.links[link].request =
            Some(Request { arrives, gives_up: later(now, PATIENCE), blocking });
        self.carry_request(link, now); // at once, if it takes no time on its way
        link
    }

    /// Takes what fits; it leaves with what is sent next.
    fn write(&mut self, index: usize, side: usize, data: &[u8]) -> Result<usize, Fault> {
        self.check_output(index, side)?;
        let space = self.window.saturating_sub(self.links[index].pipes[side].in_window());
        let count = self.piece(data.len().min(space));
        self.links[index].pipes[side].sender_waits = count < data.len();
        if count == 0 && !data.is_empty() {
            return Err(Fault::WouldBlock);
        }
        self.put(index, side, Payload::Bytes(data[..count].to_vec()));
        Ok(count)
    }

    /// The error of a write, if it cannot be made. (One that is made before a connection is established
    /// belongs to a program that waits for it: the bytes follow the request.)
    fn check_output(&mut self, index: usize, side: usize) -> Result<(), Fault> {
        let link = &mut self.links[index];
        let is_tcp = link.kind == Kind::Tcp;
        if is_tcp && let Some(fault) = link.ends[side].error.take() {
            return Err(fault);
        }
        let deaf = !is_tcp && !link.ends[1 - side].open;
        if link.ends[side].stage == Stage::Down || link.pipes[side].finished || deaf {
            return Err(Fault::BrokenPipe);
        }
        Ok(())
    }

    /// The sender of a Unix socket is told of room after each read, if there is much of it.
    fn tell_of_room(&mut self, index: usize, sender: usize) {
        let window = self.window;
        let Some(link) = self.links.get_mut(index).filter(|link| link.kind == Kind::Unix) else {
            return;
        };
        if link.ends[sender].stage == Stage::Up && link.is_writable(sender, window) {
            link.pipes[sender].sender_waits = false;
            self.announce_end(index, sender, Readiness::WRITABLE);
        }
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.with(Network::close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::clock::Clock;
    use crate::simulation::listener::MemoryListener;
    use crate::simulation::network::Cut;

    fn network() -> (Rc<RefCell<Network>>, Clock) {
        let clock = Clock::manual();
        (Network::new(clock.clone(), 0), clock)
    }

    fn pair(network: &Rc<RefCell<Network>>) -> (MemoryStream, MemoryStream) {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        MemoryStream::pair(network, addr(1), addr(2))
    }

    /// The events that the network reports to one token.
    fn told(network: &Rc<RefCell<Network>>, token: Token) -> Readiness {
        let ready = network.borrow_mut().step();
        let known = ready.into_iter().find(|(known, _)| *known == token);
        known.map(|(_, readiness)| readiness).unwrap_or_default()
    }

    fn errno<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn a_sender_is_told_of_a_third_of_its_window() {
        let (network, _) = network();
        network.borrow_mut().window = 9;
        let (ours, far) = pair(&network);
        ours.register(Token(1));
        assert_eq!(told(&network, Token(1)), Readiness::WRITABLE);
        assert_eq!(ours.write(&[7; 9]).unwrap(), 9);
        far.read(&mut [0; 9]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default(), "nothing was refused");

        assert_eq!(ours.write(&[7; 10]).unwrap(), 9);
        far.read(&mut [0; 2]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default());
        assert_eq!(ours.write(&[7; 2]).unwrap(), 2, "a write takes what fits");
        far.read(&mut [0; 2]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default());
        far.read(&mut [0; 1]).unwrap();
        assert_eq!(
            told(&network, Token(1)),
            Readiness::default(),
            "the last write was not refused"
        );

        assert_eq!(ours.write(&[7; 9]).unwrap(), 3);
        far.read(&mut [0; 2]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default());
        far.read(&mut [0; 1]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::WRITABLE);
        assert_eq!(told(&network, Token(1)), Readiness::default(), "once");
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_sender_is_told_of_three_quarters() {
        let (network, _) = network();
        network.borrow_mut().window = 8;
        let path = UnixAddress::from(std::path::Path::new("/run/x"));
        let listener = MemoryListener::bind_unix(&network, path.clone(), 1).unwrap();
        let ours = MemoryStream::connect_unix(&network, &path).unwrap();
        let (far, _) = listener.take().unwrap();
        ours.register(Token(1));
        assert_eq!(told(&network, Token(1)), Readiness::default(), "it did not ask");
        ours.await_room(true);
        assert_eq!(told(&network, Token(1)), Readiness::WRITABLE);
        assert_eq!(ours.write(&[7; 8]).unwrap(), 8);
        far.read(&mut [0; 5]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default());
        far.read(&mut [0; 1]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::WRITABLE);
        far.read(&mut [0; 1]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::WRITABLE, "after each read");
        ours.await_room(false);
        far.read(&mut [0; 1]).unwrap();
        assert_eq!(told(&network, Token(1)), Readiness::default(), "no longer");
    }

    #[cfg(unix)]
    #[test]
    fn an_error_is_given_once_with_its_errno() {
        let (network, _) = network();
        let (ours, far) = pair(&network);
        far.write(b"last").unwrap();
        far.reset_on_close();
        drop(far);
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 4);
        assert_eq!(errno(ours.read(&mut [0; 9])), Some(libc::ECONNRESET));
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 0);
        assert_eq!(errno(ours.write(b"x")), Some(libc::EPIPE));
        assert_eq!(errno(ours.peer_addr()), Some(libc::ENOTCONN));
    }

    #[test]
    fn a_reset_loses_what_has_not_left() {
        let (network, _) = network();
        network.borrow_mut().window = 8;
        network.borrow_mut().cut = Cut::Every(1); // so that nothing arrives before the next step
        let (ours, far) = pair(&network);
        while ours.write(b"x").is_ok() {}
        ours.reset_on_close();
        drop(ours);
        for _ in 0..9 {
            network.borrow_mut().step();
        }
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 4, "the receiver's half of the window");
        assert_eq!(far.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn what_a_program_did_before_the_answer_follows_it() {
        let (network, clock) = network();
        network.borrow_mut().latency = Duration::from_millis(5);
        let at = SocketAddr::from(([127, 0, 0, 1], 80));
        let listener = MemoryListener::bind_outside(&network, at).unwrap();
        let dialled = MemoryStream::dial(&network, at).unwrap();
        dialled.write(b"word").unwrap();
        drop(dialled);
        assert!(listener.take().is_err(), "it takes its time");
        clock.wind(Duration::from_millis(5));
        for _ in 0..3 {
            network.borrow_mut().step();
        }
        let (far, _) = listener.take().unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 4);
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 0);

        let options = SocketOptions::default();
        let asked = MemoryStream::connect(&network, None, at, &options).unwrap().unwrap();
        drop(asked);
        clock.wind(Duration::from_millis(5));
        network.borrow_mut().step();
        assert!(listener.take().is_err(), "an attempt that is given up is never seen");
    }

    #[cfg(unix)]
    #[test]
    fn connections_to_different_places_may_share_a_port() {
        let (network, clock) = network();
        let place = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let bind = |port| MemoryListener::bind_outside(&network, place(port));
        let (first, _second) = (bind(80).unwrap(), bind(81).unwrap());
        let dial = |port| {
            network.borrow_mut().next_port = 40_000;
            MemoryStream::dial(&network, place(port)).unwrap()
        };
        let port_of = |stream: &MemoryStream| stream.local_addr().port();
        let held = [dial(80), dial(80), dial(81)];
        assert_eq!(held.each_ref().map(port_of), [Some(40_000), Some(40_001), Some(40_000)]);
        assert_eq!(errno(bind(40_001)), Some(libc::EADDRINUSE));

        // When a connection is over, its port is free to connect from. Nobody can bind it for a minute.
        let [_, over, _] = held;
        drop(first.take().unwrap());
        drop(over);
        drop(first.take().unwrap());
        assert_eq!(errno(bind(40_001)), Some(libc::EADDRINUSE));
        clock.wind(Duration::from_secs(60));
        assert!(bind(40_001).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_connection_resets_its_half_closed_predecessor() {
        let (network, _) = network();
        let place = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let options = SocketOptions::default().reuse_address(true);
        let connect = |options: &SocketOptions| {
            MemoryStream::connect(&network, Some(place(40_000)), place(80), options)
        };
        let listener = MemoryListener::bind_outside(&network, place(80)).unwrap();
        let first = connect(&options).unwrap().unwrap();
        let (far, _) = listener.take().unwrap();
        assert_eq!(errno(connect(&options)), Some(libc::EADDRNOTAVAIL));
        drop(first);
        let alone = SocketOptions::default();
        assert_eq!(errno(connect(&alone).unwrap()), Some(libc::EADDRINUSE));

        let second = connect(&options).unwrap().unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 0);
        assert_eq!(errno(far.write(b"x")), Some(libc::EPIPE));
        assert_eq!(errno(far.peer_addr()), Some(libc::ENOTCONN));
        drop(far);
        second.reset_on_close();
        drop(second);
        assert!(connect(&alone).unwrap().is_ok(), "nothing is in TIME_WAIT");
    }

    #[cfg(unix)]
    #[test]
    fn the_kernel_gives_up_on_an_address_that_never_answers() {
        let (network, clock) = network();
        let at = SocketAddr::from(([192, 0, 2, 1], 80));
        network.borrow_mut().blackholes.push(at);
        let options = SocketOptions::default();
        let asked = MemoryStream::connect(&network, None, at, &options).unwrap().unwrap();
        asked.register(Token(1));
        clock.wind(PATIENCE - Duration::from_nanos(1));
        assert_eq!(told(&network, Token(1)), Readiness::default());
        clock.wind(Duration::from_nanos(1));
        assert!(told(&network, Token(1)).contains(Readiness::HANGUP));
        let error = asked.take_error().and_then(|error| error.raw_os_error());
        assert_eq!(error, Some(libc::ETIMEDOUT));
    }
}
