//! Settings of a datagram socket.

/// Settings of a datagram socket, for [`Reactor::listen_udp_with`](crate::Reactor::listen_udp_with).
///
/// # Examples
///
/// ```
/// use crocus::DatagramOptions;
///
/// let options = DatagramOptions::new().broadcast(true).receive_buffer(1 << 20);
/// ```
#[derive(Clone, Debug, Default)]
pub struct DatagramOptions {
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) broadcast: bool,
    pub(super) v6_only: Option<bool>,
    pub(super) receive_buffer: Option<usize>,
    pub(super) send_buffer: Option<usize>,
}

impl DatagramOptions {
    /// The defaults: everything off, sizes as the system has them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets several sockets share an address (SO_REUSEADDR), which several listeners to one multicast
    /// group need.
    ///
    /// A unicast datagram goes to one of them, which the system chooses.
    #[must_use]
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// Lets several sockets of one user share an address (SO_REUSEPORT); the kernel spreads the senders
    /// over them, and each sender stays with one socket.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Permits sending to broadcast addresses (SO_BROADCAST).
    ///
    /// Twisted's `setBroadcastAllowed`.
    #[must_use]
    pub fn broadcast(mut self, on: bool) -> Self {
        self.broadcast = on;
        self
    }

    /// Whether `[::]` leaves IPv4 alone (`true`) or takes its datagrams too (`false`).
    ///
    /// Without this the system decides.
    #[must_use]
    pub fn v6_only(mut self, on: bool) -> Self {
        self.v6_only = Some(on);
        self
    }

    /// Size of the kernel's receive buffer in bytes (SO_RCVBUF), which has its own limit
    /// (`net.core.rmem_max` on Linux).
    ///
    /// A datagram that comes when it is full is lost, and nobody is told. The default of Linux, 208 KiB
    /// (`net.core.rmem_default`), holds some 250 small datagrams, since the kernel charges each with about
    /// 800 bytes: of a burst of 1,000 most are lost unless the loop is faster than the senders. A server of
    /// many clients should ask for some MiB, and raise `net.core.rmem_max` if the kernel gives less.
    /// `netstat -su` and `ss -uam` show what was lost.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Size of the kernel's send buffer in bytes (SO_SNDBUF), which has its own limit
    /// (`net.core.wmem_max` on Linux).
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }
}
