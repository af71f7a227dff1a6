//! The address of a Unix socket.

use std::ffi::OsStr;
use std::fmt::{self, Write};
#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How an address without a name is printed.
const UNNAMED: &str = "(unnamed)";

/// The address of a Unix socket: a path, a name in Linux's abstract namespace, or none (unix(7)).
///
/// Most clients have none.
///
/// Made from a path, or by [`abstract_name`](Self::abstract_name). A `Clone` copies a pointer.
/// Printed as `unix:/run/chat.sock` or `unix:@name`, with control characters, backslashes and bytes that
/// are no text escaped, since a client chooses its own name. An [`Endpoint`](crate::Endpoint) reads that.
///
/// # Examples
///
/// ```
/// use crocus::UnixAddress;
///
/// assert_eq!(UnixAddress::from("/run/chat.sock").to_string(), "unix:/run/chat.sock");
/// assert_eq!(UnixAddress::abstract_name("chat").to_string(), "unix:@chat");
///
/// let address = UnixAddress::from("/run/chat.sock");
/// assert_eq!(address.as_pathname(), Some("/run/chat.sock".as_ref()));
/// assert_eq!(address.as_abstract_name(), None);
/// assert!(!address.is_unnamed());
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

    /// Reads what `Display` prints after `unix:`.
    pub(crate) fn read(text: &str) -> Self {
        if text == UNNAMED {
            return Self::unnamed();
        }
        match text.strip_prefix('@') {
            Some(name) => Self::abstract_name(unescape(name)),
            None => Self::from_bytes(&unescape(text)),
        }
    }

    /// From a field of a fixed length, as `sun_path` is: a path ends at the first NUL, an abstract name begins with
    /// one.
    #[cfg(feature = "proxy")]
    pub(crate) fn from_padded(field: &[u8]) -> Self {
        let end = field.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        match &field[..end] {
            [] => Self::unnamed(),
            [0, name @ ..] => Self::abstract_name(name),
            path => Self::from_bytes(path.split(|&byte| byte == 0).next().unwrap_or_default()),
        }
    }

    /// The same field. A name that has no room is cut, which no address of the system's needs.
    #[cfg(feature = "proxy")]
    pub(crate) fn to_padded(&self) -> [u8; 108] {
        let (at, name) = match self.0.as_deref() {
            None => (0, &[][..]),
            Some(Name::Path(path)) => (0, path.as_os_str().as_encoded_bytes()),
            Some(Name::Abstract(name)) => (1, name.as_slice()),
        };
        let mut field = [0; 108];
        for (byte, of_name) in field[at..].iter_mut().zip(name) {
            *byte = *of_name;
        }
        field
    }

    #[cfg(unix)]
    fn from_bytes(path: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self::from_path(OsStr::from_bytes(path))
    }

    #[cfg(not(unix))]
    fn from_bytes(path: &[u8]) -> Self {
        Self::from_path(String::from_utf8_lossy(path).as_ref().as_ref())
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
                // The system's text ("shorter than SUN_LEN") has no number in it.
                socket2::SockAddr::unix(path).map_err(|_| {
                    let message = format!("the path is {} bytes long, too long", bytes.len());
                    io::Error::new(io::ErrorKind::InvalidInput, message)
                })
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
        let path = match self.0.as_deref() {
            None => return write!(f, "unix:{UNNAMED}"),
            Some(Name::Abstract(name)) => return write!(f, "unix:@{}", name.escape_ascii()),
            Some(Name::Path(path)) => path.as_os_str().as_encoded_bytes(),
        };
        f.write_str("unix:")?;
        // An escaped first letter tells such a path from the other kinds of address.
        let path = match path {
            [first @ (b'@' | b'('), rest @ ..] => {
                write!(f, "\\x{first:02x}")?;
                rest
            }
            path => path,
        };
        for chunk in path.utf8_chunks() {
            for char in chunk.valid().chars() {
                if char.is_control() || char == '\\' {
                    write!(f, "{}", char.escape_default())?;
                } else {
                    f.write_char(char)?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// The bytes of a text with escapes, as `escape_ascii` and `escape_default` write them. A backslash that
/// begins no escape stays.
fn unescape(mut text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((plain, rest)) = text.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        text = match read_escape(rest, &mut bytes) {
            Some(rest) => rest,
            None => {
                bytes.push(b'\\');
                rest
            }
        };
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Reads what follows a backslash, and returns the rest.
fn read_escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let (kind, rest) = (text.chars().next()?, text.get(1..)?);
    match kind {
        't' => bytes.push(b'\t'),
        'r' => bytes.push(b'\r'),
        'n' => bytes.push(b'\n'),
        '\'' | '"' | '\\' => bytes.push(kind as u8),
        'x' => {
            let digits = rest.get(..2).filter(|digits| are_hexadecimal(digits))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            return rest.get(2..);
        }
        'u' => {
            let (digits, rest) = rest.strip_prefix('{')?.split_once('}')?;
            let digits = Some(digits).filter(|digits| are_hexadecimal(digits))?;
            let char = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        _ => return None,
    }
    Some(rest)
}

/// `from_str_radix` would take a sign, too.
fn are_hexadecimal(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
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
    fn a_backslash_that_begins_no_escape_stays() {
        for text in [r"\q", r"\u{+41}", r"\x+4", r"\u{}", r"\u{41", r"\é", r"a\"] {
            assert_eq!(UnixAddress::read(text), UnixAddress::from(text));
        }
    }

    #[test]
    fn small() {
        assert_eq!(size_of::<UnixAddress>(), size_of::<usize>());
    }
}
