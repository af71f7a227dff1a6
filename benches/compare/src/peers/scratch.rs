//! Directories for the files of servers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

/// A new directory, removed when dropped, with all that is in it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn new() -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("crocus-compare-{}-{number}", process::id());
        let path = env::temp_dir().join(name);
        // A directory of that name is left from a process that was killed.
        let _ = fs::remove_dir_all(&path);
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(io::Error::other(format!("create {}: {error}", path.display()))),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
