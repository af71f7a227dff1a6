//! The address of a Unix socket.

use std::ffi::OsStr;
use std::fmt::{self, Write};
#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The address of a Unix socket: a path, a name in Linux's abstract namespace, or none (unix(7)).
///
/// Most clients have none.
///
/// Made from a path, or by [`abstract_name`](Self::abstract_name). A `Clone` copies a pointer.
/// Printed as `unix:/run/chat.sock` or `unix:@name`, with control characters escaped, since a
/// client chooses its own name.
///
/// # Examples
///
/// ```
/// use crocus::UnixAddress;
///
/// assert_eq!(UnixAddress::from("/run/chat.sock").to_string(), "unix:/run/chat.sock");
/// assert_eq!(UnixAddress::abstract_name("chat").to_string(), "unix:@chat");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixAddress(Option<Arc<Name>>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Name {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// A name in the abstract namespace of Linux.
    ///
    /// It has no file and no permissions, and is free again as soon as no socket holds it. On other
    /// systems its use is an error, `Unsupported`.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self(Some(Arc::new(Name::Abstract(name.as_ref().to_vec()))))
    }

    pub(crate) const fn unnamed() -> Self {
        Self(None)
    }

    /// The path, where there is one.
    pub fn as_pathname(&self) -> Option<&Path> {
        match self.0.as_deref() {
            Some(Name::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// The name in the abstract namespace, if there is one; it may contain any bytes.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match self.0.as_deref() {
            Some(Name::Abstract(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether it has no name at all.
    pub fn is_unnamed(&self) -> bool {
        self.0.is_none()
    }

    fn from_path(path: &OsStr) -> Self {
        Self(Some(Arc::new(Name::Path(path.into()))))
    }
}

#[cfg(unix)]
impl UnixAddress {
    /// The address in the form that system calls take.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it has no name, or one that is too long or contains a NUL; `Unsupported`
    /// for an abstract name on a system that has none.
    pub(crate) fn to_system(&self) -> io::Result<socket2::SockAddr> {
        use std::os::unix::ffi::OsStrExt;
        match self.0.as_deref() {
            None => Err(invalid("a Unix socket without a name cannot be reached")),
            Some(Name::Path(path)) => {
                let bytes = path.as_os_str().as_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    return Err(invalid("the path of a Unix socket has at least one byte, none 0"));
                }
                socket2::SockAddr::unix(path)
            }
            Some(Name::Abstract(name)) if cfg!(any(target_os = "linux", target_os = "android")) => {
                let name = [&[0], name.as_slice()].concat();
                socket2::SockAddr::unix(OsStr::from_bytes(&name))
            }
            Some(Name::Abstract(_)) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no abstract names of Unix sockets",
            )),
        }
    }

    pub(crate) fn from_system(address: &std::os::unix::net::SocketAddr) -> Self {
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            if let Some(name) = address.as_abstract_name() {
                return Self::abstract_name(name);
            }
        }
        address.as_pathname().map_or_else(Self::unnamed, Self::from)
    }
}

#[cfg(unix)]
fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_deref() {
            None => return f.write_str("unix:(unnamed)"),
            Some(Name::Path(path)) => path.to_string_lossy(),
            Some(Name::Abstract(name)) => {
                f.write_str("unix:@")?;
                return write!(f, "{}", name.escape_ascii());
            }
        };
        f.write_str("unix:")?;
        for char in text.chars() {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

macro_rules! from_paths {
    ($($path:ty),*) => {$(
        impl From<$path> for UnixAddress {
            fn from(path: $path) -> Self {
                Self::from_path(path.as_ref())
            }
        }
    )*};
}

from_paths!(&Path, &PathBuf, PathBuf, &str, &String, String, &OsStr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_on_one_line_whatever_a_client_is_called() {
        assert_eq!(UnixAddress::from("a b/é").to_string(), "unix:a b/é");
        assert_eq!(UnixAddress::from("/x\n\u{1b}[2J").to_string(), "unix:/x\\n\\u{1b}[2J");
        assert_eq!(UnixAddress::abstract_name(b"a\0\xff\n").to_string(), "unix:@a\\x00\\xff\\n");
    }

    #[cfg(unix)]
    #[test]
    fn addresses_go_to_the_system_and_back() {
        assert!(UnixAddress::unnamed().is_unnamed());
        assert_eq!(UnixAddress::unnamed().to_string(), "unix:(unnamed)");
        for wrong in ["", "a\0b", "\0a", &"x".repeat(200)] {
            let error = UnixAddress::from(wrong).to_system().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
        }
        let system = UnixAddress::from("x").to_system().unwrap();
        assert_eq!(system.as_pathname(), Some(Path::new("x")));
        let given = std::os::unix::net::SocketAddr::from_pathname("x").unwrap();
        assert_eq!(UnixAddress::from_system(&given), UnixAddress::from("x"));
    }

    #[test]
    fn small() {
        assert_eq!(size_of::<UnixAddress>(), size_of::<usize>());
    }
}
