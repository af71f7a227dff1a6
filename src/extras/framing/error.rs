//! The error for bytes that are not a frame.

use std::borrow::Cow;
use std::fmt;

/// The reason why bytes are not a frame, or cannot be sent as one.
///
/// Depends only on the stream, never on how the network cut it.
///
/// # Examples
///
/// ```
/// use crocus::framing::{Decoder, FrameError, Lines};
///
/// let mut decoder = Decoder::new(Lines::new().max_length(5));
/// let error = decoder.feed(b"millions\n").next_frame().unwrap().unwrap_err();
/// assert_eq!(error, FrameError::TooLong { limit: 5 });
/// assert_eq!(error.to_string(), "a frame of more than 5 bytes");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than allowed.
    TooLong {
        /// The maximum length in bytes, without delimiters and prefixes.
        limit: usize,
    },
    /// The bytes break the rules of the framing, or the receiver could not tell where the frame
    /// ends.
    Malformed(
        /// A description of the fault.
        Cow<'static, str>,
    ),
}

impl FrameError {
    /// The bytes break the rules of the framing; `fault` says how.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::framing::FrameError;
    ///
    /// let error = FrameError::malformed(format!("packet type {}", 15));
    /// assert_eq!(error.to_string(), "packet type 15");
    /// ```
    pub fn malformed(fault: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed(fault.into())
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "a frame of more than {limit} bytes"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for FrameError {}
