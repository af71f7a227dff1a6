//! A future that is dropped at any kind of `.await` leaves nothing behind, on real sockets and in the simulation.
//!
//! A program of its own, with one test: it counts the descriptors of the whole process.
//!
//! ```console
//! CROCUS_SEED=17 cargo test --test cancelling -- --nocapture   # one cut again
//! ```
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::cell::Cell;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use crocus::Reactor;
use crocus::futures::*;
use crocus::{Protocol, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt};
use util::{FarListener, HOUR, MS, World, full_server, open_descriptors};

/// How many cuts there are, on real sockets and in the simulation each.
const CUTS: u64 = 1_000;

/// The payload of a panic that is meant to happen.
struct OnPurpose;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

/// The surroundings of the futures: peers, tasks and threads.
struct Place {
    /// Somebody listens there, who neither reads nor closes.
    outside: SocketAddr,
    /// Nobody answers there.
    never: SocketAddr,
    /// Closed at the end of the run, for which a thread waits. In a simulation there is no thread.
    told: Option<Receiver<()>>,
}

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

/// A name, and what comes to an await.
type Kind = (&'static str, fn(Place) -> Waiting);

/// Each kind of await: its name, and a future that comes to it and waits there for ever.
const KINDS: [Kind; 18] = [
    ("connect, without an answer", |place| Box::pin(async move { _ = connect(place.never).await })),
    ("connect, with one", |place| {
        Box::pin(async move { stay(connect(place.outside).await.unwrap()).await })
    }),
    ("accept", |_| Box::pin(async { _ = listen("127.0.0.1:0").unwrap().accept().await })),
    ("accept, with somebody who comes", |_| Box::pin(accept())),
    ("read", |place| {
        Box::pin(async move {
            let mut peer = connect(place.outside).await.unwrap();
            _ = peer.read(&mut [0; 10]).await;
        })
    }),
    ("fill_buf", |place| {
        Box::pin(async move {
            let mut peer = connect(place.outside).await.unwrap();
            _ = peer.fill_buf().await;
        })
    }),
    ("write, above the mark", |place| {
        Box::pin(async move {
            let mut peer = connect(place.outside).await.unwrap();
            loop {
                peer.write_all(&[0; 1 << 20]).await.unwrap();
            }
        })
    }),
    ("flush", |place| {
        Box::pin(async move {
            let mut peer = connect(place.outside).await.unwrap();
            peer.write_all(&[0; 10]).await.unwrap();
            peer.flush().await.unwrap();
            stay(peer).await;
        })
    }),
    ("close, and read on", |place| {
        Box::pin(async move {
            let mut peer = connect(place.outside).await.unwrap();
            peer.write_all(&[0; 10]).await.unwrap();
            peer.close().await.unwrap();
            _ = peer.read(&mut [0; 10]).await;
        })
    }),
    ("sleep", |_| Box::pin(sleep(HOUR))),
    ("timeout", |_| Box::pin(async { _ = timeout(HOUR, sleep(2 * HOUR)).await })),
    ("interval", |_| {
        Box::pin(async {
            let mut ticks = interval(MS);
            for _ in 0..3 {
                ticks.tick().await;
            }
            interval(HOUR).tick().await;
        })
    }),
    ("recv_from", |_| {
        Box::pin(async {
            _ = listen_udp("127.0.0.1:0").unwrap().recv_from(&mut [0; 10]).await;
        })
    }),
    ("send_to", |_| {
        Box::pin(async {
            let (one, other) =
                (listen_udp("127.0.0.1:0").unwrap(), listen_udp("127.0.0.1:0").unwrap());
            let to = other.local_addr().unwrap();
            for _ in 0..20 {
                one.send_to(b"hello", to).await.unwrap();
                other.recv_from(&mut [0; 10]).await.unwrap();
            }
            _ = other.recv_from(&mut [0; 10]).await;
        })
    }),
    ("call_in_thread", |place| {
        Box::pin(async move {
            drop(call_in_thread(move || place.told.map(|told| told.recv())).await);
            pending::<()>().await;
        })
    }),
    ("the end of another task", |_| {
        Box::pin(async {
            _ = (&mut Aborted(spawn_local(sleep(HOUR))).0).await;
        })
    }),
    ("closing", |_| Box::pin(async { drop(closing().await) })),
    ("a connection that was taken over", |_| Box::pin(take_over())),
];

async fn stay(peer: Connection) {
    let _peer = peer;
    pending::<()>().await;
}

async fn accept() {
    let mut incoming = listen("127.0.0.1:0").unwrap();
    let (one, other) = (connect(incoming.local_addr()), connect(incoming.local_addr()));
    let (accepted, connected) = futures_lite::future::zip(incoming.accept(), one).await;
    let _other = other.await.unwrap(); // waits in the queue
    let _both = (accepted.unwrap(), connected.unwrap());
    pending::<()>().await;
}

/// A protocol that leaves its connection to a task, which writes at once.
struct Leaves(Rc<Cell<Option<Connection>>>);

impl Protocol for Leaves {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.0.set(Connection::take_over(transport));
    }
}

async fn take_over() {
    let taken: Rc<Cell<Option<Connection>>> = Rc::default();
    let place = Rc::clone(&taken);
    let id = Reactor::with_lent(|reactor| {
        reactor.listen("127.0.0.1:0", move |_| Leaves(Rc::clone(&place))).unwrap()
    });
    let stops = Stops(id.unwrap());
    let to = Reactor::with_lent(|reactor| reactor.local_addr(stops.0).unwrap()).unwrap();
    let _client = connect(to).await.unwrap();
    let mut peer = loop {
        match taken.take() {
            Some(peer) => break peer,
            None => sleep(MS).await,
        }
    };
    loop {
        peer.write_all(&[0; 1 << 20]).await.unwrap();
    }
}

struct Stops(crocus::ListenerId);

impl Drop for Stops {
    fn drop(&mut self) {
        Reactor::with_lent(|reactor| reactor.stop_listening(self.0));
    }
}

/// A task that is aborted with its owner.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Drops its future when that would be polled once more than this, without a look at what has come.
struct CutAfter(u64, Option<Waiting>);

impl Future for CutAfter {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.0.checked_sub(1) else {
            self.1 = None;
            return Poll::Ready(());
        };
        self.0 = left;
        self.1.as_mut().map_or(Poll::Ready(()), |future| future.as_mut().poll(cx))
    }
}

/// A world with somebody outside, and somebody who never answers.
struct Stage {
    world: World,
    outside: FarListener,
    never: SocketAddr,
    /// The sockets that keep the latter busy.
    _full: Vec<socket2::Socket>,
}

impl Stage {
    fn new(mut world: World) -> Self {
        let outside = world.listen_outside();
        let (full, never) = match &mut world {
            World::Real(_) => full_server(),
            World::Simulated(simulation) => {
                let never = SocketAddr::from(([10, 0, 0, 1], 9));
                simulation.set_blackhole(never);
                (Vec::new(), never)
            }
        };
        Self { world, outside, never, _full: full }
    }

    /// Comes to an await and cuts it there. Returns which kind of await.
    fn cut(&mut self, seed: u64) -> usize {
        let Self { world, outside, never, .. } = self;
        let mut chance = Chance(seed);
        let kind = (seed % KINDS.len() as u64) as usize;
        let (tell, told) = channel();
        let told = world.is_real().then_some(told);
        let place = Place { outside: outside.addr(), never: *never, told };
        let (all, counted): (Rc<()>, Rc<()>) = {
            let all = Rc::default();
            (Rc::clone(&all), all)
        };
        let waiting = KINDS[kind].1(place);
        let waiting: Waiting = Box::pin(async move {
            let _counted = counted;
            waiting.await;
        });
        let way = chance.below(6);
        let (limit, polls) = (chance.millis(4), chance.below(6));
        let future: Waiting = match way {
            0 => Box::pin(async move { _ = timeout(limit, waiting).await }),
            1 => Box::pin(CutAfter(polls, Some(waiting))),
            2 => Box::pin(waiting.or(sleep(limit))),
            3 => Box::pin(waiting.or(async move {
                sleep(limit).await;
                std::panic::panic_any(OnPurpose)
            })),
            _ => waiting,
        };
        let mut handle = Some(spawn(world.reactor(), future));
        for _ in 0..chance.below(6) {
            world.turn();
        }
        match way {
            1 | 4 => handle.as_ref().unwrap().abort(), // it may not be polled so often
            5 if chance.below(4) == 0 => {
                drop(handle.take());
                world.reactor().stop();
            }
            // Between what has come and the poll that would have taken it: calls run in their order.
            5 => {
                let handle = handle.take().unwrap();
                world.reactor().call_later(limit, move |_| handle.abort());
            }
            _ => {}
        }
        drop(tell);
        let mut fars = Vec::new();
        world.until("the task to be gone", |world| {
            fars.extend(outside.accept());
            task_count(world.reactor()) == 0
        });
        fars.clear();
        world.until("everything to be given back", |world| {
            drop(outside.accept());
            !world.reactor().has_work()
        });
        let reactor = world.reactor();
        assert_eq!(task_count(reactor), 0, "tasks");
        assert_eq!(reactor.connections().len(), 0, "connections");
        assert_eq!(reactor.next_deadline(), None, "timers");
        assert_eq!(Rc::strong_count(&all), 1, "futures");
        kind
    }
}

#[test]
fn a_thousand_cuts_at_every_kind_of_await_leave_nothing() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<OnPurpose>() {
            say(panic);
        }
    }));
    let seed = std::env::var("CROCUS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = seed.map_or(0..CUTS, |seed: u64| seed..seed + 1);
    for world in [World::simulated(), World::real()] {
        let real = world.is_real();
        let mut stage = Stage::new(world);
        let before = open_descriptors();
        for seed in seeds.clone() {
            let again = format!(
                "again: CROCUS_SEED={seed} cargo test --test cancelling -- --nocapture, real: {real}"
            );
            let what = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.cut(seed)));
            let Ok(kind) = what else { panic!("{again}") };
            while stage.outside.accept().is_some() {}
            let now = open_descriptors();
            assert_eq!(now, before, "descriptors after {}: {again}", KINDS[kind].0);
        }
    }
}
