//! How a listener begins.

use std::io;
use std::net::SocketAddr;

use super::Listener;
use super::kind::Listeners;
use super::listen::{Admission, At, Listen};
use crate::address::{Place, UnixAddress};
use crate::ids::ListenerId;
use crate::observe::{Command, Subject};
use crate::protocol::Factory;
use crate::reactor::Reactor;
use crate::reactor::preparations::Preparations;
use crate::reactor::source::{Owner, Seated, Source};
use crate::system::acceptor::Acceptor;
use crate::system::binding::bind_at;
use crate::system::error::at_address;
use crate::system::options::{Kind, Origin, SocketOptions};
use crate::system::stream::no_sockets;
#[cfg(unix)]
use crate::system::unix::UnixAcceptor;

/// # Listening
impl Reactor {
    /// Listens: at an address, a port of all interfaces, a Unix socket, or on a socket that is bound
    /// already; see [`Listen`].
    ///
    /// Port 0 lets the system choose one; [`local_addr`](Self::local_addr) returns it. The factory makes a
    /// protocol for each connection; a closure is enough.
    ///
    /// Most clients of a Unix socket have no address. To the peer there, an aborted connection looks like
    /// a closed one if this side had read all that the peer sent: Unix sockets have no reset.
    ///
    /// # Errors
    ///
    /// At once, the errors of bind(2) and the calls around it (`AddrInUse`, `PermissionDenied`, …), with
    /// the address in the message and the system's error, errno included, as the source of
    /// [`get_ref`](io::Error::get_ref); `InvalidInput` for a text that is no address, and for an option that
    /// the socket does not have. For a path, `AddrInUse` if a server is alive there or it is not a
    /// socket, and `InvalidInput` if it is too long. `ConnectionAborted` during a
    /// [shutdown](Self::shutdown) and in the last notices of a [stop](Self::stop). `Unsupported` for a real
    /// socket in a simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, Reactor, Transport};
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// let tcp = reactor.listen("127.0.0.1:0", |_peer| Echo)?;
    /// # #[cfg(unix)]
    /// # {
    /// let path = std::env::temp_dir().join(format!("echo-{}.sock", std::process::id()));
    /// let unix = reactor.listen(&path, |_peer| Echo)?;
    /// // … and to end it, and remove the file:
    /// reactor.stop_listening(unix);
    /// assert!(!path.exists());
    /// # }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn listen(
        &mut self,
        at: impl Into<Listen>,
        factory: impl Factory + 'static,
    ) -> io::Result<ListenerId> {
        self.listen_by(at.into(), Box::new(factory))
    }

    /// Not generic, so that a program has it once.
    fn listen_by(&mut self, listen: Listen, factory: Box<dyn Factory>) -> io::Result<ListenerId> {
        let Listen { at, backlog, mode, admission, socket, preparations } = listen;
        let acceptor = self.acceptor(at, backlog, mode, &socket)?;
        self.add_listener(acceptor, admission, preparations, factory)
    }

    fn acceptor(
        &self,
        at: At,
        backlog: u32,
        mode: Option<u32>,
        socket: &SocketOptions,
    ) -> io::Result<Acceptor> {
        match at {
            At::Endpoint(endpoint) => match endpoint.place() {
                Place::Unix(name) => self
                    .bind_unix(name.clone(), backlog, mode, socket)
                    .map_err(|error| at_address("listening at", name, error)),
                _ => bind_at(&endpoint, "listening at", socket, |addr, socket| {
                    self.bind_tcp(addr, backlog, socket)
                }),
            },
            _ if self.simulated().is_some() => Err(no_sockets()),
            At::Tcp(listener) => Acceptor::adopt(listener, socket),
            #[cfg(unix)]
            At::Unix(listener) => {
                UnixAcceptor::adopt(listener, socket).map(|unix| Acceptor::Unix(Box::new(unix)))
            }
        }
    }

    fn bind_tcp(
        &self,
        addr: SocketAddr,
        backlog: u32,
        options: &SocketOptions,
    ) -> io::Result<Acceptor> {
        let Some(host) = self.simulated() else {
            return Acceptor::bind(addr, backlog, options);
        };
        options.check(Kind::Tcp, Origin::Simulated)?;
        host.listen(addr, backlog as usize, options)
    }

    #[cfg(unix)]
    fn bind_unix(
        &self,
        name: UnixAddress,
        backlog: u32,
        mode: Option<u32>,
        options: &SocketOptions,
    ) -> io::Result<Acceptor> {
        let Some(host) = self.simulated() else {
            let acceptor = UnixAcceptor::bind(name, mode, backlog, options)?;
            return Ok(Acceptor::Unix(Box::new(acceptor)));
        };
        options.check(Kind::Unix, Origin::Simulated)?;
        UnixAcceptor::check(&name)?;
        host.listen_unix(name, backlog as usize)
    }

    #[cfg(not(unix))]
    fn bind_unix(
        &self,
        _: UnixAddress,
        _: u32,
        _: Option<u32>,
        _: &SocketOptions,
    ) -> io::Result<Acceptor> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn add_listener(
        &mut self,
        acceptor: Acceptor,
        admission: Admission,
        preparations: Preparations,
        factory: Box<dyn Factory>,
    ) -> io::Result<ListenerId> {
        let local = acceptor.local_addr()?;
        let takes = self.check_takes_new();
        takes.map_err(|error| at_address("listening at", &local, error))?;
        let at = local.clone();
        let listener = Listener::new(acceptor, local, admission, preparations);
        let listener = Seated::new(&Listeners, listener, factory);
        let key = self.sources.insert(Source::Listener(Box::new(listener)), Owner::None);
        let Self { sources, poller, .. } = self;
        if let Some(Source::Listener(listener)) = sources.get_mut(key)
            && let Some(acceptor) = &mut listener.acceptor
            && let Err(error) = acceptor.register(poller.registry(), key.token())
        {
            sources.remove(key);
            return Err(error);
        }
        let id = ListenerId(key);
        self.monitor.command(Subject::Listener(id), || Command::Listen(at));
        self.queue(key);
        Ok(id)
    }
}
