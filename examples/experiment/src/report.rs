//! The table, and a sentence or two for each constraint, both made of the figures.

use std::fmt::Write;
use std::time::Duration;

use charts::number::{duration, grouped};
use charts::table::Table;

use crate::constraint::Kind;
use crate::figures::{Chapter, Trial};

/// A chapter for the terminal: a title, a row for each server, and the verdict.
pub(crate) fn chapter(chapter: &Chapter) -> String {
    let Chapter { constraint, trials } = chapter;
    let numbers = ["served", "last", "p50", "p99", "worst", "memory", "threads", "files"];
    let mut table = Table::default().words(["server"]).numbers(numbers).words(["not served"]);
    trials.iter().for_each(|trial| table.row(row(trial)));
    let (name, title) = (constraint.name(), constraint.title());
    format!("\n{name}: {title}\n\n{}\n{}", table.text(), filled(&verdict(chapter)))
}

fn row(trial: &Trial) -> [String; 10] {
    let none = || "-".to_owned();
    let time = |time: Option<Duration>| time.map_or_else(none, duration);
    let number = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
    let latency = trial.latency();
    let mut unserved = unserved(trial);
    if trial.broken_off {
        unserved = format!("broken off; {unserved}");
    }
    [
        trial.server.to_string(),
        format!("{} of {}", grouped(trial.counts.served), grouped(trial.asked)),
        time(trial.last()),
        time(latency.map(|latency| latency.p50)),
        time(latency.map(|latency| latency.p99)),
        time(latency.map(|latency| latency.worst)),
        trial.usage.memory.map_or_else(none, |bytes| format!("{:.1} MB", bytes as f64 / 1e6)),
        number(trial.usage.threads),
        number(trial.usage.descriptors),
        unserved,
    ]
}

fn unserved(trial: &Trial) -> String {
    let kinds: Vec<_> =
        trial.counts.unserved().map(|(count, word)| format!("{} {word}", grouped(count))).collect();
    kinds.join(", ")
}

/// Times this near to each other are called equal: they differ as much from one run to the next.
const EQUAL: f64 = 1.5;

/// A smaller difference than this does not matter, even if the ratio is large.
const NOTICEABLE_SECONDS: f64 = 0.005;

/// If a server has more threads than this, the report says so.
const MANY_THREADS: u64 = 10;

/// The result in sentences.
pub(crate) fn verdict(chapter: &Chapter) -> String {
    let trials: Vec<&Trial> = chapter.trials.iter().filter(|trial| !trial.broken_off).collect();
    let mut sentences = Vec::new();
    sentences.extend(about_the_whole(&trials));
    sentences.extend(trials.iter().filter(|trial| !trial.all_served()).map(|trial| failure(trial)));
    sentences.extend(trials.iter().filter_map(|trial| about_waiting(trial)));
    match chapter.constraint.kind {
        Kind::Calm => sentences.extend(about_the_median(&trials)),
        Kind::Dribble => sentences.extend(about_the_quick(&trials)),
        _ => {}
    }
    sentences.extend(about_threads(&trials));
    sentences.join(" ")
}

/// The servers that served every client, and how long this took.
fn about_the_whole(trials: &[&Trial]) -> Option<String> {
    let mut whole: Vec<_> = trials.iter().filter(|trial| trial.all_served()).collect();
    whole.sort_by_key(|trial| trial.last());
    let (first, slowest) = (whole.first()?, whole.last()?);
    let names = |trials: &[&&Trial]| listed(trials.iter().map(|trial| trial.server.to_string()));
    let (best, worst) = (first.last()?, slowest.last()?);
    let ratio = worst.as_secs_f64() / best.as_secs_f64().max(f64::MIN_POSITIVE);
    let everybody = whole.len() == trials.len() && trials.len() > 1;
    let who = if everybody { "All servers".to_owned() } else { names(&whole) };
    if whole.len() == 1 {
        return Some(format!("{who} served everybody, in {}.", duration(best)));
    }
    if ratio < EQUAL || (worst - best).as_secs_f64() < NOTICEABLE_SECONDS {
        return Some(format!(
            "{who} served everybody in about the same time, {} to {}.",
            duration(best),
            duration(worst)
        ));
    }
    Some(format!(
        "{who} served everybody: {} in {}, {} in {}, which is {} times as long.",
        first.server,
        duration(best),
        slowest.server,
        duration(worst),
        times(ratio)
    ))
}

/// A ratio, as exact as it deserves.
fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1}") } else { grouped(ratio.round() as usize) }
}

fn failure(trial: &Trial) -> String {
    let served = match trial.counts.served {
        0 => "nobody".to_owned(),
        served => format!("{} of {}", grouped(served), grouped(trial.asked)),
    };
    let trouble = trial.trouble.as_ref().map_or_else(String::new, |what| format!(" ({what})"));
    format!("{} served {served}: {}{trouble}.", trial.server, unserved(trial))
}

/// The effect of a short queue.
fn about_waiting(trial: &Trial) -> Option<String> {
    let queues = trial.queues.unwrap_or_default();
    if trial.waited.is_empty() && queues.overflows == 0 {
        return None;
    }
    let mut text = format!("The queue of {} was full", trial.server);
    if queues.overflows > 0 {
        let _ = write!(text, " {} times, and what came was dropped", grouped(queues.overflows));
    }
    if queues.cookies > 0 {
        let _ = write!(text, " or, {} times, answered by a SYN cookie", grouped(queues.cookies));
    }
    if !trial.waited.is_empty() {
        let steps = trial.waited.iter();
        let steps = steps.map(|(second, count)| format!("{} after {second} s", grouped(*count)));
        let _ = write!(text, "; connected by sending the SYN again: {}", listed(steps));
    }
    Some(text + ".")
}

/// Where all servers are equal, the median says which has the shortest way.
fn about_the_median(trials: &[&Trial]) -> Option<String> {
    let medians = trials.iter().filter_map(|trial| Some((trial.server, trial.latency()?.p50)));
    let medians = medians.map(|(server, p50)| format!("{server} {}", duration(p50)));
    let medians: Vec<_> = medians.collect();
    (medians.len() > 1).then(|| format!("The median: {}.", listed(medians.into_iter())))
}

fn about_the_quick(trials: &[&Trial]) -> Option<String> {
    let waits = trials.iter().map(|trial| match trial.quick {
        Some(quick) => format!("{} at {}", duration(quick), trial.server),
        None => format!("in vain at {}", trial.server),
    });
    (!trials.is_empty()).then(|| format!("The quick client waited {}.", listed(waits)))
}

/// The threads of a server that has one for each client.
fn about_threads(trials: &[&Trial]) -> Option<String> {
    let most = trials.iter().max_by_key(|trial| trial.usage.threads)?;
    let count = most.usage.threads.filter(|&count| count > MANY_THREADS)?;
    let few = trials.iter().filter(|trial| trial.usage.threads == Some(1) && trial.all_served());
    let few = listed(few.map(|trial| trial.server.to_string()));
    Some(match few.as_str() {
        "" => format!("{} had {count} threads.", most.server),
        few => format!("{} needed {count} threads for it, {few} one.", most.server),
    })
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    let Some(last) = items.pop() else { return String::new() };
    if items.is_empty() { last } else { format!("{} and {last}", items.join(", ")) }
}

/// How wide the sentences are set.
const WIDTH: usize = 96;

/// The text in lines of at most [`WIDTH`] characters, indented like the table.
fn filled(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from(" ");
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        // No line break between a number and its unit.
        let next = words.peek().filter(|next| is_unit(next)).map_or(0, |unit| 1 + unit.len());
        if line.len() + 1 + word.len() + next > WIDTH {
            lines += &line;
            lines.push('\n');
            line = String::from(" ");
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

fn is_unit(word: &str) -> bool {
    matches!(word.trim_end_matches(['.', ',', ';', ':']), "ns" | "us" | "ms" | "s")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::constraint::Constraint;
    use crate::figures::{Counts, Queues, Usage};
    use crate::options::Options;
    use crate::server::Model;

    /// A trial in which each of the `served` clients was served a millisecond after the one before.
    pub(crate) fn trial(server: Model, asked: usize, served: usize, millisecond: f64) -> Trial {
        let times: Vec<_> =
            (1..=served).map(|n| Duration::from_secs_f64(n as f64 * millisecond / 1e3)).collect();
        Trial {
            server,
            asked,
            counts: Counts { served, timed_out: asked - served, ..Counts::default() },
            arrivals: times.clone(),
            latencies: times,
            waited: Vec::new(),
            queues: None,
            quick: None,
            trouble: None,
            usage: Usage { memory: Some(1), threads: Some(1), descriptors: Some(5) },
            answers: Vec::new(),
            broken_off: false,
        }
    }

    pub(crate) fn of(kind: Kind, trials: Vec<Trial>) -> Chapter {
        Chapter { constraint: Constraint::new(kind, &Options::default()), trials }
    }

    #[test]
    fn equal_servers_are_called_equal() {
        let trials =
            vec![trial(Model::Blocking, 100, 100, 1.0), trial(Model::Reactor, 100, 100, 1.2)];
        let text = verdict(&of(Kind::SlowSource, trials));
        assert_eq!(text, "All servers served everybody in about the same time, 100 ms to 120 ms.");
    }

    #[test]
    fn the_faster_server_is_named_whichever_it_is() {
        for (one, other) in [(Model::Blocking, Model::Reactor), (Model::Reactor, Model::Blocking)] {
            let trials = vec![trial(one, 100, 100, 40.0), trial(other, 100, 100, 1.0)];
            let expected = format!(
                "All servers served everybody: {other} in 100 ms, {one} in 4.00 s, which is 40 \
                 times as long."
            );
            assert_eq!(verdict(&of(Kind::SlowSource, trials)), expected);
        }
    }

    #[test]
    fn a_server_that_fails_is_named_whichever_it_is() {
        for (one, other) in [(Model::Blocking, Model::Reactor), (Model::Reactor, Model::Blocking)] {
            let mut nobody = trial(Model::Threads, 100, 0, 1.0);
            nobody.counts = Counts { reset: 60, refused: 40, ..Counts::default() };
            let trials = vec![trial(one, 100, 7, 1.0), trial(other, 100, 100, 1.0), nobody];
            let expected = format!(
                "{other} served everybody, in 100 ms. {one} served 7 of 100: 93 timed out. threads \
                 served nobody: 60 reset, 40 refused."
            );
            assert_eq!(verdict(&of(Kind::SilentClient, trials)), expected);
        }
    }

    #[test]
    fn queues_threads_and_the_quick_client_are_told() {
        let mut waiting = trial(Model::Blocking, 10, 10, 1.0);
        waiting.waited = vec![(1, 4), (3, 2)];
        waiting.queues = Some(Queues { overflows: 1234, cookies: 5 });
        let mut many = trial(Model::Threads, 10, 10, 1.0);
        many.usage.threads = Some(11);
        let mut quick = trial(Model::Reactor, 10, 10, 1.0);
        quick.quick = Some(Duration::from_micros(150));
        let text = verdict(&of(Kind::Dribble, vec![waiting, many, quick]));
        for part in [
            "The queue of blocking was full 1,234 times, and what came was dropped or, 5 times, answered",
            "4 after 1 s and 2 after 3 s.",
            "waited in vain at blocking, in vain at threads and 150 us at reactor.",
            "threads needed 11 threads for it, blocking and reactor one.",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn a_trial_that_was_broken_off_is_in_the_table_and_proves_nothing() {
        let mut broken = trial(Model::Blocking, 100, 3, 1.0);
        broken.broken_off = true;
        broken.counts.timed_out = 0;
        let chapter = of(Kind::Calm, vec![broken]);
        assert_eq!(verdict(&chapter), "");
        assert!(self::chapter(&chapter).contains("3 of 100"));
        assert!(self::chapter(&chapter).contains("broken off"));
        assert_eq!(verdict(&of(Kind::Calm, Vec::new())), "");
    }

    #[test]
    fn no_line_is_too_long_and_no_number_without_its_unit() {
        let text = filled(&"it took 12.5 ms, and 3 s. ".repeat(40));
        for line in text.lines() {
            assert!(line.len() <= WIDTH, "{line}");
            assert!(!is_unit(line.split_whitespace().next().unwrap_or("")), "{line}");
        }
    }
}
