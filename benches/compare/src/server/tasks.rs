//! crocus by its tasks: what `async`/`await` costs beside callbacks.

use std::io;

use crocus::futures::{Connection, listen, run_until, spawn_local};
use crocus::{Bytes, Listen, Reactor};
use futures_lite::{AsyncBufReadExt, AsyncWriteExt};

use super::no_such_service;
use crate::service::{BACKLOG, RANDOM_LENGTH, bulk_block, write_random};

pub fn serve(service: &str, _: u64) -> io::Result<()> {
    match service {
        "random" => accept(random),
        "echo" | "flood" => accept(echo),
        "bulk" => {
            let block = Bytes::from(bulk_block());
            accept(move |peer| bulk(peer, block.clone()))
        }
        _ => no_such_service(),
    }
}

/// Accepts for ever; each connection's session is a task.
fn accept<F>(session: impl Fn(Connection) -> F + 'static) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    run_until(&mut Reactor::new()?, async move {
        let mut incoming = listen(Listen::at("127.0.0.1:0").backlog(BACKLOG))?;
        println!("listening on {}", incoming.local_addr());
        while let Some(peer) = incoming.accept().await {
            spawn_local(session(peer));
        }
        Ok(())
    })?
}

async fn random(mut peer: Connection) -> io::Result<()> {
    let mut answer = [0; RANDOM_LENGTH];
    write_random(&mut answer);
    peer.write_all(&answer).await
}

/// Writes from the buffer that it reads, without one of its own.
async fn echo(mut peer: Connection) -> io::Result<()> {
    let (reader, writer) = peer.halves();
    loop {
        let bytes = reader.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        writer.write_all(bytes).await?;
        reader.consume(count);
    }
}

async fn bulk(mut peer: Connection, block: Bytes) -> io::Result<()> {
    let (_, writer) = peer.halves();
    loop {
        writer.write_owned(block.clone()).await?;
    }
}
