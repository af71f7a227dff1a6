//! Socket options.

use std::io;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

/// The options that are set on a socket before it listens or connects.
///
/// Accepted sockets inherit all of them from the listening one (a test checks that), so they cost
/// nothing per connection.
#[derive(Clone, Debug)]
pub(crate) struct SocketOptions {
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { no_delay: true, keep_alive: None, receive_buffer: None, send_buffer: None }
    }
}

/// How many bytes that it has not sent yet the kernel holds for one TCP connection (TCP_NOTSENT_LOWAT); the
/// rest stays in the connection's own buffer.
///
/// Without a bound Linux takes some 4 MB for a peer that reads slowly, and then tells of room only when a
/// third of it is free: at 150 kB/s nothing shows for ten seconds and more that the peer takes anything.
/// With this it takes a second. Fast streams lose nothing: more than what one round trip carries was never
/// needed, and what has been sent and waits for an acknowledgement does not count.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_IN_KERNEL: u32 = 128 * 1024;

/// Bounds what the kernel holds unsent.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bound_unsent(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bound_unsent(_: &Socket) -> io::Result<()> {
    Ok(())
}

impl SocketOptions {
    pub(super) fn apply(&self, socket: &Socket) -> io::Result<()> {
        if self.no_delay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(idle) = self.keep_alive {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
        }
        bound_unsent(socket)?;
        self.apply_sizes(socket)
    }

    /// Applies the sizes only: Unix sockets neither delay small writes nor lose a peer silently.
    #[cfg(unix)]
    pub(crate) fn apply_to_unix(&self, socket: &Socket) -> io::Result<()> {
        self.apply_sizes(socket)
    }

    fn apply_sizes(&self, socket: &Socket) -> io::Result<()> {
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        Ok(())
    }
}
