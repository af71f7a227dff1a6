//! How a tunnel ended.

use std::fmt;

use crate::{Address, Reason};

/// One side of a [`Tunnel`](crate::Tunnel).
///
/// # Examples
///
/// ```
/// use crocus::TunnelSide;
///
/// fn arrow(from: TunnelSide) -> &'static str {
///     match from {
///         TunnelSide::Near => "->",
///         TunnelSide::Far => "<-",
///     }
/// }
///
/// assert_eq!(arrow(TunnelSide::Far), "<-");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TunnelSide {
    /// The connection that was there first.
    Near,
    /// The connection that was made for it.
    Far,
}

/// How a [`Tunnel`](crate::Tunnel) ended.
///
/// [`Display`](fmt::Display) is one line, for a log.
///
/// # Examples
///
/// A relay that shows what passes, and how it ended:
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use crocus::testing::Simulation;
/// use crocus::{Protocol, Reactor, Transport, Tunnel, TunnelEnd, TunnelHandler, TunnelSide};
///
/// struct Show(Rc<RefCell<Vec<String>>>);
///
/// impl TunnelHandler for Show {
///     fn passing(&mut self, from: TunnelSide, data: &[u8]) {
///         let arrow = if from == TunnelSide::Near { "->" } else { "<-" };
///         self.0.borrow_mut().push(format!("{arrow} {}", data.escape_ascii()));
///     }
///
///     fn ended(&mut self, _: &mut Reactor, end: &TunnelEnd) {
///         assert!(end.is_clean());
///         self.0.borrow_mut().push(end.to_string());
///     }
/// }
///
/// struct Relay(Rc<RefCell<Vec<String>>>);
///
/// impl Protocol for Relay {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         Tunnel::new(Show(Rc::clone(&self.0)))
///             .idle_timeout(Duration::from_secs(60))
///             .quiet(Duration::from_secs(3))
///             .connect(transport, "127.0.0.1:7");
///     }
/// }
///
/// let shown = Rc::new(RefCell::new(Vec::new()));
/// let mut simulation = Simulation::new();
/// let mut server = simulation.listen("127.0.0.1:7")?;
/// let mut client = simulation.connect(Relay(Rc::clone(&shown)));
/// client.send(b"hello");
/// client.close_write();
/// simulation.settle();
/// let mut far = server.accept().unwrap();
/// assert_eq!(far.received(), b"hello");
/// far.send(b"hi");
/// far.close_write();
/// simulation.settle();
/// assert_eq!(client.received(), b"hi");
/// simulation.settle();
/// assert_eq!(
///     *shown.borrow(),
///     ["-> hello", "<- hi", "5 bytes there, 2 back; near: closed by the peer; far: closed"]
/// );
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunnelEnd {
    /// Why the near side ended; [`Reason::TimedOut`] if the tunnel did because it was idle.
    pub near: Reason,
    /// Why the far side ended; [`Reason::Cancelled`] if the near one was lost before it was connected.
    pub far: Reason,
    /// The address of the near side's peer; `None` if it was lost before it could be asked.
    pub near_addr: Option<Address>,
    /// The address of the far side's peer; `None` if it was never connected.
    pub far_addr: Option<Address>,
    /// The side that ended first: mostly the cause, if it did not end in order.
    pub first: TunnelSide,
    /// How many bytes of the near side were passed to the far one.
    ///
    /// *Not* promised: that it has got them, unless both sides ended in order.
    pub near_to_far: u64,
    /// How many bytes of the far side were passed to the near one.
    pub far_to_near: u64,
}

impl TunnelEnd {
    /// Whether both sides have finished, and all bytes were taken.
    pub fn is_clean(&self) -> bool {
        self.near.is_clean() && self.far.is_clean()
    }
}

impl fmt::Display for TunnelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { near, far, near_to_far, far_to_near, .. } = self;
        write!(f, "{near_to_far} bytes there, {far_to_near} back; near: {near}; far: {far}")
    }
}
