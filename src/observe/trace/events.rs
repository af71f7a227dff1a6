//! Trace events as lines of JSON.
//!
//! The format is the JSON of Chrome's trace events in its array form: one event a line, and a closing bracket
//! that may be missing.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// A row of slices: a thread, for a viewer.
#[derive(Clone, Copy)]
pub(super) enum Row {
    /// The turns, phases and callbacks.
    Reactor = 1,
    /// Wake-ups by other threads.
    Others = 2,
}

/// The kind of an event, by its letter in the format.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    /// A slice begins in a row.
    Begin(Row),
    /// The innermost slice of a row ends.
    End(Row),
    /// A slice of a known length, in nanoseconds.
    Whole(Row, u64),
    /// A mark in a row.
    Mark(Row),
    /// A slice begins in a row of its own, or in another one of that row.
    AsyncBegin(&'a dyn Display),
    /// A mark in such a row.
    AsyncMark(&'a dyn Display),
    /// The innermost slice of such a row ends.
    AsyncEnd(&'a dyn Display),
    /// An arrow begins at the slice that is open in a row.
    ArrowBegin(Row, u64),
    /// An arrow ends there.
    ArrowEnd(Row, u64),
    /// The value of a counter.
    Counter,
    /// A name for the viewer.
    Meta(Row),
}

/// The value of an argument, which a viewer shows beside a slice.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Number(u64),
    Text(&'a dyn Display),
}

/// The file that the events go to.
pub(super) struct Events<W: Write> {
    out: W,
    /// The lines of this turn.
    lines: String,
    /// How many bytes were written.
    pub(super) written: u64,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

impl<W: Write> Events<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, lines: String::new(), written: 0, error: None }
    }

    /// Adds an event. `at` counts in nanoseconds from the first notice.
    pub(super) fn add(
        &mut self,
        kind: Kind<'_>,
        category: &str,
        name: &dyn Display,
        at: u64,
        args: &[(&str, Arg<'_>)],
    ) {
        if self.error.is_some() {
            return;
        }
        let start = if self.written == 0 && self.lines.is_empty() { "[\n" } else { ",\n" };
        let (micros, nanos) = (at / 1000, at % 1000);
        let lines = &mut self.lines;
        // A `String` takes all that is written to it.
        let _ = write!(
            lines,
            r#"{start}{{"name":{},"cat":"{category}",{kind},"pid":1,"ts":{micros}.{nanos:03}"#,
            Quoted(name)
        );
        if !args.is_empty() {
            lines.push_str(r#","args":{"#);
            for (index, (key, value)) in args.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = match value {
                    Arg::Number(number) => write!(lines, r#"{comma}"{key}":{number}"#),
                    Arg::Text(text) => write!(lines, r#"{comma}"{key}":{}"#, Quoted(text)),
                };
            }
            lines.push('}');
        }
        lines.push('}');
    }

    /// Hands over what was added, and flushes.
    pub(super) fn flush(&mut self) {
        if self.error.is_some() {
            return self.lines.clear();
        }
        let result = self.out.write_all(self.lines.as_bytes()).and_then(|()| self.out.flush());
        self.written += self.lines.len() as u64;
        self.lines.clear();
        if let Err(error) = result {
            log::error!("the trace ends here: {error}");
            self.error = Some(error);
        }
    }

    /// Writes the end of the array. The first error of all, if there was one.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let empty = self.written == 0 && self.lines.is_empty();
        self.lines.push_str(if empty { "[]\n" } else { "\n]\n" });
        self.flush();
        self.error.take().map_or(Ok(()), Err)
    }
}

/// The fields that a kind needs.
impl Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: Row| row as u32;
        match *self {
            Self::Begin(of) => write!(f, r#""ph":"B","tid":{}"#, row(of)),
            Self::End(of) => write!(f, r#""ph":"E","tid":{}"#, row(of)),
            Self::Whole(of, nanos) => {
                let (micros, nanos) = (nanos / 1000, nanos % 1000);
                write!(f, r#""ph":"X","tid":{},"dur":{micros}.{nanos:03}"#, row(of))
            }
            Self::Mark(of) => write!(f, r#""ph":"i","s":"t","tid":{}"#, row(of)),
            Self::AsyncBegin(id) => write!(f, r#""ph":"b","tid":1,"id":{}"#, Quoted(id)),
            Self::AsyncMark(id) => write!(f, r#""ph":"n","tid":1,"id":{}"#, Quoted(id)),
            Self::AsyncEnd(id) => write!(f, r#""ph":"e","tid":1,"id":{}"#, Quoted(id)),
            Self::ArrowBegin(of, id) => write!(f, r#""ph":"s","tid":{},"id":{id}"#, row(of)),
            Self::ArrowEnd(of, id) => {
                write!(f, r#""ph":"f","bp":"e","tid":{},"id":{id}"#, row(of))
            }
            Self::Counter => f.write_str(r#""ph":"C","tid":1"#),
            Self::Meta(of) => write!(f, r#""ph":"M","tid":{}"#, row(of)),
        }
    }
}

/// A text as a string of JSON, whatever a peer or a user has put into it.
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let _ = write!(Escape(f), "{}", self.0); // an error of the user's may break off, and the string ends there
        f.write_char('"')
    }
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '"' | '\\' => write!(self.0, "\\{char}")?,
                char if char.is_control() => write!(self.0, "\\u{:04x}", u32::from(char))?,
                char => self.0.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_string_of_json() {
        for (text, quoted) in [
            ("", r#""""#),
            ("plain ä ∑", r#""plain ä ∑""#),
            (r#"a "quote" \ "#, r#""a \"quote\" \\ ""#),
            ("line\nend\t\u{0}\u{7f}", r#""line\u000aend\u0009\u0000\u007f""#),
        ] {
            assert_eq!(Quoted(text).to_string(), quoted);
        }
    }

    #[test]
    fn a_text_that_breaks_off_is_a_string_too() {
        struct Half;

        impl Display for Half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half").and(Err(fmt::Error))
            }
        }

        assert_eq!(Quoted(Half).to_string(), r#""half""#);
    }
}
