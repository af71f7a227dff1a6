//! A log of what happened, line by line.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use crocus::{ConnectionId, Protocol, Reactor, Reason, Transport};

/// A list of lines, shared by all its clones. When the test drops it, it panics if a recorder saw a
/// violation of the contract. (A panic inside a callback would only be caught.)
#[derive(Default)]
pub struct Log {
    lines: Rc<Lines>,
    /// A clone lives in callbacks, and is dropped where the reactor would catch its objection.
    is_clone: bool,
}

#[derive(Default)]
struct Lines {
    lines: RefCell<Vec<String>>,
    violations: RefCell<Vec<String>>,
    /// Connections whose next protocol is on its way.
    handed_over: RefCell<Vec<ConnectionId>>,
}

impl Clone for Log {
    fn clone(&self) -> Self {
        Self { lines: Rc::clone(&self.lines), is_clone: true }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.is_clone && !std::thread::panicking() {
            let violations = std::mem::take(&mut *self.lines.violations.borrow_mut());
            assert_eq!(violations, [""; 0], "{:#?}", self.lines());
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let violations = self.violations.borrow();
        if !violations.is_empty() && !std::thread::panicking() {
            // After the test, while its reactor is dropped: a panic would be caught, print captured.
            drop(writeln!(io::stderr(), "{violations:#?}\n{:#?}", self.lines.borrow()));
            std::process::exit(101);
        }
    }
}

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&self, line: impl Into<String>) {
        self.lines.lines.borrow_mut().push(line.into());
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lines.borrow().clone()
    }

    /// All lines since the last take.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lines.borrow_mut())
    }

    pub fn len(&self) -> usize {
        self.lines.lines.borrow().len()
    }

    pub fn has(&self, line: &str) -> bool {
        self.lines.lines.borrow().iter().any(|known| known == line)
    }

    /// How many lines begin like this.
    pub fn count(&self, prefix: &str) -> usize {
        self.lines.lines.borrow().iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// `Transport::set_protocol` and `unread`, so that the recorder which is replaced knows that it is.
    pub fn hand_over(
        &self,
        transport: &mut Transport,
        to: impl Protocol + 'static,
        unused: &[u8],
    ) -> bool {
        let done = transport.set_protocol(to);
        if done {
            assert!(transport.unread(unused));
            self.handed_over(transport.id());
        }
        done
    }

    /// Something else has handed this connection over.
    pub fn handed_over(&self, id: ConnectionId) {
        self.lines.handed_over.borrow_mut().push(id);
    }

    pub(super) fn violation(&self, what: String) {
        self.lines.violations.borrow_mut().push(what);
    }

    /// Whether the next protocol of this connection is on its way.
    pub(super) fn is_handed_over(&self, id: ConnectionId) -> bool {
        self.lines.handed_over.borrow().contains(&id)
    }

    /// The next protocol of this connection has been told something.
    pub(super) fn taken_over(&self, id: ConnectionId) {
        self.lines.handed_over.borrow_mut().retain(|known| *known != id);
    }

    /// Adds to the last line if it begins like this, so that the cuts of a stream do not show.
    pub fn extend(&self, prefix: &str, data: &[u8]) {
        let text = data.escape_ascii().to_string();
        let mut lines = self.lines.lines.borrow_mut();
        match lines.last_mut() {
            Some(last) if last.starts_with(prefix) => last.push_str(&text),
            _ => lines.push(format!("{prefix}{text}")),
        }
    }
}

/// A reason in short: the variant, and the error's kind if there is one.
pub fn tag(reason: &Reason) -> String {
    match reason {
        Reason::Failed { error, .. } => format!("Failed({:?})", error.kind()),
        Reason::CloseTimedOut { .. } => "CloseTimedOut".to_owned(),
        Reason::Overflow { .. } => "Overflow".to_owned(),
        Reason::Panicked { callback } => format!("Panicked({callback})"),
        other => format!("{other:?}"),
    }
}

/// A function of a timer or a call that writes a line.
pub fn say(log: &Log, line: &str) -> impl FnOnce(&mut Reactor) + use<> {
    let (log, line) = (log.clone(), line.to_owned());
    move |_| log.push(line)
}
