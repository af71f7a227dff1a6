//! LCS: the longest common subsequence of two values.

use super::refused::{NOT_INTEGER, Refused, SYNTAX};
use super::{Call, Command, TWO_KEYS, command, is};
use crate::resp::number::integer;

pub(super) const COMMANDS: &[Command] = &[command("lcs", -3, lcs).reads(TWO_KEYS).help(
    "key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]",
    "The longest common subsequence of two values.",
)];

/// How many pairs of bytes are compared at most: nobody else is served meanwhile, for some hundredths of a second in a
/// release. Redis' limit is eight times as high. Known weakness, as with Redis: the commands that a client sends at once
/// run one after the other before anybody else is served, and each may take so long.
const MOST_PAIRS: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    least: i64,
    with_len: bool,
}

impl Options {
    fn parse<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refused> {
        let mut options = Self::default();
        while let Some(option) = words.next() {
            if is(option, "len") {
                options.len = true;
            } else if is(option, "idx") {
                options.idx = true;
            } else if is(option, "withmatchlen") {
                options.with_len = true;
            } else if is(option, "minmatchlen") {
                options.least = integer(words.next().ok_or(SYNTAX)?).ok_or(NOT_INTEGER)?;
            } else {
                return Err(SYNTAX);
            }
        }
        if options.len && options.idx {
            let text = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(Refused::Text(text));
        }
        Ok(options)
    }
}

/// Bytes that stand together in both values, by their positions there.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

fn lcs(call: &mut Call<'_>) -> Result<(), Refused> {
    let options = Options::parse(call.args.from(3))?;
    let value = |key| call.store.get(key, call.now).cloned().unwrap_or_default();
    let (a, b) = (value(&call.args[1]), value(&call.args[2]));
    let pairs = (a.len() + 1).saturating_mul(b.len() + 1);
    if pairs > MOST_PAIRS {
        return Err(format!("ERR LCS compares at most {MOST_PAIRS} pairs of bytes").into());
    }
    let lengths = Lengths::of(&a, &b);
    if options.len {
        call.replies.count(lengths.at(a.len(), b.len()));
        return Ok(());
    }
    let matches = matches(&a, &b, &lengths);
    if !options.idx {
        let parts = matches.iter().rev().map(|one| &a[one.a..one.a + one.len]);
        call.replies.bulk(&parts.collect::<Vec<_>>().concat());
        return Ok(());
    }
    tell(call, &matches, &options);
    call.replies.bulk(b"len");
    call.replies.count(lengths.at(a.len(), b.len()));
    Ok(())
}

fn tell(call: &mut Call<'_>, matches: &[Match], options: &Options) {
    let replies = &mut *call.replies;
    replies.map(2);
    replies.bulk(b"matches");
    let is_long_enough = |one: &&Match| one.len as i64 >= options.least;
    let matches: Vec<_> = matches.iter().filter(is_long_enough).collect();
    replies.array(matches.len());
    for one in matches {
        replies.array(2 + usize::from(options.with_len));
        for start in [one.a, one.b] {
            replies.array(2);
            replies.count(start);
            replies.count(start + one.len - 1);
        }
        if options.with_len {
            replies.count(one.len);
        }
    }
}

/// How long the longest common subsequence is of each two beginnings of the values.
struct Lengths {
    row: usize,
    all: Vec<u32>,
}

impl Lengths {
    fn of(a: &[u8], b: &[u8]) -> Self {
        let row = b.len() + 1;
        let mut lengths = Self { row, all: vec![0; row * (a.len() + 1)] };
        for (i, byte) in a.iter().enumerate() {
            for (j, other) in b.iter().enumerate() {
                let all = &lengths.all;
                let (above, here) = (i * row + j, (i + 1) * row + j);
                let len =
                    if byte == other { all[above] + 1 } else { all[above + 1].max(all[here]) };
                lengths.all[here + 1] = len;
            }
        }
        lengths
    }

    fn at(&self, i: usize, j: usize) -> usize {
        self.all[i * self.row + j] as usize
    }
}

/// The matches, from the end to the beginning.
fn matches(a: &[u8], b: &[u8], lengths: &Lengths) -> Vec<Match> {
    let (mut i, mut j) = (a.len(), b.len());
    let mut matches: Vec<Match> = Vec::new();
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            match matches.last_mut() {
                Some(last) if (last.a, last.b) == (i, j) => {
                    *last = Match { a: i - 1, b: j - 1, len: last.len + 1 };
                }
                _ => matches.push(Match { a: i - 1, b: j - 1, len: 1 }),
            }
            (i, j) = (i - 1, j - 1);
        } else if lengths.at(i - 1, j) > lengths.at(i, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    matches
}
