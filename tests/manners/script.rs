//! The small language of the scenarios, and how a scenario is performed.
//!
//! Steps are separated by `;`. In all of them `s` is the protocol of the reactor, and `c` the far end, which
//! the test holds.
//!
//! | step | does |
//! |---|---|
//! | `serve tcp`, `serve unix` | the reactor listens, and `c` connects |
//! | `reach` | the reactor connects to a listener outside, and `c` is what it accepts |
//! | … `half` | `s` goes on after the end of `c`; else it closes |
//! | `c send 5`, `c fin`, `c close`, `c reset` | |
//! | `c read` | takes what is there, and says how the stream ended, if it did |
//! | `c drain` | reads while the reactor turns, until nothing more comes |
//! | `s write 5`, `s fin`, `s close`, `s abort`, `s pause`, `s resume` | |
//! | `settle` | the reactor turns until everything rests |
//! | `listen A 127.0.0.1:0`, `stop A` | another listener of the reactor, or its end |
//! | … `backlog 1`, `share`, `v6only` | its options; `paused` makes it accept nothing; `half` as above |
//! | `port X` | a free port, as `$X` |
//! | `connect B 127.0.0.1:$A` | another connection of the reactor's; `$A` is the port of A |
//! | … `from 127.0.0.1:$B` | its local address; `alone` shares it with nobody, `share` as above |
//! | `close B`, `abort B` | ends it, or the newest connection of a listener |
//! | `bind U 127.0.0.1:0`, `unbind U` | a datagram socket of the reactor |
//! | … `broadcast`, `reuse`, `share`, `v6only` | its options |
//! | `send U 127.0.0.1:$V 5`, `join U 127.0.0.1:$V`, `send U 5` | a datagram, a peer, a datagram to the peer |
//!
//! `$PATH` is the path of a Unix socket, in a folder of the scenario's own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{
    Connect, ConnectionId, DatagramId, Datagrams, Endpoint, Listen, ListenerId, SocketOptions,
    Transport,
};

use crate::far::{Far, Met, Outside};
use crate::near::{Mailbox, Maker, Seen};
use crate::util::{Folder, World};

/// How often the reactor turns once more, so that a late call of anything shows.
const MORE_TURNS: usize = 2;

/// One step, and what was seen in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub what: String,
    pub seen: Vec<String>,
}

/// The lines that each step of a scenario is to show, and how long it waits for them.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub steps: &'a [Step],
    pub patience: Duration,
}

/// Performs a scenario; on real sockets it waits for what is expected.
pub fn perform(scenario: &str, world: World, expected: Option<Expected<'_>>) -> Vec<Step> {
    let mut stage = Stage::new(world);
    stage.patience = expected.map_or(Duration::ZERO, |expected| expected.patience);
    let mut steps = Vec::new();
    for (number, what) in scenario.split(';').map(str::trim).enumerate() {
        stage.expected = expected.map(|expected| expected.steps[number].seen.clone());
        stage.step(what);
        let step = Step { what: what.to_owned(), seen: stage.plain_lines() };
        stage.seen.clear();
        let different = stage.expected.as_ref().is_some_and(|expected| *expected != step.seen);
        steps.push(step);
        if different {
            break; // what follows means nothing
        }
    }
    steps
}

enum Thing {
    Listener(ListenerId, Rc<Cell<Option<ConnectionId>>>),
    Connection(Rc<Cell<Option<ConnectionId>>>),
    Datagrams(DatagramId),
}

struct Stage {
    world: World,
    seen: Seen,
    folder: Folder,
    far: Option<Far>,
    met: Met,
    outside: Option<Outside>,
    /// The connection of `s`.
    near: Rc<Cell<Option<ConnectionId>>>,
    things: BTreeMap<String, Thing>,
    ports: BTreeMap<String, u16>,
    expected: Option<Vec<String>>,
    patience: Duration,
}

impl Stage {
    fn new(world: World) -> Self {
        Self {
            world,
            seen: Seen::default(),
            folder: Folder::new(),
            far: None,
            met: Met::default(),
            outside: None,
            near: Rc::default(),
            things: BTreeMap::new(),
            ports: BTreeMap::new(),
            expected: None,
            patience: Duration::ZERO,
        }
    }

    fn step(&mut self, what: &str) {
        let words: Vec<String> = what.split_whitespace().map(|word| self.place(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["settle"] => self.settle(),
            ["serve", kind, ref options @ ..] => self.serve(kind, options.contains(&"half")),
            ["reach", ref options @ ..] => self.reach(options.contains(&"half")),
            ["c", ref action @ ..] => self.far(action),
            ["s", ref action @ ..] => self.near(action),
            ["listen", name, at, ref options @ ..] => self.listen(name, at, options),
            ["stop", name] => self.stop(name),
            ["port", name] => self.port(name),
            ["connect", name, to] => self.connect(name, Connect::to(to)),
            ["connect", name, to, "from", from, ref options @ ..] => {
                let place = Connect::to(to).local_addr(from.parse::<SocketAddr>().unwrap());
                self.connect(name, place.socket(socket_options(options)));
            }
            ["close", name] => self.end(name, |it| it.lose_connection()),
            ["abort", name] => self.end(name, |it| it.abort_connection()),
            ["bind", name, at, ref options @ ..] => self.bind(name, at, options),
            ["unbind", name] => self.unbind(name),
            ["send", name, to, count] => self.send(name, Some(to), number(count)),
            ["send", name, count] => self.send(name, None, number(count)),
            ["join", name, to] => self.join(name, to),
            _ => panic!("no such step: {what}"),
        }
    }

    /// A word with the ports and paths that it names.
    fn place(&self, word: &str) -> String {
        let mut word = word.replace("$PATH", &self.folder.path().display().to_string());
        let abstract_name = format!("crocus-{}", self.folder.path().display());
        word = word.replace("$NAME", &abstract_name);
        for (name, port) in &self.ports {
            word = word.replace(&format!("${name}"), &port.to_string());
        }
        word
    }

    /// The things seen in this step, with names instead of ports and paths.
    fn plain_lines(&self) -> Vec<String> {
        self.seen.lines().iter().map(|line| self.plain(line)).collect()
    }

    fn plain(&self, line: &str) -> String {
        let abstract_name = format!("crocus-{}", self.folder.path().display());
        let line = line.replace(&abstract_name, "$NAME");
        let line = line.replace(&self.folder.path().display().to_string(), "$PATH");
        let mut pieces = line.split(':');
        let mut plain = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = piece.split_at(digits);
            let known = self.ports.iter().find(|(_, known)| known.to_string() == port);
            let name = match (port.len(), known) {
                (_, Some((name, _))) => format!("${name}"),
                (5, None) => "*".to_owned(), // one that the system chose
                _ => port.to_owned(),
            };
            plain.push_str(&format!(":{name}{rest}"));
        }
        plain
    }

    fn maker(&self, name: &str, half: bool, id: &Rc<Cell<Option<ConnectionId>>>) -> Maker {
        Maker { name: name.to_owned(), seen: self.seen.clone(), half, id: Rc::clone(id) }
    }

    // One connection.

    fn serve(&mut self, kind: &str, half: bool) {
        let maker = self.maker("s", half, &self.near);
        let unix = kind == "unix";
        let at = if unix { self.place("unix:$PATH") } else { "127.0.0.1:0".to_owned() };
        let id = self.world.reactor().listen(at.as_str(), maker).unwrap();
        let addr = self.world.reactor().local_addr(id).unwrap();
        if let Some(port) = addr.port() {
            self.ports.insert("S".to_owned(), port);
        }
        self.far = Some(match &mut self.world {
            World::Simulated(simulation) => Far::Simulated(simulation.dial(&addr)),
            World::Real(_) if unix => Far::unix(UnixStream::connect(self.folder.path()).unwrap()),
            World::Real(_) => Far::tcp(TcpStream::connect(addr.socket_addr().unwrap()).unwrap()),
        });
    }

    fn reach(&mut self, half: bool) {
        let outside = match &mut self.world {
            World::Simulated(simulation) => {
                Outside::Simulated(simulation.listen("127.0.0.1:0").unwrap())
            }
            World::Real(_) => Outside::Real(TcpListener::bind("127.0.0.1:0").unwrap()),
        };
        let addr = match &outside {
            Outside::Real(listener) => listener.local_addr().unwrap(),
            Outside::Simulated(listener) => listener.addr(),
        };
        self.ports.insert("S".to_owned(), addr.port());
        let maker = self.maker("s", half, &self.near);
        self.world.reactor().connect(addr, maker);
        let near = Rc::clone(&self.near);
        self.world.until("the connection", |_| near.get().is_some());
        self.outside = Some(outside);
        let outside = &mut self.outside;
        self.world.until("the far end", |_| {
            self.far = outside.as_mut().and_then(Outside::accept);
            self.far.is_some()
        });
    }

    fn far(&mut self, action: &[&str]) {
        let Some(far) = &mut self.far else { return self.seen.push("c is gone".to_owned()) };
        match action {
            ["send", count] => {
                let sent = far.send(number(count), &mut self.met);
                self.seen.push(format!("c sent {sent}"));
            }
            ["fin"] => far.close_write(),
            ["read"] => self.read(false),
            ["drain"] => self.read(true),
            ["close"] => self.far = None,
            ["reset"] => self.far.take().unwrap().reset(),
            _ => panic!("c cannot {action:?}"),
        }
    }

    fn near(&mut self, action: &[&str]) {
        let transport = self.near.get().and_then(|id| self.world.reactor().transport(id));
        let Some(mut transport) = transport else { return self.seen.push("s is gone".to_owned()) };
        match action {
            ["write", count] => {
                if !transport.write(&vec![b's'; number(count)]) {
                    self.seen.push("s write refused".to_owned());
                }
            }
            ["fin"] => transport.lose_write_connection(),
            ["close"] => transport.lose_connection(),
            ["abort"] => transport.abort_connection(),
            ["pause"] => transport.pause_reading(),
            ["resume"] => transport.resume_reading(),
            _ => panic!("s cannot {action:?}"),
        }
    }

    /// Has the far end take what is there. If it drains, the reactor turns meanwhile.
    fn read(&mut self, drain: bool) {
        let begun = Instant::now();
        let mut all = 0;
        loop {
            let Some(far) = &mut self.far else { return };
            let count = far.take(&mut self.met);
            all += count;
            let end = self.met.end.as_deref().unwrap_or("more may come");
            let line = format!("c read {all}, {end}");
            let over = match (&self.expected, &mut self.world) {
                (Some(_), _) => {
                    let mut lines = self.plain_lines();
                    lines.push(line.clone());
                    self.expected.as_ref() == Some(&lines) || begun.elapsed() > self.patience
                }
                (None, World::Simulated(simulation)) if drain => {
                    simulation.settle();
                    count == 0
                }
                (None, _) => true,
            };
            if over {
                return self.seen.push(line);
            }
            if drain {
                self.world.turn();
            }
            std::thread::yield_now();
        }
    }

    /// On real sockets: turns until this step shows what it is to show, and the loopback has delivered
    /// everything.
    fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            match &mut self.world {
                World::Simulated(simulation) => return simulation.settle(),
                World::Real(reactor) => {
                    for _ in 0..MORE_TURNS {
                        ECHO.with_borrow_mut(Echo::make);
                        reactor.turn(Some(Duration::ZERO)).unwrap();
                    }
                }
            }
            let shown = self.expected.as_ref() == Some(&self.plain_lines());
            if shown || begun.elapsed() > self.patience {
                return;
            }
            std::thread::yield_now();
        }
    }

    // Places.

    fn listen(&mut self, name: &str, at: &str, options: &[&str]) {
        let id = Rc::default();
        let maker = self.maker(name, options.contains(&"half"), &id);
        let mut place = Listen::at(at).socket(socket_options(options));
        if let Some(at) = options.iter().position(|word| *word == "backlog") {
            place = place.backlog(options[at + 1].parse().unwrap());
        }
        match self.world.reactor().listen(place, maker) {
            Ok(listener) => {
                if options.contains(&"paused") {
                    self.world.reactor().pause_accepting(listener);
                }
                let addr = self.world.reactor().local_addr(listener).unwrap();
                if let Some(port) = addr.port() {
                    self.ports.insert(name.to_owned(), port);
                }
                self.things.insert(name.to_owned(), Thing::Listener(listener, id));
                self.seen.push(format!("{name} listens at {addr}"));
            }
            Err(error) => self.seen.push(format!("{name}: {error}, {:?}", error.kind())),
        }
    }

    fn stop(&mut self, name: &str) {
        let Some(Thing::Listener(id, _)) = self.things.remove(name) else { panic!("{name}?") };
        self.world.reactor().stop_listening(id);
    }

    fn port(&mut self, name: &str) {
        let maker = self.maker(name, false, &Rc::default());
        let reactor = self.world.reactor();
        let id = reactor.listen("127.0.0.1:0", maker).unwrap();
        let port = reactor.local_addr(id).unwrap().port().expect("it is TCP");
        reactor.stop_listening(id);
        self.ports.insert(name.to_owned(), port);
    }

    fn connect(&mut self, name: &str, place: Connect) {
        let id = Rc::default();
        let maker = self.maker(name, false, &id);
        self.world.reactor().connect(place, maker);
        self.things.insert(name.to_owned(), Thing::Connection(id));
    }

    fn end(&mut self, name: &str, how: fn(&mut Transport<'_>)) {
        let Some(Thing::Connection(id) | Thing::Listener(_, id)) = self.things.get(name) else {
            panic!("{name}?")
        };
        let id = id.get().expect("it is connected");
        if let Some(mut transport) = self.world.reactor().transport(id) {
            how(&mut transport);
        }
    }

    fn bind(&mut self, name: &str, at: &str, options: &[&str]) {
        let mailbox = Mailbox { name: name.to_owned(), seen: self.seen.clone() };
        let place = Datagrams::at(at).socket(socket_options(options));
        match self.world.reactor().listen_udp(place, mailbox) {
            Ok(id) => {
                let addr = self.world.reactor().datagram(id).unwrap().local_addr();
                self.ports.insert(name.to_owned(), addr.port());
                self.things.insert(name.to_owned(), Thing::Datagrams(id));
                self.seen.push(format!("{name} is bound to {addr}"));
            }
            Err(error) => self.seen.push(format!("{name}: {error}, {:?}", error.kind())),
        }
    }

    fn unbind(&mut self, name: &str) {
        let Some(Thing::Datagrams(id)) = self.things.remove(name) else { panic!("{name}?") };
        if let Some(mut socket) = self.world.reactor().datagram(id) {
            socket.stop_listening();
        }
    }

    fn send(&mut self, name: &str, to: Option<&str>, count: usize) {
        let Some(Thing::Datagrams(id)) = self.things.get(name) else { panic!("{name}?") };
        let mut socket = self.world.reactor().datagram(*id).expect("it is there");
        let data = vec![b'd'; count];
        let sent = match to {
            Some(to) => socket.send_to(&data, Endpoint::from(to).socket_addr().unwrap()),
            None => socket.send(&data),
        };
        if let Err(error) = sent {
            self.seen.push(format!("{name}: {error}, {:?}", error.kind()));
        }
    }

    fn join(&mut self, name: &str, to: &str) {
        let Some(Thing::Datagrams(id)) = self.things.get(name) else { panic!("{name}?") };
        let mut socket = self.world.reactor().datagram(*id).expect("it is there");
        match socket.connect(to.parse::<SocketAddr>().unwrap()) {
            Ok(()) => {
                let local = socket.local_addr();
                self.seen.push(format!("{name} is connected from {local}"));
            }
            Err(error) => self.seen.push(format!("{name}: {error}, {:?}", error.kind())),
        }
    }
}

fn number(word: &str) -> usize {
    word.parse().unwrap()
}

fn socket_options(words: &[&str]) -> SocketOptions {
    words.iter().fold(SocketOptions::new(), |options, word| match *word {
        "v6only" => options.v6_only(true),
        "share" => options.reuse_port(true),
        "reuse" => options.reuse_address(true),
        "alone" => options.reuse_address(false),
        "broadcast" => options.broadcast(true),
        _ => options,
    })
}

/// A connection of its own. The loopback delivers in the order of sending, so when a byte has gone there
/// and back, so has all that was sent before.
struct Echo(TcpStream, TcpStream);

thread_local! {
    /// One for all scenarios of a test: each leaves a port in TIME_WAIT, and there are thousands.
    static ECHO: RefCell<Echo> = RefCell::new(Echo::new());
}

impl Echo {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self(near, listener.accept().unwrap().0)
    }

    fn make(&mut self) {
        for _ in 0..2 {
            self.0.write_all(b"x").unwrap();
            self.1.read_exact(&mut [0]).unwrap();
            self.1.write_all(b"x").unwrap();
            self.0.read_exact(&mut [0]).unwrap();
        }
    }
}
