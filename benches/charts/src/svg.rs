//! The little of SVG that the pictures need: texts, lines, rectangles, groups that move their content.

/// A drawing as it grows.
#[derive(Clone, Default, Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// The drawing, as SVG.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Appends SVG as it is.
    pub fn raw(&mut self, markup: &str) {
        self.text += markup;
        self.text.push('\n');
    }

    /// Draws `content` moved by `x` and `y`.
    pub fn moved(&mut self, x: f64, y: f64, content: impl FnOnce(&mut Self)) {
        self.group(&format!("translate({} {})", tenth(x), tenth(y)), content);
    }

    /// Draws `content` with this transformation.
    pub fn group(&mut self, transform: &str, content: impl FnOnce(&mut Self)) {
        self.raw(&format!("<g transform=\"{transform}\">"));
        content(self);
        self.raw("</g>");
    }

    /// A text that begins at a place on its base line; the class says how it looks.
    pub fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let (x, y, text) = (tenth(x), tenth(y), escape(text));
        self.raw(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    /// A rectangle by its corner and its size.
    pub fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let [x, y, width, height] = [corner.0, corner.1, size.0, size.1].map(tenth);
        self.raw(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        ));
    }

    /// A path.
    pub fn path(&mut self, class: &str, path: &Path) {
        self.raw(&format!("<path class=\"{class}\" d=\"{}\"/>", path.d));
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &Path::through([from, to]));
    }
}

/// The `d` of a path, written short: each step from the point before, in tenths of a unit.
///
/// The steps are those between rounded points, so rounding does not add up.
#[derive(Default, Debug)]
pub struct Path {
    d: String,
    /// The point before, in tenths.
    at: (i64, i64),
}

impl Path {
    /// A line through these points.
    pub fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::default();
        path.add(points);
        path
    }

    /// Adds a line through these points, apart from what is there.
    pub fn add(&mut self, points: impl IntoIterator<Item = (f64, f64)>) {
        for (index, (x, y)) in points.into_iter().enumerate() {
            if index == 0 { self.move_to(x, y) } else { self.line_to(x, y) }
        }
    }

    /// A line of no length, which round caps make a dot.
    pub fn dot(&mut self, x: f64, y: f64) {
        self.move_to(x, y);
        self.d += "h0";
    }

    fn move_to(&mut self, x: f64, y: f64) {
        let (right, down) = self.step(x, y);
        self.d += &format!("m{right} {down}");
    }

    fn line_to(&mut self, x: f64, y: f64) {
        match self.step(x, y) {
            (0.0, 0.0) => (),
            (right, 0.0) => self.d += &format!("h{right}"),
            (0.0, down) => self.d += &format!("v{down}"),
            (right, down) => self.d += &format!("l{right} {down}"),
        }
    }

    fn step(&mut self, x: f64, y: f64) -> (f64, f64) {
        let before = self.at;
        self.at = ((x * 10.0).round() as i64, (y * 10.0).round() as i64);
        ((self.at.0 - before.0) as f64 / 10.0, (self.at.1 - before.1) as f64 / 10.0)
    }
}

/// Text that may stand between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write most of the control characters, and none for these two.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push(' '),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A coordinate as exact as it can be seen.
pub fn tenth(value: f64) -> f64 {
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
    fn characters_of_xml_itself_are_escaped() {
        assert_eq!(escape("a<b> & \"c\"\u{1b}\u{ffff}"), "a&lt;b&gt; &amp; &quot;c&quot;  ");
    }

    #[test]
    fn minus_zero_has_no_sign() {
        assert_eq!(tenth(-0.01).to_string(), "0");
    }
}
