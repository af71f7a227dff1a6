//! Notices to the service manager: systemd, or another one that speaks its protocol (sd_notify(3)).
//!
//! The words are those of the crate `sd-notify`. It sends them too, but to a path only: systemd's own socket is
//! one, and that of some containers and supervisors is a name in Linux's abstract namespace.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crocus::Reactor;
use sd_notify::NotifyState;

/// How long a notice may wait for room in the manager's socket. The loop stands meanwhile, so this is short; and
/// a manager that does not read for so long has other troubles than a lost word.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<OsString>,
}

impl Manager {
    /// The manager that the environment names.
    pub(crate) fn from_env() -> Self {
        Self { socket: env::var_os("NOTIFY_SOCKET") }
    }

    /// Tells it some words, all in one datagram. If that fails, the log says so; the service goes on.
    pub(crate) fn tell(&self, words: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = words.iter().map(|word| format!("{word}\n")).collect();
        if let Err(error) = send(socket, text.as_bytes()) {
            log::warn!("cannot tell {} {text:?}: {error}", socket.display());
        }
    }

    /// Tells it that the configuration is being read. From version 253 on, systemd wants the time with it, for it
    /// has asked for this by a signal, and tells an answer from an older one.
    pub(crate) fn tell_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("there is no clock: {error}"),
        }
    }

    /// Tells it by a timer that the loop turns, if it wants to know. A callback that blocks the loop stops the timer
    /// too, so the manager learns of it.
    pub(crate) fn watch(&self, reactor: &mut Reactor) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let manager = Self { socket: self.socket.clone() };
        reactor.call_every(period(limit), move |reactor, _tick| {
            let (open, stats) = (reactor.connections().len(), reactor.stats());
            let status = format!("{open} open, {} accepted", stats.accepted);
            manager.tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        });
    }
}

/// How often to tell: sd_watchdog_enabled(3) recommends half of the limit.
fn period(limit: Duration) -> Duration {
    limit / 2
}

fn send(to: &OsString, text: &[u8]) -> io::Result<()> {
    let to = match to.as_bytes() {
        [b'@', name @ ..] => abstract_address(name)?,
        _ => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(text, &to).map(drop)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_told_twice_within_its_limit() {
        assert_eq!(period(Duration::from_secs(10)), Duration::from_secs(5));
    }
}
