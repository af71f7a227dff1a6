//! One client after the other, as in the article.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use socket2::Socket;

use super::{LINE_MAX, Source, Task, pattern};
use crate::cli::Exit;
use crate::frame;

/// How long to wait after an error that the next accept would only repeat: without descriptors, say.
/// A server without this line spins, and one that gives up on the error is gone.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn serve(task: Task, source: &Source, listener: Socket) -> Result<(), Exit> {
    loop {
        match listener.accept() {
            // A client that is gone does not affect the others.
            Ok((stream, _peer)) => drop(answer(task, source, stream.into())),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Does the task for one client; dropping the stream closes it.
pub(super) fn answer(task: Task, source: &Source, mut stream: TcpStream) -> io::Result<()> {
    match task {
        Task::Answer | Task::Long(_) => {}
        Task::Delay(delay) => thread::sleep(delay),
        Task::Line => read_line(&mut stream)?,
    }
    stream.write_all(&source.answer())?;
    if let Task::Long(size) = task {
        let mut at = frame::LEN;
        while at < size {
            let piece = pattern(at, size - at);
            stream.write_all(piece)?;
            at += piece.len();
        }
    }
    Ok(())
}

/// Reads to the end of the line, and waits for it as long as it takes.
fn read_line(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; LINE_MAX];
    let mut len = 0;
    while !buffer[..len].contains(&b'\n') {
        match stream.read(&mut buffer[len..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()), // or a line without end
            count => len += count,
        }
    }
    Ok(())
}
