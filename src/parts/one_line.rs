//! A text on one line.

use std::fmt::{self, Write as _};

/// Breaks of lines and paragraphs, which are no control characters to Unicode.
const LINE_BREAKS: [char; 2] = ['\u{2028}', '\u{2029}'];

/// Displays a value with its control characters escaped. The text may quote what a peer has sent, and a line
/// break in it would let the peer forge a line of the log.
pub(crate) struct OneLine<D>(pub(crate) D);

impl<D: fmt::Display> fmt::Display for OneLine<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() || LINE_BREAKS.contains(&c) {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        let line = OneLine("naïve \"text\"\r\nWARN forged\u{1b}[0m\u{85}\u{2028}\u{2029}");
        let wanted = "naïve \"text\"\\r\\nWARN forged\\u{1b}[0m\\u{85}\\u{2028}\\u{2029}";
        assert_eq!(line.to_string(), wanted);
    }
}
