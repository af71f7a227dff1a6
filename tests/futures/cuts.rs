//! Tasks that are dropped at any `.await`: nothing is left behind.

use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crocus::Reactor;
use crocus::futures::*;
use crocus::testing::{Cut, Simulation};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::util::{HOUR, MS, SECOND};

/// How many runs, each of which is cut somewhere else.
const RUNS: u64 = 1_000;

/// Aborts everything when it has been polled so often.
struct CutAfter<F> {
    polls: u64,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for CutAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls.checked_sub(1) else { return Poll::Ready(None) };
        self.polls = left;
        self.future.as_mut().poll(cx).map(Some)
    }
}

/// A server with all that this module can wait for.
async fn serve(mut peer: Connection) -> std::io::Result<()> {
    let mut line = String::new();
    timeout(5 * SECOND, peer.read_line(&mut line)).await??;
    let doubled = call_in_thread(move || line.repeat(2)).await.unwrap();
    sleep(3 * MS).await;
    let copy = spawn_local(async move { doubled.into_bytes() }).await.unwrap();
    peer.write_all(&copy).await?;
    peer.write_all(&[b'x'; 70_000]).await?;
    let log = listen_udp("127.0.0.1:0")?;
    log.send_to(b"served", "127.0.0.1:514".parse().unwrap()).await?;
    peer.close().await?;
    while peer.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

async fn ask(to: crocus::Address) -> std::io::Result<usize> {
    let mut server = connect(&to).await?;
    let mut ticks = interval(2 * MS);
    ticks.tick().await;
    server.write_all(b"hello\n").await?;
    let mut all = Vec::new();
    timeout(HOUR, server.read_to_end(&mut all)).await??;
    server.close().await?;
    Ok(all.len())
}

async fn all_of_it() -> usize {
    let mut incoming = listen("127.0.0.1:7").unwrap();
    let to = incoming.local_addr().clone();
    let server = async {
        let mut sessions = Vec::new();
        while let Some(peer) = incoming.accept().await {
            sessions.push(Aborted(spawn_local(serve(peer))));
        }
        pending::<()>().await;
        0
    };
    let clients = async {
        let clients: Vec<_> = (0..3).map(|_| Aborted(spawn_local(ask(to.clone())))).collect();
        let mut sum = 0;
        for mut client in clients {
            sum += (&mut client.0).await.unwrap().unwrap();
        }
        sum
    };
    futures_lite::future::or(server, clients).await
}

/// A task that is aborted with its owner.
struct Aborted<T>(JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One run; returns whether it came to its end.
fn run(seed: u64, polls: u64) -> bool {
    let mut simulation = Simulation::with_seed(seed);
    simulation.set_cut(Cut::Random(5000));
    simulation.set_latency(MS);
    let all: Rc<()> = Rc::default();
    let counted = Rc::clone(&all);
    let future = Box::pin(async move {
        let _counted = counted;
        all_of_it().await
    });
    let cut = CutAfter { polls, future };
    let outcome = run_until(simulation.reactor(), cut).unwrap();
    simulation.advance(60 * SECOND); // orderly closes linger
    let reactor = simulation.reactor();
    let left = format!("seed {seed}, cut after {polls} polls: {reactor:?}");
    assert_eq!(task_count(reactor), 0, "tasks are left: {left}");
    assert_eq!(reactor.connections().len(), 0, "connections are left: {left}");
    assert_eq!(reactor.next_deadline(), None, "timers are left: {left}");
    assert!(!reactor.has_work(), "sources are left: {left}");
    assert_eq!(Rc::strong_count(&all), 1, "futures are left: {left}");
    if let Some(sum) = outcome {
        assert_eq!(sum, 3 * (12 + 70_000), "{left}");
    }
    outcome.is_some()
}

#[test]
fn a_thousand_cuts_leave_nothing_behind() {
    let seed = std::env::var("CROCUS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seed.map_or(0..RUNS, |seed| seed..seed + 1);
    let mut whole = 0;
    for seed in seeds.clone() {
        let mut simulation = Simulation::with_seed(seed);
        let polls = Reactor::random(simulation.reactor()) % 60;
        whole += u64::from(run(seed, polls));
    }
    println!("{whole} of {} came to their end", seeds.end - seeds.start);
    assert!(run(seeds.start, u64::MAX), "without a cut it comes to its end");
}
