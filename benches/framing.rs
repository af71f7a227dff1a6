//! Decoding of frames, with several sizes of frames and chunks.

use std::fmt;

use divan::Bencher;
use divan::counter::BytesCount;

use crocus::framing::{Decoder, FixedSize, Framing, LengthPrefixed, Lines, Netstrings};

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

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn lines(bencher: Bencher, case: &Case) {
    decode(bencher, case, Lines::new());
}

#[divan::bench(args = CASES)]
fn netstrings(bencher: Bencher, case: &Case) {
    decode(bencher, case, Netstrings::new());
}

#[divan::bench(args = CASES)]
fn length_prefixed(bencher: Bencher, case: &Case) {
    decode(bencher, case, LengthPrefixed::u32());
}

#[divan::bench(args = CASES)]
fn fixed_size(bencher: Bencher, case: &Case) {
    decode(bencher, case, FixedSize::new(case.frame));
}

/// Counts every byte of the stream, including those around the frames.
fn decode(bencher: Bencher, case: &Case, framing: impl Framing) {
    let stream = stream(&framing, case.frame);
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

/// Encoded frames of one size.
fn stream(framing: &impl Framing, size: usize) -> Vec<u8> {
    let frame = vec![b'x'; size];
    let encoded = framing.encode(&frame).expect("such a frame is allowed");
    let encoded = encoded.parts().concat();
    encoded.repeat(STREAM / size)
}
