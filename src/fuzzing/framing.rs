//! Decoders fed in chunks, compared with slow models that see the whole stream.

use crate::framing::{
    Decoder, Encoded, FixedSize, FrameError, Framing, LengthPrefixed, Lines, Netstrings,
};
use crate::parts::random::Random;

/// An output of a stream; adjacent raw bytes are put together.
#[derive(PartialEq, Eq, Debug)]
enum Event {
    Frame(Vec<u8>),
    Raw(Vec<u8>),
    Failed(FrameError),
}

/// How many raw bytes follow every third frame.
const RAW: [usize; 4] = [0, 1, 5, 40];

/// The framings here deliver bytes.
trait Bytes: Clone + for<'a> Framing<Frame<'a> = &'a [u8]> {}

impl<F: Clone + for<'a> Framing<Frame<'a> = &'a [u8]>> Bytes for F {}

/// Encodes a frame for sending.
type Encode<F> = for<'a> fn(&'a F, &'a [u8]) -> Result<Encoded<'a>, FrameError>;

/// Finds the frame at the beginning, and how many bytes it takes; `None` if it is not complete.
type Model<'a> = dyn Fn(&[u8]) -> Result<Option<(Vec<u8>, usize)>, FrameError> + 'a;

/// Lines with any delimiter.
pub fn lines(data: &[u8]) {
    const DELIMITERS: [&[u8]; 6] = [b"\n", b"\r\n", b"00", b"0:0", b":0:,", b"\r\n\r\n"];
    let Some((kind, max, rest)) = choices(data) else { return };
    let max = max % 24;
    let delimiter = *DELIMITERS.get(kind % 8).unwrap_or(&b"\r\n".as_slice());
    let either = kind % 8 >= DELIMITERS.len();
    let lines = if either { Lines::new() } else { Lines::delimited(delimiter) };
    check(&lines.max_length(max), Lines::encode, rest, &|bytes| {
        for end in 0..=max.min(bytes.len()) {
            if either && bytes[end..].starts_with(b"\n") {
                return Ok(Some((bytes[..end].to_vec(), end + 1)));
            }
            if bytes[end..].starts_with(delimiter) {
                return Ok(Some((bytes[..end].to_vec(), end + delimiter.len())));
            }
        }
        let may_end = (0..=max).any(|end| delimiter.starts_with(bytes.get(end..).unwrap_or(b"")));
        if may_end { Ok(None) } else { Err(FrameError::TooLong { limit: max }) }
    });
}

/// Frames of known length: netstrings, prefixes, and a fixed size.
pub fn lengths(data: &[u8]) {
    let Some((kind, max, rest)) = choices(data) else { return };
    let little = kind & 64 != 0;
    let end = |prefixed: LengthPrefixed| {
        let prefixed = prefixed.max_length(max);
        if little { prefixed.little_endian() } else { prefixed }
    };
    match kind % 5 {
        0 => check(&Netstrings::new().max_length(max), Netstrings::encode, rest, &|bytes| {
            netstring(bytes, max)
        }),
        1 => check(&end(LengthPrefixed::u8()), LengthPrefixed::encode, rest, &|bytes| {
            prefixed(bytes, 1, little, max)
        }),
        2 => check(&end(LengthPrefixed::u16()), LengthPrefixed::encode, rest, &|bytes| {
            prefixed(bytes, 2, little, max)
        }),
        3 => check(&end(LengthPrefixed::u32()), LengthPrefixed::encode, rest, &|bytes| {
            prefixed(bytes, 4, little, max)
        }),
        _ => check(&FixedSize::new(max + 1), FixedSize::encode, rest, &|bytes| {
            Ok(bytes.get(..=max).map(|frame| (frame.to_vec(), max + 1)))
        }),
    }
}

fn netstring(bytes: &[u8], max: usize) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = std::str::from_utf8(&bytes[..digits]).expect("digits are ASCII");
    // The first fault is the error: a leading zero shows before a length that is too large.
    if digits > 1 && text.starts_with('0') {
        return Err(FrameError::malformed("the length of a netstring begins with zero"));
    }
    if text.trim_start_matches('0').len() > 9 || text.parse::<usize>().unwrap_or(0) > max {
        return Err(FrameError::TooLong { limit: max });
    }
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 => {}
        Some(_) => {
            return Err(FrameError::malformed("the length of a netstring is no number"));
        }
    }
    let (start, length) = (digits + 1, text.parse::<usize>().unwrap_or(0));
    match bytes.get(start + length) {
        None => Ok(None),
        Some(b',') => Ok(Some((bytes[start..start + length].to_vec(), start + length + 1))),
        Some(_) => Err(FrameError::malformed("a netstring does not end in a comma")),
    }
}

fn prefixed(
    bytes: &[u8],
    width: usize,
    little: bool,
    max: usize,
) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let Some(prefix) = bytes.get(..width) else { return Ok(None) };
    let mut wide = [0; 8];
    for (at, byte) in prefix.iter().enumerate() {
        wide[if little { at } else { width - 1 - at }] = *byte;
    }
    let length = usize::try_from(u64::from_le_bytes(wide)).expect("32 bits fit");
    if length > max {
        return Err(FrameError::TooLong { limit: max });
    }
    Ok(bytes.get(width..width + length).map(|frame| (frame.to_vec(), width + length)))
}

/// The number of the framing, the maximum length, and the rest.
fn choices(data: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (&[kind, max], rest) = data.split_first_chunk()?;
    Some((kind.into(), max.into(), rest))
}

/// Feeds a stream in chunks of several sizes, and compares the output with the model.
fn check<F: Bytes>(framing: &F, encode: Encode<F>, data: &[u8], model: &Model<'_>) {
    let Some((&[seed, raw], rest)) = data.split_first_chunk() else { return };
    let stream: Vec<u8> = rest.iter().map(|&byte| letter(byte)).collect();
    let raw = RAW[usize::from(raw) % RAW.len()];
    let expected = whole(model, &stream, raw);
    for size in [1, 2, 3, 7, 0, stream.len().max(1)] {
        let mut random = Random::new(seed.into());
        let cut = || if size == 0 { 1 + random.below(9) } else { size };
        assert_eq!(chunked(framing.clone(), &stream, raw, cut), expected, "chunks of {size}");
    }
    for event in &expected {
        if let Event::Frame(frame) = event {
            assert!(round_trip(framing, encode, frame), "{frame:?} came out and cannot be sent");
        }
    }
    round_trip(framing, encode, &stream[..stream.len().min(usize::from(seed))]);
}

/// Makes the bytes frequent that have a meaning in some framing.
fn letter(byte: u8) -> u8 {
    const FREQUENT: &[u8; 12] = b"\r\n\n0:,123\0\x01\x02";
    if byte < 200 { FREQUENT[usize::from(byte) % FREQUENT.len()] } else { byte }
}

fn whole(model: &Model<'_>, mut stream: &[u8], raw: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut frames = 0;
    loop {
        let (frame, used) = match model(stream) {
            Ok(Some(found)) => found,
            Ok(None) => return events,
            Err(error) => {
                events.push(Event::Failed(error));
                return events;
            }
        };
        events.push(Event::Frame(frame));
        stream = &stream[used..];
        frames += 1;
        if frames % 3 == 0 && raw > 0 {
            let (bytes, rest) = stream.split_at(raw.min(stream.len()));
            if !bytes.is_empty() {
                events.push(Event::Raw(bytes.to_vec()));
            }
            stream = rest;
            if bytes.len() < raw {
                return events;
            }
        }
    }
}

fn chunked<F: Bytes>(
    framing: F,
    stream: &[u8],
    raw: usize,
    mut cut: impl FnMut() -> usize,
) -> Vec<Event> {
    let mut decoder = Decoder::new(framing);
    let mut events = Vec::new();
    let (mut frames, mut raw_left, mut at) = (0, 0, 0);
    while at < stream.len() {
        let chunk = &stream[at..(at + cut()).min(stream.len())];
        at += chunk.len();
        let mut fed = decoder.feed(chunk);
        loop {
            if raw_left > 0 {
                let piece = fed.take_raw(raw_left as u64);
                if piece.is_empty() {
                    break;
                }
                match events.last_mut() {
                    Some(Event::Raw(bytes)) => bytes.extend_from_slice(piece),
                    _ => events.push(Event::Raw(piece.to_vec())),
                }
                raw_left -= piece.len();
                continue;
            }
            match fed.next_frame() {
                None => break,
                Some(Err(error)) => events.push(Event::Failed(error)),
                Some(Ok(frame)) => {
                    events.push(Event::Frame(frame.to_vec()));
                    frames += 1;
                    raw_left = if frames % 3 == 0 { raw } else { 0 };
                }
            }
        }
    }
    events
}

/// Whether a frame can be sent; if so it must decode to itself.
fn round_trip<F: Bytes>(framing: &F, encode: Encode<F>, frame: &[u8]) -> bool {
    let Ok(encoded) = encode(framing, frame) else { return false };
    let bytes = encoded.parts().concat();
    let mut decoder = Decoder::new(framing.clone());
    assert_eq!(decoder.feed(&bytes).next_frame(), Some(Ok(frame)));
    assert_eq!(decoder.rest(), b"");
    true
}
