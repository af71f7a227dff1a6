//! Connections: reading, writing, half-close, errors, backpressure.

use std::io;

use crocus::futures::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::util::World;

/// Echoes until the peer's end.
async fn echo(mut peer: Connection) -> io::Result<u64> {
    let (mut buf, mut sum) = ([0; 1024], 0);
    loop {
        let count = peer.read(&mut buf).await?;
        if count == 0 {
            return Ok(sum);
        }
        peer.write_all(&buf[..count]).await?;
        sum += count as u64;
    }
}

both! {
    fn a_task_echoes_until_the_end_of_its_peer(world) {
        let task = spawn(world.reactor(), async {
            let mut incoming = listen("127.0.0.1:0").unwrap();
            let connecting = connect(incoming.local_addr());
            let server = spawn_local(async move { echo(incoming.accept().await.unwrap()).await });
            let mut client = connecting.await.unwrap();
            client.write_all(b"hello").await.unwrap();
            client.close().await.unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            drop(client);
            (all, server.await.unwrap().unwrap())
        });
        world.run().unwrap();
        assert_eq!(task.take().unwrap().unwrap(), (b"hello".to_vec(), 5));
    }
}
