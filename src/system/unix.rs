//! The path of a listening Unix socket: how a socket gets there, and how it goes.
//!
//! bind(2) makes the file with whatever mode the umask gives, which is the whole process's and
//! cannot be changed for one thread; it refuses a path whose last server died; and until listen(2)
//! clients are refused. So the socket is made in a private folder beside the path, complete with its
//! mode and listening, and then moved to where clients look for it:
//!
//! ```text
//!   run/.chat.sock.5f3a/s     bound in a folder nobody else may enter, given its mode, listening
//!   run/.chat.sock.lock/s     moved there, folder and all: that fails while another is there
//!   run/chat.sock             moved there, unless whoever has the place is alive
//! ```
//!
//! Moving is atomic, and the folder that is the lock is only empty once its owner is through, so of
//! many servers that start together one gets the path. Whether a socket is alive is found out by
//! connecting to it, which works across containers, where process numbers mean nothing.

use std::fs::{self, DirBuilder, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::UnixAddress;
use crate::system::options::SocketOptions;
use crate::system::stream::Stream;

/// The name of the socket within the private folder: short, since the kernel's limit counts it.
const SOCKET: &str = "s";

/// How many bytes longer than the path itself that of the socket in its folder is.
const STAGING_LENGTH: usize = "..lock/s".len();

/// The size of `sun_path`, with a NUL at the end: unix(7), and unix(4) of the BSDs.
const SUN_PATH: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 108 } else { 104 };

/// How often to look for a free name, or at a lock that changes hands. Each time is an accident of
/// one in 65,536, or a moment of another server's start.
const TRIES: usize = 16;

/// A listening Unix socket.
#[derive(Debug)]
pub(crate) struct UnixAcceptor {
    /// Before the listener, and so gone before it: whoever finds the path finds it answered.
    _file: Option<SocketFile>,
    pub(crate) listener: UnixListener,
    pub(crate) name: UnixAddress,
    /// Unix sockets do not inherit it.
    send_buffer: Option<usize>,
}

impl UnixAcceptor {
    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if a server is alive at the path, or something that is no socket is there; what
    /// the system says.
    pub(crate) fn bind(
        name: UnixAddress,
        mode: Option<u32>,
        backlog: u32,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        options.apply_to_unix(&socket)?;
        let listen = |at: &SockAddr| {
            socket.bind(at)?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        };
        let at = name.to_system()?;
        let file = match name.as_pathname() {
            Some(path) => {
                let staging = Staging::beside(path)?;
                listen(&SockAddr::unix(staging.socket()).map_err(|_| too_long(path))?)?;
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

    /// Takes over a socket that listens already; its file is left to whoever made it.
    pub(crate) fn adopt(
        listener: std::os::unix::net::UnixListener,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        options.apply_to_unix(&socket2::SockRef::from(&listener))?;
        let name = UnixAddress::from_system(&listener.local_addr()?);
        let listener = UnixListener::from_std(listener);
        Ok(Self { _file: None, listener, name, send_buffer: options.send_buffer })
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, UnixAddress)> {
        let (stream, peer) = self.listener.accept()?;
        if let Some(size) = self.send_buffer {
            socket2::SockRef::from(&stream).set_send_buffer_size(size)?;
        }
        // What the kernel calls our end is the name it was bound under, not where clients find it.
        Ok((Stream::Unix(stream, self.name.clone()), UnixAddress::from_system(&peer)))
    }
}

/// The file of a listening socket of ours: removed when dropped, if it is still ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Which file this is, whatever it is called: device and inode.
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
            log::warn!("cannot remove the socket {}: {error}", self.path.display());
        }
    }
}

/// The private folder, with the socket before it is published. Removed when dropped.
#[derive(Debug)]
struct Staging {
    folder: PathBuf,
    /// Where the lock goes; beside it the folders.
    lock: PathBuf,
    /// Whether there is still a socket of ours within.
    occupied: bool,
}

impl Staging {
    fn beside(path: &Path) -> io::Result<Self> {
        let lock = sibling(path, "lock")?;
        let folder = fresh(path, |folder| DirBuilder::new().mode(0o700).create(folder))?;
        Ok(Self { folder, lock, occupied: true })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Moves the socket to `path`, with its mode set before anybody can see it.
    fn publish(mut self, path: &Path, mode: Option<u32>) -> io::Result<SocketFile> {
        if let Some(mode) = mode {
            fs::set_permissions(self.socket(), Permissions::from_mode(mode & 0o777))?;
        }
        let ours = identity(&self.socket())?;
        // A relative path would lead elsewhere after a change of the working directory.
        let lasting = std::path::absolute(path)?;
        self.take_lock(path)?;
        match occupant(path)? {
            Occupant::Nobody | Occupant::Dead => {}
            Occupant::Alive => return Err(in_use("a server is listening there")),
            Occupant::NoSocket => return Err(in_use("what is there is no socket, and is kept")),
        }
        fs::rename(self.socket(), path)?;
        self.occupied = false;
        // If the lock was broken, by mistake, this moved what another had put there.
        if identity(path)? != ours {
            return Err(in_use("another server started there at the same moment"));
        }
        Ok(SocketFile { path: lasting, identity: ours })
    }

    /// Makes the folder the lock of the path.
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
                Occupant::Nobody => {} // it is through, and the next rename replaces its folder
                Occupant::Dead => break_lock(&self.lock, path)?,
                Occupant::Alive | Occupant::NoSocket => break,
            }
        }
        Err(in_use("another server is starting there at this moment"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed is another's already, or cannot be helped.
        if self.occupied {
            let _ = fs::remove_file(self.socket());
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes the lock of a server that was killed while it started. It is moved away first, so that of
/// several who want to remove it one has it; should that be a new one, it is put back.
fn break_lock(lock: &Path, path: &Path) -> io::Result<()> {
    let moved = fresh(path, |folder| fs::rename(lock, folder));
    let folder = match moved {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    };
    match occupant(&folder.join(SOCKET))? {
        Occupant::Dead => fs::remove_file(folder.join(SOCKET))?,
        Occupant::Nobody => {}
        Occupant::Alive | Occupant::NoSocket => return fs::rename(folder, lock),
    }
    fs::remove_dir(folder)
}

/// Who is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Occupant {
    Nobody,
    /// A socket whose server is gone.
    Dead,
    /// A socket that somebody holds, of whatever kind.
    Alive,
    NoSocket,
}

/// Finds out by connecting, which a server that is alive sees as a client that leaves at once.
fn occupant(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Ok(Occupant::NoSocket),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nobody),
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path).map_err(|_| too_long(path))?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Occupant::Dead),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Occupant::Nobody),
        // EAGAIN is a full backlog, EPROTOTYPE a datagram socket. Who may not ask takes nothing.
        Ok(()) | Err(_) => Ok(Occupant::Alive),
    }
}

/// Makes something under a name beside `path` that nobody has.
fn fresh(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let mut result = Err(in_use("no name is free beside it"));
    for _ in 0..TRIES {
        let random = RandomState::new().hash_one(path) & 0xffff;
        let name = sibling(path, &format!("{random:04x}"))?;
        match make(&name) {
            Err(error) if is_occupied(&error) => result = Err(error),
            made => return made.map(|()| name),
        }
    }
    result
}

/// `run/.chat.sock.EXTENSION` for `run/chat.sock`.
fn sibling(path: &Path, extension: &str) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(extension);
    Ok(path.with_file_name(hidden))
}

/// What moving a folder to where something is, and making one there, say.
fn is_occupied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty)
}

fn too_long(path: &Path) -> io::Error {
    let (is, fits) = (path.as_os_str().len(), SUN_PATH - 1 - STAGING_LENGTH);
    let message = format!("the path is {is} bytes long, and no more than {fits} fit");
    io::Error::new(ErrorKind::InvalidInput, message)
}

fn in_use(message: &'static str) -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, message)
}
