//! The connection of a client: in clear, or over TLS while a test says so.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::certificate::{self, Certificate, TlsStream};
use crate::child::dial;
use crate::folder::Folder;

thread_local! {
    /// For the servers and clients that a test starts in this thread.
    static CERTIFICATE: RefCell<Option<Certificate>> = const { RefCell::new(None) };
}

/// Runs a test again whose servers and clients speak in clear: now they speak TLS.
pub(crate) fn over_tls(test: fn()) {
    /// The next test of this thread speaks in clear, even if this one fails.
    struct InClear;

    impl Drop for InClear {
        fn drop(&mut self) {
            CERTIFICATE.set(None);
        }
    }

    let folder = Folder::new();
    CERTIFICATE.set(Some(Certificate::new(&folder)));
    let _in_clear = InClear;
    test();
}

/// The options that a server needs for it.
pub(crate) fn options() -> Vec<String> {
    CERTIFICATE.with_borrow(|it| it.as_ref().map_or_else(Vec::new, |it| it.options().into()))
}

pub(crate) enum Wire {
    Clear(TcpStream),
    Tls(Box<TlsStream>),
}

impl Wire {
    pub(crate) fn dial(addr: SocketAddr) -> Self {
        CERTIFICATE.with_borrow(|it| match it {
            None => Self::Clear(dial(addr)),
            Some(certificate) => Self::Tls(Box::new(certificate.dial(addr))),
        })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub(crate) fn close_write(&mut self) {
        match self {
            // It fails if the server has closed already, which is no fault here.
            Self::Clear(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Tls(stream) => certificate::close_write(stream),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
