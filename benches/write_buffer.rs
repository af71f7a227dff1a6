//! The buffer of bytes to send to a peer, and the used vectors that it borrows.
//!
//! The buffer is private, so this program compiles its file a second time.

#[path = "../src/parts/write_buffer.rs"]
#[allow(unused, reason = "only a part of it is measured, and its tests are not run here")]
mod write_buffer;

use divan::Bencher;
use divan::counter::BytesCount;

use write_buffer::{Spares, WriteBuffer};

/// A small answer, and a piece of a large one.
const SIZES: [usize; 2] = [64, 16 * 1024];

/// How many bytes the peer is behind.
const BACKLOG: usize = 48 * 1024;

fn main() {
    divan::main();
}

/// A vector is lent, filled, and given back once all is sent: the kernel takes the whole answer.
#[divan::bench(args = SIZES, sample_count = 20, sample_size = 10_000)]
fn push_and_send_all(bencher: Bencher, size: usize) {
    let data = vec![b'x'; size];
    let (mut buffer, mut spares) = warm();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        buffer.push(divan::black_box(&data), &mut spares);
        buffer.advance(size, &mut spares);
    });
}

/// As many bytes leave as come, in front of a backlog: a slow peer.
#[divan::bench(args = SIZES, sample_count = 20, sample_size = 10_000)]
fn push_behind_a_backlog(bencher: Bencher, size: usize) {
    let data = vec![b'x'; size];
    let (mut buffer, mut spares) = warm();
    buffer.push(&vec![b'x'; BACKLOG], &mut spares);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        buffer.push(divan::black_box(&data), &mut spares);
        buffer.advance(size, &mut spares);
    });
}

/// The bytes of one push leave in segments.
#[divan::bench(args = [536, 1460])]
fn send_in_parts(bencher: Bencher, segment: usize) {
    let data = vec![b'x'; BACKLOG];
    let (mut buffer, mut spares) = warm();
    bencher.counter(BytesCount::new(BACKLOG)).bench_local(|| {
        buffer.push(divan::black_box(&data), &mut spares);
        while !buffer.is_empty() {
            let count = divan::black_box(buffer.unsent()).len().min(segment);
            buffer.advance(count, &mut spares);
        }
    });
}

/// An empty buffer, and one used vector to lend.
fn warm() -> (WriteBuffer, Spares) {
    let (mut buffer, mut spares) = (WriteBuffer::default(), Spares::default());
    buffer.push(&[0; BACKLOG], &mut spares);
    buffer.clear(&mut spares);
    (buffer, spares)
}
