//! An answer of the reactor, on its way back to the thread that asked.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// The answer to a question that was [asked](crate::Handle::ask) through a handle.
///
/// # Examples
///
/// On the reactor's own thread, where nothing may wait, it is looked at later:
///
/// ```
/// use crocus::testing::Simulation;
///
/// let mut simulation = Simulation::new();
/// let mut answer = simulation.reactor().handle().ask(|_reactor| 6 * 7);
/// assert_eq!(answer.try_take()?, None);
/// simulation.settle();
/// assert_eq!(answer.try_take()?, Some(42));
/// # std::io::Result::Ok(())
/// ```
pub struct Answer<T> {
    /// `None` once the answer was taken.
    receiver: Option<Receiver<T>>,
    /// The thread of the reactor that answers.
    reactor: ThreadId,
}

impl<T> Answer<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if none will come: the reactor no longer exists, was stopped before it came to the
    /// question, or the question panicked. `Deadlock`, at once, on the reactor's own thread, which cannot wait
    /// for itself, unless the answer is there already.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let (handle, hold) = (reactor.handle(), reactor.hold());
    /// let asking = std::thread::spawn(move || {
    ///     let _hold = hold;
    ///     handle.ask(|reactor| reactor.stats().accepted).wait()
    /// });
    /// reactor.run()?;
    /// assert_eq!(asking.join().unwrap()?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn wait(mut self) -> io::Result<T> {
        if let Some(value) = self.try_take()? {
            return Ok(value);
        }
        self.check_thread()?;
        let receiver = self.receiver.take();
        receiver.and_then(|receiver| receiver.recv().ok()).ok_or_else(never)
    }

    /// Waits for at most `limit`. After an error of the time the answer may still come.
    ///
    /// # Errors
    ///
    /// `TimedOut`, and those of [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    /// use crocus::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// let handle = reactor.handle();
    /// let asking = std::thread::spawn(move || {
    ///     let mut answer = handle.ask(|_reactor| 6 * 7);
    ///     answer.wait_timeout(Duration::from_millis(1)).unwrap_err().kind()
    /// });
    /// assert_eq!(asking.join().unwrap(), ErrorKind::TimedOut); // the reactor does not run
    /// # std::io::Result::Ok(())
    /// ```
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<T> {
        if let Some(value) = self.try_take()? {
            return Ok(value);
        }
        self.check_thread()?;
        let receiver = self.receiver.take().ok_or_else(never)?;
        match receiver.recv_timeout(limit) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Disconnected) => Err(never()),
            Err(RecvTimeoutError::Timeout) => {
                self.receiver = Some(receiver);
                let text = format!("the reactor has not answered within {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Takes the answer if it is there; `None` if it is still to come. It is given once.
    ///
    /// # Errors
    ///
    /// `NotConnected` if none will come, or it was taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let mut answer = simulation.reactor().handle().ask(|_reactor| 6 * 7);
    /// simulation.settle();
    /// assert_eq!(answer.try_take()?, Some(42));
    /// assert!(answer.try_take().is_err(), "it is given once");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn try_take(&mut self) -> io::Result<Option<T>> {
        let receiver = self.receiver.take().ok_or_else(never)?;
        match receiver.try_recv() {
            Ok(value) => Ok(Some(value)),
            Err(TryRecvError::Disconnected) => Err(never()),
            Err(TryRecvError::Empty) => {
                self.receiver = Some(receiver);
                Ok(None)
            }
        }
    }

    fn check_thread(&self) -> io::Result<()> {
        if thread::current().id() == self.reactor {
            return Err(io::Error::new(
                io::ErrorKind::Deadlock,
                "the reactor's own thread would wait for itself: call the reactor, or look later",
            ));
        }
        Ok(())
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

fn never() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the reactor gives no answer: it is gone or was stopped before, or the question panicked",
    )
}

/// The other end of an answer, on the reactor's side. To drop it is to give none.
pub(crate) struct Reply<T> {
    sender: SyncSender<T>,
}

impl<T> Reply<T> {
    pub(crate) fn new(reactor: ThreadId) -> (Self, Answer<T>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        (Self { sender }, Answer { receiver: Some(receiver), reactor })
    }

    pub(crate) fn give(self, value: T) {
        // This fails if nobody waits for it any more.
        drop(self.sender.send(value));
    }
}
