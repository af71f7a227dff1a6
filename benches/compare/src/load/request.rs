//! HTTP/1.1 requests for one file on an established connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use mio::{Registry, Token};

use super::{Client, Connection, Progress};

/// A request, and the body that must come.
pub struct Page {
    pub request: Vec<u8>,
    pub body: Vec<u8>,
}

impl Page {
    /// The file of that name in the server's folder, and its contents.
    pub fn new(name: &str, body: Vec<u8>) -> Rc<Self> {
        let request = format!("GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes();
        Rc::new(Self { request, body })
    }
}

pub struct Request {
    server: SocketAddr,
    connection: Connection,
    page: Rc<Page>,
    head: Vec<u8>,
    /// How much of the body has come; `None` while the head is coming.
    received: Option<usize>,
}

impl Request {
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn new(server: SocketAddr, page: &Rc<Page>) -> io::Result<Self> {
        let (connection, page) = (Connection::new(server)?, Rc::clone(page));
        Ok(Self { server, connection, page, head: Vec::new(), received: None })
    }

    /// Checks the bytes that came; returns whether they were the last.
    fn take(&mut self, mut data: &[u8]) -> io::Result<bool> {
        if self.received.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(data);
            let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return Ok(false) };
            self.head.truncate(end + 4);
            self.check_head()?;
            data = &data[end + 4 - before..];
            self.received = Some(0);
        }
        let received = self.received.get_or_insert_default();
        if self.page.body[*received..].get(..data.len()) != Some(data) {
            return Err(io::Error::other("the body is not the file"));
        }
        *received += data.len();
        Ok(*received == self.page.body.len())
    }

    fn check_head(&self) -> io::Result<()> {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", self.page.body.len());
        if head.starts_with("http/1.1 200 ") && head.contains(&length) {
            return Ok(());
        }
        let first = head.lines().next().unwrap_or_default();
        Err(io::Error::other(format!("answered {first:?}")))
    }
}

impl Client for Request {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        self.connection.register(registry, token, false)?;
        self.head.clear();
        self.received = None;
        self.connection.write_all(&self.page.request)?;
        Ok(None)
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        while let Some(count) = self.connection.read(scratch)? {
            if self.take(&scratch[..count])? {
                return Ok(Some(1));
            }
            if count < scratch.len() {
                break; // a short read: nothing more is there
            }
        }
        Ok(None)
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server, &self.page)?;
        Ok(())
    }
}
