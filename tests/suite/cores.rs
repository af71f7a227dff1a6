//! One reactor per core at one port: all start or none, and they end together.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Folder, HOUR, Watchdog};
use crocus::{Core, Cores, CoresHandle, Notice, Observer, Protocol, Reactor, Reason, Transport};

/// Says which core it lives on, and closes.
struct Name(usize);

impl Protocol for Name {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.write(self.0.to_string().as_bytes());
        transport.lose_connection();
    }
}

fn listen(core: &mut Core<'_>, addr: &str) -> io::Result<()> {
    let index = core.index();
    core.listen(addr, move |_| Name(index)).map(drop)
}

fn ask(addr: SocketAddr) -> String {
    io::read_to_string(TcpStream::connect(addr).unwrap()).unwrap()
}

fn join(cores: Cores) -> io::Result<()> {
    let _watchdog = Watchdog::new("the cores to end");
    cores.join()
}

#[test]
fn the_kernel_spreads_connections_over_cores_at_one_port() {
    const CORES: usize = 3;
    let cores = Cores::start(CORES, |core| {
        listen(core, "127.0.0.1:0")?;
        listen(core, "127.0.0.1:0")
    })
    .unwrap();
    let addresses = cores.addresses().to_vec();
    assert_eq!(addresses.len(), 2, "one port for each call of listen");
    assert_ne!(addresses[0], addresses[1]);
    for addr in addresses {
        let mut answers = BTreeMap::new();
        // With 300 connections one of three gets none in one of 10^52 runs.
        for _ in 0..300 {
            *answers.entry(ask(addr)).or_insert(0) += 1;
        }
        assert!(answers.keys().eq(["0", "1", "2"]), "{answers:?}");
    }
    cores.handle().stop();
    join(cores).unwrap();
}

#[test]
fn each_core_is_set_up_in_its_named_thread() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let cores = Cores::start(3, move |core| {
        let thread = thread::current();
        see.lock().unwrap().push((core.index(), thread.name().unwrap().to_owned(), thread.id()));
        Ok(())
    })
    .unwrap();
    join(cores).unwrap(); // nothing was set up, so they end by themselves
    let seen = seen.lock().unwrap();
    let names: Vec<_> = seen.iter().map(|(index, name, _)| (*index, name.as_str())).collect();
    assert_eq!(names, [(0, "crocus-core-0"), (1, "crocus-core-1"), (2, "crocus-core-2")]);
    assert_eq!(seen.iter().map(|seen| seen.2).collect::<HashSet<_>>().len(), 3);
}

#[test]
fn zero_stands_for_all_processors() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let setup = move |_: &mut Core<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    join(Cores::start(0, setup).unwrap()).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), thread::available_parallelism().unwrap().get());
}

#[test]
fn an_address_in_use_fails_the_start_with_its_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let error = Cores::start(2, move |core| listen(core, &addr)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
}

/// crocus's own: what the first core does not get, the second must not take for something else.
#[test]
fn cores_share_what_they_asked_for_not_the_order_of_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    let cores = Cores::start(3, move |core| {
        if core.index() == 1 {
            // Another order, and more of it than the first one asked for.
            listen(core, "127.0.0.2:0")?;
            listen(core, "127.0.0.1:0")?;
            return listen(core, "127.0.0.2:0");
        }
        listen(core, &in_use).unwrap_err();
        listen(core, "127.0.0.1:0")?;
        listen(core, "127.0.0.2:0")
    })
    .unwrap();
    let places: Vec<_> = cores.addresses().iter().map(|addr| addr.ip().to_string()).collect();
    assert_eq!(places, ["127.0.0.1", "127.0.0.2", "127.0.0.2"]);
    for addr in &cores.addresses()[..2] {
        let answers: HashSet<_> = (0..300).map(|_| ask(*addr)).collect();
        assert_eq!(answers.len(), 3, "all cores listen at {addr}");
    }
    assert_eq!(ask(cores.addresses()[2]), "1");
    cores.handle().stop();
    join(cores).unwrap();
}

/// `reuse_port` alone would let two instances share the connections.
#[test]
fn one_core_alone_listens_at_a_path() {
    let folder = Folder::new();
    let place = format!("unix:{}", folder.path().display());
    let at = place.clone();
    let cores =
        Cores::start(2, move |core| if core.index() == 1 { listen(core, &at) } else { Ok(()) });
    let cores = cores.unwrap();
    let client = UnixStream::connect(folder.path()).unwrap();
    assert_eq!(io::read_to_string(client).unwrap(), "1");
    assert_eq!(cores.addresses(), []);
    cores.handle().stop();
    join(cores).unwrap();

    let error = Cores::start(2, move |core| listen(core, &place)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "a path cannot be shared: {error}");
}

#[test]
fn a_second_instance_at_the_same_port_is_refused() {
    let first = Cores::start(2, |core| listen(core, "127.0.0.1:0")).unwrap();
    let addr = first.addresses()[0].to_string();
    let error = Cores::start(2, move |core| listen(core, &addr)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    ask(first.addresses()[0]); // goes on
}

#[test]
fn a_core_that_cannot_start_stops_all_others() {
    let (told, ends) = mpsc::channel();
    let ports = Arc::new(Mutex::new(None));
    let port = ports.clone();
    let error = Cores::start(4, move |core| {
        if core.index() == 2 {
            return Err(io::Error::other("the third fails"));
        }
        let index = core.index();
        let listener = core.listen("127.0.0.1:0", Dropped(index, told.clone()))?;
        *port.lock().unwrap() = core.reactor().local_addr(listener);
        Ok(())
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "the third fails");
    let mut ends: Vec<usize> = ends.try_iter().collect();
    ends.sort_unstable();
    assert_eq!(ends, [0, 1], "before the start returned");
    let addr = ports.lock().unwrap().take().unwrap().socket_addr().unwrap();
    TcpListener::bind(addr).unwrap();
}

/// A factory that says when it is dropped.
struct Dropped(usize, mpsc::Sender<usize>);

impl crocus::Factory for Dropped {
    fn build_protocol(&mut self, _peer: crocus::Address) -> Option<Box<dyn Protocol>> {
        None
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.1.send(self.0); // at the end nobody may listen
    }
}

#[test]
fn a_panic_in_the_setup_fails_the_start() {
    let setup = |core: &mut Core<'_>| {
        assert_ne!(core.index(), 1, "on purpose");
        listen(core, "127.0.0.1:0")
    };
    let error = Cores::start(3, setup).unwrap_err().to_string();
    assert!(error.contains("crocus-core-1 panicked") && error.contains("on purpose"), "{error}");
}

/// A panic of an observer ends the reactor.
struct PanickingObserver;

impl Observer for PanickingObserver {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        assert!(!matches!(notice, Notice::Opened { .. }), "blown on purpose");
    }
}

#[test]
fn a_later_panic_stops_all_and_join_tells_it() {
    let cores = Cores::start(3, |core| {
        core.reactor().set_observer(Some(Box::new(PanickingObserver)));
        listen(core, "127.0.0.1:0")
    })
    .unwrap();
    let mut stream = TcpStream::connect(cores.addresses()[0]).unwrap();
    let _ = stream.read(&mut [0]); // the end, or a reset
    let error = join(cores).unwrap_err().to_string();
    assert!(error.contains("panicked: blown on purpose"), "{error}");
}

#[test]
fn a_panic_in_a_callback_stops_nobody() {
    struct Bug;
    impl Protocol for Bug {
        fn connection_made(&mut self, _: &mut Transport<'_>) {
            panic!("on purpose");
        }
    }
    let cores = Cores::start(2, |core| {
        core.listen("127.0.0.1:0", |_| Bug)?;
        listen(core, "127.0.0.1:0")
    })
    .unwrap();
    for _ in 0..10 {
        let _ = TcpStream::connect(cores.addresses()[0]).unwrap().read(&mut [0]);
        ask(cores.addresses()[1]);
    }
    cores.handle().stop();
    join(cores).unwrap();
}

#[test]
fn one_that_is_stopped_by_itself_stops_nobody_else() {
    let (told, ended) = mpsc::channel();
    let cores = Cores::start(2, move |core| {
        if core.index() == 0 {
            core.listen("127.0.0.1:0", Dropped(0, told.clone()))?;
            core.reactor().call_soon(Reactor::stop);
            return Ok(());
        }
        listen(core, "127.0.0.1:0")
    })
    .unwrap();
    let _watchdog = Watchdog::new("the first to end");
    assert_eq!(ended.recv(), Ok(0));
    assert_eq!(ask(cores.addresses()[0]), "1");
    cores.handle().stop();
    cores.join().unwrap();
}

/// Holds its connection until it is told to end.
struct Hold;

impl Protocol for Hold {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.write(b"!");
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        transport.write(data);
    }

    fn connection_lost(&mut self, _: &mut Transport<'_>, reason: &Reason) {
        assert!(!matches!(reason, Reason::Panicked { .. }));
    }
}

#[test]
fn a_shutdown_drains_each_and_a_stop_ends_it() {
    let cores = Cores::start(2, |core| core.listen("127.0.0.1:0", |_| Hold).map(drop)).unwrap();
    let addr = cores.addresses()[0];
    let mut clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for client in &mut clients {
        client.read_exact(&mut [0]).unwrap();
    }
    let handle = cores.handle();
    handle.shutdown(HOUR);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "FIN, and not a reset");
    }
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let one = clients.pop();
    drop(clients);
    handle.stop(); // for the one who does not close
    join(cores).unwrap();
    drop(one);
}

#[test]
fn a_call_reaches_each_core_that_has_not_ended() {
    let (tell, told) = mpsc::channel();
    let cores = Cores::start(3, |core| listen(core, "127.0.0.1:0")).unwrap();
    let call = move |_: &mut Reactor| tell.send(thread::current().id()).unwrap();
    let handle = cores.handle();
    assert_eq!(handle.call_on_each(call), 3);
    let _watchdog = Watchdog::new("the calls");
    let threads: HashSet<_> = told.iter().take(3).collect();
    assert_eq!(threads.len(), 3);
    assert!(told.recv().is_err(), "once each");
    handle.stop();
    cores.join().unwrap();
    assert_eq!(handle.call_on_each(|_| {}), 0);
    handle.stop(); // harmless
}

/// From a callback of one reactor to all others, and before all have started.
#[test]
fn an_end_during_the_start_ends_later_cores_too() {
    let cores = Cores::start(3, |core| {
        listen(core, "127.0.0.1:0")?;
        let all: CoresHandle = core.handle();
        if core.index() == 0 {
            all.stop(); // not even this one has started
        }
        Ok(())
    })
    .unwrap();
    join(cores).unwrap();
}

#[test]
fn dropping_them_stops_all_and_waits() {
    let (told, ended) = mpsc::channel();
    let cores = Cores::start(2, move |core| {
        let dropped = Dropped(core.index(), told.clone());
        core.listen("127.0.0.1:0", dropped).map(drop)
    })
    .unwrap();
    let addr = cores.addresses()[0];
    let _watchdog = Watchdog::new("the drop");
    drop(cores);
    assert_eq!(ended.try_iter().count(), 2);
    TcpListener::bind(addr).unwrap();
}

#[test]
fn the_limits_given_are_those_of_each() {
    let limits = Reactor::builder().slow_callback(Some(Duration::ZERO));
    let (tell, told) = mpsc::channel();
    let cores = Cores::start_with(&limits, 2, move |core| {
        let tell = tell.clone();
        core.reactor().call_soon(|reactor| {
            let begin = Instant::now();
            while begin.elapsed().is_zero() {} // so that it takes some time
            reactor.call_soon(move |reactor| {
                tell.send(reactor.stats().slow_callbacks).unwrap();
            });
        });
        Ok(())
    })
    .unwrap();
    join(cores).unwrap();
    assert_eq!(told.iter().collect::<Vec<_>>(), [1, 1]);
}

/// Gives the cores to the first of them, which ends them in a callback. Returns what that gave.
fn ended_by_one_of_them(end: fn(Cores) -> Option<io::Error>) -> Option<io::Error> {
    let _watchdog = Watchdog::new("the cores to end");
    let (over, ends) = mpsc::channel();
    let cores = Cores::start(3, move |core| {
        let over = over.clone();
        core.reactor().on_stop(move |_| over.send(()).unwrap());
        listen(core, "127.0.0.1:0")
    });
    let cores = cores.unwrap();
    let (all, (tell, told)) = (cores.handle(), mpsc::channel());
    let place = Mutex::new(Some(cores));
    all.call_on_each(move |_| {
        // Not held while it ends them: others look whether there is anything to do.
        let cores = place.lock().unwrap().take();
        if let Some(cores) = cores {
            tell.send(end(cores)).unwrap();
        }
    });
    let error = told.recv().unwrap();
    (0..3).for_each(|_| ends.recv().unwrap());
    error
}

#[test]
fn one_of_the_threads_may_drop_them_all() {
    let dropped = ended_by_one_of_them(|cores| {
        drop(cores);
        None
    });
    assert!(dropped.is_none());
}

#[test]
fn one_of_the_threads_cannot_wait_for_itself() {
    let error = ended_by_one_of_them(|cores| cores.join().err());
    assert_eq!(error.unwrap().kind(), ErrorKind::Deadlock);
}
