//! Servers of ours on a thread of their own, for programs that come over the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::tls::TlsInfo;
use crocus::tls::rustls::ServerConfig;
use crocus::{Address, Factory, Handle, Listen, Notice, Observer, Protocol, Reactor, Transport};

use crate::child::TIME_LIMIT;
use crate::handshakes::fault;

/// The content of every page.
pub(crate) const PAGE: &str = "<title>ready</title>\n";

/// Behind the last byte of a client that has closed its half.
pub(crate) const LAST_WORDS: &[u8] = b"and nothing more\n";

/// A server of ours. It ends with this value.
pub(crate) struct Front {
    pub(crate) addr: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    met: Receiver<TlsInfo>,
    ends: Receiver<String>,
}

/// Its use of the bytes of a client.
#[derive(Clone, Copy)]
enum Service {
    Echo,
    LastWords,
    Page,
}

impl Front {
    /// A server that sends everything back.
    pub(crate) fn echo(tls: impl Into<Arc<ServerConfig>>) -> Self {
        Self::start(tls.into(), Service::Echo)
    }

    /// One that sends [`LAST_WORDS`] when its client has closed its half.
    pub(crate) fn with_last_words(tls: impl Into<Arc<ServerConfig>>) -> Self {
        Self::start(tls.into(), Service::LastWords)
    }

    /// A web server with one page, for HTTP/1.1 with and without keep-alive.
    pub(crate) fn page(tls: impl Into<Arc<ServerConfig>>) -> Self {
        Self::start(tls.into(), Service::Page)
    }

    fn start(tls: Arc<ServerConfig>, service: Service) -> Self {
        let (tell_place, place) = mpsc::channel();
        let (tell_met, met) = mpsc::channel();
        let (tell_end, ends) = mpsc::channel();
        let thread = thread::spawn(move || {
            // Nothing is logged as slow: on a busy machine any callback may be.
            let mut reactor = Reactor::builder().slow_callback(None).build().unwrap();
            reactor.set_observer(Some(Box::new(Ends(tell_end))));
            let place = Listen::at("127.0.0.1:0").tls(tls);
            let listener = reactor.listen(place, Doors { service, met: tell_met }).unwrap();
            let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
            tell_place.send((addr, reactor.handle())).unwrap();
            reactor.run().unwrap();
        });
        let (addr, handle) = place.recv_timeout(TIME_LIMIT).unwrap();
        Self { addr, handle, thread: Some(thread), met, ends }
    }

    /// The agreement with the next client.
    pub(crate) fn met(&self) -> TlsInfo {
        self.met.recv_timeout(TIME_LIMIT).expect("somebody comes through the handshake")
    }

    /// The agreements with all who have come through the handshake since then.
    pub(crate) fn met_more(&self) -> Vec<TlsInfo> {
        self.met.try_iter().collect()
    }

    /// Why the next connection ended, whether it came through its handshake or not.
    pub(crate) fn end(&self) -> String {
        self.ends.recv_timeout(TIME_LIMIT).expect("a connection ends")
    }

    pub(crate) fn port(&self) -> String {
        self.addr.port().to_string()
    }

    /// `https://localhost:PORT/`
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/", self.addr.port())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().is_some_and(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "the server has panicked");
    }
}

struct Ends(Sender<String>);

impl Observer for Ends {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::Gone { reason, .. } = notice {
            drop(self.0.send(fault(reason))); // nobody listens to what ends with the server
        }
    }
}

struct Doors {
    service: Service,
    met: Sender<TlsInfo>,
}

impl Factory for Doors {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        unreachable!("no connection is in clear");
    }

    fn build_tls_protocol(&mut self, _: Address, tls: &TlsInfo) -> Option<Box<dyn Protocol>> {
        drop(self.met.send(tls.clone()));
        Some(match self.service {
            Service::Echo => Box::new(Echo { last_words: b"" }),
            Service::LastWords => Box::new(Echo { last_words: LAST_WORDS }),
            Service::Page => Box::new(Framed::new(Lines::new(), Page { keeps: true })),
        })
    }
}

struct Echo {
    last_words: &'static [u8],
}

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        transport.write(self.last_words);
        transport.lose_connection();
    }
}

/// Answers each head, which an empty line ends, and lets others do without a close_notify: the end of a request
/// is known by that line.
struct Page {
    keeps: bool,
}

impl Protocol for Page {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.allow_truncation(true);
    }
}

impl FrameHandler<Lines> for Page {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        if line.eq_ignore_ascii_case(b"Connection: close") {
            self.keeps = false;
        }
        if !line.is_empty() {
            return;
        }
        let option = if self.keeps { "keep-alive" } else { "close" };
        let length = PAGE.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: {option}\r\nStrict-Transport-Security: max-age=31536000\r\n\
             X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'self'\r\n\r\n"
        );
        transport.write(&[head.as_bytes(), PAGE.as_bytes()].concat());
        if !self.keeps {
            transport.lose_connection();
        }
    }
}
