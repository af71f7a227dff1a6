//! Why bytes are no frame.

use std::fmt;

/// Why bytes are no frame, or cannot be sent as one.
///
/// It depends on the stream only, never on how the network cut it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than allowed.
    TooLong {
        /// How many bytes it may have, delimiters and prefixes not counted.
        limit: usize,
    },
    /// The bytes break the rules of the framing, or the frame cannot be told from its surroundings.
    Malformed(
        /// What is wrong with them.
        &'static str,
    ),
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
