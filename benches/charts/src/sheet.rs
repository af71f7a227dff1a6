//! A picture: a head that describes it, and below it panels in columns.

use crate::style;
use crate::svg::{Svg, escape};

/// How wide every picture is: as wide as a page of text on GitHub.
const WIDTH: f64 = 880.0;

const MARGIN: f64 = 20.0;
const BETWEEN_ROWS: f64 = 22.0;

/// Where the first line of a panel's text stands.
const BASELINE: f64 = 13.0;

/// From a panel's last line of text to its plot.
const ABOVE: f64 = 9.0;

/// How wide a letter is on average, as a part of its height, in a wide font.
const LETTER: f64 = 0.55;

/// How large things are: a sheet with many small panels has small text.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    columns: usize,
    /// How wide a panel is.
    pub(crate) width: f64,
    text: f64,
    /// From line to line.
    pub(crate) line: f64,
}

impl Scale {
    /// Two columns.
    pub const LARGE: Self = Self { columns: 2, width: 408.0, text: 13.0, line: 17.0 };

    /// Three columns.
    pub const SMALL: Self = Self { columns: 3, width: 268.0, text: 11.0, line: 14.5 };

    fn letters(self, width: f64) -> usize {
        (width / (LETTER * (self.text - 0.5))) as usize // the size of what is muted
    }
}

/// One of the drawings on a sheet.
pub trait Panel {
    /// Its name, in bold letters above it.
    fn name(&self) -> &str;

    /// Its subject: paragraphs between the name and the plot.
    fn about(&self) -> Vec<String>;

    /// How high its plot is, with all that stands below it.
    fn height(&self) -> f64;

    /// Draws the plot.
    fn draw(&self, canvas: &mut Canvas<'_>);

    /// The figures in words, for readers who do not see the picture.
    fn words(&self) -> String;
}

/// Where a panel draws; the origin is at the left below its text.
#[derive(Debug)]
pub struct Canvas<'a> {
    pub(crate) svg: &'a mut Svg,
    pub(crate) scale: Scale,
}

/// A sample, and its meaning.
#[derive(Clone, Debug)]
pub struct Key {
    /// How wide the sample is; it is as high as a line.
    pub(crate) width: f64,
    pub(crate) sample: Svg,
    pub(crate) class: String,
    pub(crate) meaning: String,
}

/// A whole picture, before it is drawn.
pub struct Sheet<'a> {
    /// The title.
    pub heading: &'a str,
    /// The subject of the picture, and how the figures came about: a paragraph each.
    pub about: Vec<String>,
    /// The meaning of bars, lines and marks.
    pub key: Vec<Key>,
    /// Row by row.
    pub panels: Vec<Box<dyn Panel + 'a>>,
    /// How large they are.
    pub scale: Scale,
}

impl std::fmt::Debug for Sheet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let panels = self.panels.len();
        f.debug_struct("Sheet").field("heading", &self.heading).field("panels", &panels).finish()
    }
}

impl Sheet<'_> {
    /// The text of an SVG file.
    pub fn svg(&self) -> String {
        let mut body = Svg::default();
        let mut y = 0.0;
        body.moved(MARGIN, 0.0, |svg| y = self.draw_head(svg));
        for row in self.panels.chunks(self.scale.columns) {
            y += BETWEEN_ROWS;
            y += self.draw_row(&mut body, y, row);
        }
        self.file(&body.into_text(), (y + MARGIN).ceil())
    }

    fn file(&self, body: &str, height: f64) -> String {
        let words: Vec<_> = self.panels.iter().map(|panel| panel.words()).collect();
        let (title, words) = (escape(self.heading), escape(&words.join(" ")));
        let style = style::sheet(self.scale.text);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
             aria-labelledby=\"title words\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\">\n\
             <title id=\"title\">{title}</title>\n\
             <desc id=\"words\">{words}</desc>\n\
             <style>\n{style}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n\
             {body}</svg>\n"
        )
    }

    /// Draws title, paragraphs and key; returns how high they are.
    fn draw_head(&self, svg: &mut Svg) -> f64 {
        let line = self.scale.line;
        svg.text("heading", 0.0, 36.0, self.heading);
        let mut y = 41.0;
        for text in wrap(&self.about, self.scale.letters(WIDTH - 2.0 * MARGIN)) {
            y += line;
            svg.text("muted", 0.0, y, &text);
        }
        y += line / 2.0;
        let mut x = 0.0;
        for Key { width, sample, class, meaning } in &self.key {
            svg.moved(x, y, |svg| svg.raw(sample.clone().into_text().trim_end()));
            x += width + 0.5 * line;
            svg.text(class, x, y + 0.75 * line, meaning);
            x += LETTER * self.scale.text * meaning.chars().count() as f64 + 1.2 * line;
        }
        y + line
    }

    /// Draws panels beside each other, with their plots at one height; returns how high they are.
    fn draw_row(&self, body: &mut Svg, y: f64, row: &[Box<dyn Panel + '_>]) -> f64 {
        let scale = self.scale;
        let columns = scale.columns as f64;
        let between = (WIDTH - 2.0 * MARGIN - columns * scale.width) / (columns - 1.0);
        let about = |panel: &dyn Panel| wrap(&panel.about(), scale.letters(scale.width));
        let lines = row.iter().map(|panel| about(&**panel).len()).max().unwrap_or_default();
        let plot = BASELINE + lines as f64 * scale.line + ABOVE;
        for (column, panel) in row.iter().enumerate() {
            let x = MARGIN + column as f64 * (scale.width + between);
            body.moved(x, y, |svg| {
                svg.text("name", 0.0, BASELINE, panel.name());
                for (index, text) in about(&**panel).iter().enumerate() {
                    svg.text("muted", 0.0, BASELINE + scale.line * (index + 1) as f64, text);
                }
                svg.moved(0.0, plot, |svg| panel.draw(&mut Canvas { svg, scale }));
            });
        }
        plot + row.iter().map(|panel| panel.height()).fold(0.0, f64::max)
    }
}

/// Paragraphs in lines of at most so many letters.
fn wrap(paragraphs: &[String], letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in paragraphs {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > letters {
                lines.push(std::mem::take(&mut line));
            }
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Draws panels, and checks what holds for every picture.
    pub(crate) fn sound(panels: Vec<Box<dyn Panel + '_>>, scale: Scale) -> String {
        let about = vec!["Each bar is <one> & \"only\" one.".to_owned()];
        let picture = Sheet { heading: "A & B", about, key: Vec::new(), panels, scale }.svg();
        let document = roxmltree::Document::parse(&picture).unwrap();
        let root = document.root_element();
        assert_eq!((root.attribute("role"), root.attribute("width")), (Some("img"), Some("880")));
        let drawn = picture.split_once("</style>").unwrap().1;
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let number = |node: &roxmltree::Node<'_, '_>, name: &str| -> f64 {
            node.attribute(name).unwrap().parse().unwrap()
        };
        let sheet = (number(&root, "width"), number(&root, "height"));
        for node in document.descendants().filter(|node| node.has_attribute("x")) {
            let (mut x, mut y) = (number(&node, "x"), number(&node, "y"));
            for group in node.ancestors().filter_map(|node| node.attribute("transform")) {
                let moved = group.trim_start_matches("translate(").trim_end_matches(')');
                let (right, down) = moved.split_once(' ').unwrap();
                x += right.parse::<f64>().unwrap();
                y += down.parse::<f64>().unwrap();
            }
            assert!((0.0..=sheet.0).contains(&x) && (0.0..=sheet.1).contains(&y), "{node:?}");
        }
        picture
    }

    #[test]
    fn a_sheet_without_panels_is_sound() {
        assert!(sound(Vec::new(), Scale::LARGE).contains("A &amp; B"));
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let wrap = |text: &str| wrap(&[text.to_owned()], 9);
        assert!(wrap(" ").is_empty());
        assert_eq!(wrap("one two three"), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word x"), ["a-very-long-word", "x"]);
        assert_eq!(super::wrap(&["a".to_owned(), "b".to_owned()], 9), ["a", "b"]);
    }
}
