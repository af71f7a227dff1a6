//! `bench.md`: what each workload costs each server, in one table and then in detail.

use std::fmt::Write;

use super::units::{figure, time};
use super::{CROCUS, LIMIT, bars, baseline, circumstances, detail};
use crate::figures::{Run, Server, Trial, Workload};

/// The whole text.
pub fn markdown(run: &Run) -> String {
    let mut text = head(run);
    text += &summary(run);
    text += &bars::markdown(run);
    text += "\n## Each workload\n\n";
    text += detail::NOTES;
    for workload in &run.workloads {
        text += &detail::markdown(workload);
    }
    text += &servers(run);
    text
}

/// A row of a table; what stands in its cells is escaped.
pub(super) fn row(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut row = String::from("|");
    for cell in cells {
        let _ = write!(row, " {} |", escape(cell.as_ref()));
    }
    row + "\n"
}

/// The first row and the line below it: so many columns of words, the others of numbers.
pub(super) fn heading<'a>(words: usize, cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    let lines = (0..cells.len()).map(|column| if column < words { ":--|" } else { "--:|" });
    let lines: String = lines.collect();
    format!("{}|{lines}\n", row(cells))
}

/// Text that may stand in a table: nothing in it ends a cell, or is taken for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' => escaped.push_str("\\|"),
            '<' => escaped.push_str("&lt;"),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn head(run: &Run) -> String {
    format!(
        "# What an operation costs\n\n{}. Medians of {} rounds; in each round all servers were run \
         one after the other, {} s each.\n",
        escape(&circumstances(run)),
        run.rounds,
        run.seconds
    )
}

fn summary(run: &Run) -> String {
    let names: Vec<&str> = columns(run).collect();
    let mut text = String::from("\n## CPU time beside the limit\n\n");
    text += "What an operation costs the limit, or the one in brackets where there is no limit; for \
             the others as a ratio to that: the median of the ratios in each round.\n\n";
    text += &heading(1, ["workload", LIMIT].into_iter().chain(names.iter().copied()));
    let mut notes = Notes::default();
    for workload in &run.workloads {
        let mut cells = vec![workload.name.clone(), absolute(workload)];
        cells.extend(names.iter().map(|name| notes.cell(workload, name)));
        text += &row(cells);
    }
    text + &notes.text()
}

/// Those with a column: the limit has the absolute one.
fn columns(run: &Run) -> impl Iterator<Item = &str> {
    let present = run.servers.iter().filter(|server| server.skipped.is_none());
    present.map(|server| server.name.as_str()).filter(|&name| name != LIMIT)
}

/// `3.12 us/message (nginx)`
fn absolute(workload: &Workload) -> String {
    let Some(cost) = baseline(workload).and_then(Trial::cpu) else { return NONE.to_owned() };
    let who = match workload.baseline.as_str() {
        LIMIT => String::new(),
        other => format!(" ({other})"),
    };
    format!("{}/{}{who}", time(cost), workload.operation)
}

const NONE: &str = "–";
const MARKED: &str = "†";

/// Why cells are blank, each reason once; in the order of the first cell it stands for.
#[derive(Default)]
struct Notes {
    reasons: Vec<String>,
    is_marked: bool,
}

impl Notes {
    fn cell(&mut self, workload: &Workload, server: &str) -> String {
        let Some(trial) = workload.trial(server) else { return NONE.to_owned() };
        let ratio = baseline(workload).and_then(|baseline| trial.ratio(baseline));
        let Some(ratio) = ratio else {
            return format!("{NONE}{}", superscript(self.number(reason(workload, trial))));
        };
        let mark = if trial.is_marked() { MARKED } else { "" };
        self.is_marked |= trial.is_marked();
        let ratio = figure(ratio);
        if server == CROCUS { format!("**{ratio}**{mark}") } else { ratio + mark }
    }

    fn number(&mut self, reason: String) -> usize {
        let known = self.reasons.iter().position(|known| *known == reason);
        known.unwrap_or_else(|| {
            self.reasons.push(reason);
            self.reasons.len() - 1
        }) + 1
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (index, reason) in self.reasons.iter().enumerate() {
            let _ = write!(text, "\n- {} {}", superscript(index + 1), escape(reason));
        }
        if self.is_marked {
            let _ = write!(text, "\n- {MARKED} some of its rounds are marked, see below");
        }
        if text.is_empty() { text } else { text + "\n" }
    }
}

/// Why there is no ratio.
fn reason(workload: &Workload, trial: &Trial) -> String {
    if let Some(reason) = &trial.left_out {
        return reason.clone();
    }
    if trial.cpu().is_none() {
        return "no round was counted".to_owned();
    }
    format!("no figures of {} to compare with", workload.baseline)
}

fn superscript(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string().into_bytes().into_iter();
    digits.map(|digit| DIGITS[usize::from(digit - b'0')]).collect()
}

/// What took part, and what did not.
fn servers(run: &Run) -> String {
    let (skipped, present): (Vec<&Server>, Vec<&Server>) =
        run.servers.iter().partition(|server| server.skipped.is_some());
    let mut text = String::from("\n## Servers\n\n");
    text += &heading(2, ["server", "version"]);
    for server in present {
        text += &row([&server.name, &server.version]);
    }
    if skipped.is_empty() {
        return text;
    }
    text += "\nSkipped:\n\n";
    for server in skipped {
        let reason = server.skipped.as_deref().unwrap_or_default();
        let _ = writeln!(text, "- {}: {}", escape(&server.name), escape(reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::figures::Mark;

    /// The cells of the first row that begins with `name`.
    fn cells(text: &str, name: &str) -> Vec<String> {
        let start = format!("| {name} |");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        let cells = line.trim_matches('|').split(" |");
        cells.map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn the_summary_has_ratios_and_says_why_one_is_missing() {
        let mut run = sample::run();
        run.workloads.truncate(6);
        let costs: [(_, &[f64]); 3] = [
            ("limit", &[10_000.0, 20_000.0]),
            ("crocus", &[10_400.0, 20_400.0]),
            ("mio", &[11_000.0, 23_000.0]),
        ];
        sample::set(&mut run, "random-1", &costs);
        let mio = sample::trial_mut(&mut run, "random-1", "mio");
        mio.rounds[0].marks = vec![Mark::Behind];
        sample::trial_mut(&mut run, "random-1", "tokio").rounds.clear();
        let text = summary(&run);
        let cells_of_random = cells(&text, "random-1");
        assert_eq!(
            cells_of_random[..5],
            ["random-1", "15.0 us/connection", "**1.03**", "1.12†", "–¹"]
        );
        assert_eq!(cells(&text, "workload")[..4], ["workload", "limit", "crocus", "mio"]);
        assert!(
            text.contains("- ¹ no round was counted\n- ² does not have this service\n- ³ has one")
        );
        assert!(text.contains("- † some of its rounds"));
        assert_eq!(cells(&text, "echo-64-64")[6], "–³");
    }

    #[test]
    fn who_stands_in_for_the_limit_is_named() {
        let text = summary(&sample::run());
        assert!(cells(&text, "http-small")[1].ends_with("us/request (nginx)"));
        assert!(!cells(&text, "bulk")[1].contains('('));
    }

    #[test]
    fn a_baseline_without_figures_leaves_no_ratios() {
        let mut run = sample::run();
        run.workloads.truncate(1);
        sample::trial_mut(&mut run, "random-1", "limit").rounds.clear();
        let text = summary(&run);
        assert_eq!(cells(&text, "random-1")[1..3], ["–", "–¹"]);
        assert!(text.contains("¹ no figures of limit to compare with"));
    }

    #[test]
    fn who_is_skipped_has_no_column_and_a_reason() {
        let text = markdown(&sample::run());
        assert!(text.contains("\n- haproxy: not installed: haproxy\n"));
        assert!(!text.contains("| haproxy"));
        assert!(text.contains("| libuv | libuv 1.44.2, C |"));
        assert!(text.contains("AMD EPYC &lt;Milan> & more"));
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells() {
        let mut width = None;
        for line in markdown(&sample::run()).lines() {
            let cells = line.matches('|').count();
            assert!(cells == 0 || cells == *width.get_or_insert(cells), "{line}");
            width = width.filter(|_| cells > 0);
        }
    }

    #[test]
    fn a_run_of_nothing_is_a_text() {
        let empty = Run { servers: Vec::new(), workloads: Vec::new(), ..sample::run() };
        assert!(markdown(&empty).contains("| workload | limit |"));
    }

    #[test]
    fn nothing_in_a_cell_ends_it() {
        assert_eq!(row(["a|b", "c\nd", "<e>"]), "| a\\|b | c d | &lt;e> |\n");
        assert_eq!(superscript(120), "¹²⁰");
    }
}
