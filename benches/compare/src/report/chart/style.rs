//! Colours for light and dark, and what does not depend on them.

/// Selector, property, and its colours on white and on GitHub's near-black.
const COLOURS: [(&str, &str, &str, &str); 10] = [
    (".paper", "fill", "#ffffff", "#0d1117"),
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".muted", "fill", "#59636e", "#9198a1"),
    (".grid", "stroke", "#dde2e8", "#272e37"),
    (".frame", "stroke", "#8c959f", "#59616b"),
    (".bar", "fill", "#b3bcc6", "#4d5661"),
    (".bar.own", "fill", "#8a4fe6", "#8957e5"),
    ("text.own", "fill", "#7118e4", "#b392f0"),
    (".whisker", "stroke", "#1f2328", "#f0f6fc"),
    (".limit", "stroke", "#c4540f", "#f0883e"),
];

const SHAPES: &str = "\
text{font:11px system-ui,sans-serif}
.heading{font-size:20px;font-weight:600}
.name{font-size:13px;font-weight:600}
.about{font-size:12.5px}
.own{font-weight:600}
.end{text-anchor:end}
.middle{text-anchor:middle}
.grid,.frame,.whisker{fill:none;stroke-width:1}
.limit{fill:none;stroke-width:1.5}
.break{fill:none;stroke-width:2}
";

/// The style sheet of the picture.
pub(super) fn sheet() -> String {
    let light = colours(|light, _dark| light);
    let dark = colours(|_light, dark| dark);
    format!("{SHAPES}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

fn colours(choose: impl Fn(&'static str, &'static str) -> &'static str) -> String {
    let mut rules = String::new();
    for (selector, property, light, dark) in COLOURS {
        let colour = choose(light, dark);
        rules += &format!("{selector}{{{property}:{colour}}}\n");
        // A break is where the paper shows through.
        if selector == ".paper" {
            rules += &format!(".break{{stroke:{colour}}}\n");
        }
    }
    rules
}
