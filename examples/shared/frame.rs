//! The reply with the random bytes, and the two points that are in it.
//!
//! ```text
//! bytes  0..34   You requested some random bytes:\n\n
//!       34..50   16 random bytes: four signed 32-bit integers, little-endian
//!       50..54   two spaces, \n\n
//!       54..81   You want fries with that?\n\n
//! ```
//!
//! Each integer divided by 2³¹ is a coordinate in [-1, 1); four of them are two points of a square.

use std::fmt;

const GREETING: &[u8] = b"You requested some random bytes:\n\n";
const GAP: &[u8] = b"  \n\n";
const OFFER: &[u8] = b"You want fries with that?\n\n";

/// How many random bytes a reply carries.
pub(crate) const RANDOM: usize = 16;

const RANDOM_END: usize = GREETING.len() + RANDOM;
const GAP_END: usize = RANDOM_END + GAP.len();

/// How long a reply is: 81 bytes.
pub(crate) const LEN: usize = GAP_END + OFFER.len();

/// The divisor that scales a signed integer of 32 bits to [-1, 1).
const SCALE: f64 = (1_u64 << 31) as f64;

/// How much of a wrong reply an error shows.
const SHOWN: usize = 40;

/// The reply that carries these random bytes.
pub(crate) fn encode(random: [u8; RANDOM]) -> [u8; LEN] {
    let mut reply = [0; LEN];
    reply[..GREETING.len()].copy_from_slice(GREETING);
    reply[GREETING.len()..RANDOM_END].copy_from_slice(&random);
    reply[RANDOM_END..GAP_END].copy_from_slice(GAP);
    reply[GAP_END..].copy_from_slice(OFFER);
    reply
}

/// The two points in a reply, if it is a whole one and nothing more.
///
/// Of a reply that is too long the first 82 bytes are enough: a client need not read it to its
/// end.
pub(crate) fn decode(reply: &[u8]) -> Result<[Point; 2], FrameError> {
    let wrong = |fault| Err(FrameError { fault, came: reply.len(), start: start_of(reply) });
    if reply.len() > LEN {
        return wrong(Fault::Long);
    }
    // The frame first: for a short page of HTML this error says more than the length does.
    for (offset, expected) in [(0, GREETING), (RANDOM_END, GAP), (GAP_END, OFFER)] {
        let came = reply.get(offset..).unwrap_or_default();
        let common = came.len().min(expected.len());
        if came[..common] != expected[..common] {
            return wrong(Fault::Framing { offset, expected });
        }
    }
    if reply.len() < LEN {
        return wrong(Fault::Short);
    }
    let coordinate = |index: usize| {
        let at = GREETING.len() + 4 * index;
        let bytes = [reply[at], reply[at + 1], reply[at + 2], reply[at + 3]];
        f64::from(i32::from_le_bytes(bytes)) / SCALE
    };
    Ok([Point { x: coordinate(0), y: coordinate(1) }, Point { x: coordinate(2), y: coordinate(3) }])
}

/// A point of the square [-1, 1) × [-1, 1).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "( {}, {} )", self.x, self.y)
    }
}

/// The fault of a reply, and the bytes that came instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FrameError {
    fault: Fault,
    came: usize,
    /// The first bytes, escaped: the peer chose them, and a terminal may show them.
    start: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Short,
    Long,
    Framing { offset: usize, expected: &'static [u8] },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Short => f.write_str("the reply is too short: ")?,
            Fault::Long => f.write_str("the reply is too long: ")?,
            Fault::Framing { offset, expected } => {
                let expected = expected.escape_ascii();
                write!(f, "the reply is wrongly framed: no \"{expected}\" at byte {offset}; ")?;
            }
        }
        let more = if self.fault == Fault::Long { " or more" } else { "" };
        write!(f, "{}{more} bytes came, {LEN} were expected", self.came)?;
        if !self.start.is_empty() {
            write!(f, "; it begins \"{}\"", self.start)?;
        }
        Ok(())
    }
}

fn start_of(reply: &[u8]) -> String {
    reply[..reply.len().min(SHOWN)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn a_reply_is_what_the_article_shows() {
        let reply = encode(*b"0123456789abcdef");
        let expected: &[u8] = b"You requested some random bytes:\n\n0123456789abcdef  \n\n\
                                You want fries with that?\n\n";
        assert_eq!(reply, expected);
        assert_eq!(LEN, 81);
        assert_eq!(&reply[34..50], b"0123456789abcdef");
    }

    #[test]
    fn the_points_are_little_endian_and_inside_the_square() {
        let mut random = [0; RANDOM];
        for (slot, value) in random.chunks_mut(4).zip([i32::MIN, i32::MAX, 0, 1 << 30]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        let [a, b] = decode(&encode(random)).unwrap();
        assert_eq!(a, Point { x: -1.0, y: 1.0 - 2_f64.powi(-31) });
        assert_eq!(b, Point { x: 0.0, y: 0.5 });
        assert_eq!(b.to_string(), "( 0, 0.5 )");
    }

    #[test]
    fn no_other_length_will_do() {
        let reply = encode([7; RANDOM]);
        for len in 0..LEN {
            let error = decode(&reply[..len]).unwrap_err();
            assert_eq!(error.fault, Fault::Short, "{len}");
            assert!(error.to_string().contains(&format!("{len} bytes came, 81 were expected")));
        }
        let error = decode(&[&reply[..], b"!"].concat()).unwrap_err();
        assert_eq!(error.fault, Fault::Long);
        assert!(error.to_string().contains("82 or more bytes came, 81 were expected"), "{error}");
    }

    #[test]
    fn each_byte_of_the_frame_counts_and_no_random_one() {
        for at in 0..LEN {
            let mut reply = encode([0; RANDOM]);
            reply[at] ^= 0x80;
            let framed = !(GREETING.len()..RANDOM_END).contains(&at);
            assert_eq!(decode(&reply).is_err(), framed, "byte {at}");
        }
    }

    #[test]
    fn what_came_instead_is_shown_escaped_and_cut() {
        let error = decode(b"HTTP/1.1 400 \x1b[31mBad\r\n").unwrap_err().to_string();
        assert!(error.contains(r#"it begins "HTTP/1.1 400 \x1b[31mBad\r\n""#), "{error}");
        assert!(error.starts_with("the reply is wrongly framed"), "{error}");
        let error = decode(&[b'x'; 1000]).unwrap_err().to_string();
        assert!(error.contains(&"x".repeat(SHOWN)) && !error.contains(&"x".repeat(SHOWN + 1)));
    }
}
