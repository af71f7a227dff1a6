//! An encoded frame.

use crate::Transport;

/// The longest head: the length of a netstring, of at most 20 digits, and its colon.
const HEAD: usize = 21;

/// An encoded frame: its head, the frame and its tail, without a copy of the frame.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Lines, Netstrings};
///
/// assert_eq!(Netstrings::new().encode(b"hello")?.parts().concat(), b"5:hello,");
/// assert!(Lines::new().encode(b"one\ntwo").is_err(), "these are two lines");
/// # Ok::<(), crocus::framing::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "an encoded frame is sent by `write_to`"]
pub struct Encoded<'a> {
    head: [u8; HEAD],
    head_len: usize,
    body: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// A frame between `head`, of at most [`HEAD`] bytes, and `tail`.
    pub(super) fn new(head: &[u8], body: &'a [u8], tail: &'a [u8]) -> Self {
        let mut room = [0; HEAD];
        room[..head.len()].copy_from_slice(head);
        Self { head: room, head_len: head.len(), body, tail }
    }

    /// Writes it to a connection; returns whether it was taken, like [`Transport::write`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use crocus::testing::Simulation;
    /// # use crocus::{Protocol, Transport};
    /// use crocus::framing::Lines;
    ///
    /// struct Greeter;
    ///
    /// impl Protocol for Greeter {
    ///     fn connection_made(&mut self, transport: &mut Transport) {
    ///         let greeting = Lines::new();
    ///         let greeting = greeting.encode(b"hello").expect("it is one line");
    ///         assert!(greeting.write_to(transport));
    ///     }
    /// }
    ///
    /// # let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Greeter);
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"hello\r\n");
    /// ```
    pub fn write_to(&self, transport: &mut Transport<'_>) -> bool {
        self.parts().iter().all(|part| transport.write(part))
    }

    /// The parts to send, in order.
    pub fn parts(&self) -> [&[u8]; 3] {
        [&self.head[..self.head_len], self.body, self.tail]
    }
}
