//! Step 15c: the dialogue of step 12, as an `async fn`.

pub(crate) mod connection;
pub(crate) mod tasks;

use std::io;

use connection::{Bytes, Connection};
use crocus::Reactor;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

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
    let mut client = BufReader::new(connection);
    loop {
        let mut line = Vec::new();
        (&mut client).take(1000).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        if !line.ends_with('\n') || line.trim() == "quit" {
            return Ok(());
        }
        for _ in 0..line.trim().parse().unwrap_or(0) {
            client.get_mut().write_all(&message()).await?;
        }
    }
}

fn message() -> Vec<u8> {
    let random = rand::random::<u128>().to_le_bytes();
    [BEFORE, &random, AFTER].concat()
}
