//! std alone, a thread for each connection: the simplest server for many clients.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use super::{blocking, no_such_service};
use crate::service::READ_BUFFER;

/// Enough for the sessions, whose buffers are on the heap.
const STACK: usize = 64 * 1024;

/// How long a peer may hold up the others of a broadcast before it is thrown out.
const TIME_LIMIT: Duration = Duration::from_secs(5);

pub fn serve(service: &str, _count: u64) -> io::Result<()> {
    let threads = Threads::new();
    if service == "broadcast" {
        let members = Arc::new(Members::default());
        return blocking::accept(move |stream| {
            // Here and not in its thread: a client that connects later may speak earlier.
            let Ok(member) = Member::join(stream, &members) else { return };
            threads.spawn(move || member.send_to_all());
        });
    }
    match blocking::session(service) {
        Some(session) => blocking::accept(|stream| threads.spawn(move || session(stream))),
        None => no_such_service(),
    }
}

/// The number of threads, and its limit.
struct Threads {
    /// Each thread holds a clone.
    running: Arc<()>,
    most: usize,
}

impl Threads {
    /// Each thread maps its stack, another one for signals, and a guard for either. Past the number
    /// of mappings that Linux grants, 65,530 unless set, std aborts; so the limit stays below it.
    fn new() -> Self {
        let mappings = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        let mappings: usize = mappings.trim().parse().unwrap_or(65_530);
        Self { running: Arc::new(()), most: mappings / 4 - 300 }
    }

    /// When there are too many threads the connection is closed.
    fn spawn(&self, session: impl FnOnce() -> io::Result<()> + Send + 'static) {
        if Arc::strong_count(&self.running) > self.most {
            return;
        }
        let running = Arc::clone(&self.running);
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            let _ = session(); // an error is a peer that went away
            drop(running);
        });
    }
}

/// A member of the broadcast, as long as this lives.
struct Member {
    stream: Arc<TcpStream>,
    members: Arc<Members>,
}

impl Member {
    fn join(stream: TcpStream, members: &Arc<Members>) -> io::Result<Self> {
        stream.set_write_timeout(Some(TIME_LIMIT))?;
        let stream = Arc::new(stream);
        members.lock().push(Arc::clone(&stream));
        Ok(Self { stream, members: Arc::clone(members) })
    }

    fn send_to_all(&self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            match (&*self.stream).read(&mut buffer)? {
                0 => return Ok(()),
                length => self.members.send(&buffer[..length]),
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.members.lock().retain(|member| !Arc::ptr_eq(member, &self.stream));
    }
}

/// All that take part in the broadcast.
#[derive(Default)]
struct Members(Mutex<Vec<Arc<TcpStream>>>);

impl Members {
    /// A member that cannot be written to is thrown out; its own thread finds it shut down, and ends.
    ///
    /// The lock is held all the while: without it two chunks could mix in one stream.
    fn send(&self, chunk: &[u8]) {
        self.lock().retain(|member| {
            let sent = (&**member).write_all(chunk).is_ok();
            if !sent {
                let _ = member.shutdown(Shutdown::Both);
            }
            sent
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<TcpStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
