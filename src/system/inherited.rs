//! Sockets that were handed over when this process was started: by systemd, or by a parent that does the same.
//!
//! They belong to the process, as its environment does, so the list of them is the one global of this crate. It
//! is read once, and remembers which of them were taken: no two owners can get one descriptor.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use listenfd::ListenFd;
use socket2::SockRef;

use super::error::invalid;

/// The name of a socket that was given none: sd_listen_fds(3) has the same.
const UNNAMED: &str = "unknown";

static HANDED_OVER: LazyLock<Mutex<Vec<Slot>>> = LazyLock::new(|| Mutex::new(read()));

/// One of the sockets that were handed over to this process, for [`Listen::inherited`](crate::Listen::inherited)
/// and [`Datagrams::inherited`](crate::Datagrams::inherited): by its name, or by its place among them, from 0.
///
/// systemd, or a parent that does the same, opens sockets, starts the program with them as descriptors 3, 4, …, and
/// says so in three variables of its environment (sd_listen_fds(3)): `LISTEN_FDS`, how many; `LISTEN_PID`, to which
/// process; `LISTEN_FDNAMES`, their names, with colons between them. In a `.socket` unit, `FileDescriptorName=` is
/// the name of all its sockets, and without it the name of the unit, as in `web.socket`. Without names each is
/// called `unknown`. Without `LISTEN_PID`, or with that of another process, nothing was handed over to this one.
///
/// # When the environment is read
///
/// Once, by the first call of one of the three functions that are named here. **Call one of them at the beginning
/// of `main`, before a thread is started and a file is opened.** Then `LISTEN_FDS` and `LISTEN_PID` are removed, so
/// that children of this process do not take them for theirs, and to change the environment while another thread
/// reads it, in C code too, is undefined behaviour (see [`std::env::remove_var`]; the crate `listenfd` does it).
/// And if the variables promise more descriptors than there are, the number of a file that was opened before could
/// be taken for one of them. Without `LISTEN_FDS` nothing is removed. Later calls may come from any thread.
///
/// Each socket is made close-on-exec then. One that is taken by nobody stays open until the process ends, and no
/// descriptor of another kind (a pipe, a file) is touched.
///
/// Needs the feature `activation`; for Unix.
///
/// # Examples
///
/// ```no_run
/// use crocus::{Inherited, Listen, Protocol, Reactor};
///
/// # struct Idle;
/// # impl Protocol for Idle {}
/// // First of all in `main`. Started by hand, the program opens a socket of its own.
/// let place = if Inherited::names().is_empty() {
///     Listen::at("127.0.0.1:5000")
/// } else {
///     Listen::inherited("web")?
/// };
/// let mut reactor = Reactor::new()?;
/// reactor.listen(place.max_connections(10_000), |_peer| Idle)?;
/// reactor.run()?;
/// # std::io::Result::Ok(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "activation")))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inherited(Which);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Which {
    Name(String),
    Place(usize),
}

impl Inherited {
    /// The names of the sockets that were handed over, in their order, with those that were taken since.
    ///
    /// Empty: there are none, and a program that can bind its own does so. Several may have one name.
    pub fn names() -> Vec<String> {
        handed_over().iter().map(|slot| slot.name.clone()).collect()
    }

    fn is(&self, place: usize, slot: &Slot) -> bool {
        match &self.0 {
            Which::Name(name) => *name == slot.name,
            Which::Place(wanted) => *wanted == place,
        }
    }
}

impl From<&str> for Inherited {
    fn from(name: &str) -> Self {
        Self(Which::Name(name.to_owned()))
    }
}

impl From<String> for Inherited {
    fn from(name: String) -> Self {
        Self(Which::Name(name))
    }
}

impl From<usize> for Inherited {
    fn from(place: usize) -> Self {
        Self(Which::Place(place))
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Which::Name(name) => write!(f, "{name:?}"),
            Which::Place(place) => write!(f, "number {place}"),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes a listening socket: the first one that fits and is there still.
///
/// # Errors
///
/// `NotFound` if no socket at all was handed over; else `InvalidInput`, with the reason.
pub(crate) fn listener(which: &Inherited) -> io::Result<Listening> {
    take(which, "a listener", |held| match held {
        Held::Tcp(listener) if listens(&listener) => Ok(Listening::Tcp(listener)),
        Held::Unix(listener) if listens(&listener) => Ok(Listening::Unix(listener)),
        other => Err(other),
    })
}

/// Takes a UDP socket: the first one that fits and is there still.
///
/// # Errors
///
/// As [`listener`].
pub(crate) fn datagrams(which: &Inherited) -> io::Result<UdpSocket> {
    take(which, "a UDP socket", |held| match held {
        Held::Udp(socket) => Ok(socket),
        other => Err(other),
    })
}

/// One descriptor that was handed over.
struct Slot {
    name: String,
    held: Held,
}

/// The kind of a descriptor, with its owner.
enum Held {
    /// TCP: listening, or a connection.
    Tcp(TcpListener),
    /// A Unix stream: listening, or a connection.
    Unix(UnixListener),
    Udp(UdpSocket),
    /// Nothing here takes it; it stays open.
    UnixDatagram {
        _kept: UnixDatagram,
    },
    /// No socket, or one of a family that `listenfd` does not tell.
    Other,
    Taken,
}

impl Held {
    fn name(&self) -> &'static str {
        match self {
            Self::Tcp(socket) if listens(socket) => "a TCP listener",
            Self::Unix(socket) if listens(socket) => "a Unix listener",
            Self::Tcp(_) | Self::Unix(_) => {
                "a stream that does not listen (Accept=yes hands over a connection)"
            }
            Self::Udp(_) => "a UDP socket",
            Self::UnixDatagram { .. } => "a Unix datagram socket",
            Self::Other => "no TCP, UDP or Unix socket",
            Self::Taken => "taken already",
        }
    }
}

fn handed_over() -> MutexGuard<'static, Vec<Slot>> {
    // Nothing under the lock leaves a slot half changed.
    HANDED_OVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the environment, and takes what it announces.
fn read() -> Vec<Slot> {
    // `listenfd` takes this for a permission to any process. But then a child that has the variables from its parent
    // would take whatever has these numbers.
    if env::var_os("LISTEN_PID").is_none_or(|process| process.is_empty()) {
        return Vec::new();
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let places = 0..descriptors.len();
    let slot = |place| {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or(UNNAMED).to_owned();
        Slot { name, held: held(&mut descriptors, place) }
    };
    places.map(slot).collect()
}

/// Takes a descriptor as what it is. Those of other kinds fail the check, and stay where they are.
fn held(descriptors: &mut ListenFd, place: usize) -> Held {
    if let Ok(Some(socket)) = descriptors.take_tcp_listener(place) {
        return Held::Tcp(socket);
    }
    if let Ok(Some(socket)) = descriptors.take_unix_listener(place) {
        return Held::Unix(socket);
    }
    if let Ok(Some(socket)) = descriptors.take_udp_socket(place) {
        return Held::Udp(socket);
    }
    match descriptors.take_unix_datagram(place) {
        Ok(Some(socket)) => Held::UnixDatagram { _kept: socket },
        _ => Held::Other,
    }
}

/// Gives away the first socket that `which` means and that `claim` takes.
fn take<T>(
    which: &Inherited,
    wanted: &str,
    claim: impl Fn(Held) -> Result<T, Held>,
) -> io::Result<T> {
    let mut slots = handed_over();
    if slots.is_empty() {
        let message = format!(
            "no socket was handed over to this process, so none is {which}: LISTEN_FDS and \
             LISTEN_PID do not say so"
        );
        return Err(io::Error::new(ErrorKind::NotFound, message));
    }
    let mut seen = Vec::new();
    for (place, slot) in slots.iter_mut().enumerate() {
        if !which.is(place, slot) {
            continue;
        }
        match claim(mem::replace(&mut slot.held, Held::Taken)) {
            Ok(socket) => return Ok(socket),
            Err(held) => slot.held = held,
        }
        seen.push(slot.held.name());
    }
    if seen.is_empty() {
        let names: Vec<_> = slots.iter().map(|slot| format!("{:?}", slot.name)).collect();
        let names = names.join(", ");
        return Err(invalid(format!("no inherited socket is {which}; there are {names}")));
    }
    let seen = seen.join(", ");
    Err(invalid(format!("cannot take {wanted}: the inherited socket {which} is {seen}")))
}

#[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
fn listens(socket: &impl AsFd) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(false)
}

/// Other systems do not tell; there a connection fails when it is asked to accept.
#[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
fn listens(_: &impl AsFd) -> bool {
    true
}
