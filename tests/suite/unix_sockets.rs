//! Unix sockets: their paths, and that connections over them are like any other.
#![cfg(unix)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::util::{
    Echo, Folder, Log, Recorder, RecordingClient, World, busy_server, outside, pattern,
};
use crocus::testing::{End, Simulation};
use crocus::{
    Activity, Address, Connect, Listen, Protocol, Reactor, Reason, SocketOptions, Transport,
    UnixAddress,
};

fn listen(world: &mut World, path: &Path) -> std::io::Result<crocus::ListenerId> {
    world.reactor().listen(path, |_| Echo)
}

/// The file of a server that died.
fn leave_dead_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

fn ask(stream: &mut UnixStream, question: &[u8]) -> Vec<u8> {
    stream.write_all(question).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Whether a server echoes at a path.
fn echoes(world: &mut World, path: &Path) -> bool {
    let path = path.to_owned();
    outside(world, move || ask(&mut UnixStream::connect(path).unwrap(), b"hello") == b"hello")
}

mod the_path {
    use super::*;

    /// Twisted's `test_mode`, and what is a race there.
    #[test]
    fn a_socket_has_its_mode_from_the_beginning() {
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let (folder, mut world) = (Folder::new(), World::real());
            let path = folder.path();
            let (seen, done) = (Barrier::new(2), AtomicUsize::new(0));
            thread::scope(|scope| {
                let watcher = scope.spawn(|| {
                    seen.wait();
                    while done.load(Ordering::Relaxed) == 0 {
                        if let Ok(found) = fs::symlink_metadata(&path) {
                            assert!(found.file_type().is_socket());
                            assert_eq!(found.mode() & 0o777, mode);
                            // A client that sees it is served. (The listener may have been stopped since.)
                            match UnixStream::connect(&path) {
                                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
                                Ok(stream) => drop(stream),
                            }
                        }
                    }
                });
                seen.wait();
                for _ in 0..50 {
                    let place = Listen::at(&path).mode(mode);
                    let id = world.reactor().listen(place, |_| Echo).unwrap();
                    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
                    world.turn();
                    assert!(world.reactor().stop_listening(id));
                    world.turn();
                }
                done.store(1, Ordering::Relaxed);
                watcher.join().unwrap();
            });
            assert_eq!(folder.names(), [""; 0]);
        }
    }

    #[test]
    fn without_a_mode_the_umask_decides() {
        let (folder, mut world) = (Folder::new(), World::real());
        listen(&mut world, &folder.path()).unwrap();
        drop(UnixListener::bind(folder.join("other")).unwrap());
        let mode = |name| fs::metadata(folder.join(name)).unwrap().mode();
        assert_eq!(mode("server.sock"), mode("other"));
    }

    /// Twisted's `test_uncleanServerSocketLocking`.
    #[test]
    fn a_path_whose_server_is_gone_is_taken_over() {
        let (folder, mut world) = (Folder::new(), World::real());
        leave_dead_socket(&folder.path());
        listen(&mut world, &folder.path()).unwrap();
        assert_eq!(folder.names(), ["server.sock"]);
        assert!(echoes(&mut world, &folder.path()));
    }

    /// Twisted's `test_socketLocking`.
    #[test]
    fn a_server_that_is_alive_is_left_alone() {
        let (folder, mut world) = (Folder::new(), World::real());
        let path = folder.path();
        let live = UnixListener::bind(&path).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let error = listen(&mut world, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let told = format!("listening at unix:{}: a server is listening there", path.display());
        assert_eq!(error.to_string(), told);
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(folder.names(), ["server.sock"]);
        drop(live.accept().unwrap()); // the question whether it is alive
        let mut client = UnixStream::connect(&path).unwrap();
        let (mut stream, _) = live.accept().unwrap();
        client.write_all(b"still here").unwrap();
        drop(client);
        assert_eq!(std::io::read_to_string(&mut stream).unwrap(), "still here");

        // Our own too, and it goes on.
        drop((live, fs::remove_file(&path).unwrap()));
        listen(&mut world, &path).unwrap();
        assert_eq!(listen(&mut world, &path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(echoes(&mut world, &path));
    }

    #[test]
    fn a_busy_server_or_another_socket_kind_is_alive() {
        let (folder, mut world) = (Folder::new(), World::real());
        let (_busy, _waiting) = busy_server(&folder.path());
        assert_eq!(listen(&mut world, &folder.path()).unwrap_err().kind(), ErrorKind::AddrInUse);
        let path = folder.join("datagrams");
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(listen(&mut world, &path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(folder.names(), ["datagrams", "server.sock"]);
    }

    #[test]
    fn a_file_that_is_no_socket_is_kept() {
        let (folder, mut world) = (Folder::new(), World::real());
        let at = |name: &str| folder.join(name);
        fs::write(at("file"), "precious").unwrap();
        fs::create_dir(at("empty")).unwrap();
        leave_dead_socket(&at("dead"));
        symlink(at("dead"), at("link")).unwrap();
        for name in ["file", "empty", "link"] {
            let error = listen(&mut world, &at(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().ends_with("is no socket, and is kept"), "{error}");
        }
        assert_eq!(folder.names(), ["dead", "empty", "file", "link"]);
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");
    }

    #[test]
    fn of_many_that_start_together_one_has_the_path() {
        const SERVERS: usize = 4;
        let folder = Folder::new();
        let path = folder.path();
        for round in 0..100 {
            if round % 2 == 0 {
                leave_dead_socket(&path);
            }
            let (begin, looked) = (Barrier::new(SERVERS), Barrier::new(SERVERS));
            let listened = || {
                let mut reactor = Reactor::new().unwrap();
                begin.wait();
                let listener = reactor.listen(&path, |_| Echo);
                looked.wait(); // nobody leaves before all have tried
                let addr = listener.as_ref().map(|_| ()).map_err(|error| error.kind());
                (addr, listener.is_ok().then(|| fs::metadata(&path).unwrap().ino()))
            };
            let outcomes: Vec<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..SERVERS).map(|_| scope.spawn(listened)).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let won = outcomes.iter().filter(|(outcome, _)| outcome.is_ok()).count();
            let lost = outcomes.iter().filter(|(outcome, _)| *outcome == Err(ErrorKind::AddrInUse));
            assert_eq!((won, lost.count()), (1, SERVERS - 1), "{outcomes:?}");
            assert_eq!(folder.names(), [""; 0], "the winner has removed its file, all the rest");
        }
    }

    #[test]
    fn leftovers_of_a_killed_start_do_not_hinder() {
        let (folder, mut world) = (Folder::new(), World::real());
        let lock = folder.join(".server.sock.lock");
        for full in [false, true] {
            fs::create_dir(&lock).unwrap();
            if full {
                leave_dead_socket(&lock.join("s"));
            }
            let id = listen(&mut world, &folder.path()).unwrap();
            assert_eq!(folder.names(), ["server.sock"]);
            world.reactor().stop_listening(id);
        }
        // And one that is about to is not disturbed.
        fs::create_dir(&lock).unwrap();
        let _starting = UnixListener::bind(lock.join("s")).unwrap();
        let error = listen(&mut world, &folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().ends_with("another server is starting there at this moment"));
        assert_eq!(folder.names(), [".server.sock.lock"]);
        assert!(lock.join("s").exists());
    }

    #[test]
    fn the_file_goes_with_the_listener_and_with_the_reactor() {
        let (folder, mut world) = (Folder::new(), World::real());
        let id = listen(&mut world, &folder.path()).unwrap();
        assert_eq!(folder.names(), ["server.sock"]);
        assert!(world.reactor().stop_listening(id));
        assert_eq!(folder.names(), [""; 0], "at once");

        listen(&mut world, &folder.path()).unwrap();
        world.reactor().shutdown(Duration::ZERO);
        world.run().unwrap();
        assert_eq!(folder.names(), [""; 0]);

        listen(&mut world, &folder.path()).unwrap();
        drop(world);
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_another_s_by_now_stays() {
        let (folder, mut world) = (Folder::new(), World::real());
        let path = folder.path();
        let id = listen(&mut world, &path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        world.reactor().stop_listening(id);
        assert_eq!(folder.names(), ["server.sock"]);

        let second = folder.join("second");
        let id = listen(&mut world, &second).unwrap();
        fs::remove_file(&second).unwrap();
        fs::write(&second, "precious").unwrap();
        world.reactor().stop_listening(id);
        assert_eq!(fs::read_to_string(&second).unwrap(), "precious");
    }

    #[test]
    fn impossible_paths_fail_at_once_and_leave_nothing() {
        let (folder, mut world) = (Folder::new(), World::real());
        let name = |len: usize| "x".repeat(len - folder.as_os_str().len() - 1);
        if cfg!(target_os = "linux") {
            let id = listen(&mut world, &folder.join(name(107))).unwrap();
            world.reactor().stop_listening(id);
            let error = listen(&mut world, &folder.join(name(108))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let told = "the path is 108 bytes long, and no more than 107 fit";
            assert!(error.to_string().ends_with(told), "{error}");
        }
        for (path, kind) in [
            (PathBuf::new(), ErrorKind::InvalidInput),
            (folder.join(".."), ErrorKind::InvalidInput),
            (folder.join("no/such"), ErrorKind::NotFound),
        ] {
            assert_eq!(listen(&mut world, &path).unwrap_err().kind(), kind, "{path:?}");
        }
        let place = Listen::at(folder.path()).socket(SocketOptions::new().reuse_port(true));
        let error = world.reactor().listen(place, |_| Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(folder.names(), [""; 0]);
    }

    /// The socket in its private folder beside such a path has a path that no system call takes.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_path_may_be_as_long_as_the_kernel_takes() {
        for length in 98..=107 {
            let (folder, mut world) = (Folder::new(), World::real());
            let path = folder.join("x".repeat(length - folder.as_os_str().len() - 1));
            leave_dead_socket(&path);
            let id = listen(&mut world, &path).unwrap();
            assert!(echoes(&mut world, &path), "{length}");
            let log = Log::new();
            let seen = log.clone();
            world.reactor().connect(&path, move |peer: Address| {
                seen.push(peer.to_string());
                Recorder::new(&seen, "c")
            });
            world.until("our own connection", |_| log.has("c made"));
            assert!(log.has(&Address::Unix(UnixAddress::from(&path)).to_string()));
            let error = listen(&mut world, &path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{length}");
            assert_eq!(folder.names().len(), 1, "{length}");
            world.reactor().stop_listening(id);
            assert_eq!(folder.names(), [""; 0]);
        }
    }

    /// A lock of a server that was killed while it started, at a path of the greatest length.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_lock_left_behind_beside_a_long_path_is_broken() {
        let (folder, mut world) = (Folder::new(), World::real());
        let name = "x".repeat(107 - folder.as_os_str().len() - 1);
        let lock = folder.join(format!(".{name}.lock"));
        fs::create_dir(&lock).unwrap();
        leave_dead_socket(&folder.join("s"));
        fs::rename(folder.join("s"), lock.join("s")).unwrap();
        listen(&mut world, &folder.join(&name)).unwrap();
        assert!(echoes(&mut world, &folder.join(&name)));
        assert_eq!(folder.names(), [name]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_has_no_file_and_frees_itself() {
        let mut world = World::real();
        let name = UnixAddress::abstract_name(format!("crocus-{}", std::process::id()));
        let id = world.reactor().listen(name.clone(), |_| Echo).unwrap();
        assert_eq!(world.reactor().local_addr(id), Some(Address::Unix(name.clone())));
        let error = world.reactor().listen(name.clone(), |_| Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let log = Log::new();
        let seen = log.clone();
        world.reactor().connect(name.clone(), move |peer: Address| {
            seen.push(peer.to_string());
            Recorder::new(&seen, "c").on_made(|transport| transport.lose_connection())
        });
        world.until("the loss", |_| log.has("c lost Closed"));
        assert_eq!(log.lines()[0], name.to_string());
        world.reactor().stop_listening(id);
        world.reactor().listen(name, |_| Echo).unwrap();
    }
}

mod connecting {
    use super::*;

    both! {
        fn both_ends_know_each_other_by_the_path(world) {
            let folder = Folder::new();
            let path = folder.path();
            let log = Log::new();
            let (server, client) = (log.clone(), log.clone());
            let address = Address::Unix(UnixAddress::from(&path));
            let place = Listen::at(&path).mode(0o600).socket(SocketOptions::new().send_buffer(65536).keep_alive(Duration::MAX));
            let local = address.clone();
            let id = world.reactor().listen(place, move |peer: Address| {
                server.push(format!("from {peer}"));
                let (peer, local) = (peer, local.clone());
                Recorder::new(&server, "s").with_data().on_made(move |transport| {
                    assert_eq!(transport.peer_addr(), &peer);
                    if let Ok(Address::Unix(found)) = transport.local_addr() {
                        assert_eq!(Address::Unix(found), local);
                    }
                })
            }).unwrap();
            assert_eq!(world.reactor().local_addr(id), Some(address.clone()));
            let told = address.clone();
            world.reactor().connect(&path, move |peer: Address| {
                assert_eq!(peer, told);
                Recorder::new(&client, "c").on_made(|transport| {
                    transport.write(b"hello");
                    transport.lose_connection();
                })
            });
            world.until("both to end", |_| log.count("s lost") + log.count("c lost") == 2);
            let server: Vec<_> =
                log.lines().into_iter().filter(|line| !line.starts_with("c ")).collect();
            let unnamed = "from unix:(unnamed)";
            assert_eq!(server, [unnamed, "s made", "s data hello", "s eof", "s lost PeerClosed"]);
        }
    }

    both! {
        /// Twisted's `test_connectToUncleanServer`.
        fn a_missing_path_is_told_by_the_loop(world) {
            let folder = Folder::new();
            let log = Log::new();
            let client = RecordingClient::new(&log, "c", |_| None);
            world.reactor().connect(folder.path(), client);
            assert_eq!(log.len(), 0);
            world.until("the outcome", |_| log.has("c failed Failed(NotFound)"));
            world.quiet();
            assert_eq!(log.len(), 1);
        }
    }

    #[test]
    fn a_server_that_is_gone_refuses() {
        let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
        leave_dead_socket(&folder.path());
        let client = RecordingClient::new(&log, "c", |_| None).on_failed(|connector, reason| {
            let Reason::Failed { activity, error } = reason else { panic!("{reason}") };
            assert_eq!(
                (*activity, error.raw_os_error()),
                (Activity::Connecting, Some(libc_refused()))
            );
            assert!(connector.endpoint().to_string().starts_with("unix:/"));
        });
        world.reactor().connect(folder.path(), client);
        world.until("the outcome", |_| log.has("c failed Failed(ConnectionRefused)"));
        let place = Connect::to(folder.path()).local_addr(([127, 0, 0, 1], 0).into());
        let client = RecordingClient::new(&log, "d", |_| None);
        world.reactor().connect(place, client);
        world.until("the outcome", |_| log.has("d failed Failed(InvalidInput)"));
    }

    fn libc_refused() -> i32 {
        let folder = Folder::new();
        leave_dead_socket(&folder.path());
        UnixStream::connect(folder.path()).unwrap_err().raw_os_error().unwrap()
    }

    /// connect(2) does not wait here, as with TCP: it says EAGAIN, and no event follows.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_busy_server_is_asked_again_until_it_accepts() {
        let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
        let (busy, waiting) = busy_server(&folder.path());
        let seen = log.clone();
        world.reactor().connect(folder.path(), move |_| Recorder::new(&seen, "c"));
        let before = world.reactor().stats().turns;
        world.pass(Duration::from_millis(200));
        assert_eq!(log.len(), 0, "it waits");
        let turns = world.reactor().stats().turns - before;
        assert!(turns < 50, "{turns} turns: it spins");
        for _ in &waiting {
            drop(busy.accept().unwrap());
        }
        world.until("the connection", |_| log.has("c made"));
        world.reactor().stop();
        world.turn();
        assert_eq!(log.lines(), ["c made", "c lost Stopped"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_server_that_stays_busy_is_given_up() {
        let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
        let (_busy, _waiting) = busy_server(&folder.path());
        let place = Connect::to(folder.path()).timeout(Duration::from_millis(50));
        for name in ["timed out", "timed out again", "cancelled"] {
            let client = RecordingClient::new(&log, name, |_| None);
            if name == "cancelled" {
                let id = world.reactor().connect(folder.path(), client);
                world.quiet();
                assert!(world.reactor().cancel_connect(id));
            } else {
                world.reactor().connect(place.clone(), client);
            }
        }
        world.run().unwrap();
        let mut lines = log.take();
        lines.sort();
        let timed_out = "timed out again failed ConnectTimedOut";
        let expected =
            ["cancelled failed Cancelled", timed_out, "timed out failed ConnectTimedOut"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn sockets_are_taken_over() {
        let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
        let path = folder.path();
        let listener = UnixListener::bind(&path).unwrap();
        let id = world.reactor().listen(listener, |_| Echo).unwrap();
        assert_eq!(world.reactor().local_addr(id), Some(Address::Unix((&path).into())));
        assert!(echoes(&mut world, &path));
        world.reactor().stop_listening(id);
        assert_eq!(folder.names(), ["server.sock"], "it is not ours");

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let seen = Recorder::new(&log, "a").with_data();
        let id = world.reactor().adopt(ours, seen).unwrap();
        world.turn();
        assert!(world.reactor().transport(id).unwrap().write(b"pair"));
        theirs.write_all(b"hello").unwrap();
        world.until("the data", |_| log.has("a data hello"));
        let mut got = [0; 4];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"pair");
        drop(theirs);
        world.until("the loss", |_| log.has("a lost PeerClosed"));
    }
}

mod connections {
    use super::*;

    #[test]
    fn a_half_closed_client_gets_its_answer() {
        let (folder, mut world) = (Folder::new(), World::real());
        listen(&mut world, &folder.path()).unwrap();
        let (path, all) = (folder.path(), pattern(8 << 20));
        let sent = all.clone();
        let got = outside(&mut world, move || {
            let mut stream = UnixStream::connect(path).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let writer = thread::spawn(move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            writer.join().unwrap();
            got
        });
        assert!(got == all, "{} bytes", got.len());
    }

    #[test]
    fn our_half_is_closed_and_the_other_goes_on() {
        let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
        let seen = log.clone();
        let serve = move |_| {
            Recorder::new(&seen, "a").with_data().on_made(|transport| {
                transport.write(b"first");
                transport.lose_write_connection();
            })
        };
        world.reactor().listen(folder.path(), serve).unwrap();
        let path = folder.path();
        outside(&mut world, move || {
            let mut stream = UnixStream::connect(path).unwrap();
            let mut got = String::new();
            stream.read_to_string(&mut got).unwrap();
            assert_eq!(got, "first");
            stream.write_all(b"then").unwrap();
        });
        world.until("the loss", |_| log.count("a lost") > 0);
        assert_eq!(log.lines()[..3], ["a made", "a data then", "a eof"]);
    }

    /// The kernel answers a close with unread bytes by a reset, and a late write by EPIPE and SIGPIPE.
    #[test]
    fn rude_clients_get_all_and_an_orderly_end() {
        struct Answer;

        impl Protocol for Answer {
            fn connection_made(&mut self, transport: &mut Transport) {
                transport.write(b"answer");
                transport.lose_connection();
            }
        }

        let (folder, mut world) = (Folder::new(), World::real());
        world.reactor().listen(folder.path(), |_| Answer).unwrap();
        for late in [false, true] {
            let path = folder.path();
            outside(&mut world, move || {
                let mut stream = UnixStream::connect(path).unwrap();
                let mut first = [0; 1];
                if late {
                    stream.read_exact(&mut first).unwrap();
                }
                for _ in 0..100 {
                    stream.write_all(&[7; 10_000]).unwrap();
                }
                let mut got = String::new();
                stream.read_to_string(&mut got).unwrap();
                assert_eq!(got, if late { "nswer" } else { "answer" });
            });
        }
        world.until("all to be gone", |world| world.reactor().connections().is_empty());
    }

    #[test]
    fn a_peer_that_left_unread_bytes_is_one_reset() {
        let (mut world, log) = (World::real(), Log::new());
        for writes in [false, true] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let protocol = Recorder::new(&log, "a").on_made(|transport| {
                transport.write(b"unread");
            });
            let id = world.reactor().adopt(ours, protocol).unwrap();
            world.turn();
            drop(theirs);
            if writes {
                world.reactor().transport(id).unwrap().write(b"into the void");
            }
            world.until("the loss", |_| log.count("a lost") > 0);
            world.quiet();
            let lines = log.take();
            assert_eq!(lines[0], "a made");
            let broken = ["a lost Failed(ConnectionReset)", "a lost Failed(BrokenPipe)"];
            assert!(lines.len() == 2 && broken.contains(&&*lines[1]), "{lines:?}");
        }
    }

    #[test]
    fn a_stuck_peer_is_bounded_by_pause_and_resume() {
        let (mut world, log) = (World::real(), Log::new());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let all = pattern(4 << 20);
        let data = all.clone();
        let protocol = Recorder::new(&log, "a").on_made(move |transport| {
            transport.write(&data);
            transport.lose_write_connection();
        });
        world.reactor().adopt(ours, protocol).unwrap();
        world.until("the pressure", |_| log.has("a pause"));
        world.quiet();
        assert!(!log.has("a resume"));
        assert!(world.only().buffered() > 1 << 20);
        let got = outside(&mut world, move || {
            let mut got = Vec::new();
            (&theirs).read_to_end(&mut got).unwrap();
            got
        });
        assert!(got == all, "{} bytes", got.len());
        world.until("the loss", |_| log.count("a lost") > 0);
        assert_eq!(log.lines()[..3], ["a made", "a pause", "a resume"]);
    }

    #[test]
    fn an_abort_ends_at_once_and_tcp_options_fail() {
        let (mut world, log) = (World::real(), Log::new());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let protocol = Recorder::new(&log, "a").on_made(|transport| {
            assert_eq!(transport.no_delay().unwrap_err().kind(), ErrorKind::Unsupported);
            assert_eq!(transport.set_no_delay(true).unwrap_err().kind(), ErrorKind::Unsupported);
            transport.write(b"never sent");
            transport.abort_connection();
        });
        world.reactor().adopt(ours, protocol).unwrap();
        world.turn();
        assert_eq!(log.lines(), ["a made", "a lost Aborted"]);
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "", "there is no reset on Unix sockets");
    }

    /// The kernel calls the socket writable each time the peer reads: no turn for that, of either kind.
    #[test]
    fn an_echo_on_a_unix_socket_takes_one_turn() {
        const ECHOES: u64 = 300;
        struct Echo;
        impl Protocol for Echo {
            fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
                transport.write(data);
            }
        }
        for adopted in [false, true] {
            let mut reactor = Reactor::new().unwrap();
            let folder = Folder::new();
            let path = folder.join("socket");
            let mut client = if adopted {
                let (ours, theirs) = UnixStream::pair().unwrap();
                reactor.adopt(ours, Echo).unwrap();
                theirs
            } else {
                reactor.listen(path.as_path(), |_| Echo).unwrap();
                UnixStream::connect(&path).unwrap()
            };
            let handle = reactor.handle();
            let far = thread::spawn(move || {
                for _ in 0..ECHOES {
                    client.write_all(b"hello").unwrap();
                    client.read_exact(&mut [0; 5]).unwrap();
                }
                assert!(handle.stop());
            });
            reactor.run().unwrap();
            far.join().unwrap();
            let turns = reactor.stats().turns;
            assert!(turns < ECHOES + ECHOES / 4, "{turns} turns, adopted: {adopted}");
        }
    }

    #[test]
    fn a_simulated_reactor_has_paths_that_are_no_files() {
        let mut simulation = Simulation::new();
        let id = simulation.reactor().listen("unix:/no/such/folder", |_| Echo).unwrap();
        let error = simulation.reactor().listen("unix:/no/such/folder", |_| Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let mut peer = simulation.dial(UnixAddress::from("/no/such/folder"));
        simulation.settle();
        peer.send(b"hello");
        peer.close_write();
        simulation.settle();
        assert_eq!((&*peer.received(), peer.end()), (&b"hello"[..], Some(End::Closed)));
        simulation.reactor().stop_listening(id);
        simulation.reactor().listen("unix:/no/such/folder", |_| Echo).unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = simulation.reactor().adopt(ours, Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn reasons_print_the_way_there() {
    let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
    let seen = log.clone();
    let client = RecordingClient::new(&log, "c", |_| None).on_failed(move |connector, reason| {
        seen.push(format!("{} {reason}", connector.endpoint()));
    });
    world.reactor().connect(folder.path(), client);
    world.until("the outcome", |_| log.len() == 2);
    let told = format!("unix:{} connecting: No such file", folder.path().display());
    assert!(log.lines()[1].starts_with(&told), "{:?}", log.lines());
}
