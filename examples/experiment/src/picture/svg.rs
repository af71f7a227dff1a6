//! The little of SVG that the picture needs: texts, lines, groups that move their content.

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

    /// Appends what is already SVG.
    pub(super) fn raw(&mut self, markup: fmt::Arguments<'_>) {
        self.text.write_fmt(markup).expect("a String takes everything");
        self.text.push('\n');
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

    pub(super) fn path(&mut self, class: &str, path: &Path) {
        self.raw(format_args!("<path class=\"{class}\" d=\"{}\"/>", path.d));
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &Path::through([from, to]));
    }
}

/// The `d` of a path, written short: each step from the point before, in tenths of a unit.
///
/// The steps are those between rounded points, so rounding does not add up.
#[derive(Default, Debug)]
pub(super) struct Path {
    d: String,
    /// The point before, in tenths.
    at: (i64, i64),
}

impl Path {
    pub(super) fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::default();
        for (index, (x, y)) in points.into_iter().enumerate() {
            if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path
    }

    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        let (right, down) = self.step(x, y);
        self.write(format_args!("m{right} {down}"));
    }

    pub(super) fn line_to(&mut self, x: f64, y: f64) {
        match self.step(x, y) {
            (0.0, 0.0) => (),
            (right, 0.0) => self.write(format_args!("h{right}")),
            (0.0, down) => self.write(format_args!("v{down}")),
            (right, down) => self.write(format_args!("l{right} {down}")),
        }
    }

    /// A line of no length, which round caps make a dot.
    pub(super) fn dot(&mut self, x: f64, y: f64) {
        self.move_to(x, y);
        self.write(format_args!("h0"));
    }

    fn step(&mut self, x: f64, y: f64) -> (f64, f64) {
        let before = self.at;
        self.at = ((x * 10.0).round() as i64, (y * 10.0).round() as i64);
        ((self.at.0 - before.0) as f64 / 10.0, (self.at.1 - before.1) as f64 / 10.0)
    }

    fn write(&mut self, step: fmt::Arguments<'_>) {
        self.d.write_fmt(step).expect("a String takes everything");
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
            // XML has no way to write most of them.
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A coordinate as exact as it can be seen.
pub(super) fn tenth(value: f64) -> f64 {
    // Adding zero makes a zero of minus zero, which would be printed with its sign.
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_in_short_steps_whose_rounding_does_not_add_up() {
        let path = Path::through([(1.0, 2.0), (3.5, 2.0), (3.5, 1.0), (3.5, 1.0), (4.0, 2.0)]);
        assert_eq!(path.d, "m1 2h2.5v-1l0.5 1");
        let thirds = Path::through((0..=3).map(|index| (f64::from(index) / 3.0, 0.0)));
        assert_eq!(thirds.d, "m0 0h0.3h0.4h0.3");
    }

    #[test]
    fn dots_have_no_length() {
        let mut path = Path::default();
        path.dot(1.0, 1.0);
        path.dot(3.0, 1.0);
        assert_eq!(path.d, "m1 1h0m2 0h0");
    }

    #[test]
    fn what_xml_keeps_for_itself_is_escaped() {
        assert_eq!(escape("a<b> & \"c\"\u{1b}"), "a&lt;b&gt; &amp; &quot;c&quot; ");
    }

    #[test]
    fn minus_zero_has_no_sign() {
        assert_eq!(tenth(-0.01).to_string(), "0");
    }
}
