//! The words of an inline request, quoted or not, split as Redis' `sdssplitargs` does.

use super::args::Word;

/// Splits `line` into words: appends them to `text` without quotes, and their positions to `words`.
/// `None`: a quote is not closed, or a word goes on after a closing quote.
///
/// In double quotes `\n`, `\r`, `\t`, `\b`, `\a` and `\x41` mean the same as in C, and any other
/// character after `\` means itself; in single quotes only `\'` is special.
pub(crate) fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Word>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = skip_space(rest);
        if rest.is_empty() {
            return Some(());
        }
        let start = text.len();
        rest = word(rest, text)?;
        words.push(Word::at(start, text.len() - start));
    }
}

/// Whether C's `isspace` takes a byte for white space.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

fn skip_space(line: &[u8]) -> &[u8] {
    let space = line.iter().take_while(|&&byte| is_space(byte)).count();
    &line[space..]
}

/// Appends the word at the beginning of `rest`; returns the bytes after it.
fn word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some(rest),
            [b'"', inside @ ..] => return after_quote(double_quoted(inside, text)?),
            [b'\'', inside @ ..] => return after_quote(single_quoted(inside, text)?),
            [byte, more @ ..] => {
                text.push(*byte);
                rest = more;
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|&byte| is_space(byte)).then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, more) = match rest {
            [] => return None,
            [b'"', more @ ..] => return Some(more),
            [b'\\', b'x', high, low, more @ ..] if is_hex(*high) && is_hex(*low) => {
                (hex(*high) << 4 | hex(*low), more)
            }
            [b'\\', escaped, more @ ..] => (meaning(*escaped), more),
            [byte, more @ ..] => (*byte, more),
        };
        text.push(byte);
        rest = more;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, more) = match rest {
            [] => return None,
            [b'\'', more @ ..] => return Some(more),
            [b'\\', b'\'', more @ ..] => (b'\'', more),
            [byte, more @ ..] => (*byte, more),
        };
        text.push(byte);
        rest = more;
    }
}

fn is_hex(digit: u8) -> bool {
    digit.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn meaning(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => b'\x08',
        b'a' => b'\x07',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Args;
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut text, mut words) = (Vec::new(), Vec::new());
        split(line, &mut text, &mut words)?;
        if words.is_empty() {
            return Some(Vec::new());
        }
        Some(Args::new(&text, &words, &[]).from(0).map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn words_are_split_and_unquoted_as_redis_does() {
        let cases: [(&[u8], &[&[u8]]); 12] = [
            (b"", &[]),
            (b" \t\x0b\x0c ", &[]),
            (b"get key", &[b"get", b"key"]),
            (b"  a\tb  c ", &[b"a", b"b", b"c"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (br#"set k "two words""#, &[b"set", b"k", b"two words"]),
            (br#""\x41\x7a\n\r\t\b\a\q\\\"""#, &[b"Az\n\r\t\x08\x07q\\\""]),
            (br#""\x4" "\xzz""#, &[b"x4", b"xzz"]),
            (br"'it\'s' '\n'", &[b"it's", br"\n"]),
            (br#""" ''"#, &[b"", b""]),
            (br#"half"quoted here" x"#, &[b"halfquoted here", b"x"]),
            (b"\xff\x00 \"\xfe\"", &[b"\xff\x00", b"\xfe"]),
        ];
        for (line, expected) in cases {
            let found = words(line);
            assert_eq!(
                found.as_deref(),
                Some(&expected.iter().map(|word| word.to_vec()).collect::<Vec<_>>()[..]),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn quotes_that_do_not_close_or_close_inside_a_word_are_refused() {
        for line in [&br#"a "b"#[..], b"'", br#""a"b"#, b"'a'b", br#""a\""#, br"'a\'", br#""a"'b'"#]
        {
            assert_eq!(words(line), None, "{}", line.escape_ascii());
        }
    }
}
