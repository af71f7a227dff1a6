//! Places to listen at and to connect to, with their options; and what counts as a factory.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use crocus::{
    Address, Backoff, Connect, Connector, DatagramProtocol, DatagramTransport, Datagrams, Endpoint,
    Factory, KeepAlive, Listen, ListenerId, Protocol, Reactor, Reason, Reconnecting, SocketOptions,
    UnixAddress,
};

use crate::util::{Echo, Log, Recorder, RecordingClient, World};

/// The same numbers in each run.
fn random(number: u64) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(number)
}

mod text {
    use super::*;

    /// Bytes that are most likely to be misread, and some others.
    fn some_bytes(seed: u64) -> Vec<u8> {
        let special = b"@(\\xu{}\"'\n\0\x7f:/%a9\xff\xc3\xa9\xe2";
        let byte = |at| match random(seed * 100 + at) {
            roll if roll % 4 == 0 => (roll >> 8) as u8,
            roll => special[(roll >> 8) as usize % special.len()],
        };
        (0..random(seed) % 12).map(byte).collect()
    }

    fn some_address(seed: u64) -> Address {
        let (roll, port) = (random(seed), (random(seed + 1) >> 20) as u16);
        let bits = u128::from(random(seed + 2)) << 64 | u128::from(random(seed + 3));
        match roll % 5 {
            0 => Address::Tcp((Ipv4Addr::from(roll as u32), port).into()),
            1 => Address::Tcp((Ipv6Addr::from(bits >> (roll % 128)), port).into()),
            2 => {
                let scope = (bits as u32) >> (roll % 32);
                Address::Tcp(SocketAddrV6::new(Ipv6Addr::from(bits), port, 0, scope).into())
            }
            3 => Address::Unix(UnixAddress::abstract_name(some_bytes(seed))),
            _ => {
                #[cfg(unix)]
                let path = std::os::unix::ffi::OsStringExt::from_vec(some_bytes(seed));
                #[cfg(not(unix))]
                let path = String::from_utf8_lossy(&some_bytes(seed)).into_owned();
                let path: std::ffi::OsString = path;
                Address::Unix(UnixAddress::from(&*path))
            }
        }
    }

    #[test]
    fn what_an_address_prints_is_read() {
        for seed in 0..20_000 {
            let address = some_address(seed);
            let printed = address.to_string();
            assert!(!printed.contains(char::is_control), "{printed:?}");
            assert_eq!(Endpoint::from(printed.as_str()), Endpoint::from(&address), "{printed}");
        }
    }

    #[test]
    fn unix_addresses_are_read_as_people_type_them() {
        let read = |text: &str| Endpoint::from(text);
        assert_eq!(read("unix:/run/x"), UnixAddress::from("/run/x").into());
        assert_eq!(read("unix:@chat"), UnixAddress::abstract_name("chat").into());
        assert_eq!(read("unix:a\\b\\"), UnixAddress::from("a\\b\\").into(), "no escapes");
        assert_eq!(read("unix:80"), UnixAddress::from("80").into());
        let host = Endpoint::from(("unix", 80)).to_string();
        assert_eq!(host, "UNIX:80", "a host of that name is not read as a path");
        assert_eq!(read(&host).to_string(), host);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_is_taken_by_its_name() {
        let at = |text| Endpoint::from(text).socket_addr();
        let found = at("[fe80::1%lo]:80").unwrap();
        assert_eq!(found, at("[fe80::1%1]:80").unwrap(), "the loopback interface is the first");
        assert_eq!(Endpoint::from(("fe80::1%lo", 80)).socket_addr().unwrap(), found);
        assert_eq!(Endpoint::from("[fe80::1%lo]:80").to_string(), "[fe80::1%lo]:80");
        let error = at("[fe80::1%no-such]:80").unwrap_err();
        assert!(error.to_string().contains("[fe80::1%no-such]:80 names no interface"), "{error}");
    }

    both! {
        fn text_that_is_nothing_is_an_error_of_listen_at_once(world) {
            for text in ["", "localhost", "127.0.0.1", "127.0.0.256:1", "::1:80", "a b:80"] {
                let error = world.reactor().listen(text, |_| Echo).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
                let error = world.reactor().listen_udp(text, Nobody).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
            let error = world.reactor().listen_udp("unix:/run/x", Nobody).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            world.run().unwrap();
        }
    }
}

struct Nobody;

impl DatagramProtocol for Nobody {}

mod only_a_port {
    use super::*;

    fn has_ipv6() -> bool {
        TcpListener::bind("[::1]:0").is_ok()
    }

    /// Real only: the simulated kernel is asked in the tests of its own manners.
    #[test]
    fn a_listener_takes_both_families_and_names_ipv4_plainly() {
        let mut world = World::real();
        let log = Log::new();
        let seen = log.clone();
        let id = world
            .reactor()
            .listen(":0", move |peer: Address| {
                let (seen, from) = (seen.clone(), peer.ip().unwrap());
                Recorder::new(&seen.clone(), "a").on_made(move |transport| {
                    let local = transport.local_addr().unwrap().ip().unwrap();
                    seen.push(format!(
                        "{from} to {local}, {}",
                        transport.peer_addr().ip().unwrap()
                    ));
                })
            })
            .unwrap();
        let port = world.reactor().local_addr(id).unwrap().port().unwrap();
        let _four = world.dial((Ipv4Addr::LOCALHOST, port).into());
        world.until("IPv4", |_| log.has("127.0.0.1 to 127.0.0.1, 127.0.0.1"));
        if has_ipv6() {
            let _six = world.dial((Ipv6Addr::LOCALHOST, port).into());
            world.until("IPv6", |_| log.has("::1 to ::1, ::1"));
            let six = Listen::at(":0").socket(SocketOptions::new().v6_only(true));
            let id = world.reactor().listen(six, |_| Echo).unwrap();
            let port = world.reactor().local_addr(id).unwrap().port().unwrap();
            std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
        }
        world.reactor().stop();
        world.turn();
    }

    both! {
        fn a_client_finds_this_machine(world) {
            let log = Log::new();
            let seen = log.clone();
            let outside = world.listen_outside();
            let place = format!(":{}", outside.addr().port());
            world.reactor().connect(place, move |peer: Address| {
                assert_eq!(peer.ip(), Some(Ipv4Addr::LOCALHOST.into()));
                Recorder::new(&seen, "c")
            });
            world.until("the connection", |_| log.has("c made"));
            world.reactor().stop();
            world.turn();
        }
    }

    #[test]
    fn datagrams_of_both_families_are_heard_and_answered() {
        struct Back(Log);

        impl DatagramProtocol for Back {
            fn datagram_received(
                &mut self,
                transport: &mut DatagramTransport,
                data: &[u8],
                from: SocketAddr,
            ) {
                self.0.push(from.ip().to_string());
                transport.send_to(data, from).unwrap();
            }
        }

        let mut world = World::real();
        let log = Log::new();
        let id = world.reactor().listen_udp(":0", Box::new(Back(log.clone()))).unwrap();
        let port = world.reactor().datagram(id).unwrap().local_addr().port();
        let ask = |world: &mut World, ip: &str| {
            let far = std::net::UdpSocket::bind((ip, 0)).unwrap();
            far.connect((ip, port)).unwrap();
            far.send(b"hello").unwrap();
            world.until("the question", |_| log.has(ip));
            let mut buf = [0; 9];
            assert_eq!(far.recv(&mut buf).unwrap(), 5);
        };
        ask(&mut world, "127.0.0.1");
        if has_ipv6() {
            ask(&mut world, "::1");
        }
        let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = far.local_addr().unwrap();
        let mut transport = world.reactor().datagram(id).unwrap();
        transport.connect(to).unwrap();
        assert_eq!(transport.peer_addr(), Some(to));
        transport.send(b"hello").unwrap();
        assert_eq!(far.recv(&mut [0; 9]).unwrap(), 5);
    }
}

mod options {
    use super::*;

    both! {
        fn an_option_that_a_socket_does_not_have_is_named(world) {
            let new = SocketOptions::new;
            let tcp = [
                ("no_delay", new().no_delay(true)),
                ("keep_alive", new().keep_alive(Duration::from_secs(9))),
                ("unsent_low_water", new().unsent_low_water(9)),
            ];
            let ip = [
                ("reuse_address", new().reuse_address(false)),
                ("reuse_port", new().reuse_port(true)),
                ("v6_only", new().v6_only(false)),
            ];
            let refused = |name: &str, error: io::Error| {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains(&format!("{name} is no option")), "{error}");
            };
            for (name, options) in tcp {
                let udp = Datagrams::at("127.0.0.1:0").socket(options);
                refused(name, world.reactor().listen_udp(udp, Nobody).unwrap_err());
            }
            let wide = new().broadcast(true);
            let broadcast = Listen::at("127.0.0.1:0").socket(wide.clone());
            refused("broadcast", world.reactor().listen(broadcast, |_| Echo).unwrap_err());
            if !cfg!(unix) {
                return;
            }
            for (name, options) in ip.into_iter().chain([("broadcast", wide)]) {
                let unix = Listen::at("unix:/no/such/folder/s").socket(options.clone());
                refused(name, world.reactor().listen(unix, |_| Echo).unwrap_err());
                let log = Log::new();
                let unix = Connect::to("unix:/no/such/folder/s").socket(options);
                let client = RecordingClient::new(&log, "c", |_| None);
                let seen = Rc::new(RefCell::new(None));
                let told = Rc::clone(&seen);
                let client = client.on_failed(move |_, reason| drop(told.replace(Some(reason.clone()))));
                world.reactor().connect(unix, client);
                world.until("the outcome", |_| seen.borrow().is_some());
                assert!(seen.take().unwrap().to_string().contains(name));
            }
        }
    }

    both! {
        fn a_keep_alive_that_the_kernel_does_not_take_is_named(world) {
            let long = Duration::from_secs(40_000);
            let cases = [
                (KeepAlive::after(long), "keep_alive: the idle of 40000 s"),
                (KeepAlive::after(Duration::ZERO).interval(long), "keep_alive: the interval"),
                (KeepAlive::after(Duration::ZERO).count(0), "keep_alive: a count of 0"),
            ];
            for (how, message) in cases {
                let place = Listen::at("127.0.0.1:0").socket(SocketOptions::new().keep_alive(how));
                let error = world.reactor().listen(place, |_| Echo).unwrap_err();
                assert!(error.to_string().contains(message), "{error}");
            }
        }
    }

    #[test]
    fn options_of_binding_come_too_late_for_an_adopted_socket() {
        let mut reactor = Reactor::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let late = Listen::at(listener).socket(SocketOptions::new().reuse_port(true));
        let error = reactor.listen(late, |_| Echo).unwrap_err();
        assert!(error.to_string().contains("reuse_port comes too late"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn options_reach_the_socket_before_the_hook() {
        let seen = |options: SocketOptions| {
            let (tell, told) = std::sync::mpsc::channel();
            let options = options.hook(move |socket| {
                let socket = socket2::SockRef::from(&socket);
                assert_eq!(socket.local_addr()?.as_socket().unwrap().port(), 0, "it is not bound");
                let times = (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?);
                let probes = socket.tcp_keepalive_retries()?;
                tell.send((times, probes, socket.tcp_notsent_lowat()?)).map_err(io::Error::other)
            });
            let mut reactor = Reactor::new().unwrap();
            let listen = Listen::at("127.0.0.1:0").socket(options.clone());
            let id = reactor.listen(listen, |_| Echo).unwrap();
            let of_listener = told.recv().unwrap();
            let to = reactor.local_addr(id).unwrap();
            reactor.connect(Connect::to(&to).socket(options), |_| Echo);
            let until = Some(Duration::ZERO);
            let of_client = loop {
                reactor.turn(until).unwrap();
                if let Ok(found) = told.try_recv() {
                    break found;
                }
            };
            assert_eq!(of_listener, of_client);
            of_client
        };
        let secs = Duration::from_secs;
        let short = KeepAlive::after(Duration::from_millis(900)).interval(secs(7)).count(3);
        let options = SocketOptions::new().keep_alive(short).unsent_low_water(16_384);
        assert_eq!(seen(options), ((secs(1), secs(7)), 3, 16_384));
        let (times, ..) = seen(SocketOptions::new().keep_alive(secs(10)));
        assert_eq!(times, (secs(10), secs(10)), "a short silence has short intervals");
        let (times, ..) = seen(SocketOptions::new().keep_alive(secs(32_767)));
        assert_eq!(times, (secs(32_767), secs(75)));
    }

    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    #[test]
    fn the_largest_buffers_are_as_large_as_the_kernel_gives() {
        let sizes = |bytes| {
            let (tell, told) = std::sync::mpsc::channel();
            let options = SocketOptions::new().receive_buffer(bytes).send_buffer(bytes);
            let options = options.hook(move |socket| {
                let socket = socket2::SockRef::from(&socket);
                let sizes = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
                tell.send(sizes).map_err(io::Error::other)
            });
            let listen = Listen::at("127.0.0.1:0").socket(options);
            Reactor::new().unwrap().listen(listen, |_| Echo).unwrap();
            told.recv().unwrap()
        };
        let largest = sizes(1 << 30);
        // The first two have the same lower 32 bits as 0 and 4096.
        for bytes in [1 << 32, (1 << 32) + 4096, usize::MAX] {
            assert_eq!(sizes(bytes), largest, "{bytes}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_error_of_the_hook_is_that_of_the_command() {
        let mut world = World::real();
        let no = SocketOptions::new().hook(|_| Err(io::Error::other("not this one")));
        let listen = Listen::at("127.0.0.1:0").socket(no.clone());
        let error = world.reactor().listen(listen, |_| Echo).unwrap_err();
        assert!(error.to_string().contains("listening at 127.0.0.1:0: not this one"), "{error}");
        let udp = Datagrams::at("127.0.0.1:0").socket(no.clone());
        let error = world.reactor().listen_udp(udp, Nobody).unwrap_err();
        assert!(error.to_string().contains("not this one"), "{error}");
        let (log, outside) = (Log::new(), world.listen_outside());
        let seen = log.clone();
        let client = RecordingClient::new(&log, "c", |_| None)
            .on_failed(move |_, reason| seen.push(reason.to_string()));
        world.reactor().connect(Connect::to(outside.addr()).socket(no), client);
        world.run().unwrap();
        let lines = log.lines();
        assert!(lines.len() == 2 && lines[1].contains("not this one"), "{lines:?}");
    }

    /// As systemd hands sockets over: sd_listen_fds(3).
    #[cfg(target_os = "linux")]
    #[test]
    fn child_processes_do_not_inherit_adopted_sockets() {
        use std::os::fd::{AsFd, AsRawFd};

        fn inheritable<S: AsFd>(socket: S) -> (S, i32) {
            socket2::SockRef::from(&socket).set_cloexec(false).unwrap();
            let fd = socket.as_fd().as_raw_fd();
            assert!(is_inherited(fd));
            (socket, fd)
        }

        fn is_inherited(fd: i32) -> bool {
            const O_CLOEXEC: u32 = 0o2_000_000;
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            u32::from_str_radix(flags.trim(), 8).unwrap() & O_CLOEXEC == 0
        }

        let mut reactor = Reactor::new().unwrap();
        let (listener, tcp) = inheritable(TcpListener::bind("127.0.0.1:0").unwrap());
        let to = listener.local_addr().unwrap();
        reactor.listen(listener, |_| Echo).unwrap();
        let (socket, udp) = inheritable(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        reactor.listen_udp(socket, Nobody).unwrap();
        let (stream, connected) = inheritable(std::net::TcpStream::connect(to).unwrap());
        reactor.adopt(stream, Echo).unwrap();
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (near, pair) = inheritable(near);
        reactor.adopt(near, Echo).unwrap();
        assert_eq!([tcp, udp, connected, pair].map(is_inherited), [false; 4]);
    }
}

mod factories {
    use super::*;

    /// Writes down everything that a factory hears.
    struct Every(Log, Option<ListenerId>);

    impl Factory for Every {
        fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
            self.0.push("built");
            Some(Box::new(Recorder::new(&self.0, "a")))
        }

        fn started(&mut self, _: &mut Reactor, listener: ListenerId) {
            self.0.push("started");
            assert_eq!(self.1.replace(listener), None);
        }

        fn stopped(&mut self, _: &mut Reactor, listener: ListenerId) {
            self.0.push("stopped");
            assert_eq!(self.1.take(), Some(listener));
        }

        fn connection_failed(&mut self, _: &mut Connector<'_>, _: &Reason) {
            self.0.push("failed");
        }

        fn connection_lost(&mut self, _: &mut Connector<'_>, _: &Reason) {
            self.0.push("owner lost");
        }

        fn gave_up(&mut self, _: &mut Connector<'_>, reason: &Reason) {
            self.0.push(format!("gave up: {}", matches!(reason, Reason::Failed { .. })));
        }
    }

    both! {
        fn one_factory_hears_of_a_listener_and_a_connector(world) {
            let log = Log::new();
            let every: Rc<RefCell<dyn Factory>> =
                Rc::new(RefCell::new(Every(log.clone(), None)));
            let (id, addr) = world.listen(Rc::clone(&every));
            world.until("the start", |_| log.has("started"));
            let boxed: Box<dyn Factory> = Box::new(Rc::clone(&every));
            world.reactor().connect(addr, boxed);
            world.until("both ends", |_| log.count("a made") == 2);
            for connection in world.reactor().connections() {
                world.reactor().transport(connection).unwrap().lose_connection();
            }
            world.until("the loss", |_| log.has("owner lost") && log.count("a lost") == 2);
            world.reactor().stop_listening(id);
            world.until("the stop", |_| log.has("stopped"));
            let once = Backoff::new().max_attempts(1);
            world.reactor().connect(addr, Reconnecting::new(every, once));
            world.run().unwrap();
            let counts = ["started", "built", "owner lost", "stopped", "failed", "gave up: true"];
            assert_eq!(counts.map(|line| log.count(line)), [1, 2, 1, 1, 1, 1], "{:?}", log.lines());
        }
    }

    both! {
        fn whoever_is_told_that_reconnecting_gave_up_may_go_on(world) {
            struct Stubborn(Rc<Cell<u32>>);

            impl Factory for Stubborn {
                fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
                    None
                }

                fn gave_up(&mut self, connector: &mut Connector<'_>, _: &Reason) {
                    self.0.set(self.0.get() + 1);
                    if self.0.get() < 3 {
                        assert!(connector.connect());
                    }
                }
            }

            let outside = world.listen_outside();
            let count = Rc::new(Cell::new(0));
            let factory = Stubborn(Rc::clone(&count));
            let once = Backoff::new().max_attempts(1);
            world.reactor().connect(outside.addr(), Reconnecting::new(factory, once));
            world.run().unwrap();
            assert_eq!(count.get(), 3);
        }
    }

    both! {
        fn boxes_of_protocols_are_protocols(world) {
            let log = Log::new();
            let seen = log.clone();
            let (_, addr) =
                world.listen(move |_| Box::new(Recorder::new(&seen, "a")) as Box<dyn Protocol>);
            let far = world.dial(addr);
            world.until("it to be made", |_| log.has("a made"));
            drop(far);
            world.until("its end", |_| log.has("a lost PeerClosed"));
            let boxed: Box<dyn DatagramProtocol> = Box::new(Nobody);
            world.reactor().listen_udp("127.0.0.1:0", boxed).unwrap();
            world.reactor().stop();
            world.turn();
        }
    }
}
