//! `select!`, `join!`, `io::copy`, streams of futures, and tokio-util's codecs, on sockets and in a simulation.

use std::io;
use std::pin::pin;
use std::time::Duration;

use crocus::futures::{Connection, Incoming, connect, listen, sleep, spawn_local, timeout};
use futures::future::{FutureExt, join_all};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, copy, copy_buf};
use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use futures::{SinkExt, join, select, try_join};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::host::{in_each_world, pattern};

/// Both ends of a connection.
async fn pair() -> (Connection, Connection) {
    let mut incoming = listen("127.0.0.1:0").unwrap();
    let (far, near) = join!(connect(incoming.local_addr()), incoming.accept());
    (far.unwrap(), near.unwrap())
}

/// Sends all and reads all at once, then checks that each byte has come back.
async fn exchange(mut peer: Connection) {
    let (sent, mut back) = (pattern(300_000), Vec::new());
    let (reader, writer) = peer.halves();
    let send = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    try_join!(send, reader.read_to_end(&mut back)).unwrap();
    assert!(back == sent, "{} bytes", back.len());
}

#[test]
fn copy_is_an_echo_between_halves_of_three_makers() {
    in_each_world(|| async {
        let (far, mut near) = pair().await;
        let echo = async move {
            let (reader, writer) = near.halves();
            copy_buf(reader, writer).await
        };
        assert_eq!(join!(exchange(far), echo).1.unwrap(), 300_000);

        let (far, near) = pair().await;
        let echo = async move {
            let (reader, mut writer) = near.split();
            copy(reader, &mut writer).await
        };
        assert_eq!(join!(exchange(far), echo).1.unwrap(), 300_000);

        let (far, near) = pair().await;
        let echo = async move {
            let (reader, writer) = futures_lite::io::split(near);
            futures_lite::io::copy(reader, writer).await
        };
        assert_eq!(join!(exchange(far), echo).1.unwrap(), 300_000);
    });
}

#[test]
fn select_takes_whichever_is_first() {
    in_each_world(|| async {
        let (mut far, near) = pair().await;
        let mut lines = near.lines().fuse();
        let mut limit = pin!(sleep(Duration::from_secs(3600)).fuse());
        let mut taken = Vec::new();
        far.write_all(b"one\ntwo\nthr").await.unwrap();
        loop {
            select! {
                line = lines.next() => match line {
                    Some(line) => taken.push(line.unwrap()),
                    None => break,
                },
                () = limit => panic!("the hour is over"),
            }
            if taken.len() == 2 {
                far.write_all(b"ee\n").await.unwrap();
                far.close().await.unwrap();
            }
        }
        assert_eq!(taken, ["one", "two", "three"]);
    });
}

async fn serve(mut incoming: Incoming) {
    let echo = |mut peer: Connection| async move {
        let (reader, writer) = peer.halves();
        copy_buf(reader, writer).await.unwrap();
    };
    // As many at once as there are, without a task for each.
    incoming.by_ref().for_each_concurrent(None, echo).await;
}

#[test]
fn a_hundred_clients_in_one_task_are_served_by_another() {
    in_each_world(|| async {
        let incoming = listen("127.0.0.1:0").unwrap();
        let addr = incoming.local_addr().clone();
        let server = spawn_local(serve(incoming));
        let client = async |number: usize| {
            let mut peer = connect(&addr).await?;
            let text = number.to_string();
            peer.write_all(text.as_bytes()).await?;
            peer.close().await?;
            let mut back = String::new();
            peer.read_to_string(&mut back).await?;
            assert_eq!(back, text);
            io::Result::Ok(number)
        };
        let clients: FuturesUnordered<_> = (0..50).map(client).collect();
        let numbers: Vec<_> = clients.try_collect().await.unwrap();
        assert_eq!(numbers.iter().sum::<usize>(), 1225);
        assert_eq!(join_all((0..50).map(client)).await.len(), 50);
        server.abort();
        assert!(server.await.is_err());
    });
}

#[test]
fn a_copy_that_is_dropped_in_the_middle_closes_what_it_has() {
    in_each_world(|| async {
        let (mut far, mut near) = pair().await;
        let echo = async move {
            let (reader, writer) = near.halves();
            copy_buf(reader, writer).await
        };
        far.write_all(b"hello").await.unwrap();
        timeout(Duration::from_millis(200), echo).await.unwrap_err();
        let mut back = Vec::new();
        far.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"hello");
    });
}

#[test]
fn codecs_of_tokio_frame_a_connection() {
    in_each_world(|| async {
        let (far, near) = pair().await;
        let mut near = Framed::new(near.compat(), LinesCodec::new_with_max_length(1000));
        let mut far = Framed::new(far.compat(), LinesCodec::new());
        for line in ["", "one", "a longer one"] {
            far.send(line).await.unwrap();
            assert_eq!(near.next().await.unwrap().unwrap(), line);
        }
        far.send("x".repeat(1001)).await.unwrap();
        assert!(near.next().await.unwrap().is_err(), "too long");

        let (far, near) = pair().await;
        let mut near = Framed::new(near.compat(), LengthDelimitedCodec::new());
        let mut far = Framed::new(far.compat(), LengthDelimitedCodec::new());
        let frames: Vec<_> = [0, 1, 100_000].map(pattern).into();
        let send = async {
            for frame in &frames {
                far.send(&**frame).await.unwrap();
            }
            SinkExt::<&[u8]>::close(&mut far).await.unwrap();
        };
        let (received, ()) = join!(near.by_ref().try_collect::<Vec<_>>(), send);
        assert!(received.unwrap() == frames);
    });
}
