//! A thread for each connection.

use std::sync::Arc;
use std::thread;

use socket2::Socket;

use super::blocking::{PAUSE, answer};
use super::{Source, Task};
use crate::cli::Exit;

pub(super) fn serve(task: Task, source: Source, listener: Socket) -> Result<(), Exit> {
    let source = Arc::new(source);
    loop {
        let Ok((stream, _peer)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        let source = Arc::clone(&source);
        let serving = move || drop(answer(task, &source, stream.into()));
        // If no more threads can be had, the connection is dropped, which closes it.
        if thread::Builder::new().spawn(serving).is_err() {
            thread::sleep(PAUSE);
        }
    }
}
