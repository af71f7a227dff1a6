//! The allocations of the hot path (none, once it is warm) and of a connection that is closed after
//! one answer.
//!
//! A program of its own, with one test: the counting allocator sees every thread.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::alloc::System;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crocus::framing::{Decoder, FrameHandler, Framed, LengthPrefixed, Lines};
use crocus::{
    Bytes, ConnectionId, DatagramProtocol, DatagramTransport, Factory, Protocol, Reactor, Recorder,
    Subject, TimerId, Transport,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 8;
const MESSAGES: usize = 500;

/// The number of connections that hear a broadcast.
const AUDIENCE: usize = 200;

/// The size of a message that is shared.
const SHARED: usize = 4096;

/// The default high-water mark.
const HIGH_WATER: usize = 64 * 1024;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// An echo of the lines in the messages below.
struct EchoLines;

impl Protocol for EchoLines {}

impl FrameHandler<Lines> for EchoLines {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        transport.write(line);
        transport.write(b"\n");
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        transport.send_to(data, from).unwrap();
    }
}

/// Says to all what it hears; or, if it has one, a message that all share.
struct Speaker(Rc<RefCell<Vec<ConnectionId>>>, Option<Bytes>);

impl Protocol for Speaker {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.0.borrow_mut().push(transport.id());
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        for &id in self.0.borrow().iter() {
            let mut listener = transport.reactor().transport(id).unwrap();
            match &self.1 {
                Some(message) => listener.write_owned(message.clone()),
                None => listener.write(data),
            };
        }
    }
}

/// Sends without an end, as fast as the peer takes it.
struct Sender;

impl Protocol for Sender {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.resume_writing(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        while transport.buffered() <= HIGH_WATER {
            transport.write(&[b'x'; 8 * 1024]);
        }
    }
}

/// An echo that does with each message all that can be done with timers.
#[derive(Default)]
struct Busy {
    moved: Option<TimerId>,
    of_connection: Option<TimerId>,
    of_reactor: Option<TimerId>,
}

impl Protocol for Busy {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.set_timeout(Some(MILLISECOND));
        self.moved = Some(transport.call_later(MINUTE));
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
        transport.set_timeout(Some(MILLISECOND));
        transport.reactor().reset_timer(self.moved.unwrap(), MINUTE);
        let armed = transport.call_later(MINUTE);
        let of_connection = self.of_connection.replace(armed);
        let armed = transport.reactor().call_later(MINUTE, |_| {});
        let of_reactor = self.of_reactor.replace(armed);
        for timer in [of_connection, of_reactor].into_iter().flatten() {
            transport.reactor().cancel_timer(timer);
        }
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        transport.set_timeout(Some(MILLISECOND));
    }
}

/// Answers before it is asked, and closes.
struct Greet;

impl Protocol for Greet {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(b"hello");
        transport.lose_connection();
    }
}

/// Answers, and closes.
struct Answer;

impl Protocol for Answer {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.write(b"hello");
        transport.lose_connection();
    }
}

/// Answers, and leaves it to the peer to close.
struct AnswerOnly;

impl Protocol for AnswerOnly {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.write(b"hello");
    }
}

fn main() {
    an_echo_allocates_nothing("an_echo", |_| Echo);
    an_echo_allocates_nothing("an_echo_of_lines", |_| Framed::new(Lines::new(), EchoLines));
    a_datagram_echo_allocates_nothing();
    a_broadcast_allocates_nothing("a_broadcast", None, 64);
    let message = Bytes::from(vec![7; SHARED]);
    a_broadcast_allocates_nothing("a_broadcast_of_shared_bytes", Some(message), SHARED);
    a_sender_that_is_pulled_allocates_nothing();
    timers_allocate_nothing();
    calls_of_threads_allocate_nothing();
    a_connection_that_is_greeted_and_closed_allocates_nothing();
    a_connection_that_the_peer_closes_allocates_nothing();
    a_connection_that_is_answered_and_closed_allocates_nothing();
    a_length_that_lies_allocates_nothing_ahead();
    an_echo_allocates_nothing("an_echo_by_a_lent_reactor", |_| Borrower);
    an_echo_under_a_full_recorder_allocates_nothing();
    a_peak_of_timers_and_calls_is_given_back();
    the_buffer_of_a_hand_over_is_given_back();
    the_buffers_of_bytes_that_were_kept_are_given_back();
    #[cfg(feature = "futures")]
    tasks::an_echo_allocates_nothing();
    #[cfg(feature = "futures")]
    tasks::an_idle_connection_owns_no_buffer();
    #[cfg(feature = "futures")]
    tasks::a_task_takes_little_beside_its_future();
    #[cfg(feature = "tls")]
    an_idle_connection_by_tls_takes_little_beside_rustls();
}

/// Servers whose sessions are tasks.
#[cfg(feature = "futures")]
mod tasks {
    use std::future::pending;
    use std::hint::black_box;

    use crocus::futures::{Connection, listen, run_until, spawn, spawn_local};
    use futures_lite::{AsyncBufReadExt, AsyncWriteExt};

    use super::*;

    /// How many bytes a client sends at once before it is idle.
    const BYTES: usize = 60_000;

    async fn echo(mut peer: Connection) -> io::Result<()> {
        let (reader, writer) = peer.halves();
        loop {
            let bytes = reader.fill_buf().await?;
            writer.write_all(bytes).await?;
            let count = bytes.len();
            reader.consume(count);
        }
    }

    async fn swallow(mut peer: Connection) -> io::Result<()> {
        loop {
            let count = peer.fill_buf().await?.len();
            peer.consume(count);
        }
    }

    fn server<F: Future<Output = io::Result<()>> + 'static>(
        session: fn(Connection) -> F,
    ) -> (Reactor, SocketAddr) {
        let mut reactor = patient_reactor();
        let listening = async move {
            let mut incoming = listen("127.0.0.1:0").unwrap();
            let addr = incoming.local_addr().socket_addr().unwrap();
            spawn_local(async move {
                while let Some(peer) = incoming.accept().await {
                    spawn_local(session(peer));
                }
            });
            addr
        };
        let addr = run_until(&mut reactor, listening).unwrap();
        (reactor, addr)
    }

    pub(crate) fn an_echo_allocates_nothing() {
        let (mut reactor, addr) = server(echo);
        let mut clients: Vec<TcpStream> = connect(addr, CONNECTIONS);
        exchange(&mut reactor, &mut clients, 20);
        let before = reactor.stats();
        let region = Region::new(ALLOCATOR);
        exchange(&mut reactor, &mut clients, MESSAGES);
        let change = region.change();
        let after = reactor.stats();
        let callbacks = after.callbacks - before.callbacks;
        assert!(callbacks >= (CONNECTIONS * MESSAGES) as u64, "{callbacks} callbacks");
        assert_eq!(after.calls, before.calls, "each task is polled in a callback");
        nothing("steady_state_of_an_echo_by_tasks_allocates_nothing", change);
    }

    /// A copy of the future's memory, as each `async` block around it would keep, shows.
    pub(crate) fn a_task_takes_little_beside_its_future() {
        let mut reactor = patient_reactor();
        let sleeper = || async {
            let block = [7_u8; 10_000];
            pending::<()>().await;
            black_box(block);
        };
        let size = size_of_val(&sleeper());
        drop(spawn(&mut reactor, sleeper())); // the first makes what all share
        reactor.turn(Some(Duration::ZERO)).unwrap();
        let region = Region::new(ALLOCATOR);
        drop(spawn(&mut reactor, sleeper()));
        reactor.turn(Some(Duration::ZERO)).unwrap();
        let taken = in_use(&region.change());
        assert!((size..size + 1000).contains(&taken), "{taken} bytes for a future of {size}");
        println!("test a_task_takes_little_beside_its_future ... ok");
    }

    /// In the end what is kept is the scratch buffer of the loop, and spare buffers.
    pub(crate) fn an_idle_connection_owns_no_buffer() {
        const CLIENTS: usize = 50;
        let (mut reactor, addr) = server(swallow);
        let mut clients: Vec<TcpStream> = connect(addr, CLIENTS);
        while reactor.connections().len() < CLIENTS {
            reactor.turn(None).unwrap();
        }
        let piece = vec![7; BYTES];
        let region = Region::new(ALLOCATOR);
        for (served, client) in clients.iter_mut().enumerate() {
            client.write_all(&piece).unwrap(); // the kernel has room for it
            while reactor.stats().bytes_read < ((served + 1) * BYTES) as u64 {
                reactor.turn(None).unwrap();
            }
        }
        let kept = in_use(&region.change());
        assert!(kept <= 4 * 64 * 1024, "{kept} bytes for {CLIENTS} idle connections");
        println!("test an_idle_connection_of_a_task_owns_no_buffer ... ok");
    }
}

/// The most of the heap that an idle connection by TLS may take beside what rustls takes for it: its slot, what
/// most connections do without, and the filter. A quarter of the least that rustls takes, which keeps a buffer of
/// 4 KiB for the next record.
#[cfg(feature = "tls")]
const MOST_BESIDE_RUSTLS: usize = 1024;

/// After the handshake and an echo, with the clients' own memory freed.
#[cfg(feature = "tls")]
fn an_idle_connection_by_tls_takes_little_beside_rustls() {
    use crocus::tls::rustls::{ClientConnection, Connection, ServerConnection};
    // With the listener they almost fill a table of 128, so that its free room hardly counts.
    const IDLE: usize = 120;
    let (server, client) = tls::configs();
    let begin = || ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();

    let region = Region::new(ALLOCATOR);
    let mut alone: Vec<Box<Connection>> = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = Box::new(ServerConnection::new(server.clone()).unwrap().into());
        tls::echo_in_memory(&mut connection, &mut begin());
        alone.push(connection);
    }
    let of_rustls = in_use(&region.change()) / IDLE;
    drop(alone);

    let mut reactor = patient_reactor();
    let place = crocus::Listen::at("127.0.0.1:0").tls(server.clone());
    let listener = reactor.listen(place, |_| Echo).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    drop(tls::echo_by(&mut reactor, addr, &mut begin())); // the buffers that all connections share
    while !reactor.connections().is_empty() {
        reactor.turn(None).unwrap();
    }
    let mut sockets = Vec::with_capacity(IDLE);
    let region = Region::new(ALLOCATOR);
    for _ in 0..IDLE {
        sockets.push(tls::echo_by(&mut reactor, addr, &mut begin()));
    }
    let in_all = in_use(&region.change()) / IDLE;
    let beside = in_all.saturating_sub(of_rustls);
    assert!(beside <= MOST_BESIDE_RUSTLS, "{in_all} bytes, {of_rustls} of them are rustls'");
    assert!(of_rustls >= 4096, "{of_rustls} bytes: rustls' buffer is not counted");
    println!("test an_idle_connection_by_tls_takes_little_beside_rustls ... ok");
    println!("  {in_all} bytes, {of_rustls} of them are rustls'");
}

/// Both sides of a connection by TLS, for the test of its memory.
#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use crocus::tls::rustls::client::Resumption;
    use crocus::tls::rustls::pki_types::PrivateKeyDer;
    use crocus::tls::rustls::server::NoServerSessionStorage;
    use crocus::tls::rustls::{
        ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    };

    use super::*;

    const MESSAGE: [u8; 64] = [7; 64];

    /// Neither side remembers sessions: that would count for the connections.
    pub(crate) fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let mut server = server.with_single_cert(chain, key).unwrap();
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let client = ClientConfig::builder().with_root_certificates(roots);
        let mut client = client.with_no_client_auth();
        client.resumption = Resumption::disabled();
        (server.into(), client.into())
    }

    /// A handshake and an echo without a network. The server takes what comes at once, as a reactor does.
    pub(crate) fn echo_in_memory(server: &mut Connection, client: &mut ClientConnection) {
        client.writer().write_all(&MESSAGE).unwrap();
        let mut back = [0; MESSAGE.len()];
        loop {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                server.read_tls(&mut wire).unwrap();
                server.process_new_packets().unwrap();
                let mut plain = [0; MESSAGE.len()];
                if let Ok(count) = server.reader().read(&mut plain) {
                    server.writer().write_all(&plain[..count]).unwrap();
                }
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
            if client.reader().read(&mut back).is_ok() {
                return assert_eq!(back, MESSAGE);
            }
        }
    }

    /// The same with a server on the reactor; returns the client's socket, which is still connected.
    pub(crate) fn echo_by(
        reactor: &mut Reactor,
        addr: SocketAddr,
        client: &mut ClientConnection,
    ) -> TcpStream {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_nonblocking(true).unwrap();
        client.writer().write_all(&MESSAGE).unwrap();
        let mut back = [0; MESSAGE.len()];
        loop {
            while client.wants_write() {
                client.write_tls(&mut socket).unwrap(); // the kernel has room for it
            }
            reactor.turn(Some(MILLISECOND)).unwrap();
            match client.read_tls(&mut socket) {
                Ok(count) => assert_ne!(count, 0, "the server has closed"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            client.process_new_packets().unwrap();
            if client.reader().read(&mut back).is_ok() {
                assert_eq!(back, MESSAGE);
                return socket;
            }
        }
    }
}

/// Memory kept for later: far less than a byte for each of them.
const KEPT: usize = 128 * 1024;

/// A million timers that are cancelled and a million calls; then it is quiet.
fn a_peak_of_timers_and_calls_is_given_back() {
    const PEAK: usize = 1_000_000;
    let mut reactor = patient_reactor();
    let handle = reactor.handle();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    let region = Region::new(ALLOCATOR);
    let timers: Vec<TimerId> = (0..PEAK).map(|_| reactor.call_later(MINUTE, |_| ())).collect();
    for timer in timers {
        reactor.cancel_timer(timer);
    }
    for _ in 0..PEAK {
        reactor.call_soon(|_| ());
        handle.call_from_thread(|_| ());
    }
    while reactor.next_deadline().is_some() {
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    let kept = in_use(&region.change());
    assert!(kept <= KEPT, "{kept} bytes after a peak of {PEAK}");
    println!("test a_peak_of_timers_and_calls_is_given_back ... ok");
}

/// Sixty thousand bytes go to the protocol that takes over; then the connections are idle.
fn the_buffer_of_a_hand_over_is_given_back() {
    const BYTES: usize = 60_000;
    struct First(Rc<RefCell<usize>>);
    struct Second(Rc<RefCell<usize>>);
    impl Protocol for First {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.set_protocol(Second(Rc::clone(&self.0)));
            transport.unread(data);
        }
    }
    impl Protocol for Second {
        fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
            *self.0.borrow_mut() += data.len();
        }
    }
    const CLIENTS: usize = 50;
    let mut reactor = patient_reactor();
    let got = Rc::<RefCell<usize>>::default();
    let heard = Rc::clone(&got);
    let factory = move |_: crocus::Address| First(Rc::clone(&heard));
    let listener = reactor.listen("127.0.0.1:0", factory).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    while reactor.connections().len() < CLIENTS {
        reactor.turn(None).unwrap();
    }
    let piece = vec![7; BYTES];
    let region = Region::new(ALLOCATOR);
    for (served, client) in clients.iter_mut().enumerate() {
        client.write_all(&piece).unwrap(); // the kernel has room for it
        while *got.borrow() < (served + 1) * BYTES {
            reactor.turn(None).unwrap();
        }
    }
    let kept = in_use(&region.change());
    // The scratch buffer, and one vector that is lent to the next who needs one.
    assert!(kept <= 4 * 64 * 1024, "{kept} bytes for {CLIENTS} idle connections");
    println!("test the_buffer_of_a_hand_over_is_given_back ... ok");
}

/// Bytes of several reads are kept without a copy, and let go. Then it is quiet.
fn the_buffers_of_bytes_that_were_kept_are_given_back() {
    const READS: usize = 5;
    const SIZE: usize = 8 * 1024;
    const QUIET_TURNS: usize = 500;
    struct Keeper(Rc<RefCell<Vec<Bytes>>>);
    impl Protocol for Keeper {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            self.0.borrow_mut().extend(transport.share(data));
        }
    }
    let kept = Rc::<RefCell<Vec<Bytes>>>::default();
    let keeping = Rc::clone(&kept);
    let (mut reactor, addr) = server(move |_: crocus::Address| Keeper(Rc::clone(&keeping)));
    let mut client = TcpStream::connect(addr).unwrap();
    let region = Region::new(ALLOCATOR);
    for read in 1..=READS {
        client.write_all(&[7; SIZE]).unwrap(); // the kernel has room for it
        while reactor.stats().bytes_read < (read * SIZE) as u64 {
            reactor.turn(None).unwrap();
        }
    }
    assert!(kept.borrow().len() >= READS, "all that comes is kept");
    let most = in_use(&region.change());
    assert!(most > READS * 256 * 1024, "{most} bytes: each read has a buffer of its own");
    kept.take();
    for _ in 0..QUIET_TURNS {
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    let rest = in_use(&region.change());
    assert!(rest < 2 * 256 * 1024, "{rest} bytes: one read buffer, and little else");
    println!("test the_buffers_of_bytes_that_were_kept_are_given_back ... ok");
}

/// Bytes that were allocated and not freed.
fn in_use(change: &Stats) -> usize {
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

/// Reaches its connection by way of the reactor that it lends.
struct Borrower;

impl Protocol for Borrower {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let id = transport.id();
        transport.reactor().lend(|| {
            Reactor::with_lent(|reactor| reactor.transport(id).unwrap().write(data)).unwrap()
        });
    }
}

fn an_echo_allocates_nothing(name: &str, factory: impl Factory + 'static) {
    let (mut reactor, addr) = server(factory);
    let mut clients: Vec<TcpStream> = connect(addr, CONNECTIONS);

    exchange(&mut reactor, &mut clients, 20);
    let before = reactor.stats();
    let region = Region::new(ALLOCATOR);
    exchange(&mut reactor, &mut clients, MESSAGES);
    let change = region.change();
    let callbacks = reactor.stats().callbacks - before.callbacks;

    assert!(callbacks >= (CONNECTIONS * MESSAGES) as u64, "{callbacks} callbacks");
    nothing(&format!("steady_state_of_{name}_allocates_nothing"), change);
}

/// The ring is full after the first exchange. One listener is left out, so that each notice is sifted.
fn an_echo_under_a_full_recorder_allocates_nothing() {
    let (mut reactor, addr) = server(|_| Echo);
    let recorder = Rc::new(RefCell::new(Recorder::new(100)));
    reactor.set_observer(Some(Box::new(Rc::clone(&recorder))));
    let page = reactor.listen("127.0.0.1:0", |_| Greet).unwrap();
    for (name, sifts) in [("a_full_recorder", false), ("one_that_leaves_out", true)] {
        if sifts {
            recorder.borrow_mut().leave_out(Subject::Listener(page));
        }
        let mut clients = connect(addr, CONNECTIONS);
        exchange(&mut reactor, &mut clients, 20);
        let before = recorder.borrow().count();
        let region = Region::new(ALLOCATOR);
        exchange(&mut reactor, &mut clients, MESSAGES);
        let change = region.change();
        let recorded = recorder.borrow().count() - before;
        assert!(recorded >= (6 * CONNECTIONS * MESSAGES) as u64, "{recorded} notices");
        nothing(&format!("an_echo_under_{name}_allocates_nothing"), change);
    }
}

fn a_datagram_echo_allocates_nothing() {
    let mut reactor = patient_reactor();
    let id = reactor.listen_udp("127.0.0.1:0", Echo).unwrap();
    let addr = reactor.datagram(id).unwrap().local_addr();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(addr).unwrap();
    let change = once_warm(|| {
        client.send(&[7; 64]).unwrap();
        let wanted = reactor.stats().datagrams_sent + 1;
        while reactor.stats().datagrams_sent < wanted {
            reactor.turn(None).unwrap();
        }
        let mut back = [0; 65];
        assert_eq!(client.recv(&mut back).unwrap(), 64);
        assert_eq!(back[..64], [7; 64]);
    });
    nothing("steady_state_of_a_datagram_echo_allocates_nothing", change);
}

fn a_broadcast_allocates_nothing(name: &str, message: Option<Bytes>, size: usize) {
    let all = Rc::new(RefCell::new(Vec::new()));
    let audience = Rc::clone(&all);
    let (mut reactor, addr) = server(move |_| Speaker(Rc::clone(&audience), message.clone()));
    let mut clients = connect(addr, AUDIENCE);
    while all.borrow().len() < AUDIENCE {
        reactor.turn(None).unwrap();
    }
    let change = once_warm(|| {
        clients[0].write_all(&[7; 64]).unwrap();
        turn_until_written(&mut reactor, size * AUDIENCE);
        for client in &mut clients {
            let mut heard = [0; SHARED];
            client.read_exact(&mut heard[..size]).unwrap();
            assert_eq!(heard[..size], [7; SHARED][..size]);
        }
    });
    nothing(&format!("steady_state_of_{name}_allocates_nothing"), change);
}

fn a_sender_that_is_pulled_allocates_nothing() {
    let (mut reactor, addr) = server(|_| Sender);
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut taken = vec![0; 1024 * 1024];
    let change = once_warm(|| {
        let mut left = taken.len();
        while left > 0 {
            reactor.turn(Some(MILLISECOND)).unwrap();
            match client.read(&mut taken[..left]) {
                Ok(count) => left -= count,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    });
    nothing("steady_state_of_a_sender_that_is_pulled_allocates_nothing", change);
}

/// Idle timeouts come and are set again, too, and a timer ticks.
fn timers_allocate_nothing() {
    let (mut reactor, addr) = server(|_| Busy::default());
    let mut clients = connect(addr, CONNECTIONS);
    reactor.call_every(MILLISECOND, |_, _| {});
    for _ in 0..3 {
        exchange(&mut reactor, &mut clients, 1);
        thread::sleep(3 * MILLISECOND); // all that can be due at once is due in the next turn
    }
    let before = reactor.stats().timers;
    let change = once_warm(|| {
        exchange(&mut reactor, &mut clients, 1);
        let fired = reactor.stats().timers;
        while reactor.stats().timers == fired {
            reactor.turn(None).unwrap();
        }
    });
    assert!(reactor.stats().timers - before >= MESSAGES as u64);
    nothing("steady_state_of_timers_allocates_nothing", change);
}

/// Of two types, in turn. Queues that were longer than 1,024 give memory back once they are empty.
fn calls_of_threads_allocate_nothing() {
    const CALLS: usize = 1_000;
    let mut reactor = patient_reactor();
    let sum = Arc::<AtomicUsize>::default();
    let (handle, named) = (reactor.handle(), reactor.handle().named("sum"));
    let before = reactor.stats().calls;
    let change = once_warm(|| {
        for number in 0..CALLS / 2 {
            let one = Arc::clone(&sum);
            handle.call_from_thread(move |_| {
                one.fetch_add(number, Ordering::Relaxed);
            });
            let (other, numbers) = (Arc::clone(&sum), [number, 1, 2]);
            named.call_from_thread(move |_| {
                other.fetch_add(numbers.iter().sum(), Ordering::Relaxed);
            });
        }
        while !reactor.turn(Some(Duration::ZERO)).unwrap().is_idle() {}
    });
    assert_eq!(reactor.stats().calls - before, ((20 + MESSAGES) * CALLS) as u64);
    nothing("steady_state_of_calls_of_threads_allocates_nothing", change);
}

fn a_connection_that_is_greeted_and_closed_allocates_nothing() {
    let change = one_by_one(b"", |_| Greet);
    nothing("a_connection_that_is_greeted_and_closed_allocates_nothing", change);
}

fn a_connection_that_the_peer_closes_allocates_nothing() {
    let change = one_by_one(b"hello?", |_| AnswerOnly);
    nothing("a_connection_that_the_peer_closes_allocates_nothing", change);
}

/// It lingers, and has a record of the end of that, which most connections do without.
fn a_connection_that_is_answered_and_closed_allocates_nothing() {
    let change = one_by_one(b"hello?", |_| Answer);
    nothing("a_connection_that_is_answered_and_closed_allocates_nothing", change);
}

/// Two gigabytes are announced, and some bytes of them come.
fn a_length_that_lies_allocates_nothing_ahead() {
    let mut decoder = Decoder::new(LengthPrefixed::u32().max_length(usize::MAX));
    let region = Region::new(ALLOCATOR);
    assert_eq!(decoder.feed(b"\x80\0\0\0some").next_frame(), None);
    let change = region.change();
    assert!(change.bytes_allocated < 100, "{change:?}");
    println!("test a_length_that_lies_allocates_nothing_ahead ... ok");
}

fn nothing(name: &str, change: Stats) {
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{name}: {change:?}");
    println!("test {name} ... ok");
}

/// Counts the allocations of all rounds after the first twenty.
fn once_warm(mut round: impl FnMut()) -> Stats {
    (0..20).for_each(|_| round());
    let region = Region::new(ALLOCATOR);
    (0..MESSAGES).for_each(|_| round());
    region.change()
}

/// Clients come one after another. Each asks, hears an answer, and is gone.
fn one_by_one(question: &[u8], factory: impl Factory + 'static) -> Stats {
    let (mut reactor, addr) = server(factory);
    once_warm(|| {
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(question).unwrap();
        let closed = reactor.stats().closed;
        turn_until_written(&mut reactor, 5);
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        drop(client);
        while reactor.stats().closed == closed {
            reactor.turn(None).unwrap();
        }
    })
}

/// A reactor that calls nothing slow. On a busy machine any callback may be, and the warning allocates.
fn patient_reactor() -> Reactor {
    Reactor::builder().slow_callback(Some(60 * MINUTE)).build().unwrap()
}

fn server(factory: impl Factory + 'static) -> (Reactor, SocketAddr) {
    let mut reactor = patient_reactor();
    let listener = reactor.listen("127.0.0.1:0", factory).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    (reactor, addr)
}

fn connect(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(addr).unwrap()).collect()
}

fn turn_until_written(reactor: &mut Reactor, bytes: usize) {
    let written = reactor.stats().bytes_written + bytes as u64;
    while reactor.stats().bytes_written < written {
        reactor.turn(None).unwrap();
    }
}

/// Every client sends a message and gets it back, again and again. It is two lines, and comes in two
/// halves, so that the second line is cut.
fn exchange(reactor: &mut Reactor, clients: &mut [TcpStream], rounds: usize) {
    let mut back = [0; 64];
    for round in 0..rounds {
        let mut message = [round as u8 | 128; 64];
        (message[9], message[63]) = (b'\n', b'\n');
        let written = reactor.stats().bytes_written + (clients.len() * message.len()) as u64;
        for half in message.chunks(32) {
            let read = reactor.stats().bytes_read + (clients.len() * half.len()) as u64;
            for client in &mut *clients {
                client.write_all(half).unwrap();
            }
            while reactor.stats().bytes_read < read {
                reactor.turn(None).unwrap();
            }
        }
        while reactor.stats().bytes_written < written {
            reactor.turn(None).unwrap();
        }
        for client in &mut *clients {
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, message);
        }
    }
}
