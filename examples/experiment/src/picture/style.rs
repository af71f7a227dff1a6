//! How the servers are told apart, in light and dark: by colour, dashes, width and mark.

use super::svg::{Svg, tenth};

/// What one server looks like in all panels.
struct Look {
    /// Colours on white and on GitHub's near-black, with a contrast of 4.5 or more.
    light: &'static str,
    dark: &'static str,
    /// Those drawn first are wider, so that they show beside those drawn over them.
    width: f64,
    dashes: &'static str,
    /// The outline of its mark, around (0, 0).
    mark: &'static str,
}

/// Chosen so that people who see two of the three colours tell them apart; more servers than these
/// would begin again with the first.
const LOOKS: [Look; 5] = [
    Look {
        light: "#c4540f",
        dark: "#ec8560",
        width: 6.0,
        dashes: "none",
        mark: "M-5-5h10v10h-10z",
    },
    Look {
        light: "#4a380d",
        dark: "#f6bc0f",
        width: 4.6,
        dashes: "10 5",
        mark: "M0-6.5l6 10.5h-12z",
    },
    Look {
        light: "#0b7a62",
        dark: "#24d8e6",
        width: 3.4,
        dashes: "4 3",
        mark: "M0-5.5l5.5 5.5-5.5 5.5-5.5-5.5z",
    },
    Look {
        light: "#7118e4",
        dark: "#a97df0",
        width: 2.0,
        dashes: "none",
        mark: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    },
    Look {
        light: "#cf21ab",
        dark: "#f9579b",
        width: 2.4,
        dashes: "2 3",
        mark: "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
    },
];

/// Selector, property, and its colours in light and dark.
const COLOURS: [(&str, &str, &str, &str); 8] = [
    (".paper", "fill", "#ffffff", "#0d1117"),
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".muted", "fill", "#59636e", "#9198a1"),
    (".grid", "stroke", "#dde2e8", "#272e37"),
    (".frame", "stroke", "#8c959f", "#59616b"),
    (".mark", "stroke", "#ffffff", "#0d1117"),
    (".first", "stroke", "#0969da", "#58a6ff"),
    (".second", "stroke", "#bf6a00", "#e3a008"),
];

/// What does not depend on light and dark.
const SHAPES: &str = "\
text{font:13px system-ui,sans-serif}
.heading{font-size:20px;font-weight:600}
.name{font-size:15px;font-weight:600}
.muted,.small{font-size:12.5px}
.strong{font-weight:600}
.end{text-anchor:end}
.middle{text-anchor:middle}
.grid,.frame{fill:none;stroke-width:1}
.line{fill:none;stroke-linejoin:round}
.leader{fill:none;stroke-width:1;opacity:.55}
.dots{fill:none;stroke-width:3;stroke-linecap:round}
.key{stroke-width:8}
";

/// The style sheet of the picture.
pub(super) fn sheet() -> String {
    let mut sheet = SHAPES.to_owned();
    for (index, Look { width, dashes, .. }) in LOOKS.iter().enumerate() {
        sheet += &format!(".line.s{index}{{stroke-width:{width};stroke-dasharray:{dashes}}}\n");
    }
    sheet += &colours(|light, _dark| light);
    sheet += "@media (prefers-color-scheme:dark){\n";
    sheet += &colours(|_light, dark| dark);
    sheet + "}\n"
}

fn colours(choose: impl Fn(&'static str, &'static str) -> &'static str) -> String {
    let mut rules = String::new();
    for (selector, property, light, dark) in COLOURS {
        rules += &format!("{selector}{{{property}:{}}}\n", choose(light, dark));
    }
    for (index, Look { light, dark, .. }) in LOOKS.iter().enumerate() {
        let colour = choose(light, dark);
        rules += &format!(".line.s{index},.leader.s{index}{{stroke:{colour}}}\n");
        rules += &format!("text.s{index},.mark.s{index}{{fill:{colour}}}\n");
    }
    rules
}

/// The classes of something that belongs to a server.
pub(super) fn class(kind: &str, style: usize) -> String {
    format!("{kind} s{}", style % LOOKS.len())
}

/// The mark of a server.
pub(super) fn mark(svg: &mut Svg, style: usize, x: f64, y: f64) {
    let (class, (x, y)) = (class("mark", style), (tenth(x), tenth(y)));
    let outline = LOOKS[style % LOOKS.len()].mark;
    svg.raw(format_args!(
        "<path class=\"{class}\" transform=\"translate({x} {y})\" d=\"{outline}\"/>"
    ));
}
