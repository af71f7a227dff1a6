//! The directory that is served, and no file outside of it.
//!
//! A path is split before it is looked up. The file that is found, after all symbolic links, must
//! be below the root: no `..`, no encoding and no link leads outside. Names that begin with a dot
//! are not served, by themselves or through a link. Nothing but a file is opened, for opening a pipe
//! would be noticed by its writer. Users who may write in the directory while it is served are trusted.
//!
//! The root is looked up anew for each request. So when another directory takes its place, by a rename
//! or a link, a request is answered from the old one or from the new one, and each later request from
//! the new one. Answers that have begun are finished from the old one.
//!
//! The loop's thread reads the files, small ones by itself and large ones by sendfile(2). From the page cache this
//! takes microseconds; a slow disk makes all connections wait.

use std::borrow::Cow;
#[cfg(target_os = "linux")]
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crocus::Transport;
use http_server::status::Status;
use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags};

use crate::conditions::Version;
use crate::listing;

/// The file that is served for a directory.
const INDEX: &str = "index.html";

/// How to open a file. If a pipe has taken its place just now, NONBLOCK does not wait for its writer.
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW);

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// The directory that was last found at this path.
    #[cfg(target_os = "linux")]
    last: RefCell<OwnedFd>,
}

/// A file, or a directory in one of two ways.
#[derive(Debug)]
pub(crate) enum Found {
    /// With its version and its type.
    File(Body, Version, &'static str),
    /// The page that lists a directory without an index.
    Listing(String),
    /// A directory, requested without the final slash. Relative links in it need the slash.
    Directory,
}

impl Root {
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        fs::read_dir(&path)?; // fails if it is not a directory, or may not be read
        Ok(Self {
            #[cfg(target_os = "linux")]
            last: RefCell::new(open_directory(&path)?),
            path,
        })
    }

    /// Finds what stands at `path`, a target without its query.
    pub(crate) fn find(&self, path: &str) -> Result<Found, Status> {
        let mut asked = relative(path)?;
        let is_directory = path.ends_with('/');
        if is_directory {
            asked.push(INDEX);
        }
        #[cfg(target_os = "linux")]
        if let Some((body, version)) = self.open_quickly(&asked) {
            return Ok(Found::File(body, version, content_type(&asked)));
        }
        let root = self.path.canonicalize().map_err(|error| status_of(&self.path, &error))?;
        if is_directory && fs::symlink_metadata(root.join(&asked)).is_err() {
            asked.pop();
            return list(&root, &asked);
        }
        let found = inside(&root, &asked)?;
        if found.is_dir() && !is_directory {
            return Ok(Found::Directory);
        }
        let (body, metadata) = open(&found)?;
        Ok(Found::File(body, Version::of(&metadata), content_type(&asked)))
    }

    /// Opens a file below the root that no link leads to, with three system calls instead of one for
    /// each directory of its path. `None` decides nothing: [`find`](Self::find) goes the longer way.
    #[cfg(target_os = "linux")]
    fn open_quickly(&self, asked: &Path) -> Option<(Body, Version)> {
        use rustix::fs::{ResolveFlags, openat2};
        let mut whole =
            PathBuf::with_capacity(self.path.as_os_str().len() + asked.as_os_str().len() + 1);
        whole.extend([self.path.as_path(), asked]);
        let there = fs::symlink_metadata(whole).ok().filter(Metadata::is_file)?;
        let mut last = self.last.borrow_mut();
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = openat2(&*last, asked, FLAGS, Mode::empty(), resolve).ok();
        let found = file.and_then(|file| Body::new(file.into()).ok());
        let found = found.filter(|(_, metadata)| identity(metadata) == identity(&there));
        let Some((body, metadata)) = found else {
            *last = open_directory(&self.path).ok()?; // another one may have taken its place
            return None;
        };
        Some((body, Version::of(&metadata)))
    }
}

/// A directory to look up files in.
#[cfg(target_os = "linux")]
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Which file it is.
#[cfg(target_os = "linux")]
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// A file, or the rest of it while it is being sent.
#[derive(Debug)]
pub(crate) struct Body {
    file: File,
    rest: Range<u64>,
}

impl Body {
    fn new(file: File) -> io::Result<(Self, Metadata)> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((Self { file, rest: 0..metadata.len() }, metadata))
    }

    /// Leaves this part of it.
    pub(crate) fn cut(&mut self, part: Range<u64>) {
        self.rest = part;
    }

    pub(crate) fn len(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// Hands over all that is left of it to be sent.
    ///
    /// # Errors
    ///
    /// The system's error, or `InvalidInput` if the file has shrunk.
    pub(crate) fn send(self, transport: &mut Transport<'_>) -> io::Result<bool> {
        transport.send_file(self.file, self.rest)
    }

    /// The next bytes, as many as fit; none at the end. Bytes that were added after the file was
    /// opened are left out.
    ///
    /// # Errors
    ///
    /// The system's error, or `UnexpectedEof` if the file has shrunk.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).map_or(buf.len(), |left| left.min(buf.len()));
        loop {
            match self.file.read_at(&mut buf[..most], self.rest.start) {
                Ok(0) if most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.rest.start += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The path of `asked` after all links, if it is below the root and not hidden.
fn inside(root: &Path, asked: &Path) -> Result<PathBuf, Status> {
    let found = root.join(asked).canonicalize().map_err(|_| Status::NOT_FOUND)?;
    let below = found.strip_prefix(root).map_err(|_| Status::NOT_FOUND)?;
    if below.iter().any(|name| name.as_bytes().starts_with(b".")) {
        return Err(Status::NOT_FOUND);
    }
    Ok(found)
}

fn open(path: &Path) -> Result<(Body, Metadata), Status> {
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Err(Status::NOT_FOUND);
    }
    let file = rustix::fs::open(path, FLAGS, Mode::empty()).map_err(io::Error::from);
    file.and_then(|file| Body::new(file.into())).map_err(|error| status_of(path, &error))
}

fn list(root: &Path, relative: &Path) -> Result<Found, Status> {
    let folder = inside(root, relative)?;
    if !folder.is_dir() {
        return Err(Status::NOT_FOUND); // a file's name with a slash after it
    }
    let page = listing::page(&folder, relative, |entry| {
        let (name, kind) = (entry.file_name(), entry.file_type().ok()?);
        let kind = match is_served(name.as_bytes()) {
            true if kind.is_symlink() => {
                fs::metadata(inside(root, &relative.join(name)).ok()?).ok()?.file_type()
            }
            true => kind,
            false => return None,
        };
        (kind.is_dir() || kind.is_file()).then(|| kind.is_dir())
    });
    page.map(Found::Listing).map_err(|error| status_of(&folder, &error))
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
    let mut relative = PathBuf::with_capacity(path.len() + INDEX.len()); // it does not grow
    let names = path.strip_prefix('/').ok_or(Status::BAD_REQUEST)?;
    if names.is_empty() {
        return Ok(relative);
    }
    // Split first, decode then: an encoded slash is part of a name, and no file has such a name.
    for segment in names.strip_suffix('/').unwrap_or(names).split('/') {
        let name = Cow::from(percent_decode_str(segment));
        if name.contains(&0) {
            return Err(Status::BAD_REQUEST);
        }
        if !is_served(&name) {
            return Err(Status::NOT_FOUND);
        }
        relative.push(OsStr::from_bytes(&name));
    }
    Ok(relative)
}

/// Whether what has this name may be served. A leading dot: `.`, `..` and hidden files. An empty name
/// could turn a redirect into `//host`. Browsers take a backslash for a slash.
fn is_served(name: &[u8]) -> bool {
    !name.is_empty() && name[0] != b'.' && !name.iter().any(|byte| b"/\\".contains(byte))
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" | "rs" | "toml" | "log" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
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
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}
