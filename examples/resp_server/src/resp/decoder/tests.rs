#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
use bytes::Bytes;

use super::super::BIG;
use super::super::request::{LEAST_MAX_REQUEST, MAX_INLINE, SPARE_WORDS};
use super::*;

const MAX_BULK: usize = 100;

/// The requests in `bytes`, fed in chunks of `size`, and the error after them. With
/// `one_by_one` each call decodes one request.
fn requests(bytes: &[u8], size: usize, one_by_one: bool) -> (Vec<String>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(MAX_BULK);
    let mut found = Vec::new();
    for chunk in bytes.chunks(size) {
        let mut chunk = chunk;
        loop {
            let decoded = decoder.decode(chunk, |args| {
                found.push(format!("{args:?}"));
                if one_by_one { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match decoded {
                Ok(ControlFlow::Continue(())) => break,
                Ok(ControlFlow::Break(())) => chunk = &[],
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Checks the requests found in `bytes`, for chunks of several sizes.
fn check(bytes: &[u8], expected: &[&str], error: Option<ProtocolError>) {
    for size in (1..=9).chain([bytes.len().max(1)]) {
        for one_by_one in [false, true] {
            let (found, ended) = requests(bytes, size, one_by_one);
            let what = bytes[..bytes.len().min(80)].escape_ascii();
            assert_eq!(found, expected, "{what} in chunks of {size}");
            assert_eq!(ended, error, "{what} in chunks of {size}");
        }
    }
}

#[test]
fn requests_are_found_however_they_are_cut() {
    let all = b"*1\r\n$4\r\nPING\r\nGET key\r\n*0\r\n\r\n  \n*-5\r\n\
                *3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nab\r\ncd*1\r\n$4\r\n\r\nset \"a b\" 'c'\n\
                *2\r\n$1\r\n\xff\r\n$2\r\n\r\n\r\nping\r\n*1\r\n$9\r\nnot whol";
    let expected = [
        "[PING]",
        "[GET, key]",
        r"[SET, , ab\r\ncd*1\r\n$4]",
        "[set, a b, c]",
        r"[\xff, \r\n]",
        "[ping]",
    ];
    check(all, &expected, None);
}

#[test]
fn what_is_no_request_is_an_error_behind_those_before_it() {
    use ProtocolError::{ArrayLength, BulkLength, LineTooLong, NoBulk, NoEnd, Quotes, TooLong};
    let long = [&b"x"[..], &b"x".repeat(MAX_INLINE), b"\r\n"].concat();
    let many = b"*999999\r\n".iter().copied().chain(b"$99\r\n".iter().copied());
    let many: Vec<u8> = many.collect();
    let cases: [(&[u8], ProtocolError); 22] = [
        (b"*x\r\n", ArrayLength),
        (b"*\r\n", ArrayLength),
        (b"*1\rx", ArrayLength),
        (b"*+1\r\n", ArrayLength),
        (b"*01\r\n", ArrayLength),
        (b"*1048577\r\n", ArrayLength),
        (b"*1000000000\r\n", ArrayLength),
        (b"*123456789012345678901234567890", ArrayLength),
        (b"*1\r\n:1\r\n", NoBulk(b':')),
        (b"*2\r\n$1\r\na\r\n*1\r\n", NoBulk(b'*')),
        (b"*1\r\n$-1\r\n", BulkLength),
        (b"*1\r\n$x\r\n", BulkLength),
        (b"*1\r\n$101\r\n", BulkLength),
        (b"*1\r\n$2147483647\r\n", BulkLength),
        (b"*1\r\n$123456789012345678901234567890", BulkLength),
        (b"*1\r\n$1\r\nab\r\n", NoEnd),
        (b"*1\r\n$1\r\na\rb", NoEnd),
        (b"a 'b\r\n", Quotes),
        (b"\"\n", Quotes),
        (&long, LineTooLong),
        (&b"x".repeat(2 * MAX_INLINE), LineTooLong),
        (b"*1\r\n$ 1\r\n", BulkLength),
    ];
    for (bytes, error) in cases {
        check(bytes, &[], Some(error));
        check(&[b"PING\r\n", bytes].concat(), &["[PING]"], Some(error));
    }
    check(&many, &[], None);
    let words = b"$99\r\n".iter().chain(&[b'x'; 99]).chain(b"\r\n");
    let words: Vec<u8> = words.copied().collect();
    let request = [b"*999999\r\n", &*words.repeat(LEAST_MAX_REQUEST / 99)].concat();
    assert_eq!(requests(&request, 65536, false), (vec![], Some(TooLong)));
}

#[test]
fn the_longest_line_and_the_longest_bulk_string_are_taken() {
    let line = [&b"x".repeat(MAX_INLINE)[..], b"\r\n"].concat();
    check(&line, &[&format!("[{}]", "x".repeat(MAX_INLINE))], None);
    let bulk = [&b"*1\r\n$100\r\n"[..], &[b'y'; MAX_BULK], b"\r\n"].concat();
    check(&bulk, &[&format!("[{}]", "y".repeat(MAX_BULK))], None);
}

#[test]
fn promises_take_no_memory_and_idle_decoders_have_none() {
    let mut decoder = Decoder::new(usize::MAX);
    let lie = b"*1048576\r\n$1073741824\r\nabc";
    assert!(decoder.decode(lie, |_| panic!("it is not whole")).unwrap().is_continue());
    assert!(decoder.kept.capacity() < 100 && decoder.request.words.capacity() < 100);

    let mut decoder = Decoder::new(1024 * 1024);
    let words = [&b"*100000\r\n"[..], &b"$0\r\n\r\n".repeat(100_000)].concat();
    let mut count = 0;
    for chunk in words.chunks(1000) {
        assert!(
            decoder
                .decode(chunk, |args| {
                    count += args.len();
                    ControlFlow::Continue(())
                })
                .is_ok()
        );
    }
    assert_eq!((count, decoder.kept.capacity()), (100_000, 0));
    assert!(decoder.request.words.capacity() <= SPARE_WORDS);
}

#[test]
fn a_long_request_byte_by_byte_is_looked_at_once() {
    const LEN: usize = 4 * 1024 * 1024;
    let mut decoder = Decoder::new(LEN);
    let header = format!("*2\r\n$4\r\nECHO\r\n${LEN}\r\n");
    let request = [header.as_bytes(), &vec![b'x'; LEN], b"\r\n"].concat();
    let mut found = 0;
    for byte in request.chunks(1) {
        let flow = decoder.decode(byte, |args| {
            found += args[1].len();
            ControlFlow::Continue(())
        });
        assert!(flow.is_ok());
    }
    assert_eq!(found, LEN);
}

#[test]
fn a_big_word_is_handed_out_in_the_memory_that_it_was_received_in() {
    let value = vec![b'v'; 3 * BIG];
    let words = b"$3\r\nSET\r\n$1\r\nk\r\n";
    let header = format!("${}\r\n", value.len()).into_bytes();
    let one = [&b"*3\r\n"[..], words, &header, &value, b"\r\n"].concat();
    let two = [&b"*4\r\n"[..], words, &header, &value, b"\r\n$0\r\n\r\n"].concat();
    let all = [&one[..], &two, b"PING\r\n"].concat();
    for size in [1, 7, 1000, BIG, BIG + 17, 2 * BIG + 3] {
        let mut decoder = Decoder::new(usize::MAX);
        let mut found: Vec<(usize, Option<Bytes>)> = Vec::new();
        for chunk in all.chunks(size) {
            let each = |args: Args<'_>| {
                let value = (args.len() > 1).then(|| args.value(2));
                let shared = value.as_ref().is_some_and(|value| value.as_ptr() == args[2].as_ptr());
                assert_eq!(shared, args.len() > 1, "in chunks of {size} it was copied");
                found.push((args.len(), value));
                ControlFlow::Continue(())
            };
            assert!(decoder.decode(chunk, each).is_ok());
            assert!(decoder.kept.capacity() <= 2 * size + 100, "the payload is not there too");
        }
        let whole = Some(Bytes::from(value.clone()));
        assert_eq!(found, [(3, whole.clone()), (4, whole), (1, None)]);
        assert_eq!(decoder.kept.capacity(), 0);
    }
}

#[test]
fn big_words_count_for_the_length_of_a_request_and_end_in_a_line_end() {
    let value = vec![b'v'; 1000 * 1000];
    let header = format!("${}\r\n", value.len()).into_bytes();
    let word = [&header[..], &value, b"\r\n"].concat();
    let start = [b"*9\r\n", &word[..], &word].concat();
    let mut decoder = Decoder::new(value.len() + 100); // twice this is a whole request
    let mut decode = |chunk: &[u8]| decoder.decode(chunk, |_| panic!("it is not whole"));
    assert!(start.chunks(60_000).all(|chunk| decode(chunk).is_ok()));
    assert_eq!(decode(&header), Err(ProtocolError::TooLong));

    let mut decoder = Decoder::new(value.len());
    let wrong = [b"*1\r\n", &header[..], &value, b"xy"].concat();
    let decode = |chunk| decoder.decode(chunk, |_| panic!("it is not whole"));
    let errors = wrong.chunks(60_000).map(decode).find_map(Result::err);
    assert_eq!(errors, Some(ProtocolError::NoEnd));
}
