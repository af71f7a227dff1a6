//! Frames: what the adaptor delivers and when, and what the decoders make of a stream.
#![allow(clippy::type_complexity, reason = "callbacks in boxes are what this is about")]

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::util::{Far, Log, MS, Recorder, World, logged, pattern, tag};
use crocus::framing::{
    Decoder, Encoded, FixedSize, FrameError, FrameHandler, Framed, Framing, LengthPrefixed, Lines,
    Netstrings,
};
use crocus::testing::{Cut, Simulation};
use crocus::{Protocol, Reactor, Reason, TimerId, Transport};

const SIZES: std::ops::RangeInclusive<usize> = 1..=9;

/// The framings here deliver bytes.
trait Bytes: for<'a> Framing<Frame<'a> = &'a [u8]> {}

impl<F: for<'a> Framing<Frame<'a> = &'a [u8]>> Bytes for F {}

/// Does something with a frame or with raw bytes; the number says how many raw bytes are to come.
type React = Box<dyn FnMut(&mut Transport, &mut u64, &[u8])>;

/// Raw bytes until further notice.
const ENDLESS: u64 = u64::MAX;

/// Writes down what it is told, does what it was set up to do, and objects to frames at a time when
/// none may come.
struct Told {
    log: Log,
    raw_left: u64,
    frame: React,
    raw: React,
    failed: Option<Box<dyn FnMut(&mut Transport)>>,
    eof: Box<dyn FnMut(&mut Transport)>,
    pause: Option<Box<dyn FnMut(&mut Transport)>>,
    timer: Box<dyn FnMut(&mut Transport)>,
}

fn told(log: &Log) -> Told {
    Told {
        log: log.clone(),
        raw_left: 0,
        frame: Box::new(|_, _, _| {}),
        raw: Box::new(|_, _, _| {}),
        failed: None,
        eof: Box::new(|transport| transport.lose_connection()),
        pause: None,
        timer: Box::new(|transport| transport.resume_reading()),
    }
}

impl Told {
    fn on_frame(mut self, f: impl FnMut(&mut Transport, &mut u64, &[u8]) + 'static) -> Self {
        self.frame = Box::new(f);
        self
    }

    fn on_raw(mut self, f: impl FnMut(&mut Transport, &mut u64, &[u8]) + 'static) -> Self {
        self.raw = Box::new(f);
        self
    }

    /// In place of the default, which closes.
    fn on_failed(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.failed = Some(Box::new(then));
        self
    }

    /// In place of closing.
    fn on_eof(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.eof = Box::new(then);
        self
    }

    /// In place of the default, which pauses reading.
    fn on_pause(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.pause = Some(Box::new(then));
        self
    }

    /// In place of going on to read.
    fn on_timer(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.timer = Box::new(then);
        self
    }

    fn check(&self, transport: &Transport, what: &str) {
        if transport.is_closing() || !transport.is_reading() {
            self.log.push(format!("VIOLATION: {what} while nothing may come"));
        }
    }

    fn end(&mut self, transport: &mut Transport, part: &[u8]) {
        self.check(transport, "the end");
        self.log.push(format!("eof {}", part.escape_ascii()));
        (self.eof)(transport);
    }
}

impl<F: Bytes> FrameHandler<F> for Told {
    fn frame_received(&mut self, transport: &mut Transport, frame: &[u8]) {
        self.check(transport, "a frame");
        self.log.push(format!("frame {}", frame.escape_ascii()));
        (self.frame)(transport, &mut self.raw_left, frame);
    }

    fn raw_left(&self) -> u64 {
        self.raw_left
    }

    fn frame_failed(&mut self, transport: &mut Transport, error: FrameError) {
        self.log.push(format!("failed {error}"));
        match &mut self.failed {
            Some(then) => then(transport),
            None => transport.lose_connection_because(Reason::protocol(error)),
        }
    }

    fn eof_in_frame(&mut self, transport: &mut Transport, part: &[u8]) {
        if part.is_empty() {
            self.log.push("VIOLATION: no part of a frame");
        }
        self.end(transport, part);
    }
}

impl Protocol for Told {
    fn connection_made(&mut self, _: &mut Transport) {
        self.log.push("made");
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.check(transport, "raw bytes");
        if data.is_empty() || data.len() as u64 > self.raw_left {
            self.log.push(format!("VIOLATION: {} raw bytes", data.len()));
        }
        if self.raw_left != ENDLESS {
            self.raw_left -= data.len() as u64;
        }
        self.log.extend("raw ", data);
        (self.raw)(transport, &mut self.raw_left, data);
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.end(transport, b"");
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.log.push("pause");
        match &mut self.pause {
            Some(then) => then(transport),
            None => transport.pause_reading(),
        }
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.log.push("resume");
        transport.resume_reading();
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        (self.timer)(transport);
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.log.push(format!("lost {}", tag(reason)));
    }
}

/// The same kind of world, where everything is read in pieces of `size` bytes; 0: whole.
fn in_chunks(world: &World, size: usize) -> World {
    let limits = Reactor::builder();
    world.with_limits(if size == 0 { limits } else { limits.read_buffer(size) })
}

/// Connects to a new listener with this one protocol.
fn connect(world: &mut World, log: &Log, protocol: impl Protocol + 'static) -> Far {
    let mut once = Some(protocol);
    let (_, addr): (_, SocketAddr) = world.listen(move |_| once.take().unwrap());
    let far = world.dial(addr);
    world.until("it to be made", |_| log.len() > 0);
    log.take();
    far
}

/// The calls for a stream that a peer sends before it closes.
fn told_of<F: Bytes + 'static>(
    world: &mut World,
    framing: F,
    handler: impl FnOnce(&Log) -> Told,
    stream: &[u8],
) -> Vec<String> {
    let log = Log::new();
    let protocol = Framed::new(framing, handler(&log));
    let mut far = connect(world, &log, protocol);
    world.send(&mut far, stream);
    far.close_write();
    world.until("the loss", |_| log.count("lost") > 0);
    world.quiet();
    log.take()
}

/// The frames and the error, as text, that a decoder makes of a stream in chunks of that size.
fn decoded<F: Bytes>(framing: F, stream: &[u8], size: usize) -> Vec<String> {
    let mut decoder = Decoder::new(framing);
    let mut lines = Vec::new();
    for chunk in stream.chunks(size) {
        let mut frames = decoder.feed(chunk);
        while let Some(found) = frames.next_frame() {
            lines.push(match found {
                Ok(frame) => frame.escape_ascii().to_string(),
                Err(error) => format!("! {error}"),
            });
        }
    }
    lines
}

/// Checks what a decoder makes of a stream, in chunks of 1 to 9 bytes and whole.
#[track_caller]
fn decodes<F: Bytes + Clone>(framing: &F, stream: &[u8], expected: &[&str]) {
    for size in SIZES.chain([stream.len().max(1)]) {
        assert_eq!(decoded(framing.clone(), stream, size), expected, "chunks of {size}");
    }
}

fn bytes(encoded: Result<Encoded, FrameError>) -> Result<Vec<u8>, FrameError> {
    Ok(encoded?.parts().concat())
}

const TOO_LONG: &str = "! a frame of more than 5 bytes";

both! {
    /// Twisted's `test_buffer`: lines, bytes as they are, and lines again.
    fn lines_mixed_with_raw_bytes_survive_every_chunk_size(world) {
        for size in SIZES.chain([0]) {
            let handler = |log: &Log| {
                told(log).on_frame(|_, raw, line| {
                    if let Some(count) = line.strip_prefix(b"len ") {
                        *raw = std::str::from_utf8(count).unwrap().parse().unwrap();
                    }
                })
            };
            let stream = b"one\r\nlen 5\r\n\r\n\r\nxtwo\nlen 0\n\nlen 12\nlines\nin it\nlast\r\n";
            let lines = told_of(&mut in_chunks(world, size), Lines::new(), handler, stream);
            let expected = [
                "frame one", "frame len 5", "raw \\r\\n\\r\\nx", "frame two", "frame len 0", "frame ",
                "frame len 12", "raw lines\\nin it\\n", "frame last", "eof ", "lost PeerClosed",
            ];
            assert_eq!(lines, expected, "chunks of {size}");
        }
    }
}

both! {
    /// Twisted's `setRawMode` and `setLineMode`: it ends where the handler says, within a piece.
    fn raw_bytes_until_further_notice_end_where_the_handler_says(world) {
        for size in SIZES.chain([0]) {
            let handler = |log: &Log| {
                told(log)
                    .on_frame(|_, raw, line| {
                        if line == b"raw" {
                            *raw = ENDLESS;
                        }
                    })
                    .on_raw(|transport, raw, data| {
                        if let Some(at) = data.iter().position(|&byte| byte == b'.') {
                            transport.unread(&data[at + 1..]);
                            *raw = 0;
                        }
                    })
            };
            let stream = b"raw\nab\ncd.e\nraw\n.f\r\n";
            let lines = told_of(&mut in_chunks(world, size), Lines::new(), handler, stream);
            let frames: Vec<_> = lines.iter().filter(|line| line.starts_with("frame")).collect();
            assert_eq!(frames, ["frame raw", "frame e", "frame raw", "frame f"], "chunks of {size}");
        }
    }
}

/// Twisted's `test_stackRecursion`.
#[test]
fn ten_thousand_switches_in_one_chunk_need_no_stack() {
    const SWITCHES: usize = 10_000;
    let mut world = World::simulated();
    let log = Log::new();
    let lines = Lines::new();
    let handler = told(&log).on_frame(|_, raw, _| *raw = 1);
    let mut far = connect(&mut world, &log, Framed::new(lines, handler));
    far.send(&b"\nx".repeat(SWITCHES));
    world.quiet();
    assert_eq!((log.count("frame "), log.count("raw ")), (SWITCHES, SWITCHES));
}

/// Twisted's `test_maximumLineLengthPartialDelimiter`.
#[test]
fn a_split_delimiter_is_one_and_a_lone_cr_none() {
    let mut decoder = Decoder::new(Lines::new());
    assert_eq!(decoder.feed(b"one\r").next_frame(), None);
    assert_eq!(decoder.feed(b"\n").next_frame(), Some(Ok(&b"one"[..])));
    decodes(&Lines::new(), b"a\rb\r\r\n\r\n\n\r", &["a\\rb\\r", "", ""]);
    decodes(&Lines::delimited(b"\r\n"), b"a\nb\r\r\n\r\n", &["a\\nb\\r", ""]);
    decodes(&Lines::delimited(b"aab"), b"1aaab2aab", &["1a", "2"]);
    decodes(&Lines::delimited(b"\0"), b"x\0\0", &["x", ""]);
}

/// Twisted's `test_maximumLineLength`, and the reference's experiment with a delimiter in the next
/// chunk, where one of its receivers drops the line.
#[test]
fn a_line_longer_than_the_maximum_is_an_error() {
    for lines in [Lines::new(), Lines::delimited(b"\r\n")] {
        let lines = lines.max_length(5);
        decodes(&lines, b"12345\r\n12\r\n123456\r\n1\r\n", &["12345", "12", TOO_LONG]);
        decodes(&lines, b"12345\r\r\n", &[TOO_LONG]);
        decodes(&lines, b"12345\r", &[]);
        decodes(&lines, b"12345\rx", &[TOO_LONG]);
    }
    decodes(&Lines::new().max_length(5), b"12345\n1234\r\n123456\n", &["12345", "1234", TOO_LONG]);
    decodes(&Lines::new().max_length(0), b"\n\r\n\r", &["", ""]);
    decodes(&Lines::delimited(b"\n").max_length(5), b"12345\n12345\r\n", &["12345", TOO_LONG]);
}

/// Twisted's `test_longUnendedLine`; there up to a chunk more is taken, as the chunks fall.
#[test]
fn an_endless_line_is_an_error_at_the_earliest_byte() {
    for (size, first) in [(1, 5), (1000, 5), (1, 16_384), (9, 16_384), (65_536, 16_384)] {
        let mut decoder = Decoder::new(Lines::new().max_length(first));
        let mut errors = Vec::new();
        let mut fed = 0;
        while fed < 300_000 {
            let chunk = vec![b'x'; size];
            fed += size;
            let mut frames = decoder.feed(&chunk);
            while let Some(found) = frames.next_frame() {
                errors.push((found.unwrap_err(), fed));
            }
            drop(frames);
            assert!(decoder.rest().len() <= first, "{} bytes are kept", decoder.rest().len());
        }
        let at = (first + 1).next_multiple_of(size);
        assert_eq!(errors, [(FrameError::TooLong { limit: first }, at)], "chunks of {size}");
    }
}

both! {
    /// Twisted's `lineLengthExceeded`, and its default.
    fn an_error_closes_after_the_answers_before_it(world) {
        for size in SIZES.chain([0]) {
            let mut world = in_chunks(world, size);
            let log = Log::new();
            let handler = told(&log).on_frame(|transport, _, line| {
                assert!(Lines::new().encode(line).unwrap().write_to(transport));
            });
            let mut far =
                connect(&mut world, &log, Framed::new(Lines::new().max_length(5), handler));
            far.send(b"one\ntwo\nmillions\nthree\n");
            assert_eq!(world.read_to_end(&mut far), (b"one\r\ntwo\r\n".to_vec(), Ok(())));
            far.close_write();
            world.until("the loss", |_| log.count("lost") > 0);
            let failed = "failed a frame of more than 5 bytes";
            let lost = "lost Protocol { error: TooLong { limit: 5 } }";
            assert_eq!(log.take(), ["frame one", "frame two", failed, lost], "chunks of {size}");
        }
    }
}

both! {
    /// Its default is overridden and does not close: it is not told again, as Twisted's intN does.
    fn nothing_after_an_error_is_delivered_or_kept(world) {
        for framing in 0..3 {
            for size in [1, 4, 0] {
                let mut world = in_chunks(world, size);
                let handler = |log: &Log| told(log).on_failed(|transport| {
                    transport.write(b"go away\r\n");
                });
                let lines = match framing {
                    0 => told_of(&mut world, Lines::new().max_length(2), handler, b"a\nbcdefg\nh\ni\n"),
                    1 => told_of(&mut world, LengthPrefixed::u8().max_length(2), |log| {
                        told(log).on_failed(|_| {})
                    }, b"\x01a\x09bcdefghij\x01h\x01i"),
                    _ => told_of(&mut world, Netstrings::new().max_length(2), |log| {
                        told(log).on_failed(|_| {})
                    }, b"1:a,9:bcdefghij,1:h,"),
                };
                let failed = "failed a frame of more than 2 bytes";
                assert_eq!(lines, ["frame a", failed, "eof ", "lost PeerClosed"]);
            }
        }
    }
}

both! {
    /// Twisted's `test_stopProducing`; there an abort, netstrings and prefixes go on delivering.
    fn after_closing_or_aborting_in_a_frame_none_is_delivered(world) {
        type Command = fn(&mut Transport<'_>);
        let close: Command = |transport| transport.lose_connection();
        let abort: Command = |transport| transport.abort_connection();
        for (command, reason) in [(close, "lost Closed"), (abort, "lost Aborted")] {
            for size in SIZES.chain([0]) {
                let world = &mut in_chunks(world, size);
                let expected = ["frame a".to_owned(), "frame b".to_owned(), reason.to_owned()];
                let lines = Lines::new();
                assert_eq!(ended_in_b(world, lines, b"a\nb\nc\nd\n", command), expected);
                let strings = Netstrings::new();
                assert_eq!(ended_in_b(world, strings, b"1:a,1:b,1:c,", command), expected);
                let prefixed = LengthPrefixed::u16();
                let stream = b"\0\x01a\0\x01b\0\x01c\0\0";
                assert_eq!(ended_in_b(world, prefixed, stream, command), expected);
                assert_eq!(ended_in_b(world, FixedSize::new(1), b"abcd", command), expected);
            }
        }
    }
}

fn ended_in_b<F: Bytes + 'static>(
    world: &mut World,
    framing: F,
    stream: &[u8],
    command: fn(&mut Transport),
) -> Vec<String> {
    let handler = |log: &Log| {
        told(log).on_frame(move |transport, _, frame| {
            if frame == b"b" {
                command(transport);
            }
        })
    };
    told_of(world, framing, handler, stream)
}

both! {
    /// Twisted's `test_pausing` and `test_pauseResume`: also when nothing more comes, and when the
    /// end is there already.
    fn frames_and_the_end_wait_while_reading_is_paused(world) {
        for size in SIZES.chain([0]) {
            let world = &mut in_chunks(world, size);
            let log = Log::new();
            let handler =
                told(&log).on_frame(|transport, _, _| transport.pause_reading());
            let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
            far.send(b"one\ntwo\nthree\nrest");
            far.close_write();
            for line in ["frame one", "frame two", "frame three"] {
                world.until("the line", |_| log.len() > 0);
                world.quiet();
                assert_eq!(log.take(), [line], "chunks of {size}");
                // Pausing and resuming in one go, and twice, is resuming once.
                world.only().resume_reading();
                world.only().pause_reading();
                world.only().resume_reading();
                world.only().resume_reading();
                assert_eq!(log.take(), [""; 0], "not from inside the command");
            }
            world.until("the loss", |_| log.count("lost") > 0);
            assert_eq!(log.take(), ["eof rest", "lost PeerClosed"], "chunks of {size}");
        }
    }
}

both! {
    /// Twisted's `test_rawPausing`.
    fn raw_bytes_wait_while_reading_is_paused(world) {
        for size in SIZES.chain([0]) {
            let world = &mut in_chunks(world, size);
            let log = Log::new();
            let handler = told(&log)
                .on_frame(|transport, raw, _| {
                    *raw = 3;
                    transport.pause_reading();
                })
                .on_raw(|transport, _, _| transport.pause_reading());
            let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
            far.send(b"one\n\n2\ntwo\n\n3\n");
            let mut all = String::new();
            world.until("everything", |world| {
                let told = log.take();
                assert!(told.len() <= 1, "{told:?} in one go");
                all.extend(told);
                world.only().resume_reading();
                all.replace("raw ", "").ends_with("3\\n")
            });
            let bytes = all.replace("raw ", "").replace("frame ", " ");
            assert_eq!(bytes, " one\\n2\\n two\\n3\\n", "chunks of {size}");
        }
    }
}

both! {
    /// The answer to one frame is with the kernel, or pauses the next frames, before they come.
    fn large_answers_to_one_chunk_take_bounded_memory(world) {
        const FRAMES: usize = 2_000;
        let answer = pattern(64 * 1024);
        let most = Rc::new(Cell::new(0));
        let (seen, all) = (Rc::clone(&most), answer.clone());
        let log = Log::new();
        let made = log.clone();
        let addr = world.listen_narrow(move |_| {
            let (seen, all) = (Rc::clone(&seen), all.clone());
            let handler = told(&made).on_frame(move |transport, _, _| {
                transport.write(&all);
                seen.set(transport.buffered().max(seen.get()));
            });
            Framed::new(Lines::new(), handler)
        });
        let mut far = world.dial(addr);
        world.until("it to be made", |_| log.has("made"));
        far.send(&b"\n".repeat(FRAMES));
        far.close_write();
        world.quiet();
        assert!(log.count("frame") < FRAMES, "who does not read is not answered on");
        let (got, end) = world.read_to_end(&mut far);
        assert_eq!((got.len(), end), (FRAMES * answer.len(), Ok(())));
        assert_eq!(log.count("frame"), FRAMES);
        assert!(most.get() <= 2 * answer.len(), "{} bytes", most.get());
        world.until("the loss", |_| log.count("lost") > 0);
        assert_eq!(log.count("pause"), log.count("resume"), "{:?}", log.lines().len());
        assert_eq!(log.lines().last().unwrap(), "lost PeerClosed");
        assert_eq!(log.count("VIOLATION"), 0);
    }
}

/// A handler that reads on under pressure gets all its frames at once, though the peer reads nothing.
#[test]
fn a_handler_that_does_not_pause_gets_frames_under_pressure() {
    let mut world = World::simulated();
    let answer = world.much();
    let log = Log::new();
    let turns = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&turns);
    let handler = told(&log)
        .on_frame(move |transport, _, _| {
            assert!(transport.write(&answer));
            seen.borrow_mut().push(transport.reactor().stats().turns);
        })
        .on_pause(|_| {});
    let mut far = connect(&mut world, &log, Framed::new(Lines::new(), handler));
    far.send(b"1\n2\n3\n4\n");
    world.quiet();
    assert_eq!(log.take(), ["frame 1", "pause", "frame 2", "frame 3", "frame 4"]);
    let first = turns.borrow()[0];
    assert_eq!(*turns.borrow(), [first, first + 1, first + 1, first + 1]);
}

both! {
    /// Twisted's `test_clearLineBuffer`; and a hand-over, after which no frame is told (STARTTLS).
    fn the_rest_goes_to_the_protocol_that_takes_over(world) {
        let stream = b"upgrade\nnot\na line";
        for size in SIZES.chain([stream.len()]) {
            let world = &mut in_chunks(world, size);
            let log = Log::new();
            let asking = log.clone();
            let handler = told(&log).on_frame(move |transport, _, _| {
                let next = Recorder::new(&asking, "next").with_data();
                assert!(transport.set_protocol(next));
            });
            let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
            world.send(&mut far, stream);
            far.close_write();
            world.until("the loss", |_| log.has("next lost PeerClosed"));
            let data = r"next data not\na line";
            let expected = ["frame upgrade", "next made", data, "next eof", "next lost PeerClosed"];
            assert_eq!(log.take(), expected, "chunks of {size}");
        }
    }
}

/// Twisted's `test_receiveEmptyNetstring`, `test_receiveTwoNetstrings`,
/// `test_receiveNetstringPortions` and the nested one of its class.
#[test]
fn netstrings_come_empty_in_twos_in_portions_and_nested() {
    let strings = Netstrings::new();
    decodes(&strings, b"0:,", &[""]);
    decodes(&strings, b"5:hello,6:world!,", &["hello", "world!"]);
    decodes(&strings, b"12:hello, world,3:a,b,", &["hello, world", "a,b"]);
    decodes(&strings, b"9:1:a,2:bc,,", &["1:a,2:bc,"]);
    decodes(&strings, b"1:a,2:b", &["a"]);
    let long = pattern(99_999);
    let sent = bytes(strings.encode(&long)).unwrap();
    assert_eq!(&sent[..6], b"99999:");
    assert_eq!(decoded(strings.clone(), &sent, 7), [long.escape_ascii().to_string()]);
    assert_eq!(bytes(strings.encode(b"")).unwrap(), b"0:,");
    assert_eq!(bytes(strings.encode(b"hello")).unwrap(), b"5:hello,");
}

/// Twisted's `test_illegal`, `test_maxReceiveLimit`, `test_missingNumber`, `test_missingColon` and
/// their siblings; and its experiment that what is too long shows before the colon.
#[test]
fn bad_netstrings_are_errors_as_soon_as_they_show() {
    const NUMBER: &str = "! the length of a netstring is no number";
    const ZERO: &str = "! the length of a netstring begins with zero";
    const COMMA: &str = "! a netstring does not end in a comma";
    const LONG: &str = "! a frame of more than 99999 bytes";
    let strings = Netstrings::new();
    for bad in ["x", "+3:abc,", "-3:", " 3:abc,", ":aaa,", "3 :aaa,", "3,", "\n", ",", "3\0:"] {
        decodes(&strings, bad.as_bytes(), &[NUMBER]);
    }
    decodes(&strings, b"00:,", &[ZERO]);
    decodes(&strings, b"03", &[ZERO]);
    decodes(&strings, b"3:abc.", &[COMMA]);
    decodes(&strings, b"3:abcd,", &[COMMA]);
    decodes(&strings, b"1:a,0:3:abc,", &["a", COMMA]);
    decodes(&strings, b"99999", &[]);
    decodes(&strings, b"100000", &[LONG]);
    decodes(&strings, b"9999999999999999999999:", &[LONG]);
    decodes(&Netstrings::new().max_length(5), b"5:12345,6", &["12345", TOO_LONG]);
    let wide = Netstrings::new().max_length(usize::MAX);
    decodes(&wide, b"18446744073709551615:a", &[]);
    let beyond = format!("! a frame of more than {} bytes", usize::MAX);
    decodes(&wide, b"184467440737095516160", &[&beyond]);
    let too_long = FrameError::TooLong { limit: 5 };
    assert_eq!(bytes(Netstrings::new().max_length(5).encode(b"123456")), Err(too_long));
}

/// Twisted's `test_partial`, `test_lengthLimitExceeded`, `test_longStringNotDelivered` and
/// `test_tooLongSend`.
#[test]
fn length_prefixes_of_each_width_and_order() {
    let cases: [(LengthPrefixed, &[u8]); 5] = [
        (LengthPrefixed::u8(), b"\x05hello\x00\x01x"),
        (LengthPrefixed::u16(), b"\0\x05hello\0\0\0\x01x"),
        (LengthPrefixed::u16().little_endian(), b"\x05\0hello\0\0\x01\0x"),
        (LengthPrefixed::u32(), b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x"),
        (LengthPrefixed::u32().little_endian(), b"\x05\0\0\0hello\0\0\0\0\x01\0\0\0x"),
    ];
    for (prefixed, stream) in cases {
        decodes(&prefixed, stream, &["hello", "", "x"]);
        let sent = [&b"hello"[..], b"", b"x"].map(|frame| bytes(prefixed.encode(frame)).unwrap());
        assert_eq!(sent.concat(), stream);
        let limited = prefixed.max_length(5);
        let mut longer = bytes(limited.encode(b"54321")).unwrap();
        let at = longer.iter().position(|&byte| byte == 5).unwrap();
        longer[at] = 6;
        decodes(&limited, &[stream, &longer].concat(), &["hello", "", "x", TOO_LONG]);
        let too_long = Err(FrameError::TooLong { limit: 5 });
        assert_eq!(bytes(limited.encode(b"123456")), too_long);
    }
    // A false length: two gigabytes, within the limit and beyond it.
    decodes(&LengthPrefixed::u32(), b"\x80\0\0\0x", &["! a frame of more than 99999 bytes"]);
    decodes(&LengthPrefixed::u32().max_length(usize::MAX), b"\x80\0\0\0x", &[]);
    let long = pattern(256);
    let byte = FrameError::TooLong { limit: 255 };
    assert_eq!(bytes(LengthPrefixed::u8().max_length(1000).encode(&long)), Err(byte));
    assert_eq!(bytes(LengthPrefixed::u16().encode(&long)).unwrap()[..2], [1, 0]);
}

/// Frames that cannot be sent are errors, and nothing is written.
#[test]
fn frames_that_would_not_come_out_as_one_are_refused() {
    let inside = Err(FrameError::malformed("a line with its delimiter inside"));
    assert_eq!(bytes(Lines::new().encode(b"a\nb")), inside);
    assert_eq!(bytes(Lines::new().encode(b"a\r\n")), inside);
    assert_eq!(bytes(Lines::new().encode(b"a\rb\r")).unwrap(), b"a\rb\r\r\n");
    assert_eq!(bytes(Lines::delimited(b"\r\n").encode(b"a\nb\r")).unwrap(), b"a\nb\r\r\n");
    assert_eq!(bytes(Lines::delimited(b"aa").encode(b"ba")), inside);
    assert_eq!(bytes(Lines::delimited(b"aab").encode(b"a")), Ok(b"aaab".to_vec()));
    assert_eq!(bytes(Lines::delimited(b"aba").encode(b"ab")), inside);
    let long = Err(FrameError::TooLong { limit: 2 });
    assert_eq!(bytes(Lines::new().max_length(2).encode(b"abc")), long);
    assert_eq!(bytes(FixedSize::new(2).encode(b"abc")), long);
    assert!(bytes(FixedSize::new(2).encode(b"a")).is_err());
    assert_eq!(bytes(FixedSize::new(2).encode(b"ab")).unwrap(), b"ab");
}

#[test]
fn frames_of_one_size() {
    decodes(&FixedSize::new(3), b"abcdefgh", &["abc", "def"]);
    decodes(&FixedSize::new(1), b"ab", &["a", "b"]);
}

both! {
    /// Twisted's `test_switching`: the handler hands over to one with other rules.
    fn rules_that_change_in_a_frame_hold_from_the_next(world) {
        fn switching(log: &Log) -> Told {
            let next = log.clone();
            told(log).on_frame(move |transport, _, frame| {
                if let Some(rules) = rules_after(frame) {
                    assert!(transport.set_protocol(Framed::new(rules, switching(&next))));
                }
            })
        }

        for size in SIZES.chain([0]) {
            let world = &mut in_chunks(world, size);
            let lines = told_of(world, LengthPrefixed::u8(), switching, SWITCHING);
            let frames = ["frame wide", "made", "frame ab", "frame little", "made", "frame end"];
            assert_eq!(lines[..6], frames, "chunks of {size}");
            assert_eq!(lines[6..], ["eof ", "lost PeerClosed"]);
        }
    }
}

const SWITCHING: &[u8] = b"\x04wide\0\0\0\x02ab\0\0\0\x06little\x03\0end";

fn rules_after(frame: &[u8]) -> Option<LengthPrefixed> {
    match frame {
        b"wide" => Some(LengthPrefixed::u32()),
        b"little" => Some(LengthPrefixed::u16().little_endian()),
        _ => None,
    }
}

#[test]
fn a_decoder_takes_new_rules_between_frames() {
    for size in SIZES.chain([SWITCHING.len()]) {
        let mut decoder = Decoder::new(LengthPrefixed::u8());
        let mut frames = Vec::new();
        for chunk in SWITCHING.chunks(size) {
            let mut fed = decoder.feed(chunk);
            while let Some(frame) = fed.next_frame() {
                frames.push(frame.unwrap().to_vec());
                if let Some(rules) = rules_after(&frames[frames.len() - 1]) {
                    *fed.framing_mut() = rules;
                }
            }
        }
        assert_eq!(frames, [&b"wide"[..], b"ab", b"little", b"end"], "chunks of {size}");
    }
}

/// A byte with a kind and flags, a length of up to two bytes as MQTT writes it, and a body.
struct Packets;

impl Framing for Packets {
    type Frame<'a> = (u8, u8, &'a str);

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        _seen: usize,
    ) -> Result<Option<(Self::Frame<'a>, usize)>, FrameError> {
        let (first, start, length) = match *bytes {
            [first @ 0xf0..=0xff, ..] => {
                return Err(FrameError::malformed(format!("kind {}", first >> 4)));
            }
            [first, low @ 0..0x80, ..] => (first, 2, usize::from(low)),
            [first, low, high @ 0..0x80, ..] => {
                (first, 3, usize::from(low & 0x7f) | usize::from(high) << 7)
            }
            [_, _, _, ..] => return Err(FrameError::malformed("a long length")),
            _ => return Ok(None),
        };
        let end = start + length;
        let Some(body) = bytes.get(start..end) else { return Ok(None) };
        let body =
            str::from_utf8(body).map_err(|error| FrameError::malformed(error.to_string()))?;
        Ok(Some(((first >> 4, first & 0x0f, body), end)))
    }
}

/// Writes down parsed frames; everything else is as by default.
struct Parsed(Log);

impl Protocol for Parsed {
    fn connection_made(&mut self, _: &mut Transport) {
        self.0.push("made");
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.0.push(format!("lost {}", tag(reason)));
    }
}

impl FrameHandler<Packets> for Parsed {
    fn frame_received(&mut self, _: &mut Transport, (kind, flags, body): (u8, u8, &str)) {
        self.0.push(format!("{kind} {flags} {}", body.len()));
    }
}

both! {
    /// A framing that only reads, with a header and errors of its own.
    fn a_frame_comes_parsed_if_its_framing_parses_it(world) {
        let long = [b"\x41\xac\x02".as_slice(), &[b'x'; 300]].concat();
        let cases: [(&[u8], &[&str]); 5] = [
            (b"", &["lost PeerClosed"]),
            (b"\x10", &["lost PeerClosed"]),
            (b"\xf0", &[r#"lost Protocol { error: Malformed("kind 15") }"#]),
            (b"\x10\x80\x80\x01", &[r#"lost Protocol { error: Malformed("a long length") }"#]),
            (b"\x10\x01\xff", &[
                "lost Protocol { error: \
                 Malformed(\"invalid utf-8 sequence of 1 bytes from index 0\") }",
            ]),
        ];
        for (end, expected) in cases {
            for size in SIZES.chain([0]) {
                let world = &mut in_chunks(world, size);
                let log = Log::new();
                let mut far = connect(world, &log, Framed::new(Packets, Parsed(log.clone())));
                world.send(&mut far, &[b"\x12\x02ab\x3f\0", long.as_slice(), end].concat());
                far.close_write();
                world.until("the loss", |_| log.count("lost") > 0);
                let expected = [&["1 2 2", "3 15 0", "4 1 300"], expected].concat();
                assert_eq!(log.take(), expected, "chunks of {size}");
            }
        }
    }
}

both! {
    /// Before the end of the counted bytes no frame has begun: the handler knows what is missing.
    fn an_end_within_raw_bytes_is_the_protocol_s(world) {
        for size in SIZES.chain([0]) {
            let world = &mut in_chunks(world, size);
            let handler = |log: &Log| told(log).on_frame(|_, raw, _| *raw = 5);
            let lines = told_of(world, Lines::new(), handler, b"body\nabc");
            assert_eq!(lines, ["frame body", "raw abc", "eof ", "lost PeerClosed"]);
        }
    }
}

/// The recorder takes a line for its data, and checks the order of everything.
impl FrameHandler<Lines> for Recorder {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        self.data_received(transport, line);
    }
}

both! {
    /// A part of a line makes no difference: by default it is dropped at the end.
    fn every_notice_of_a_protocol_reaches_the_handler(world) {
        let log = Log::new();
        let much = world.much();
        let all = much.clone();
        let handler = Recorder::new(&log, "a")
            .with_data()
            .on_made(|transport| { transport.call_later(MS); })
            .on_timer(|transport, _| { transport.set_timeout(Some(MS)); })
            .on_timed_out(|_| {})
            .on_data(move |transport, _| { transport.write(&all); });
        let mut once = Some(Framed::new(Lines::new(), handler));
        let addr = world.listen_narrow(move |_| once.take().unwrap());
        let mut far = world.dial(addr);
        world.until("the timeout", |_| log.has("a timed out"));
        world.send(&mut far, b"line\npart");
        far.close_write();
        world.until("the pause", |_| log.has("a pause"));
        assert_eq!(world.read_to_end(&mut far), (much, Ok(())));
        world.until("the loss", |_| log.count("a lost") > 0);
        let before = ["a made", "a timer", "a timed out", "a data line", "a pause"];
        let after = ["a resume", "a eof", "a lost PeerClosed"];
        assert_eq!(log.take(), [&before[..], &after].concat());
    }
}

both! {
    /// By a timer, or at the end: what has come of a frame is the successor's, behind what the handler puts back.
    fn a_begun_frame_goes_to_the_protocol_that_takes_over(world) {
        for at_end in [false, true] {
            for size in SIZES.chain([0]) {
                let world = &mut in_chunks(world, size);
                let log = Log::new();
                let asking = log.clone();
                let hand_over = move |transport: &mut Transport| {
                    let next = Recorder::new(&asking, "next").with_data();
                    assert!(transport.set_protocol(next));
                    transport.unread(b"line\n"); // once more
                };
                let handler = told(&log).on_frame(move |transport, _, _| {
                    if !at_end {
                        transport.call_later(Duration::from_millis(5));
                    }
                });
                let handler = match at_end {
                    true => handler.on_eof(hand_over),
                    false => handler.on_timer(hand_over),
                };
                let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
                world.send(&mut far, b"line\nbegun");
                if !at_end {
                    world.until("the successor", |_| log.has("next made"));
                }
                world.send(&mut far, b" and more");
                far.close_write();
                world.until("the loss", |_| log.has("next lost PeerClosed"));
                let lines = log.take();
                assert_eq!(lines[0], "frame line", "chunks of {size}");
                assert!(lines.contains(&"next data line\\nbegun and more".to_owned()), "{lines:?}");
                assert_eq!(lines.iter().filter(|line| line.starts_with("frame")).count(), 1);
            }
        }
    }
}

both! {
    fn code_outside_hands_over_with_the_begun_frame(world) {
        struct Silent;

        impl Protocol for Silent {}

        impl FrameHandler<Lines> for Silent {
            fn frame_received(&mut self, _: &mut Transport, _: &[u8]) {}
        }

        let (_, addr) = world.listen(|_| Framed::new(Lines::new(), Silent));
        let (log, mut far) = (Log::new(), world.dial(addr));
        world.send(&mut far, b"begun");
        world.until("the bytes", |world| world.reactor().stats().bytes_read == 5);
        let (id, next) = (world.only().id(), Recorder::new(&log, "next").with_data());
        let hand_over = |framed: &mut Framed<Lines, Silent>, transport: &mut Transport| {
            framed.with_handler(transport, |_, transport| transport.set_protocol(next))
        };
        assert_eq!(world.reactor().with_protocol(id, hand_over), Some(true));
        world.until("the successor", |_| log.has("next made"));
        world.send(&mut far, b" and more");
        far.close_write();
        world.until("the loss", |_| log.has("next lost PeerClosed"));
        assert!(log.has("next data begun and more"), "{:?}", log.lines());
    }
}

both! {
    /// Whether or not its handler has paused reading meanwhile.
    fn a_part_offered_at_the_end_goes_to_a_later_successor(world) {
        for pauses in [false, true] {
            let log = Log::new();
            let asking = log.clone();
            let handler = told(&log)
                .on_eof(move |transport| {
                    if pauses {
                        transport.pause_reading();
                    }
                    transport.call_later(Duration::from_millis(5));
                })
                .on_timer(move |transport| {
                    transport.set_protocol(Recorder::new(&asking, "next").with_data());
                    transport.resume_reading();
                });
            let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
            world.send(&mut far, b"begun");
            far.close_write();
            world.until("the loss", |_| log.has("next lost PeerClosed"));
            assert!(log.take().contains(&"next data begun".to_owned()), "pauses: {pauses}");
        }
    }
}

both! {
    /// Twisted drops it.
    fn a_partial_line_is_offered_at_the_end(world) {
        for size in SIZES.chain([0]) {
            let world = &mut in_chunks(world, size);
            let lines = told_of(world, Lines::new(), told, b"one\ntwo\r");
            assert_eq!(lines, ["frame one", "eof two\\r", "lost PeerClosed"], "chunks of {size}");
        }
    }
}

/// If each new byte made it look at all the former ones, this would take days.
#[test]
fn ten_megabytes_byte_by_byte_take_linear_time() {
    const LONG: usize = 10 << 20;
    for lines in [Lines::new(), Lines::delimited(b"\r\n\r\n")] {
        let mut decoder = Decoder::new(lines.max_length(LONG));
        for _ in 0..LONG {
            assert_eq!(decoder.feed(b"x").next_frame(), None);
        }
        let mut end = decoder.feed(b"\r\n\r\n");
        assert_eq!(end.next_frame().unwrap().unwrap().len(), LONG);
    }
}

both! {
    /// Ten thousand lines that came at once, and a pause after each: none is moved for the others.
    fn a_pause_after_each_of_many_lines_takes_linear_time(world) {
        const LINES: usize = 30_000;
        let log = Log::new();
        let count = Rc::new(Cell::new(0));
        let seen = Rc::clone(&count);
        let handler = told(&log).on_frame(move |transport, _, _| {
            seen.set(seen.get() + 1);
            transport.pause_reading();
            transport.call_later(Duration::ZERO);
        });
        let mut far = connect(world, &log, Framed::new(Lines::new(), handler));
        far.send(&b"\n".repeat(LINES));
        world.until("all lines", |_| count.get() == LINES);
    }
}

/// Pauses at any frame, resumes at any time and cuts anywhere do not change the calls.
#[test]
fn random_pauses_and_cuts_change_nothing() {
    let stream: Vec<u8> = (0..200u32)
        .map(|n| match n * 7 % 5 {
            0 => format!("raw {0}\r\n{1}", n % 40, "\n".repeat(n as usize % 40)),
            1 => "x\ry".repeat(n as usize % 30) + "\n",
            _ => format!("line {n}\r\n"),
        })
        .flat_map(String::into_bytes)
        .chain(*b"rest")
        .collect();
    let plain = told_at_random(0, &stream, |_| false);
    assert!(plain.len() > 200 && plain.last().unwrap() == "lost PeerClosed", "{plain:?}");
    for seed in 1..200u64 {
        let mut state = seed;
        let paused = told_at_random(seed, &stream, move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
            (state >> 33) % (seed % 5 + 1) == 0
        });
        assert_eq!(paused, plain, "seed {seed}");
    }
}

/// The calls for a stream in the world of that seed, if reading is paused for a millisecond where
/// `pause` says so. A seed other than 0 cuts the stream.
fn told_at_random(
    seed: u64,
    stream: &[u8],
    mut pause: impl FnMut(&[u8]) -> bool + 'static,
) -> Vec<String> {
    let mut simulation = Simulation::with_seed(seed);
    if seed > 0 {
        simulation.set_cut(Cut::Random(40));
    }
    let log = Log::new();
    let pause = Rc::new(RefCell::new(move |transport: &mut Transport, bytes: &[u8]| {
        if pause(bytes) {
            transport.pause_reading();
            transport.call_later(Duration::from_millis(1));
        }
    }));
    let pause_raw = Rc::clone(&pause);
    let handler = told(&log)
        .on_frame(move |transport, raw, line| {
            if let Some(count) = line.strip_prefix(b"raw ") {
                *raw = std::str::from_utf8(count).unwrap().parse().unwrap();
            }
            pause.borrow_mut()(transport, line);
        })
        .on_raw(move |transport, _, data| pause_raw.borrow_mut()(transport, data));
    let mut peer = simulation.connect(Framed::new(Lines::new(), handler));
    let mut sent = 0;
    while sent < stream.len() {
        sent += peer.send(&stream[sent..]);
        simulation.turn();
    }
    peer.close_write();
    simulation.advance(Duration::from_secs(60));
    log.take()
}

/// A frame that is whole in its chunk is where it was, not a copy.
#[test]
fn a_whole_frame_is_not_copied() {
    let chunk = b"one\ntwo\nthr".to_vec();
    let mut decoder = Decoder::new(Lines::new());
    let mut frames = decoder.feed(&chunk);
    for at in [0, 4] {
        let frame = frames.next_frame().unwrap().unwrap();
        assert_eq!(frame.as_ptr(), chunk[at..].as_ptr());
    }
    assert_eq!(frames.next_frame(), None);
    assert_eq!(frames.rest(), b"thr");
}

#[test]
fn bytes_not_taken_are_kept() {
    let mut decoder = Decoder::new(Lines::new());
    assert_eq!(decoder.feed(b"one\ntwo\nthr").next_frame(), Some(Ok(&b"one"[..])));
    assert_eq!(decoder.rest(), b"two\nthr");
    assert_eq!(decoder.feed(b"ee\n5:four,").next_frame(), Some(Ok(&b"two"[..])));
    assert_eq!(decoder.feed(b"").next_frame(), Some(Ok(&b"three"[..])));
    assert_eq!(decoder.feed(b"").next_frame(), None);
    assert_eq!(decoder.feed(b"").take_raw(2), b"5:");
    assert_eq!(decoder.rest(), b"four,");
}

both! {
    /// A bug in a handler stays in its connection, and a bug in a framing too.
    fn a_panic_in_a_frame_ends_its_connection(world) {
        /// Finds frames that use no bytes, of which there are endlessly many.
        struct Endless;

        impl Framing for Endless {
            type Frame<'a> = &'a [u8];

            fn find<'a>(
                &mut self,
                _: &'a [u8],
                _: usize,
            ) -> Result<Option<(&'a [u8], usize)>, FrameError> {
                Ok(Some((&[], 0)))
            }
        }

        if !world.is_real() {
            return; // there panics go through
        }
        logged();
        let lines = told_of(world, Endless, told, b"x");
        assert_eq!(lines, ["lost Panicked(data_received)"]);
        assert_eq!(logged().len(), 1);
    }
}

/// Bytes that a protocol puts back: given again, from the loop, and nothing newer before them.
mod unread {
    use super::*;
    /// Puts back all but the first byte of what it is given, and pauses if it shall.
    fn picky(log: &Log, pause: bool) -> Recorder {
        Recorder::new(log, "a").with_data().on_data(move |transport, data| {
            assert!(transport.unread(&data[1..]));
            if pause {
                transport.pause_reading();
            }
        })
    }

    both! {
        fn kept_bytes_come_in_the_next_turn_before_newer_ones(world) {
            let world = &mut in_chunks(world, 3);
            let log = Log::new();
            let turns = Rc::new(RefCell::new(Vec::new()));
            let seen = Rc::clone(&turns);
            let recorder = Recorder::new(&log, "a").with_data().on_data(move |transport, data| {
                seen.borrow_mut().push(transport.reactor().stats().turns);
                assert!(transport.unread(&data[1..]));
            });
            let mut far = connect(world, &log, recorder);
            far.send(b"1234");
            far.close_write();
            world.until("the loss", |_| log.count("a lost") > 0);
            let turns = turns.borrow();
            assert!(turns[0] < turns[1] && turns[1] < turns[2], "once a turn: {turns:?}");
            assert_eq!(log.take(), ["a data 1232334", "a eof", "a lost PeerClosed"]);
        }
    }

    /// Each message costs a copy of what is given again with it, so that shall not be all there is.
    #[test]
    fn one_that_takes_a_byte_of_many_is_given_few_again() {
        let (log, told) = (Log::new(), Rc::new(RefCell::new(Vec::new())));
        let seen = Rc::clone(&told);
        let recorder = Recorder::new(&log, "a").on_data(move |transport, data| {
            seen.borrow_mut().push((data[0], data.len()));
            transport.unread(&data[1..]);
            transport.pause_reading();
            let id = transport.id();
            transport.reactor().call_soon(move |reactor| {
                reactor.transport(id).unwrap().resume_reading();
            });
        });
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(recorder);
        let all: Vec<u8> = (0..60_000_u16).map(|place| (place % 251) as u8).collect();
        peer.send(&all);
        while told.borrow().len() < 1000 {
            simulation.turn();
        }
        let (bytes, sizes): (Vec<u8>, Vec<usize>) = told.borrow().iter().copied().unzip();
        assert_eq!(bytes, all[..1000]);
        assert_eq!(sizes[0], all.len());
        assert!(sizes[1..].iter().all(|&size| size <= 16 * 1024), "{sizes:?}");
    }

    both! {
        fn while_reading_is_paused_they_wait(world) {
            for end in ["close", "abort", "resume"] {
                let log = Log::new();
                let mut far = connect(world, &log, picky(&log, true));
                far.send(b"12");
                world.until("the data", |_| log.has("a data 12"));
                far.send(b"34");
                far.close_write();
                world.quiet();
                assert_eq!(log.take(), ["a data 12"]);
                match end {
                    "close" => world.only().lose_connection(),
                    "abort" => world.only().abort_connection(),
                    _ => {
                        world.only().resume_reading();
                        assert_eq!(log.len(), 0, "not from inside the command");
                        world.until("the byte", |_| log.has("a data 2"));
                        world.only().lose_connection();
                    }
                }
                world.until("the loss", |_| log.count("a lost") > 0);
                world.quiet();
                assert_eq!(log.count("a data"), usize::from(end == "resume"));
            }
        }
    }

    both! {
        /// A reactor with nothing but a paused protocol sleeps.
        fn under_a_pause_they_cost_no_turns(world) {
            let log = Log::new();
            let mut far = connect(world, &log, picky(&log, true));
            far.send(b"12");
            world.until("the data", |_| log.has("a data 12"));
            world.quiet();
            assert!(world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle(), "it spins");
        }
    }

    both! {
        /// After `eof_received` no data comes, but for a protocol that takes over.
        fn after_the_end_they_are_kept_for_a_successor(world) {
            for successor in [false, true] {
                let log = Log::new();
                let asking = log.clone();
                let recorder = Recorder::new(&log, "a").with_data().on_eof(move |transport| {
                    assert!(transport.unread(b"late"));
                    if successor {
                        let next = Recorder::new(&asking, "b").with_data();
                        assert!(asking.hand_over(transport, next, b"too "));
                    }
                });
                let mut far = connect(world, &log, recorder);
                far.close_write();
                world.until("the end", |_| log.has(if successor { "b eof" } else { "a eof" }));
                world.quiet();
                assert!(world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle(), "it spins");
                let expected: &[&str] = match successor {
                    true => &[ "a eof", "a replaced", "b made", "b data too late", "b eof", "b lost PeerClosed"],
                    false => &["a eof"],
                };
                assert_eq!(log.take(), expected);
                if !successor {
                    world.only().abort_connection();
                    world.until("the loss", |_| log.has("a lost Aborted"));
                }
            }
        }
    }
}
