//! tokio as most would use it in one thread: a task for each connection, each with its own buffer.

mod tls;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{self, Instant, Sleep};

pub use tls::serve as serve_over_tls;

use super::measuring::{self, Delays, Timers, start_calling};
use super::{ACCEPT_PAUSE, listen, no_such_service};
use crate::service::{
    FLOOD_BUFFER, RANDOM_LENGTH, READ_BUFFER, ReadBuffer, TICK_INTERVAL, bulk_block, first_tick,
    write_random,
};

/// How many chunks a member of a broadcast may be behind before it is thrown out.
const CHUNKS: usize = 1024;

/// The timer that is due next while timers are measured.
const TICK: Duration = Duration::from_secs(10);

pub fn serve(service: &str, count: u64) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match service {
        "random" => runtime.block_on(accept(random)),
        "echo" => runtime.block_on(accept(echo)),
        "flood" => runtime.block_on(accept(flood)),
        "bulk" => {
            let block: Arc<[u8]> = bulk_block().into();
            runtime.block_on(accept(move |stream| bulk(stream, Arc::clone(&block))))
        }
        "broadcast" => {
            let (chunks, _) = broadcast::channel(CHUNKS);
            runtime.block_on(accept(move |stream| member(stream, chunks.clone())))
        }
        "beside-broadcast" => runtime.block_on(beside_broadcast(count)),
        "beside-timers" => runtime.block_on(beside_timers(count)),
        "timers" => timers(count, &runtime),
        "calls" => calls(count, &runtime),
        _ => no_such_service(),
    }
}

/// By the scheduler of several threads, for one too.
pub fn serve_by_loops(service: &str, loops: usize) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(loops).enable_all().build()?;
    // A task, for `block_on` would take a thread more.
    let accepting = match service {
        "random" => runtime.spawn(accept(random)),
        "echo" => runtime.spawn(accept(echo)),
        _ => return no_such_service(),
    };
    runtime.block_on(accepting)?
}

/// Accepts for ever; each connection's session is a task.
async fn accept<F>(session: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::from_std(listen()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(session(stream))),
            Err(_) => time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn random(mut stream: TcpStream) -> io::Result<()> {
    let mut answer = [0; RANDOM_LENGTH];
    write_random(&mut answer);
    stream.write_all(&answer).await
}

/// A buffer as large as that of the others, but never zeroed: of one that is, 18,000 idle
/// connections would hold 0.9 GB.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

/// With a large buffer, which is in use all the time.
async fn flood(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = ReadBuffer::new(FLOOD_BUFFER);
    loop {
        match stream.read(buffer.bytes()).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer.bytes()[..length]).await?,
        }
    }
}

async fn bulk(mut stream: TcpStream, block: Arc<[u8]>) -> io::Result<()> {
    loop {
        stream.write_all(&block).await?;
    }
}

/// A member of the broadcast: this task reads, and another one writes.
async fn member(stream: TcpStream, chunks: broadcast::Sender<Arc<[u8]>>) -> io::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let writing = tokio::spawn(write_chunks(writer, chunks.subscribe()));
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    while let Ok(1..) = reader.read_buf(&mut buffer).await {
        let _ = chunks.send(buffer.as_slice().into()); // fails if no receiver is left
        buffer.clear();
    }
    writing.abort();
    Ok(())
}

/// Writes until the peer is gone, or is too far behind.
async fn write_chunks(mut writer: OwnedWriteHalf, mut chunks: broadcast::Receiver<Arc<[u8]>>) {
    while let Ok(chunk) = chunks.recv().await {
        if writer.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

async fn beside_broadcast(members: u64) -> io::Result<()> {
    let (chunks, _) = broadcast::channel(CHUNKS);
    let places = Cell::new(members);
    let session = |stream, place: Option<_>| async {
        match place {
            Some(chunks) => member(stream, chunks).await,
            None => echo(stream).await,
        }
    };
    accept(move |stream| {
        let has_place = places.get() > 0;
        places.set(places.get().saturating_sub(1));
        session(stream, has_place.then(|| chunks.clone()))
    })
    .await
}

async fn beside_timers(count: u64) -> io::Result<()> {
    for index in 0..count {
        tokio::spawn(tick(index));
    }
    accept(echo).await
}

async fn tick(index: u64) {
    time::sleep(first_tick(index)).await;
    loop {
        time::sleep(TICK_INTERVAL).await;
    }
}

/// Timers outside of any task.
struct Sleeps;

fn timers(count: u64, runtime: &Runtime) -> io::Result<()> {
    let _inside = runtime.enter();
    // The runtime wakes itself for each timer that is due before all it knew when it last slept.
    // A server has something due soon, so that this is rare; without a tick it would be the rule.
    let mut sleeps = Sleeps;
    let _tick = sleeps.arm(TICK)?;
    runtime.block_on(time::sleep(Duration::from_millis(1)));
    let figures = measuring::population(count, &mut sleeps)?;
    measuring::firing(count, figures, |delays| runtime.block_on(fire(delays)))
}

impl Timers for Sleeps {
    type Timer = Pin<Box<Sleep>>;

    fn arm(&mut self, delay: Duration) -> io::Result<Self::Timer> {
        let mut sleep = Box::pin(time::sleep(delay));
        // It is not armed before it is first polled.
        let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Ok(sleep)
    }

    fn reset(&mut self, sleep: &mut Self::Timer, delay: Duration) -> io::Result<()> {
        sleep.as_mut().reset(Instant::now() + delay);
        Ok(())
    }

    fn cancel(&mut self, sleep: Self::Timer) -> io::Result<()> {
        drop(sleep);
        Ok(())
    }
}

/// Each timer is a task; in the other servers it is a callback.
async fn fire(delays: Delays) -> io::Result<()> {
    let tasks: Vec<_> = delays.map(|delay| tokio::spawn(time::sleep(delay))).collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Through a channel: to spawn a task for each call would wake the loop for each.
fn calls(count: u64, runtime: &Runtime) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    start_calling(count, move |call| sender.send(call).expect("the loop lives"))?;
    runtime.block_on(async {
        while let Some(call) = receiver.recv().await {
            call.serve();
        }
    });
    Ok(())
}
