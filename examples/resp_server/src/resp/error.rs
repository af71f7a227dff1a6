//! Everything that can be wrong with a request.

use std::fmt;

/// Invalid input. Its end is unknown, so nothing after it can be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolError {
    ArrayLength,
    BulkLength,
    NoBulk(u8),
    NoEnd,
    TooLong,
    LineTooLong,
    Quotes,
    Tls,
}

/// Redis' messages, where Redis has one: it takes any two bytes for the end of a bulk string,
/// closes without a message when a request is too long, and has a client wait that speaks TLS.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArrayLength => f.write_str("invalid multibulk length"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::NoBulk(got) => {
                // The peer chose the byte: it is shown only if it is printable.
                let got = if got.is_ascii_graphic() { char::from(*got) } else { ' ' };
                write!(f, "expected '$', got '{got}'")
            }
            Self::NoEnd => f.write_str("expected CRLF after the bulk string"),
            Self::TooLong => f.write_str("too big request"),
            Self::LineTooLong => f.write_str("too big inline request"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::Tls => f.write_str("this port does not speak TLS"),
        }
    }
}
