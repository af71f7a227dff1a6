//! Colours in light and dark, widths and fonts: the style sheet of all pictures.

/// The look of a curve in all panels of a picture.
pub(crate) struct Look {
    /// Colours on white and on GitHub's near-black, with a contrast of 4.5 or more.
    light: &'static str,
    dark: &'static str,
    /// The curves drawn first are wider, so that they show beside those drawn over them.
    width: f64,
    dashes: &'static str,
    /// The outline of its mark, around (0, 0).
    pub(crate) mark: &'static str,
}

/// Chosen so that people who see two of the three colours tell them apart. With more curves than
/// these the looks begin again with the first.
pub(crate) const LOOKS: [Look; 5] = [
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
const COLOURS: [(&str, &str, &str, &str); 14] = [
    (".paper", "fill", "#ffffff", "#0d1117"),
    (".break", "stroke", "#ffffff", "#0d1117"), // the paper shows through
    (".mark", "stroke", "#ffffff", "#0d1117"),
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".muted", "fill", "#59636e", "#9198a1"),
    (".grid", "stroke", "#dde2e8", "#272e37"),
    (".frame", "stroke", "#8c959f", "#59616b"),
    (".first", "stroke", "#0969da", "#58a6ff"),
    (".second", "stroke", "#bf6a00", "#e3a008"),
    (".bar", "fill", "#b3bcc6", "#4d5661"),
    (".bar.own", "fill", "#8a4fe6", "#8957e5"),
    ("text.own", "fill", "#7118e4", "#b392f0"),
    (".whisker", "stroke", "#1f2328", "#f0f6fc"),
    (".one", "stroke", "#c4540f", "#f0883e"),
];

const SHAPES: &str = "\
.heading{font-size:20px;font-weight:600}
.name{font-weight:600}
.strong,.own{font-weight:600}
.end{text-anchor:end}
.middle{text-anchor:middle}
.grid,.frame,.whisker{fill:none;stroke-width:1}
.one{fill:none;stroke-width:1.5}
.break{fill:none;stroke-width:2}
.line{fill:none;stroke-linejoin:round}
.leader{fill:none;stroke-width:1;opacity:.55}
.dots{fill:none;stroke-width:3;stroke-linecap:round}
.key{stroke-width:8}
";

/// The style sheet of a picture whose text is so large.
pub(crate) fn sheet(text: f64) -> String {
    let mut sheet = format!("text{{font:{text}px system-ui,sans-serif}}\n");
    sheet += &format!(".name{{font-size:{}px}}\n", text + 2.0);
    sheet += &format!(".muted,.small{{font-size:{}px}}\n", text - 0.5);
    sheet += SHAPES;
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
