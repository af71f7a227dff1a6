//! Frames: lines, netstrings, length prefixes, fixed sizes, and your own.
//!
//! TCP carries bytes, not messages: one write may arrive in two pieces, and two writes in one. A
//! [`Framing`] says where a message, here called a frame, ends. There are [`Lines`],
//! [`Netstrings`], [`LengthPrefixed`] and [`FixedSize`], and the trait is short enough for your
//! own.
//!
//! [`Framed`] makes a [`Protocol`](crate::Protocol) of a framing and a [`FrameHandler`]: a protocol with
//! `frame_received` beside its other callbacks. This server answers each line in capital letters:
//!
//! ```no_run
//! use crocus::framing::{FrameHandler, Framed, Lines};
//! use crocus::{Protocol, Reactor, Transport};
//!
//! struct Shout;
//!
//! impl Protocol for Shout {}
//!
//! impl FrameHandler<Lines> for Shout {
//!     fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
//!         transport.write(&line.to_ascii_uppercase());
//!         transport.write(b"\r\n");
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let mut reactor = Reactor::new()?;
//!     reactor.listen("127.0.0.1:5000", |_peer| Framed::new(Lines::new(), Shout))?;
//!     reactor.run()
//! }
//! ```
//!
//! [`Decoder`] does no I/O: bytes in, frames out.
//!
//! # Sending
//!
//! A framing reads. To send, write the bytes, or let the framing's `encode` put a delimiter or a length
//! around them: it refuses a frame that would not arrive as one. One constant serves both directions:
//!
//! ```
//! use crocus::framing::{FrameHandler, Framed, LengthPrefixed};
//! use crocus::testing::{Cut, End, Simulation};
//! use crocus::{Protocol, Transport};
//!
//! const MESSAGES: LengthPrefixed = LengthPrefixed::u16().max_length(1000);
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn connection_made(&mut self, transport: &mut Transport) {
//!         MESSAGES.encode(b"hello").expect("it is short").write_to(transport);
//!     }
//! }
//!
//! impl FrameHandler<LengthPrefixed> for Echo {
//!     fn frame_received(&mut self, transport: &mut Transport, message: &[u8]) {
//!         MESSAGES.encode(message).expect("it is no longer than it was").write_to(transport);
//!         if message == b"quit" {
//!             transport.lose_connection(); // frames after this one are not delivered
//!         }
//!     }
//! }
//!
//! let mut simulation = Simulation::new();
//! simulation.set_cut(Cut::Every(3));
//! let mut peer = simulation.connect(Framed::new(MESSAGES, Echo));
//! peer.send(b"\0\x01a\0\x04quit\0\x01b");
//! simulation.settle();
//! assert_eq!(peer.received(), b"\0\x05hello\0\x01a\0\x04quit");
//! assert_eq!(peer.end(), Some(End::Closed));
//! ```
//!
//! # More than frames
//!
//! * **Raw bytes of a known number**, as a body behind a header:
//!   [`raw_left`](FrameHandler::raw_left), with an example at [`FrameHandler`].
//! * **Another protocol from here on**, be it raw bytes without an end, TLS or other frames: the handler
//!   hands over ([`Transport::set_protocol`](crate::Transport::set_protocol)). It gets no further
//!   frame, and its successor gets every byte behind the last one:
//!
//! ```
//! use crocus::framing::{FrameHandler, Framed, Lines};
//! use crocus::testing::Simulation;
//! use crocus::{Protocol, Transport};
//!
//! struct Commands;
//!
//! impl Protocol for Commands {}
//!
//! impl FrameHandler<Lines> for Commands {
//!     fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
//!         if line == b"RAW" {
//!             transport.write(b"go ahead\r\n");
//!             transport.set_protocol(Raw);
//!         }
//!     }
//! }
//!
//! struct Raw;
//!
//! impl Protocol for Raw {
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! let mut simulation = Simulation::new();
//! let mut peer = simulation.connect(Framed::new(Lines::new(), Commands));
//! peer.send(b"RAW\r\n\x01\x02\nRAW\n");
//! simulation.settle();
//! assert_eq!(peer.received(), b"go ahead\r\n\x01\x02\nRAW\n");
//! ```
//!
//! * **Several framings of one connection**: implement [`Framing`] for an enum of them.
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

mod adaptor;
mod buffer;
mod decoder;
mod encoded;
mod error;
mod fixed;
mod lines;
mod netstrings;
mod prefixed;

pub use adaptor::{FrameHandler, Framed};
pub use decoder::{Decoder, Fed};
pub use encoded::Encoded;
pub use error::FrameError;
pub use fixed::FixedSize;
pub use lines::Lines;
pub use netstrings::Netstrings;
pub use prefixed::LengthPrefixed;

/// The default maximum of frames with a length: Twisted's `MAX_LENGTH`.
const MAX_LENGTH: usize = 99_999;

/// The rules that cut a stream into frames.
///
/// # Examples
///
/// A framing may hand over its frames parsed. The packets of MQTT begin with a byte of type and flags,
/// and a length of one to four bytes:
///
/// ```
/// use crocus::framing::{FrameError, FrameHandler, Framed, Framing};
/// use crocus::testing::{Cut, Simulation};
/// use crocus::{Protocol, Transport};
///
/// struct Mqtt {
///     max: usize,
/// }
///
/// struct Packet<'a> {
///     kind: u8,
///     flags: u8,
///     body: &'a [u8],
/// }
///
/// impl Framing for Mqtt {
///     type Frame<'a> = Packet<'a>;
///
///     fn find<'a>(
///         &mut self,
///         bytes: &'a [u8],
///         _seen: usize,
///     ) -> Result<Option<(Packet<'a>, usize)>, FrameError> {
///         let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
///         let (kind, flags) = (first >> 4, first & 0x0f);
///         if !(1..=14).contains(&kind) {
///             return Err(FrameError::malformed(format!("no packet has type {kind}")));
///         }
///         let mut length = 0;
///         for (at, &byte) in rest.iter().take(4).enumerate() {
///             length |= usize::from(byte & 0x7f) << (7 * at);
///             if length > self.max {
///                 return Err(FrameError::TooLong { limit: self.max });
///             }
///             if byte & 0x80 == 0 {
///                 let (start, end) = (at + 2, at + 2 + length);
///                 return Ok(bytes.get(start..end).map(|body| (Packet { kind, flags, body }, end)));
///             }
///         }
///         match rest.len() {
///             0..4 => Ok(None),
///             _ => Err(FrameError::malformed("a length has at most four bytes")),
///         }
///     }
/// }
///
/// struct Broker;
///
/// impl Protocol for Broker {}
///
/// impl FrameHandler<Mqtt> for Broker {
///     fn frame_received(&mut self, transport: &mut Transport, packet: Packet) {
///         match packet {
///             Packet { kind: 12, flags: 0, body: [] } => drop(transport.write(b"\xd0\0")), // a ping
///             Packet { kind: 14, .. } => transport.lose_connection(),
///             _ => {} // and the others
///         }
///     }
/// }
///
/// let mut simulation = Simulation::new();
/// simulation.set_cut(Cut::Every(1));
/// let mut peer = simulation.connect(Framed::new(Mqtt { max: 100_000 }, Broker));
/// let publication = [b"\x31\x80\x01".as_slice(), &[b'x'; 128]].concat();
/// peer.send(&[publication.as_slice(), b"\xc0\0"].concat());
/// simulation.settle();
/// assert_eq!(peer.received(), b"\xd0\0");
/// ```
pub trait Framing {
    /// A frame as its handler gets it: `&'a [u8]`, or something parsed that borrows from the bytes.
    type Frame<'a>;

    /// Finds the frame at the beginning of `bytes`, and how many of them it takes with its surroundings:
    /// at least one. `None` if it is not complete.
    ///
    /// Called again with more bytes behind the same ones. `seen` is how many of them were there the
    /// last time, and 0 the first time. A search goes on from there, so that a long frame in small
    /// chunks takes no more time than in one.
    ///
    /// # Errors
    ///
    /// If no further bytes can make a frame of these. Report it as soon as it is certain: that a frame is too
    /// long when its length is known, a fault inside of a complete frame with that frame. To wait longer makes
    /// the result depend on the chunks.
    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Option<(Self::Frame<'a>, usize)>, FrameError>;
}
