//! Frames: lines, netstrings, length prefixes, fixed sizes.
//!
//! TCP carries bytes, not messages: one write may arrive in two pieces, and two writes in one. A
//! [`Framing`] says where a message, here called a frame, ends. There are [`Lines`],
//! [`Netstrings`], [`LengthPrefixed`] and [`FixedSize`], and the trait is short enough for your
//! own.
//!
//! Two types use a framing:
//!
//! * [`Framed`] makes a [`Protocol`](crate::Protocol) of a framing and a [`FrameHandler`], which is
//!   called for each frame, and handles pauses, closing and the peer's end between frames;
//! * [`Decoder`] does no I/O: bytes in, frames out.
//!
//! # One rule for the length
//!
//! The same bytes give the same frames, and the same [`FrameError`] at the same place, however the
//! network cut them. A frame longer than the maximum is an error at the first byte that shows it,
//! so the buffer is bounded by the maximum and one chunk. After an error nothing more is decoded.
//!
//! # Costs
//!
//! A frame that lies within one chunk, with nothing left from before, is delivered in place.
//! Otherwise its bytes are copied once into a buffer that is used again; in the steady state
//! nothing is allocated. The time is proportional to the bytes, also when they arrive one by one.
//!
//! # Examples
//!
//! A server that answers each line with its length, and says good-bye to `quit`:
//!
//! ```
//! use crocus::framing::{FrameHandler, Framed, Input, Lines};
//! use crocus::testing::{Cut, End, Simulation};
//! use crocus::Transport;
//!
//! struct Count;
//!
//! impl FrameHandler<Lines> for Count {
//!     fn frame_received(&mut self, transport: &mut Transport, input: &mut Input<Lines>, line: &[u8]) {
//!         if line == b"quit" {
//!             transport.write(b"good-bye\r\n");
//!             transport.lose_connection(); // lines after this one are not delivered
//!             return;
//!         }
//!         let answer = line.len().to_string();
//!         input.send(transport, answer.as_bytes()).expect("digits fit into a line");
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut simulation = Simulation::new();
//! simulation.set_cut(Cut::Every(3));
//! let lines = Lines::new().max_length(100);
//! simulation.reactor().listen("127.0.0.1:7", move |_| Framed::new(lines.clone(), Count))?;
//!
//! let mut peer = simulation.dial("127.0.0.1:7");
//! simulation.settle();
//! peer.send(b"hello\r\n\nquit\nnever read\n");
//! simulation.settle();
//! assert_eq!(peer.received(), b"5\r\n0\r\ngood-bye\r\n");
//! assert_eq!(peer.end(), Some(End::Closed));
//! # Ok(())
//! # }
//! ```
//!
//! For a stream that mixes lines and raw bytes, use [`Input::read_raw`]. A handler that hands its
//! connection to another protocol ([`Transport::set_protocol`](crate::Transport::set_protocol))
//! gets no further frame: the rest of the bytes goes to that protocol. To have several framings on
//! one connection, implement [`Framing`] for an enum of them.

mod adaptor;
mod buffer;
mod decoder;
mod encoded;
mod fixed;
mod lines;
mod netstrings;
mod prefixed;

pub use crate::FrameError;
pub use adaptor::{FrameHandler, Framed, Input};
pub use decoder::{Decoder, Fed};
pub use encoded::Encoded;
pub use fixed::FixedSize;
pub use lines::Lines;
pub use netstrings::Netstrings;
pub use prefixed::LengthPrefixed;

use std::ops::Range;

/// The default maximum of frames with a length: Twisted's `MAX_LENGTH`.
const MAX_LENGTH: usize = 99_999;

/// The rules that cut a stream into frames.
///
/// # Examples
///
/// Frames with a type byte that determines their length:
///
/// ```
/// use crocus::framing::{Decoder, Encoded, Found, FrameError, Framing};
///
/// struct Typed;
///
/// fn length(kind: u8) -> Result<usize, FrameError> {
///     match kind {
///         b'p' => Ok(1), // ping
///         b'd' => Ok(9), // data
///         _ => Err(FrameError::Malformed("unknown type")),
///     }
/// }
///
/// impl Framing for Typed {
///     fn find(&mut self, bytes: &[u8], _seen: usize) -> Result<Option<Found>, FrameError> {
///         let Some(&kind) = bytes.first() else { return Ok(None) };
///         let used = length(kind)?;
///         Ok((bytes.len() >= used).then_some(Found { frame: 0..used, used }))
///     }
///
///     fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
///         Ok(Encoded::new(&[], frame, &[]))
///     }
/// }
///
/// let mut decoder = Decoder::new(Typed);
/// decoder.feed(b"pd1234");
/// assert_eq!(decoder.next_frame(), Some(Ok(&b"p"[..])));
/// assert_eq!(decoder.next_frame(), None);
/// decoder.feed(b"5678x");
/// assert_eq!(decoder.next_frame(), Some(Ok(&b"d12345678"[..])));
/// assert_eq!(decoder.next_frame(), Some(Err(FrameError::Malformed("unknown type"))));
/// ```
pub trait Framing {
    /// Finds the frame at the beginning of `bytes`; `None` if it is not complete.
    ///
    /// Called again with more bytes behind the same ones. `seen` is how many of them were there the
    /// last time, and 0 the first time. A search goes on from there, so that a long frame in small
    /// chunks takes no more time than in one.
    ///
    /// # Errors
    ///
    /// If no further bytes can make a frame of these. Report it as soon as it is certain, not when
    /// the frame would be complete; otherwise the result depends on the chunks.
    fn find(&mut self, bytes: &[u8], seen: usize) -> Result<Option<Found>, FrameError>;

    /// Encodes `frame` for sending.
    ///
    /// # Errors
    ///
    /// If the encoded bytes would not decode as this one frame.
    fn encode<'a>(&'a self, frame: &'a [u8]) -> Result<Encoded<'a>, FrameError>;
}

/// The place of a frame in the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The frame itself.
    pub frame: Range<usize>,
    /// How many bytes it takes, with its surroundings: at least one, and no fewer than the end of
    /// `frame`.
    pub used: usize,
}
