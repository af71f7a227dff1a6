//! The methods of a reactor for Unix sockets.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::address::{Address, UnixAddress};
use crate::connector::state::ConnectOptions;
use crate::ids::{ConnectionId, ConnectorId, ListenerId};
use crate::listener::ListenOptions;
use crate::protocol::{ClientFactory, Factory, Protocol};
use crate::reactor::Reactor;
use crate::reason::{Activity, Reason};
use crate::simulation::listener::MemoryListener;
use crate::simulation::stream::MemoryStream;
use crate::system::acceptor::Acceptor;
use crate::system::error::at_address;
use crate::system::stream::{Stream, no_sockets};
use crate::system::unix::UnixAcceptor;

impl Reactor {
    /// Listens at a Unix socket, with the default [options](ListenOptions).
    ///
    /// Takes a path, or a [`UnixAddress`] for an abstract name. Everything else is as with
    /// [`listen_tcp`](Self::listen_tcp), except that most clients have no address. For the path these
    /// rules hold:
    ///
    /// * A path whose server is gone is taken over. A path whose server is alive is left alone, also
    ///   when several servers start at the same time. To find out, the reactor connects to the path and
    ///   closes the connection at once. A file that is not a socket is left alone, symbolic links too.
    /// * The socket appears at its path ready, with its [mode](ListenOptions::mode), and already
    ///   listening: it is made in a private folder beside the path, and moved. Tools such as `ss` show
    ///   the name it was made under, `.NAME.5f3a/s`. The path can have as many bytes as the system takes,
    ///   107, on Linux, where `/proc` must be mounted for more than 99; elsewhere it can have 95.
    /// * The file is removed when the listener is stopped or the reactor dropped, if it is still the
    ///   same file.
    ///
    /// *Not* promised: that other server programs follow these rules. A server that binds the path
    /// between the check and the move is displaced, and one that has bound but does not listen yet looks
    /// dead. A program killed while it starts leaves a hidden folder behind, which does no harm. A user
    /// who may write to the folder of the path can put another socket there: use a folder that other
    /// users may not write to.
    ///
    /// Twisted's `listenUNIX` with `wantPID`.
    ///
    /// # Errors
    ///
    /// At once, the system's error, with the address in the message and the cause as the source of
    /// [`get_ref`](io::Error::get_ref); `AddrInUse` if a server is alive at the path, or the path is not
    /// a socket; `InvalidInput` if it is too long.
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
    /// let path = std::env::temp_dir().join(format!("echo-{}.sock", std::process::id()));
    /// let listener = reactor.listen_unix(&path, |_peer| Echo)?;
    /// // … and to end it, and remove the file:
    /// reactor.stop_listening(listener);
    /// assert!(!path.exists());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn listen_unix(
        &mut self,
        path: impl Into<UnixAddress>,
        factory: impl Factory + 'static,
    ) -> io::Result<ListenerId> {
        self.listen_unix_with(path, &ListenOptions::new(), factory)
    }

    /// Listens at a Unix socket.
    ///
    /// See [`listen_unix`](Self::listen_unix).
    ///
    /// Of the options, [`no_delay`](ListenOptions::no_delay), [`keep_alive`](ListenOptions::keep_alive)
    /// and [`v6_only`](ListenOptions::v6_only) have no effect: Unix sockets have no such options.
    ///
    /// # Errors
    ///
    /// As [`listen_unix`](Self::listen_unix), and `InvalidInput` for
    /// [`reuse_port`](ListenOptions::reuse_port): a path leads to one socket only.
    pub fn listen_unix_with(
        &mut self,
        path: impl Into<UnixAddress>,
        options: &ListenOptions,
        factory: impl Factory + 'static,
    ) -> io::Result<ListenerId> {
        let name = path.into();
        let acceptor = self
            .unix_acceptor(name.clone(), options)
            .map_err(|error| at_address("listening at", name, error))?;
        self.add_listener(acceptor, options, Box::new(factory))
    }

    fn unix_acceptor(&self, name: UnixAddress, options: &ListenOptions) -> io::Result<Acceptor> {
        if options.reuse_port {
            let message = "the path of a Unix socket cannot be shared (reuse_port)";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if let Some(network) = self.network() {
            let listener =
                MemoryListener::bind_unix(network, name.clone(), options.backlog as usize)?;
            return Ok(Acceptor::Memory(listener, Some(name)));
        }
        let acceptor = UnixAcceptor::bind(name, options.mode, options.backlog, &options.socket)?;
        Ok(Acceptor::Unix(Box::new(acceptor)))
    }

    /// Takes over a Unix socket that is bound and listens.
    ///
    /// Its file is not removed when the listener stops: the program that made it has to do this.
    ///
    /// # Errors
    ///
    /// As [`adopt_listener`](Self::adopt_listener).
    pub fn adopt_unix_listener(
        &mut self,
        listener: UnixListener,
        options: &ListenOptions,
        factory: impl Factory + 'static,
    ) -> io::Result<ListenerId> {
        let acceptor = UnixAcceptor::adopt(listener, &options.socket)?;
        self.add_listener(Acceptor::Unix(Box::new(acceptor)), options, Box::new(factory))
    }

    /// Connects to a Unix socket, with the default [options](ConnectOptions).
    ///
    /// As with [`connect_tcp`](Self::connect_tcp), the one outcome comes from the loop. A path that does
    /// not exist is `NotFound`, one whose server is gone is `ConnectionRefused`. If the server's backlog
    /// is full, the reactor tries again until the timeout: the kernel has no queue for further
    /// connections (on Linux; the BSDs refuse them).
    ///
    /// To the peer an aborted connection looks like a closed one, if this side had read all that the
    /// peer sent: Unix sockets have no reset, and the kernel delivers the bytes it took.
    pub fn connect_unix(
        &mut self,
        path: impl Into<UnixAddress>,
        factory: impl ClientFactory + 'static,
    ) -> ConnectorId {
        self.connect_unix_with(path, ConnectOptions::new(), factory)
    }

    /// Connects to a Unix socket.
    ///
    /// See [`connect_unix`](Self::connect_unix).
    ///
    /// Of the options the timeout has an effect. With a [`local_addr`](ConnectOptions::local_addr),
    /// which cannot be that of a Unix socket, the attempt fails; the others have no effect.
    pub fn connect_unix_with(
        &mut self,
        path: impl Into<UnixAddress>,
        options: ConnectOptions,
        factory: impl ClientFactory + 'static,
    ) -> ConnectorId {
        self.connect_tcp_with(path.into(), options, factory)
    }

    /// Takes over a connected Unix socket, also one of a [pair](UnixStream::pair): `connection_made`
    /// comes in the next turn.
    ///
    /// # Errors
    ///
    /// As [`adopt_stream`](Self::adopt_stream).
    pub fn adopt_unix_stream(
        &mut self,
        stream: UnixStream,
        protocol: impl Protocol + 'static,
    ) -> io::Result<ConnectionId> {
        if self.network().is_some() {
            return Err(no_sockets());
        }
        stream.set_nonblocking(true)?;
        let peer = Address::Unix(UnixAddress::from_system(&stream.peer_addr()?));
        let local = UnixAddress::from_system(&stream.local_addr()?);
        let stream = Stream::Unix(mio::net::UnixStream::from_std(stream), local);
        Ok(self.add_connection(stream, peer, Box::new(protocol)))
    }

    pub(crate) fn open_unix(
        &self,
        to: &UnixAddress,
        options: &ConnectOptions,
    ) -> Result<Stream, Reason> {
        if options.local_addr.is_some() {
            let message = "a Unix socket cannot connect from an IP address";
            let error = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(Reason::failed(Activity::Binding, error));
        }
        let stream = match self.network() {
            Some(network) => MemoryStream::connect_unix(network, to).map(Stream::Memory),
            None => Stream::connect_unix(to, &options.socket),
        };
        stream.map_err(|error| Reason::failed(Activity::Connecting, error))
    }
}
