//! One workload in detail: a row for each server, a column for each figure that any of them has.

use std::fmt::Write;

use charts::number::{count, figure, grouped, time};
use charts::table::{Table, escape};

use super::table::NONE;
use super::{CROCUS, LIMIT, baseline};
use crate::figures::{Latency, Mark, Round, Trial, Workload, median, middle_half};

/// The meaning of the columns, once for all tables.
pub(super) const NOTES: &str = "\
Ratios are medians of the ratios in each round, with their quartiles in brackets; all else are \
medians of the rounds, and the worst latency is that of all rounds. Latencies count from when a \
question was due at the fixed rate. System calls and instructions (in user space) are counted apart \
from the rounds. Memory is that of an idle connection in bytes: the server's own, and with half of \
the kernel's for both ends.\n";

/// A figure of a trial, if it has it.
type Cell<'a> = Box<dyn Fn(&Trial) -> Option<String> + 'a>;

struct Column<'a> {
    heading: String,
    cell: Cell<'a>,
}

impl<'a> Column<'a> {
    fn new(heading: &str, cell: impl Fn(&Trial) -> Option<String> + 'a) -> Self {
        Self { heading: heading.to_owned(), cell: Box::new(cell) }
    }
}

/// The table, with the title above it and those that are left out below.
pub(super) fn markdown(workload: &Workload) -> String {
    let (mut present, absent): (Vec<&Trial>, Vec<&Trial>) =
        workload.trials.iter().partition(|trial| !trial.rounds.is_empty());
    present.sort_by(|a, b| place(workload, a).partial_cmp(&place(workload, b)).expect("no NaN"));
    let mut text = title(workload, &present);
    if !present.is_empty() {
        text += &table(workload, &present);
    }
    text + &left_out(&absent)
}

/// The limit first, then by the ratio; those without one by what they cost.
fn place(workload: &Workload, trial: &Trial) -> (bool, f64, f64) {
    let ratio = baseline(workload, &trial.server).and_then(|baseline| trial.ratio(baseline));
    let or_last = |value: Option<f64>| value.unwrap_or(f64::INFINITY);
    (trial.server != LIMIT, or_last(ratio), or_last(trial.cpu()))
}

fn title(workload: &Workload, present: &[&Trial]) -> String {
    let Workload { name, title, operation, baseline, .. } = workload;
    let mut text = format!("\n### {}\n\n{}", escape(name), escape(title));
    let _ = write!(text, "; an operation is one {operation}, the baseline is {baseline}");
    if let Some(rate) = present.iter().find_map(|trial| latencies(trial).next()) {
        text += &match rate.rate {
            0.0 => "; latencies of all that are asked at once".to_owned(),
            rate => format!("; latencies at {}/s", count(rate)),
        };
    }
    text + ".\n"
}

fn table(workload: &Workload, present: &[&Trial]) -> String {
    let mut columns = columns(workload);
    columns.retain(|column| present.iter().any(|trial| (column.cell)(trial).is_some()));
    let mut headings = columns.iter().map(|column| column.heading.as_str());
    let mut table = Table::default().words(headings.next()).numbers(headings);
    for trial in present {
        let cells = columns.iter().map(|column| (column.cell)(trial));
        table.row(cells.map(|cell| cell.unwrap_or_else(|| NONE.to_owned())));
    }
    format!("\n{}", table.markdown())
}

/// All columns there could be.
fn columns(workload: &Workload) -> Vec<Column<'_>> {
    let mut columns = vec![Column::new("server", |trial| Some(name(trial)))];
    columns.extend(costs(workload));
    columns.extend(part_names(workload).into_iter().map(part));
    columns.extend(latency_columns());
    columns.extend(latency_ratios(workload));
    columns.push(Column::new("system calls", |trial| trial.calls.map(figure)));
    columns.push(Column::new("instructions", |trial| trial.instructions.map(figure)));
    columns.push(Column::new("memory", memory));
    columns.push(Column::new("marks", |trial| {
        Some(marks(&trial.rounds)).filter(|text| !text.is_empty())
    }));
    columns
}

fn name(trial: &Trial) -> String {
    match trial.server.as_str() {
        CROCUS => format!("**{CROCUS}**"),
        other => other.to_owned(),
    }
}

fn costs(workload: &Workload) -> [Column<'_>; 4] {
    // Where it is the baseline, the column before says it.
    let crocus = workload.trial(CROCUS).filter(|_| workload.baseline != CROCUS);
    let to_baseline = |trial: &Trial| {
        let baseline = baseline(workload, &trial.server)?;
        Some(with_spread(trial.ratio(baseline)?, trial.ratio_spread(baseline)?))
    };
    [
        Column::new("CPU", |trial| trial.cpu().map(time)),
        Column::new(&format!("to {}", workload.baseline), to_baseline),
        Column::new("to crocus", move |trial| trial.ratio(crocus?).map(figure)),
        Column::new("per second", |trial| trial.rate().filter(|&rate| rate > 0.0).map(count)),
    ]
}

/// `1.04 (1.03–1.05)`
fn with_spread(ratio: f64, (lower, upper): (f64, f64)) -> String {
    format!("{} ({}–{})", figure(ratio), figure(lower), figure(upper))
}

/// The names of the other figures, in their order.
fn part_names(workload: &Workload) -> Vec<&str> {
    let rounds = workload.trials.iter().flat_map(|trial| &trial.rounds);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rounds.flat_map(|round| &round.parts) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// Another figure: a time, or how many in a second.
fn part(name: &str) -> Column<'_> {
    let show = if name.ends_with("_per_second") { count } else { time };
    let heading = name.replace("_per_second", "/s").replace('_', " ");
    Column::new(&heading, move |trial| trial.part(name).map(show))
}

fn latency_columns() -> [Column<'static>; 3] {
    let median_of = |trial: &Trial, of: fn(&Latency) -> u64| {
        median(latencies(trial).map(|latency| of(latency) as f64)).map(time)
    };
    [
        Column::new("p50", move |trial| median_of(trial, |latency| latency.p50)),
        Column::new("p99", move |trial| median_of(trial, |latency| latency.p99)),
        Column::new("worst", |trial| {
            latencies(trial).map(|latency| latency.worst).max().map(|worst| time(worst as f64))
        }),
    ]
}

/// With fewer rounds the spread of a latency says nothing.
const ENOUGH_ROUNDS: usize = 5;

fn latency_ratios(workload: &Workload) -> [Column<'_>; 2] {
    let column = |name: &str, of: fn(&Latency) -> u64| {
        Column::new(&format!("{name} to {}", workload.baseline), move |trial| {
            let ratios = trial.latency_ratios(baseline(workload, &trial.server)?, of);
            if ratios.len() < ENOUGH_ROUNDS {
                return None;
            }
            Some(with_spread(median(ratios.iter().copied())?, middle_half(&ratios)?))
        })
    };
    [column("p50", |latency| latency.p50), column("p99", |latency| latency.p99)]
}

fn latencies(trial: &Trial) -> impl Iterator<Item = &Latency> {
    trial.rounds.iter().filter_map(|round| round.latency.as_ref())
}

/// `312 / 1,790`
fn memory(trial: &Trial) -> Option<String> {
    let memory = trial.memory?;
    let bytes = |value: f64| {
        let sign = if value <= -0.5 { "-" } else { "" };
        format!("{sign}{}", grouped(value.abs().round() as u64))
    };
    Some(format!("{} / {}", bytes(memory.user), bytes(memory.in_all)))
}

/// The marks of the rounds: `2 of 7 rounds: 3 failed (first: reset); busy 12 % in 1`.
fn marks(rounds: &[Round]) -> String {
    let all = || rounds.iter().flat_map(|round| &round.marks);
    let mut parts = Vec::new();
    let failures = || {
        all().filter_map(|mark| match mark {
            Mark::Failed { operations, first } => Some((*operations, first.as_str())),
            _ => None,
        })
    };
    if let Some((_, first)) = failures().next() {
        let operations: u64 = failures().map(|(operations, _)| operations).sum();
        let (marked, count, operations) = (failures().count(), rounds.len(), grouped(operations));
        parts.push(format!("{marked} of {count} rounds: {operations} failed (first: {first})"));
    }
    let busy = || {
        all()
            .filter_map(|mark| if let Mark::Busy { percent } = mark { Some(percent) } else { None })
    };
    if let Some(percent) = busy().max() {
        parts.push(format!("busy {percent} % in {}", busy().count()));
    }
    match all().filter(|mark| matches!(mark, Mark::Behind)).count() {
        0 => (),
        count if count == rounds.len() => parts.push("behind the rate".to_owned()),
        count => parts.push(format!("behind the rate in {count}")),
    }
    parts.join("; ")
}

/// Those without rounds, and why.
fn left_out(absent: &[&Trial]) -> String {
    if absent.is_empty() {
        return String::new();
    }
    let why = |trial: &&Trial| {
        let reason = trial.left_out.as_deref().unwrap_or("no round was counted");
        format!("{} ({})", trial.server, escape(reason))
    };
    format!("\nLeft out: {}.\n", absent.iter().map(why).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, trial};
    use super::*;
    use crate::figures::{Memory, ONE_LOOP};

    fn workload<const N: usize>(trials: [Trial; N]) -> Workload {
        sample::workload("echo", LIMIT, trials)
    }

    fn lines(workload: &Workload) -> Vec<String> {
        markdown(workload).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn rows_go_by_the_ratio_after_the_limit_and_columns_without_figures_are_not_there() {
        let dear = trial("libuv", &[3_000.0, 6_600.0, 3_000.0]);
        let cheap = trial("blocking", &[900.0, 1_800.0, 900.0]);
        let crocus = trial(CROCUS, &[1_040.0, 2_040.0, 1_060.0]);
        let mut gone = trial("threads", &[]);
        gone.left_out = Some("too many".to_owned());
        let limit = trial(LIMIT, &[1_000.0, 2_000.0, 1_000.0]);
        assert_eq!(
            lines(&workload([dear, cheap, crocus, gone, limit])),
            [
                "### echo",
                "echo of &lt;64> bytes; an operation is one message, the baseline is limit.",
                "| server | CPU | to limit | to crocus | per second |",
                "|:--|--:|--:|--:|--:|",
                "| limit | 1.00 us | 1.00 (1.00–1.00) | 0.96 | 1.00 k |",
                "| blocking | 900 ns | 0.90 (0.90–0.90) | 0.87 | 1.00 k |",
                "| **crocus** | 1.06 us | 1.04 (1.03–1.05) | 1.00 | 1.00 k |",
                "| libuv | 3.00 us | 3.00 (3.00–3.15) | 2.88 | 1.00 k |",
                "Left out: threads (too many).",
            ]
        );
    }

    #[test]
    fn a_figure_that_only_some_have_is_blank_for_the_others() {
        let mut own = trial(CROCUS, &[1_000.0, 1_000.0]);
        own.calls = Some(2.004);
        own.instructions = Some(1_234.4);
        own.memory = Some(Memory { connections: 10, user: 312.4, in_all: 1_790.0 });
        own.rounds[0].parts =
            vec![("arm_and_fire".to_owned(), 99.0), ("x_per_second".to_owned(), 5e6)];
        let latency = |p50| Some(Latency { rate: 20_000.0, p50, p99: 3 * p50, worst: 40 * p50 });
        own.rounds[0].latency = latency(41_000);
        own.rounds[1].latency = latency(43_000);
        let lines = lines(&workload([trial(LIMIT, &[1_000.0, 1_000.0]), own]));
        assert!(lines[1].ends_with("; latencies at 20.0 k/s."), "{}", lines[1]);
        assert!(lines[2].ends_with(
            "| arm and fire | x/s | p50 | p99 | worst | system calls | instructions | memory |"
        ));
        assert!(lines[4].ends_with("| – | – | – | – | – | – | – | – |"), "{}", lines[4]);
        assert!(lines[5].ends_with(
            "| 99.0 ns | 5.00 M | 42.0 us | 126 us | 1.72 ms | 2.00 | 1,234 | 312 / 1,790 |"
        ));
    }

    #[test]
    fn latencies_of_enough_rounds_are_compared_round_by_round() {
        let with = |server: &str, p50s: [u64; 5]| {
            let mut trial = trial(server, &[1_000.0; 5]);
            for (round, p50) in trial.rounds.iter_mut().zip(p50s) {
                round.latency = Some(Latency { rate: 1.0, p50, p99: 3 * p50, worst: 9 * p50 });
            }
            trial
        };
        let limit = with(LIMIT, [10, 10, 10, 100, 10]);
        let mut own = with(CROCUS, [11, 12, 8, 100, 10]);
        let all = lines(&workload([limit.clone(), own.clone()]));
        assert!(all[2].ends_with("| worst | p50 to limit | p99 to limit |"), "{}", all[2]);
        assert!(all[5].ends_with("| 1.00 (1.00–1.10) | 1.00 (1.00–1.10) |"), "{}", all[5]);
        own.rounds[0].latency = None;
        let few = lines(&workload([with(LIMIT, [10; 5]), own]));
        assert!(few[5].ends_with("| – | – |"), "{}", few[5]);
    }

    #[test]
    fn two_loops_are_compared_with_one_of_the_same_server() {
        let trials = [
            trial(LIMIT, &[1_000.0]),
            trial("limit-2", &[1_200.0]),
            trial(CROCUS, &[2_000.0]),
            trial("crocus-2", &[2_100.0]),
        ];
        let lines = lines(&sample::workload("two-echo", ONE_LOOP, trials));
        let to_one_loop = |row: &str| row.split(" | ").nth(2).map(str::to_owned);
        assert_eq!(to_one_loop(&lines[2]).as_deref(), Some("to one loop"));
        let ratios = lines[4..].iter().filter_map(|row| to_one_loop(row)).collect::<Vec<_>>();
        let [same, own, limit] = ["1.00", "1.05", "1.20"].map(|it| format!("{it} ({it}–{it})"));
        assert_eq!(ratios, [same.clone(), same, own, limit]);
    }

    #[test]
    fn marks_are_counted_by_their_kind() {
        let mut rounds = sample::rounds(&[1.0; 7]);
        assert_eq!(marks(&rounds), "");
        let failed = |operations, first: &str| Mark::Failed { operations, first: first.to_owned() };
        rounds[2].marks = vec![failed(1, "reset"), Mark::Busy { percent: 12 }];
        rounds[3].marks = vec![failed(1_002, "late"), Mark::Behind];
        assert_eq!(
            marks(&rounds),
            "2 of 7 rounds: 1,003 failed (first: reset); busy 12 % in 1; behind the rate in 1"
        );
        for round in &mut rounds {
            round.marks = vec![Mark::Behind];
        }
        assert_eq!(marks(&rounds), "behind the rate");
    }

    #[test]
    fn a_workload_without_rounds_or_baseline_is_a_text() {
        assert!(markdown(&workload([])).contains("### echo"));
        let lines = lines(&workload([trial("mio", &[5.0]), trial("tokio", &[f64::NAN])]));
        assert_eq!(lines[2], "| server | CPU | per second |");
        assert_eq!(lines[3..].len(), 3);
        assert_eq!(lines[5], "| tokio | – | 1.00 k |");
    }
}
