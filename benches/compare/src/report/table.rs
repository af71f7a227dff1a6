//! `bench.md`: the cost of each workload for each server, in one table and then in detail.

use std::fmt::Write;

use charts::number::{figure, time};
use charts::table::{Table, escape};

use super::{CROCUS, LIMIT, baseline, circumstances, detail};
use crate::figures::{ONE_LOOP, Run, Server, TWO, Trial, Workload};

/// The whole text.
pub fn markdown(run: &Run) -> String {
    let mut text = format!(
        "# The cost of an operation\n\n{}. Medians of {} rounds; in each round all servers were run \
         one after the other, {} s each.\n",
        escape(&circumstances(run)),
        run.rounds,
        run.seconds
    );
    text += &summary(run);
    text += "\n## Each workload\n\n";
    text += detail::NOTES;
    for workload in &run.workloads {
        text += &detail::markdown(workload);
    }
    text + &servers(run)
}

fn summary(run: &Run) -> String {
    let present = run.servers.iter().filter(|server| server.skipped.is_none());
    let names: Vec<&str> = present.map(|server| server.name.as_str()).collect();
    // The limit has the absolute column. Those with two loops are compared with themselves, below.
    let names = || names.iter().copied().filter(|name| *name != LIMIT && !name.ends_with(TWO));
    let mut table = Table::default().words(["workload"]).numbers([LIMIT]).numbers(names());
    for workload in run.workloads.iter().filter(|workload| workload.baseline != ONE_LOOP) {
        let ratios = names().map(|name| cell(workload, name));
        table.row([workload.name.clone(), absolute(workload)].into_iter().chain(ratios));
    }
    format!(
        "\n## CPU time beside the limit\n\nThe cost of an operation for the limit, or for the one in \
         brackets where there is no limit; for the others as a ratio to that: the median of the \
         ratios in each round. Why a cell is blank stands with the workload below; of a figure with {MARKED} some \
         rounds are marked there.\n\n{}",
        table.markdown()
    )
}

/// `3.12 us/message (nginx)`
fn absolute(workload: &Workload) -> String {
    let cost = workload.trial(&workload.baseline).and_then(Trial::cpu);
    let Some(cost) = cost else { return NONE.to_owned() };
    let instead = match workload.baseline.as_str() {
        LIMIT => String::new(),
        other => format!(" ({other})"),
    };
    format!("{}/{}{instead}", time(cost), workload.operation)
}

pub(super) const NONE: &str = "–";
const MARKED: &str = "†";

fn cell(workload: &Workload, server: &str) -> String {
    let trial = workload.trial(server);
    let ratio = trial.and_then(|trial| Some((trial, trial.ratio(baseline(workload, server)?)?)));
    let Some((trial, ratio)) = ratio else { return NONE.to_owned() };
    let mark = if trial.is_marked() { MARKED } else { "" };
    let ratio = figure(ratio);
    if server == CROCUS { format!("**{ratio}**{mark}") } else { ratio + mark }
}

/// The servers that took part, and those that did not.
fn servers(run: &Run) -> String {
    let (skipped, present): (Vec<&Server>, Vec<&Server>) =
        run.servers.iter().partition(|server| server.skipped.is_some());
    let mut table = Table::default().words(["server", "version"]);
    present.iter().for_each(|server| table.row([&server.name, &server.version]));
    let mut text = format!("\n## Servers\n\n{}", table.markdown());
    if !skipped.is_empty() {
        text += "\nSkipped:\n\n";
    }
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

    #[test]
    fn the_summary_has_ratios_to_the_limit_or_to_the_server_in_its_place() {
        let mut run = sample::run();
        run.workloads[0].trials[2].rounds[0].marks = vec![Mark::Behind];
        let text = summary(&run);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            rows,
            [
                "| workload | limit | crocus | mio | blocking | nginx |",
                "|:--|--:|--:|--:|--:|--:|",
                "| echo | 1.00 us/message | **1.04** | 1.10† | – | – |",
                "| http | 4.00 us/message (nginx) | **0.75** | – | – | 1.00 |",
            ]
        );
    }

    #[test]
    fn a_baseline_without_figures_leaves_no_ratios() {
        let mut run = sample::run();
        run.workloads[0].trials[0].rounds.clear();
        assert!(summary(&run).contains("| echo | – | – | – | – | – |"));
    }

    #[test]
    fn a_server_that_is_skipped_has_no_column_and_a_reason() {
        let text = markdown(&sample::run());
        assert!(text.contains("\n- libuv: not installed: libuv1-dev\n"));
        assert!(!text.contains("| libuv"));
        assert!(text.contains("| nginx | nginx 1.2, C |"));
        assert!(text.contains("AMD EPYC &lt;Milan> & more"));
    }

    #[test]
    fn a_run_of_nothing_is_a_text() {
        let empty = Run { servers: Vec::new(), workloads: Vec::new(), ..sample::run() };
        assert!(markdown(&empty).contains("| workload | limit |"));
    }
}
