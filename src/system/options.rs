//! Socket options, the same for all kinds of socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
#[cfg(unix)]
use std::panic::AssertUnwindSafe;
#[cfg(unix)]
use std::sync::Arc;

use socket2::{Domain, Socket};

use super::error::invalid;
use super::keep_alive::KeepAlive;
use crate::simulation::ports::{Bound, Remembered};

/// The options of a socket, for [`Listen`](crate::Listen), [`Connect`](crate::Connect) and
/// [`Datagrams`](crate::Datagrams).
///
/// Accepted connections have those of their listener. An option that this kind of socket does not have is an
/// error, `InvalidInput`, that names it; so is one that comes too late for an adopted socket. Only the options
/// for TCP connections are ignored by Unix sockets, which neither delay small writes nor lose a peer
/// silently: a place may be either. In a simulation this is checked too, and the options have no other
/// effect.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use crocus::{KeepAlive, Listen, SocketOptions};
///
/// let silence = KeepAlive::after(Duration::from_secs(60)).count(3);
/// let socket = SocketOptions::new().keep_alive(silence).send_buffer(1 << 20);
/// let listen = Listen::at("127.0.0.1:0").socket(socket);
///
/// let typed = SocketOptions::new()
///     .no_delay(false) // fewer, larger packets
///     .unsent_low_water(16 * 1024);
/// let shared = SocketOptions::new().reuse_address(true).reuse_port(true).v6_only(true);
/// let datagrams = SocketOptions::new().broadcast(true).receive_buffer(1 << 20);
/// ```
#[derive(Clone, Default)]
pub struct SocketOptions {
    no_delay: Option<bool>,
    keep_alive: Option<KeepAlive>,
    unsent_low_water: Option<u32>,
    reuse_address: Option<bool>,
    reuse_port: bool,
    v6_only: Option<bool>,
    pub(crate) broadcast: bool,
    receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    #[cfg(unix)]
    hook: Option<Arc<Hook>>,
}

/// How many bytes that it has not sent yet the kernel holds for one TCP connection, unless set otherwise.
///
/// Without a bound Linux takes some 4 MB for a peer that reads slowly, and then tells of room only when a
/// third of it is free: at 150 kB/s nothing shows for ten seconds and more that the peer takes anything.
/// With this it takes a second. A fast stream loses nothing: what was sent and waits for an
/// acknowledgement does not count.
const UNSENT_IN_KERNEL: Option<u32> =
    if cfg!(any(target_os = "linux", target_os = "android")) { Some(128 * 1024) } else { None };

/// The largest size of a buffer that setsockopt(2) takes, a C int. The kernel's own limit is far below it.
const MOST_BUFFERED: usize = i32::MAX as usize;

#[cfg(unix)]
type Hook = dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync;

/// A kind of socket, as far as its options go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Unix,
}

/// A socket to take options: new, or bound already by somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Of this family, on which the meaning of `v6_only` depends.
    New(Domain),
    Adopted,
    /// Without a socket.
    Simulated,
}

impl SocketOptions {
    /// The defaults: for TCP no-delay on and a bound for what the kernel holds unsent, the rest as the system
    /// has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether small writes leave at once (TCP_NODELAY); on by default. For TCP.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = Some(on);
        self
    }

    /// Makes the kernel probe a peer that was silent, and end the connection if it does not answer
    /// (SO_KEEPALIVE); off by default. For TCP.
    ///
    /// Takes a [`KeepAlive`], or a `Duration` of silence.
    #[must_use]
    pub fn keep_alive(mut self, how: impl Into<KeepAlive>) -> Self {
        self.keep_alive = Some(how.into());
        self
    }

    /// Has a connection count as writable only while the kernel holds fewer unsent bytes than this
    /// (TCP_NOTSENT_LOWAT). For TCP, on Linux; elsewhere `Unsupported`.
    ///
    /// The rest stays in the connection's own buffer, where the water marks and
    /// [`Transport::buffered`](crate::Transport::buffered) see it. 128 KiB by default on Linux: so a
    /// [timeout](crate::Transport::set_timeout) sees that a slow peer takes bytes. `u32::MAX` is the
    /// system's own default, no bound: then a stream to a fast peer wakes the server less often, and a peer that
    /// does not read holds some megabytes of the kernel's memory.
    #[must_use]
    pub fn unsent_low_water(mut self, bytes: u32) -> Self {
        self.unsent_low_water = Some(bytes);
        self
    }

    /// Lets sockets share an address (SO_REUSEADDR). For TCP and UDP.
    ///
    /// On by default where a TCP listener is bound, except on Windows: a server may restart while the kernel
    /// still holds connections of its previous run. Several listeners to one multicast group need it; a
    /// unicast datagram goes to one of them, which the system chooses.
    #[must_use]
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = Some(on);
        self
    }

    /// Lets several sockets of one user share a port (SO_REUSEPORT); off by default. For TCP and UDP, on
    /// Unix; elsewhere `Unsupported`.
    ///
    /// The kernel spreads connections over them, and senders of datagrams, each of which stays with one
    /// socket. A second instance of the program can share the port too, without an error;
    /// [`Cores`](crate::Cores) checks first.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Whether `[::]` leaves IPv4 alone (`true`) or takes it too (`false`). For TCP and UDP.
    ///
    /// Without this the system decides for `[::]:5000`, and `:5000` takes both. Without effect at an IPv4
    /// address.
    #[must_use]
    pub fn v6_only(mut self, on: bool) -> Self {
        self.v6_only = Some(on);
        self
    }

    /// Permits sending to broadcast addresses (SO_BROADCAST); off by default. For UDP.
    ///
    /// Twisted's `setBroadcastAllowed`.
    #[must_use]
    pub fn broadcast(mut self, on: bool) -> Self {
        self.broadcast = on;
        self
    }

    /// Size of the kernel's receive buffer in bytes (SO_RCVBUF), which has its own limit
    /// (`net.core.rmem_max` on Linux).
    ///
    /// By default the kernel adapts that of a connection.
    ///
    /// A datagram that comes when it is full is lost, and nobody is told. The default of Linux, 208 KiB
    /// (`net.core.rmem_default`), holds some 250 small datagrams, since the kernel charges each with about
    /// 800 bytes: of a burst of 1,000 most are lost unless the loop is faster than the senders. A server of
    /// many clients should ask for some MiB, and raise `net.core.rmem_max` if the kernel gives less.
    /// `netstat -su` and `ss -uam` show what was lost.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes.min(MOST_BUFFERED));
        self
    }

    /// Size of the kernel's send buffer in bytes (SO_SNDBUF), which has its own limit
    /// (`net.core.wmem_max` on Linux).
    ///
    /// By default the kernel adapts that of a connection.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes.min(MOST_BUFFERED));
        self
    }

    /// Lends the socket to `hook`, for everything else: after the other options, and before bind or connect.
    ///
    /// An error of `hook` is that of `listen` or `listen_udp`, or the outcome of the attempt to connect; so
    /// is a panic. A
    /// simulation has no sockets, and does not call it. A socket that is adopted is lent as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Connect, SocketOptions};
    ///
    /// let bulk = SocketOptions::new()
    ///     .hook(|socket| socket2::SockRef::from(&socket).set_tos_v4(0x08));
    /// let connect = Connect::to("127.0.0.1:5000").socket(bulk);
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn hook(
        mut self,
        hook: impl Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Has `[::]` take IPv4 too, unless the user has decided.
    pub(crate) fn for_both_families(&self) -> Self {
        Self { v6_only: self.v6_only.or(Some(false)), ..self.clone() }
    }

    /// Has the address be taken even if the kernel still holds connections to it, unless the user has
    /// decided. On Windows the option means something else: taking over a port in use.
    pub(crate) fn for_fixed_address(&self) -> Self {
        let on = self.reuse_address.or(if cfg!(windows) { None } else { Some(true) });
        Self { reuse_address: on, ..self.clone() }
    }

    /// The part of these options that the simulated network has to know.
    pub(crate) fn bound(&self, addr: SocketAddr) -> Bound {
        let reuse = self.reuse_address == Some(true);
        Bound { addr, v6_only: self.v6_only == Some(true), reuse, share: self.reuse_port }
    }

    /// Which of its options a simulated connection remembers.
    pub(crate) fn remembered(&self) -> Remembered {
        let keep_alive = self.keep_alive.is_some();
        Remembered { no_delay: self.no_delay != Some(false), keep_alive }
    }

    /// Refuses options that a socket cannot have.
    pub(crate) fn check(&self, kind: Kind, origin: Origin) -> io::Result<()> {
        let tcp = [
            ("no_delay", self.no_delay.is_some()),
            ("keep_alive", self.keep_alive.is_some()),
            ("unsent_low_water", self.unsent_low_water.is_some()),
        ];
        let ip = [
            ("reuse_address", self.reuse_address.is_some()),
            ("reuse_port", self.reuse_port),
            ("v6_only", self.v6_only.is_some()),
        ];
        let udp = [("broadcast", self.broadcast)];
        let wrong: &[&[_]] = match kind {
            Kind::Tcp => &[&udp],
            Kind::Udp => &[&tcp],
            Kind::Unix => &[&ip, &udp],
        };
        let given = |options: &[&[(&'static str, bool)]]| {
            options.iter().copied().flatten().find(|(_, given)| *given).map(|(name, _)| *name)
        };
        if let Some(option) = given(wrong) {
            return Err(invalid(format!("{option} is no option of a {kind:?} socket")));
        }
        match given(&[&ip]) {
            Some(option) if origin == Origin::Adopted => {
                Err(invalid(format!("{option} comes too late for a socket that is bound")))
            }
            _ if kind == Kind::Unix => Ok(()),
            _ => self.keep_alive.map_or(Ok(()), |how| how.for_system().map(drop)),
        }
    }

    /// Sets the options on a socket. Its family matters for `v6_only`.
    pub(crate) fn apply(&self, socket: &Socket, kind: Kind, origin: Origin) -> io::Result<()> {
        self.check(kind, origin)?;
        if kind == Kind::Tcp {
            self.apply_to_tcp(socket)?;
        }
        if let Some(on) = self.reuse_address {
            socket.set_reuse_address(on)?;
        }
        if self.reuse_port {
            reuse_port(socket)?;
        }
        if let Some(only) = self.v6_only
            && origin == Origin::New(Domain::IPV6)
        {
            socket.set_only_v6(only)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        #[cfg(unix)]
        if let Some(hook) = &self.hook {
            run_hook(hook.as_ref(), std::os::fd::AsFd::as_fd(socket))?;
        }
        Ok(())
    }

    /// Sets those for TCP, with their defaults, on a socket that is connected or will be.
    pub(crate) fn apply_to_tcp(&self, socket: &Socket) -> io::Result<()> {
        if self.no_delay != Some(false) {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(how) = self.keep_alive {
            socket.set_tcp_keepalive(&how.for_system()?)?;
        }
        if let Some(bytes) = self.unsent_low_water.or(UNSENT_IN_KERNEL) {
            unsent_low_water(socket, bytes)?;
        }
        Ok(())
    }
}

/// Calls a hook. It may run within an attempt to connect, in the loop, so its panic is an error.
#[cfg(unix)]
fn run_hook(hook: &Hook, socket: BorrowedFd<'_>) -> io::Result<()> {
    std::panic::catch_unwind(AssertUnwindSafe(|| hook(socket))).unwrap_or_else(|payload| {
        std::mem::forget(payload); // its `Drop` might panic
        Err(io::Error::other("the hook of the socket options panicked"))
    })
}

impl fmt::Debug for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOptions")
            .field("no_delay", &self.no_delay)
            .field("keep_alive", &self.keep_alive)
            .field("reuse_port", &self.reuse_port)
            .finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "reuse_port is for Unix"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn unsent_low_water(socket: &Socket, bytes: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(bytes)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unsent_low_water(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "unsent_low_water is for Linux"))
}
