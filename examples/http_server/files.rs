//! The directory that is served, and no file outside of it.
//!
//! A path is taken apart before anything is looked for, and what was found is compared with the root
//! after all symbolic links: nobody gets out by `..`, by any encoding, or by a link. Names that begin
//! with a dot are not served. Who may write in the directory while it is served is trusted.
//!
//! Files are read by the loop's thread, a chunk at a time. From the page cache that takes
//! microseconds; a slow disk makes everybody wait.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::status::Status;

/// What is served for a directory.
const INDEX: &str = "index.html";

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    #[cfg(target_os = "linux")]
    dir: File,
}

/// What there is at a path.
#[derive(Debug)]
pub(crate) enum Found {
    File(Body, &'static str),
    /// A directory, asked for without the slash that makes relative links in it work.
    Directory,
}

impl Root {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let dir = dir.canonicalize()?;
        fs::read_dir(&dir)?; // fails for what is not a directory, or may not be read
        Ok(Self {
            #[cfg(target_os = "linux")]
            dir: File::open(&dir)?,
            path: dir,
        })
    }

    /// What there is at `path`, a target without its query.
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
            // A slash behind the name of a file names nothing.
            return if path.ends_with('/') { Err(Status::NOT_FOUND) } else { open(&found, &asked) };
        }
        asked.push(INDEX);
        open(&self.inside(&asked)?, &asked)
    }

    /// A file that one system call finds, and finds inside. Nothing else is decided here: what this does
    /// not find, as a directory, or a link by an absolute path, is looked at in more steps.
    #[cfg(target_os = "linux")]
    fn find_quickly(&self, relative: &Path) -> Option<Found> {
        use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
        // Without NONBLOCK to open a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file =
            openat2(&self.dir, relative, flags, Mode::empty(), ResolveFlags::BENEATH).ok()?;
        let file = File::from(file);
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Found::File(Body { file, left: metadata.len() }, content_type(relative)))
    }

    /// Where a path leads after all links, if that is inside.
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

    /// The next bytes, as many as fit; none at the end. What the file has grown by since it was opened
    /// is left out.
    ///
    /// # Errors
    ///
    /// What the system says, and `UnexpectedEof` if the file has shrunk.
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
        return Err(Status::NOT_FOUND); // to open a pipe would wait for its writer
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

/// The path of a target as one below the root.
fn relative(path: &str) -> Result<PathBuf, Status> {
    let Some(path) = path.strip_prefix('/') else { return Err(Status::BAD_REQUEST) };
    let mut relative = PathBuf::new();
    if path.is_empty() {
        return Ok(relative);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    // Taken apart first, decoded after: an encoded slash is a byte of a name that no file can have.
    for segment in path.split('/') {
        let name = decode(segment)?;
        if name.contains(&0) {
            return Err(Status::BAD_REQUEST);
        }
        // With the dot go `.`, `..` and what people hide; the empty name would make `//host` of a
        // redirect, and browsers take a backslash for a slash.
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
