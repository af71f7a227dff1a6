//! Decoding of frames, with several sizes of frames and chunks.

use std::fmt;

use divan::Bencher;
use divan::counter::BytesCount;

use crocus::framing::{
    Decoder, Encoded, FixedSize, FrameError, Framing, LengthPrefixed, Lines, Netstrings,
};

/// How many bytes one iteration decodes, about.
const STREAM: usize = 256 * 1024;

/// Sizes of frames against sizes of chunks.
const CASES: [Case; 9] = [
    Case { frame: 16, chunk: 1 },
    Case { frame: 64, chunk: 1 },
    Case { frame: 1024, chunk: 1 },
    Case { frame: 16, chunk: 4 * 1024 },
    Case { frame: 64, chunk: 4 * 1024 },
    Case { frame: 1024, chunk: 4 * 1024 },
    Case { frame: 16, chunk: 64 * 1024 },
    Case { frame: 64, chunk: 64 * 1024 },
    Case { frame: 1024, chunk: 64 * 1024 },
];

struct Case {
    frame: usize,
    chunk: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B in chunks of {} B", self.frame, self.chunk)
    }
}

/// Encodes a frame for sending.
type Encode<F> = for<'a> fn(&'a F, &'a [u8]) -> Result<Encoded<'a>, FrameError>;

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn lines(bencher: Bencher, case: &Case) {
    decode(bencher, case, Lines::new(), Lines::encode);
}

#[divan::bench(args = CASES)]
fn netstrings(bencher: Bencher, case: &Case) {
    decode(bencher, case, Netstrings::new(), Netstrings::encode);
}

#[divan::bench(args = CASES)]
fn length_prefixed(bencher: Bencher, case: &Case) {
    decode(bencher, case, LengthPrefixed::u32(), LengthPrefixed::encode);
}

#[divan::bench(args = CASES)]
fn fixed_size(bencher: Bencher, case: &Case) {
    decode(bencher, case, FixedSize::new(case.frame), FixedSize::encode);
}

/// Counts every byte of the stream, including those around the frames.
fn decode<F: Framing>(bencher: Bencher, case: &Case, framing: F, encode: Encode<F>) {
    let frame = vec![b'x'; case.frame];
    let encoded = encode(&framing, &frame).expect("such a frame is allowed");
    let stream = encoded.parts().concat().repeat(STREAM / case.frame);
    let mut decoder = Decoder::new(framing);
    bencher.counter(BytesCount::new(stream.len())).bench_local(|| {
        let mut frames = 0;
        for chunk in stream.chunks(case.chunk) {
            let mut fed = decoder.feed(chunk);
            while let Some(frame) = fed.next_frame() {
                assert!(divan::black_box(frame).is_ok());
                frames += 1;
            }
        }
        assert_eq!(frames, STREAM / case.frame);
    });
}
