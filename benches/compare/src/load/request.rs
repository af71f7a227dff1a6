//! HTTP/1.1 requests for one file on a connection that stands.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Client, Progress, hold};

/// What is asked for, and what must come.
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
    stream: TcpStream,
    registered: bool,
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
        let stream = hold::connect(server)?;
        let page = Rc::clone(page);
        Ok(Self { server, stream, registered: false, page, head: Vec::new(), received: None })
    }

    /// What has come; whether it is all.
    fn take(&mut self, mut data: &[u8]) -> Result<bool, String> {
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
            return Err("the body is not the file".into());
        }
        *received += data.len();
        Ok(*received == self.page.body.len())
    }

    fn check_head(&self) -> Result<(), String> {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", self.page.body.len());
        match head.starts_with("http/1.1 200 ") && head.contains(&length) {
            true => Ok(()),
            false => Err(format!("answered {:?}", head.lines().next().unwrap_or_default())),
        }
    }
}

impl Client for Request {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        if !std::mem::replace(&mut self.registered, true)
            && let Err(error) = registry.register(&mut self.stream, token, Interest::READABLE)
        {
            return error.into();
        }
        self.head.clear();
        self.received = None;
        // A request fits into an empty socket buffer.
        match self.stream.write_all(&self.page.request) {
            Ok(()) => Progress::Waiting,
            Err(error) => error.into(),
        }
    }

    fn ready(&mut self, _: usize, scratch: &mut [u8]) -> Progress {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Progress::Failed("the connection was closed".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Waiting;
                }
                Err(error) => return error.into(),
            };
            match self.take(&scratch[..count]) {
                Ok(true) => return Progress::Done(1),
                Ok(false) if count < scratch.len() => return Progress::Waiting,
                Ok(false) => {}
                Err(why) => return Progress::Failed(why),
            }
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server, &self.page)?;
        Ok(())
    }
}
