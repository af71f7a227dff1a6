//! The first line that a program says, waited for with a limit.

use std::io::{self, BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The first line of a program's output: empty if it closes its output before, `None` if it says nothing in time.
pub(crate) fn first_line(stdout: ChildStdout, patience: Duration) -> io::Result<Option<String>> {
    let (tell, told) = mpsc::channel();
    // It ends with the program, if not before.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let _ = tell.send(read.map(|_| line.trim_end().to_owned())); // to nobody, if it took too long
    });
    told.recv_timeout(patience).ok().transpose()
}
