//! The directory that is served, and no file outside of it.
//!
//! A path is split before it is looked up. The file that is found, after all symbolic links, must
//! be below the root: no `..`, no encoding and no link leads outside. Names that begin with a dot
//! are not served. Users who may write in the directory while it is served are trusted.
//!
//! The loop's thread reads the files, a chunk at a time. From the page cache a chunk takes
//! microseconds; a slow disk makes all connections wait.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::status::Status;

/// The file that is served for a directory.
const INDEX: &str = "index.html";

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    #[cfg(target_os = "linux")]
    dir: File,
}

/// The file or directory at a path.
#[derive(Debug)]
pub(crate) enum Found {
    File(Body, &'static str),
    /// A directory, requested without the final slash. Relative links in it need the slash.
    Directory,
}

impl Root {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let dir = dir.canonicalize()?;
        fs::read_dir(&dir)?; // fails if it is not a directory, or may not be read
        Ok(Self {
            #[cfg(target_os = "linux")]
            dir: File::open(&dir)?,
            path: dir,
        })
    }

    /// Finds the file or directory at `path`, a target without its query.
    pub(crate) fn find(&self, path: &str) -> Result<Found, Status> {
        let relative = relative(path)?;
        #[cfg(target_os = "linux")]
        if let Some(found) = self.find_quickly(&relative).filter(|_| !path.ends_with('/')) {
            return Ok(found);
        }
        let mut asked = self.path.join(relative);
        let found = self.inside(&asked)?;
        let is_dir = found.is_dir();
        if is_dir && !path.ends_with('/') {
            return Ok(Found::Directory);
        }
        if !is_dir {
            // A file's name with a slash after it is not found.
            return if path.ends_with('/') { Err(Status::NOT_FOUND) } else { open(&found, &asked) };
        }
        asked.push(INDEX);
        open(&self.inside(&asked)?, &asked)
    }

    /// A file that one system call finds below the root. `None` decides nothing: a directory, or a
    /// link with an absolute path, needs the longer way of [`find`](Self::find).
    #[cfg(target_os = "linux")]
    fn find_quickly(&self, relative: &Path) -> Option<Found> {
        use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
        // Without NONBLOCK, opening a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file =
            openat2(&self.dir, relative, flags, Mode::empty(), ResolveFlags::BENEATH).ok()?;
        let file = File::from(file);
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Found::File(Body { file, left: metadata.len() }, content_type(relative)))
    }

    /// The path after all links, if it is below the root.
    fn inside(&self, path: &Path) -> Result<PathBuf, Status> {
        match path.canonicalize() {
            Ok(found) if found.starts_with(&self.path) => Ok(found),
            Ok(_) | Err(_) => Err(Status::NOT_FOUND),
        }
    }
}

/// The rest of a file that is being sent.
#[derive(Debug)]
pub(crate) struct Body {
    file: File,
    left: u64,
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// The next bytes, as many as fit; none at the end. Bytes that were added after the file was
    /// opened are left out.
    ///
    /// # Errors
    ///
    /// The system's error, or `UnexpectedEof` if the file has shrunk.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        loop {
            match self.file.read(&mut buf[..most]) {
                Ok(0) if most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.left -= count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn open(path: &Path, asked: &Path) -> Result<Found, Status> {
    let metadata = fs::metadata(path).map_err(|error| status_of(path, &error))?;
    if !metadata.is_file() {
        return Err(Status::NOT_FOUND); // opening a pipe would wait for its writer
    }
    let file = File::open(path).map_err(|error| status_of(path, &error))?;
    let left = file.metadata().map_err(|error| status_of(path, &error))?.len();
    Ok(Found::File(Body { file, left }, content_type(asked)))
}

fn status_of(path: &Path, error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Status::NOT_FOUND,
        _ => {
            log::warn!("cannot open {path:?}: {error}");
            Status::INTERNAL_ERROR
        }
    }
}

/// The path of a target, relative to the root.
fn relative(path: &str) -> Result<PathBuf, Status> {
    let Some(path) = path.strip_prefix('/') else { return Err(Status::BAD_REQUEST) };
    let mut relative = PathBuf::new();
    if path.is_empty() {
        return Ok(relative);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    // Split first, decode then: an encoded slash is part of a name, and no file has such a name.
    for segment in path.split('/') {
        let name = decode(segment)?;
        if name.contains(&0) {
            return Err(Status::BAD_REQUEST);
        }
        // A leading dot: `.`, `..` and hidden files. An empty name could turn a redirect into
        // `//host`. Browsers take a backslash for a slash.
        if name.is_empty() || name[0] == b'.' || name.iter().any(|byte| b"/\\".contains(byte)) {
            return Err(Status::NOT_FOUND);
        }
        relative.push(OsStr::from_bytes(&name));
    }
    Ok(relative)
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(segment: &str) -> Result<Vec<u8>, Status> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err(Status::BAD_REQUEST);
        };
        decoded.push((high << 4 | low) as u8); // two digits of four bits
    }
    Ok(decoded)
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/vnd.microsoft.icon",
        "woff2" => "font/woff2",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}
