//! The little of SVG that the picture needs: texts, lines, rectangles, groups that move their content.

use std::fmt::{self, Write};

/// A drawing as it grows.
#[derive(Default, Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// What `content` draws, moved by `x` and `y`.
    pub(super) fn moved(&mut self, x: f64, y: f64, content: impl FnOnce(&mut Self)) {
        self.raw(format_args!("<g transform=\"translate({} {})\">", tenth(x), tenth(y)));
        content(self);
        self.raw(format_args!("</g>"));
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let (x, y, text) = (tenth(x), tenth(y), escape(text));
        self.raw(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    pub(super) fn rectangle(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
    ) {
        let (x, y, width, height) = (tenth(x), tenth(y), tenth(width), tenth(height));
        self.raw(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        ));
    }

    /// Lines, each between two points, in one path.
    pub(super) fn lines(&mut self, class: &str, lines: &[[(f64, f64); 2]]) {
        let mut path = String::new();
        for [from, to] in lines {
            let [x, y, to_x, to_y] = [from.0, from.1, to.0, to.1].map(tenth);
            let _ = match (to_x == x, to_y == y) {
                (true, _) => write!(path, "M{x} {y}V{to_y}"),
                (_, true) => write!(path, "M{x} {y}H{to_x}"),
                _ => write!(path, "M{x} {y}L{to_x} {to_y}"),
            };
        }
        self.raw(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    fn raw(&mut self, markup: fmt::Arguments<'_>) {
        self.text.write_fmt(markup).expect("a String takes everything");
        self.text.push('\n');
    }
}

/// Text that may stand between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write most of them, and none for the last two.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push(' '),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A coordinate as exact as it can be seen.
fn tenth(value: f64) -> f64 {
    // Adding zero makes a zero of minus zero, which would be printed with its sign.
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_keeps_for_itself_is_escaped() {
        assert_eq!(escape("a<b> & \"c\"\u{1b}\u{ffff}"), "a&lt;b&gt; &amp; &quot;c&quot;  ");
    }

    #[test]
    fn lines_are_written_short() {
        let mut svg = Svg::default();
        let lines = [[(1.0, 2.0), (1.0, 3.04)], [(0.0, 0.5), (2.0, 0.5)], [(0.0, 0.0), (1.0, 2.0)]];
        svg.lines("frame", &lines);
        assert_eq!(svg.into_text(), "<path class=\"frame\" d=\"M1 2V3M0 0.5H2M0 0L1 2\"/>\n");
    }

    #[test]
    fn minus_zero_has_no_sign() {
        assert_eq!(tenth(-0.01).to_string(), "0");
    }
}
