//! Step 15: the dialogue by a library that has never heard of crocus.

pub(crate) mod connection;
pub(crate) mod tasks;

use std::io;

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::{Error, Message};
use connection::{Bytes, Connection};
use crocus::Reactor;
use futures_lite::StreamExt;

const BEFORE: &[u8] = b"You requested some random bytes:\n\n";
const AFTER: &[u8] = b"  \n\nYou want fries with that?\n\n";

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let mut reactor = Reactor::new()?;
    let listener = reactor.listen(addr.as_str(), |_peer| Bytes::new(|it| Box::pin(serve(it))))?;
    if let Some(addr) = reactor.local_addr(listener) {
        println!("listening on {addr}");
    }
    reactor.run()
}

pub(crate) async fn serve(connection: Connection) -> io::Result<()> {
    answer(connection).await.map_err(io::Error::other)
}

/// Answers each text `N` with N messages.
async fn answer(connection: Connection) -> Result<(), Error> {
    let mut client = accept_async(connection).await?;
    while let Some(message) = client.next().await {
        if let Message::Text(line) = message? {
            for _ in 0..line.trim().parse().unwrap_or(0) {
                client.send(Message::binary(self::message())).await?;
            }
        }
    }
    Ok(())
}

fn message() -> Vec<u8> {
    let random = rand::random::<u128>().to_le_bytes();
    [BEFORE, &random, AFTER].concat()
}
