//! `bench.svg`: the cost of each workload for each server, compared with the limit. Servers are in one
//! order everywhere; crocus is the only one with a colour.

use charts::bars::{self, Bar, Bars};
use charts::number::time;
use charts::sheet::{Panel, Scale, Sheet};

use super::{CROCUS, LIMIT, baseline, circumstances};
use crate::figures::{ONE_LOOP, Run, TWO, Trial, Workload};

/// The picture as the text of an SVG file.
pub fn svg(run: &Run) -> String {
    let servers: Vec<&str> = run.servers.iter().map(|server| server.name.as_str()).collect();
    let mut is_marked = false;
    let mut panels: Vec<Box<dyn Panel + '_>> = Vec::new();
    for workload in &run.workloads {
        let panel = panel(workload, &servers);
        is_marked |= panel.bars.iter().any(|bar| bar.is_marked);
        panels.push(Box::new(panel));
    }
    let about = [
        "CPU time of the server for one operation, as a ratio to the limit's, which does no more than it \
         must. Shorter is better.",
        &format!("{}.", circumstances(run)),
        &format!(
            "Medians of {} rounds; in each round all servers were run one after the other, {} s each.",
            run.rounds, run.seconds
        ),
        "† some rounds are marked: failures, a busy machine, or late; see bench.md",
    ];
    let lines = if is_marked { 4 } else { 3 };
    let sheet = Sheet {
        heading: "The cost of an operation",
        about: about[..lines].iter().map(ToString::to_string).collect(),
        key: bars::key(CROCUS, "the limit, or the server in its place"),
        panels,
        scale: Scale::SMALL,
    };
    sheet.svg()
}

/// The bars of those of the servers that have figures, in this order.
fn panel<'a>(workload: &'a Workload, servers: &[&'a str]) -> Bars<'a> {
    let mut about = vec![workload.title.clone()];
    if let Some(cost) = workload.trial(&workload.baseline).and_then(Trial::cpu) {
        let Workload { baseline, operation, .. } = workload;
        about.push(format!("1 = {baseline}: {} per {operation}", time(cost)));
    }
    let bars = servers.iter().filter_map(|server| bar(workload, server)).collect();
    Bars { name: &workload.name, about, bars }
}

/// None for the limit where it is the baseline: it is the line. So is each server with one loop for itself with two.
fn bar<'a>(workload: &'a Workload, server: &'a str) -> Option<Bar<'a>> {
    let is_line = match workload.baseline.as_str() {
        LIMIT => server == LIMIT,
        ONE_LOOP => !server.ends_with(TWO),
        _ => false,
    };
    if is_line {
        return None;
    }
    let (own, baseline) = (workload.trial(server)?, baseline(workload, server)?);
    Some(Bar {
        name: server,
        ratio: own.ratio(baseline)?,
        spread: own.ratio_spread(baseline)?,
        is_own: server == CROCUS,
        is_marked: own.is_marked(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::figures::Mark;

    #[test]
    fn servers_stand_in_one_order_without_the_limit_and_those_that_are_left_out() {
        let mut run = sample::run();
        let names = |run: &Run, workload: usize| -> Vec<String> {
            let servers: Vec<&str> =
                run.servers.iter().map(|server| server.name.as_str()).collect();
            let bars = panel(&run.workloads[workload], &servers).bars;
            bars.iter().map(|bar| bar.name.to_owned()).collect()
        };
        assert_eq!(names(&run, 0), ["crocus", "mio"]);
        assert_eq!(names(&run, 1), ["crocus", "nginx"]);
        let picture = svg(&run);
        assert!(picture.contains("echo: crocus 1.04, mio 1.10. http: crocus 0.75, nginx 1.00."));
        assert!(picture.contains("1 = limit: 1.00 us per message"));
        assert!(!picture.contains('†'));
        run.workloads[0].trials[1].rounds[0].marks.push(Mark::Behind);
        assert!(svg(&run).contains("† some rounds are marked"));
    }

    #[test]
    fn a_workload_without_figures_has_an_empty_panel() {
        let mut run = sample::run();
        run.workloads[0].trials[0].rounds = sample::rounds(&[f64::NAN]);
        assert_eq!(svg(&run).matches("not measured").count(), 1);
    }
}
