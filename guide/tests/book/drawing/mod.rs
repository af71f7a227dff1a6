//! The one renderer of the guide's figures: what happened in a run, in lanes, and its turns as rings.
//!
//! | module | draws |
//! |---|---|
//! | `story` | nothing: the values that a figure is made of |
//! | `ring` | one turn: six segments, always in the same places |
//! | `lanes` | a whole figure: rings, lanes, and the lines of the run below |
//! | `turn` | one turn, large, with its calls of your code |

pub(crate) mod lanes;
pub(crate) mod ring;
pub(crate) mod story;
pub(crate) mod turn;

use charts::svg::{Svg, escape};

/// GitHub and rustdoc show a page about this wide.
pub(crate) const WIDTH: f64 = 700.0;

/// The widest letters of common fonts, as parts of the size. Another font has room in it.
const SANS: f64 = 0.6;
const MONO: f64 = 0.62;

/// A light panel of its own, so that the figure is readable on a dark page too.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}\
.small{font-size:12px}\
.title{font-size:15px;font-weight:600}\
.line{font:11px ui-monospace,Menlo,Consolas,monospace}\
.panel{fill:#fff;stroke:#d0d7de}\
.band{fill:#f6f8fa}\
.lane{stroke:#afb8c1;stroke-width:1.5;fill:none}\
.arrow{stroke:#57606a;stroke-width:1.5;fill:none;marker-end:url(#tip)}\
.wait{fill:url(#hatch);stroke:#9a6700}\
.off{fill:#eaeef2;stroke:#d0d7de}\
.sleep{fill:#6e7781}.latch{fill:#0969da}.timers{fill:#bc4c00}\
.serve{fill:#1a7f37}.calls{fill:#8250df}.flush{fill:#bf3989}\
.dot{fill:#fff;stroke:#1f2328;stroke-width:1.5}\
.bad{fill:#ffebe9;stroke:#cf222e;stroke-width:2.5}\
.number{font-size:11px;text-anchor:middle}\
.middle{text-anchor:middle}.end{text-anchor:end}";

const DEFINITIONS: &str = "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
     markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#57606a\"/></marker>\
     <pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
     <rect width=\"6\" height=\"6\" fill=\"#fff8c5\"/><rect width=\"2\" height=\"6\" fill=\"#d4a72c\"/></pattern></defs>";

/// A whole picture of this height. Its description is for readers who cannot see it.
pub(crate) fn picture(
    height: f64,
    title: &str,
    description: &str,
    content: impl FnOnce(&mut Svg),
) -> String {
    let mut svg = Svg::default();
    svg.raw(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"t d\">"
    ));
    svg.raw(&format!("<title id=\"t\">{}</title>", escape(title)));
    svg.raw(&format!("<desc id=\"d\">{}</desc>", escape(description)));
    svg.raw(&format!("<style>{STYLE}</style>{DEFINITIONS}"));
    svg.raw(&format!(
        "<rect class=\"panel\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
        WIDTH - 1.0,
        height - 1.0
    ));
    content(&mut svg);
    svg.raw("</svg>");
    svg.into_text()
}

/// The most room that a text of this size may take in any common font.
pub(crate) fn width_of(text: &str, size: f64, mono: bool) -> f64 {
    text.chars().count() as f64 * size * if mono { MONO } else { SANS }
}
