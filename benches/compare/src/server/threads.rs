//! std alone, a thread for each connection: what one writes before one looks for a reactor.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{blocking, no_such_service};
use crate::service::READ_BUFFER;

/// Enough for the sessions, whose buffers are on the heap, 18,000 times.
const STACK: usize = 64 * 1024;

/// How long a peer may hold up the others of a broadcast before it is thrown out.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn serve(service: &str, _count: u64) -> io::Result<()> {
    if service == "broadcast" {
        let members = Arc::new(Members::default());
        return blocking::accept(move |stream| {
            let members = Arc::clone(&members);
            spawn(move || broadcast(stream, &members));
        });
    }
    match blocking::session(service) {
        Some(session) => blocking::accept(|stream| spawn(move || session(stream))),
        None => no_such_service(),
    }
}

/// When there are too many threads the connection is closed.
fn spawn(session: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let _ = thread::Builder::new().stack_size(STACK).spawn(session);
}

fn broadcast(stream: TcpStream, members: &Members) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let stream = Arc::new(stream);
    members.lock().push(Arc::clone(&stream));
    let outcome = send_to_all(&stream, members);
    members.lock().retain(|member| !Arc::ptr_eq(member, &stream));
    outcome
}

fn send_to_all(mut stream: &TcpStream, members: &Members) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => members.send(&buffer[..length]),
        }
    }
}

/// Who takes part in the broadcast.
#[derive(Default)]
struct Members(Mutex<Vec<Arc<TcpStream>>>);

impl Members {
    /// Whoever cannot be written to is thrown out; its own thread finds it shut down, and ends.
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
