//! The path of a listening Unix socket: how its file is created and removed.
//!
//! bind(2) creates the file with the mode that the umask gives. The umask belongs to the whole
//! process and cannot be changed for one thread. bind(2) also refuses a path whose last server
//! died, and until listen(2) clients are refused. So the socket is created in a private folder
//! beside the path, given its mode, made to listen, and then moved to where clients look for it:
//!
//! ```text
//!   run/.chat.sock.5f3a/s     bound in a private folder, given its mode, listening
//!   run/.chat.sock.lock/s     moved there with its folder; fails while another is there
//!   run/chat.sock             moved there, unless a living server has the path
//! ```
//!
//! Moving is atomic, and the lock folder is empty only after its owner has finished, so of many
//! servers that start together one gets the path. Connecting to a socket shows whether its server
//! is alive. This works across containers, where process numbers mean nothing.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::UnixAddress;
use crate::parts::random::Random;
use crate::system::adopted::adopted;
use crate::system::error::server_is_alive;
use crate::system::options::{Kind, Origin, SocketOptions};
use crate::system::stream::Stream;

/// The name of the socket within the private folder: short, since the kernel's limit counts it.
const SOCKET: &str = "s";

/// By how many bytes the path of the socket in its folder is longer than the final path.
const STAGING_LENGTH: usize = "..lock/s".len();

/// The size of `sun_path`, with its final NUL: unix(7), and unix(4) of the BSDs.
const SUN_PATH: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 108 } else { 104 };

/// The longest path at which we listen: on Linux what the kernel takes, see [`at_path`].
const LONGEST_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    SUN_PATH - 1
} else {
    SUN_PATH - 1 - STAGING_LENGTH
};

/// How often to try for a free name, or for a lock that changes hands.
///
/// A retry is an accident of one in 65,536, or due to another server that is starting.
const TRIES: usize = 16;

/// A listening Unix socket.
#[derive(Debug)]
pub(crate) struct UnixAcceptor {
    /// Before the listener, so removed before it closes: a client that finds the path finds a
    /// server.
    _file: Option<SocketFile>,
    pub(crate) listener: UnixListener,
    pub(crate) name: UnixAddress,
    /// Accepted Unix sockets do not inherit it.
    send_buffer: Option<usize>,
}

impl UnixAcceptor {
    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if a server is alive at the path, or if the file there is not a socket; any
    /// other error of the system.
    pub(crate) fn bind(
        name: UnixAddress,
        mode: Option<u32>,
        backlog: u32,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        options.apply(&socket, Kind::Unix, Origin::New(Domain::UNIX))?;
        let listen = |at: &SockAddr| {
            socket.bind(at)?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        };
        let at = Self::check(&name)?;
        let file = match name.as_pathname() {
            Some(path) => {
                let staging = Staging::beside(path)?;
                at_path(&staging.socket(), &listen)?;
                Some(staging.publish(path, mode)?)
            }
            None => {
                listen(&at)?;
                None
            }
        };
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(socket.into());
        Ok(Self { _file: file, listener, name, send_buffer: options.send_buffer })
    }

    /// The address in the form that system calls take, if a socket can listen there.
    pub(crate) fn check(name: &UnixAddress) -> io::Result<SockAddr> {
        name.as_pathname().map_or(Ok(()), check_length)?;
        name.to_system()
    }

    /// Takes over a socket that already listens; does not own its file.
    pub(crate) fn adopt(
        listener: std::os::unix::net::UnixListener,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let found = adopted(&listener)?;
        options.apply(&found, Kind::Unix, Origin::Adopted)?;
        let name = UnixAddress::from_system(&listener.local_addr()?);
        let listener = UnixListener::from_std(listener);
        Ok(Self { _file: None, listener, name, send_buffer: options.send_buffer })
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, UnixAddress)> {
        let (stream, peer) = self.listener.accept()?;
        if let Some(size) = self.send_buffer {
            socket2::SockRef::from(&stream).set_send_buffer_size(size)?;
        }
        // The kernel's name for our end is the one it was bound under, not the path that clients
        // use.
        Ok((Stream::unix(stream, self.name.clone()), UnixAddress::from_system(&peer)))
    }
}

/// The file of our listening socket; removed when dropped, if it is still ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Identifies a file whatever its name: device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove the socket {}: {error}", UnixAddress::from(&self.path));
        }
    }
}

/// The private folder, with the socket before it is published; removed when dropped.
#[derive(Debug)]
struct Staging {
    folder: PathBuf,
    /// The path of the lock; the folders are beside it.
    lock: PathBuf,
    /// Whether the folder still holds our socket.
    occupied: bool,
}

impl Staging {
    fn beside(path: &Path) -> io::Result<Self> {
        let lock = sibling(path, "lock")?;
        let folder = fresh(path, &|folder| DirBuilder::new().mode(0o700).create(folder))?;
        Ok(Self { folder, lock, occupied: true })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Moves the socket to `path`, with its mode set before another process can see it.
    fn publish(mut self, path: &Path, mode: Option<u32>) -> io::Result<SocketFile> {
        if let Some(mode) = mode {
            fs::set_permissions(self.socket(), Permissions::from_mode(mode & 0o777))?;
        }
        let ours = identity(&self.socket())?;
        // A relative path would name another file after a change of the working directory.
        let lasting = match path.is_absolute() {
            true => path.to_owned(),
            false => env::current_dir()?.join(path),
        };
        self.take_lock(path)?;
        match occupant(path)? {
            Occupant::None | Occupant::Dead => {}
            Occupant::Alive => return Err(server_is_alive()),
            Occupant::NoSocket => return Err(in_use("what is there is no socket, and is kept")),
        }
        fs::rename(self.socket(), path)?;
        self.occupied = false;
        // If the lock was broken by mistake, the rename moved another server's socket.
        if identity(path)? != ours {
            return Err(in_use("another server started there at the same moment"));
        }
        Ok(SocketFile { path: lasting, identity: ours })
    }

    /// Takes the lock of the path by renaming the folder to it.
    fn take_lock(&mut self, path: &Path) -> io::Result<()> {
        for _ in 0..TRIES {
            match fs::rename(&self.folder, &self.lock) {
                Ok(()) => {
                    self.folder = self.lock.clone();
                    return Ok(());
                }
                Err(error) if is_occupied(&error) => {}
                Err(error) => return Err(error),
            }
            match occupant(&self.lock.join(SOCKET))? {
                Occupant::None => {} // its owner has finished; the next rename replaces it
                Occupant::Dead => break_lock(&self.lock, path)?,
                Occupant::Alive | Occupant::NoSocket => break,
            }
        }
        Err(in_use("another server is starting there at this moment"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A file that cannot be removed belongs to another server, or cannot be helped.
        if self.occupied {
            let _ = fs::remove_file(self.socket());
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes the lock of a server that was killed while it started.
///
/// The lock is moved away first, so that only one of several servers removes it. A lock that turns
/// out to be new is put back.
fn break_lock(lock: &Path, path: &Path) -> io::Result<()> {
    let moved = fresh(path, &|folder| fs::rename(lock, folder));
    let folder = match moved {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    };
    match occupant(&folder.join(SOCKET))? {
        Occupant::Dead => fs::remove_file(folder.join(SOCKET))?,
        Occupant::None => {}
        Occupant::Alive | Occupant::NoSocket => return fs::rename(folder, lock),
    }
    fs::remove_dir(folder)
}

/// The state of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Occupant {
    None,
    /// A socket whose server is gone.
    Dead,
    /// A socket of any kind that a process holds.
    Alive,
    NoSocket,
}

/// Connects to find out; a living server sees a client that leaves at once.
fn occupant(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Ok(Occupant::NoSocket),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::None),
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match at_path(path, &|at| socket.connect(at)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Occupant::Dead),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Occupant::None),
        // EAGAIN is a full backlog, EPROTOTYPE a datagram socket. Without permission to connect,
        // the path counts as taken.
        Ok(()) | Err(_) => Ok(Occupant::Alive),
    }
}

/// Creates something under a free name beside `path`.
fn fresh(path: &Path, make: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let (mut random, mut result) = (Random::by_chance(), Err(in_use("no name is free beside it")));
    for _ in 0..TRIES {
        let name = sibling(path, &format!("{:04x}", random.below(0x10000)))?;
        match make(&name) {
            Err(error) if is_occupied(&error) => result = Err(error),
            made => return made.map(|()| name),
        }
    }
    result
}

/// `run/.chat.sock.EXTENSION` for `run/chat.sock`.
fn sibling(path: &Path, extension: &str) -> io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the path names no file"));
    };
    let hidden = [b".", name.as_bytes(), b".", extension.as_bytes()].concat();
    Ok(folder.join(OsStr::from_bytes(&hidden)))
}

/// Whether renaming or creating a folder failed because the name is taken.
fn is_occupied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty)
}

/// Calls `operation` with the address of a path, also if that is too long for a system call: the private
/// folder beside a path of the greatest length makes it so.
///
/// Linux then reaches the folder by a descriptor, whose path is short.
fn at_path(path: &Path, operation: &dyn Fn(&SockAddr) -> io::Result<()>) -> io::Result<()> {
    let too_long = match SockAddr::unix(path) {
        Ok(at) => return operation(&at),
        Err(error) => error,
    };
    if cfg!(any(target_os = "linux", target_os = "android"))
        && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
    {
        let folder = fs::File::open(folder)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        return operation(&SockAddr::unix(short)?);
    }
    Err(too_long)
}

/// Checks that a path leaves room for the folder beside it, where that matters.
fn check_length(path: &Path) -> io::Result<()> {
    let (is, fits) = (path.as_os_str().len(), LONGEST_PATH);
    if is > fits {
        let message = format!("the path is {is} bytes long, and no more than {fits} fit");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn in_use(message: &'static str) -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, message)
}
