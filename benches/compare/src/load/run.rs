//! Which client is at an operation, when the next one is due, and how long each took. Uses no sockets and no
//! clock: its caller passes the time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Outcome, Plan, Progress, TIME_LIMIT};

/// How long so many operations may take. Under valgrind a server in Python does some ten a second.
const LONGEST: Duration = Duration::from_secs(300);

/// Late operations may still begin until the planned time has passed this many times.
const OVERTIME: f64 = 2.0;

/// Latencies are told apart up to this, in nanoseconds: more than a run lasts.
const WORST: u64 = 1 << 40;

/// How long to wait for events when nothing is due.
const LOOK: Duration = Duration::from_millis(100);

pub struct Run {
    plan: Plan,
    began: Instant,
    idle: VecDeque<usize>,
    /// By client.
    states: Vec<State>,
    begun: u64,
    at_work: usize,
    outcome: Outcome,
    latencies: Histogram<u64>,
    last_answer: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    /// The time at which its operation was due.
    AtWork(Instant),
    Failed,
}

impl Run {
    pub fn new(plan: Plan, clients: usize, began: Instant) -> Self {
        Self {
            plan,
            began,
            idle: (0..clients).collect(),
            states: vec![State::Idle; clients],
            begun: 0,
            at_work: 0,
            outcome: Outcome::default(),
            latencies: Histogram::new_with_bounds(1, WORST, 3).expect("the bounds are in order"),
            last_answer: began,
        }
    }

    /// Whether operations are still to be begun.
    fn goes_on(&self, now: Instant) -> bool {
        let elapsed = now - self.began;
        match self.plan {
            Plan::Seconds(seconds) => elapsed.as_secs_f64() < seconds,
            Plan::Operations(count) => {
                self.outcome.operations < count && self.outcome.failed == 0 && elapsed < LONGEST
            }
            Plan::Once => self.begun < self.states.len() as u64,
            Plan::Paced { rate, seconds } => {
                let planned = ((rate * seconds) as u64).max(1);
                self.begun < planned && elapsed.as_secs_f64() < seconds * OVERTIME
            }
        }
    }

    /// The time at which the next operation was, or will be, due.
    fn due(&self, now: Instant) -> Instant {
        match self.plan {
            // Due even if no client is idle, because lateness is what we measure.
            Plan::Paced { rate, .. } => {
                self.began + Duration::from_secs_f64(self.begun as f64 / rate)
            }
            Plan::Once => self.began,
            Plan::Seconds(_) | Plan::Operations(_) => now,
        }
    }

    /// A client that is to begin an operation now.
    pub fn next_to_begin(&mut self, now: Instant) -> Option<usize> {
        let due = self.due(now);
        if due > now || !self.goes_on(now) {
            return None;
        }
        let client = self.idle.pop_front()?;
        self.states[client] = State::AtWork(due);
        self.begun += 1;
        self.at_work += 1;
        Some(client)
    }

    /// Notes how a client goes on with its operation; it may have none.
    pub fn note(&mut self, client: usize, progress: Progress, now: Instant) {
        let State::AtWork(since) = self.states[client] else { return };
        match progress {
            Ok(None) => return,
            Ok(Some(operations)) => {
                self.last_answer = now;
                self.latencies.saturating_record((now - since).as_nanos() as u64);
                self.outcome.operations += operations;
                self.states[client] = State::Idle;
                if self.plan != Plan::Once {
                    self.idle.push_back(client);
                }
            }
            Err(error) => {
                self.fail(error.to_string());
                self.states[client] = State::Failed;
            }
        }
        self.at_work -= 1;
    }

    fn fail(&mut self, why: String) {
        self.outcome.failed += 1;
        self.outcome.first_failure.get_or_insert(why);
    }

    /// Whether all planned operations are answered, or no more answers can be expected.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.at_work == 0 {
            return self.idle.is_empty() || !self.goes_on(now);
        }
        if now - self.last_answer <= TIME_LIMIT {
            return false;
        }
        for _ in 0..self.at_work {
            self.fail(format!("no answer for {TIME_LIMIT:?}"));
        }
        true
    }

    /// How long the caller may wait for events before the next operation is due.
    pub fn time_to_wait(&self, now: Instant) -> Duration {
        let Plan::Paced { .. } = self.plan else { return LOOK };
        if self.idle.is_empty() || !self.goes_on(now) {
            return LOOK;
        }
        let wait = self.due(now).saturating_duration_since(now);
        // mio rounds up to the millisecond: the last one is spun.
        LOOK.min(Duration::from_millis((wait.as_millis() as u64).saturating_sub(1)))
    }

    /// Those that have failed, or were not answered.
    pub fn broken(&self) -> Vec<usize> {
        (0..).zip(&self.states).filter(|(_, state)| **state != State::Idle).map(|it| it.0).collect()
    }

    pub fn outcome(self) -> Outcome {
        Outcome {
            seconds: (self.last_answer - self.began).as_secs_f64(),
            p50: self.latencies.value_at_quantile(0.5),
            p99: self.latencies.value_at_quantile(0.99),
            worst: self.latencies.max(),
            ..self.outcome
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Begins all that is to be begun.
    fn begin(run: &mut Run, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| run.next_to_begin(now)).collect()
    }

    /// As exact as the histogram.
    fn is_about(nanoseconds: u64, expected: Duration) -> bool {
        nanoseconds.abs_diff(expected.as_nanos() as u64) <= nanoseconds / 500
    }

    #[test]
    fn paced_operations_begin_when_they_are_due() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Paced { rate: 100.0, seconds: 0.1 }, 4, began);
        assert_eq!(begin(&mut run, began), [0]);
        assert_eq!(run.time_to_wait(began), 9 * MS);
        assert_eq!(run.time_to_wait(began + 9 * MS), Duration::ZERO);
        assert!(begin(&mut run, began + 9 * MS).is_empty());
        assert_eq!(begin(&mut run, began + 10 * MS), [1]);
        assert_eq!(begin(&mut run, began + 30 * MS), [2, 3]);
        assert_eq!(run.time_to_wait(began + 30 * MS), LOOK, "nobody is idle");
    }

    #[test]
    fn latency_counts_from_when_it_was_due_and_not_from_when_it_was_asked() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Paced { rate: 100.0, seconds: 0.03 }, 1, began);
        assert_eq!(begin(&mut run, began), [0]);
        // Two more became due while the only client waited for the first.
        run.note(0, Ok(Some(1)), began + 25 * MS);
        for (index, answered) in [26, 27].into_iter().enumerate() {
            assert!(!run.is_over(began + 25 * MS));
            assert_eq!(begin(&mut run, began + 25 * MS), [0], "{index}");
            run.note(0, Ok(Some(1)), began + answered * MS);
        }
        assert!(begin(&mut run, began + 28 * MS).is_empty());
        assert!(run.is_over(began + 28 * MS));
        let outcome = run.outcome();
        assert_eq!((outcome.operations, outcome.failed), (3, 0));
        assert_eq!(outcome.seconds, 0.027);
        assert!(is_about(outcome.worst, 25 * MS), "{outcome:?}");
        assert!(is_about(outcome.p50, 16 * MS), "{outcome:?}");
    }

    #[test]
    fn a_server_that_never_catches_up_is_not_waited_for() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Paced { rate: 1000.0, seconds: 0.1 }, 1, began);
        let mut now = began;
        while !run.is_over(now) {
            assert_eq!(begin(&mut run, now), [0]);
            now += 20 * MS;
            run.note(0, Ok(Some(1)), now);
        }
        let outcome = run.outcome();
        assert_eq!((outcome.operations, outcome.seconds), (10, 0.2));
    }

    #[test]
    fn once_is_once_for_each() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Once, 3, began);
        assert_eq!(begin(&mut run, began), [0, 1, 2]);
        run.note(1, Ok(Some(1)), began + MS);
        run.note(1, Ok(Some(1)), began + MS); // as an event that comes too late
        run.note(0, Ok(None), began + MS);
        assert!(begin(&mut run, began + MS).is_empty());
        run.note(0, Ok(Some(1)), began + 4 * MS);
        assert!(!run.is_over(began + 4 * MS));
        run.note(2, Err(io::Error::other("reset")), began + 5 * MS);
        assert!(run.is_over(began + 5 * MS));
        assert_eq!(run.broken(), [2]);
        let outcome = run.outcome();
        assert_eq!((outcome.operations, outcome.failed, outcome.seconds), (2, 1, 0.004));
        assert_eq!(outcome.first_failure.as_deref(), Some("reset"));
    }

    #[test]
    fn so_many_operations_are_done_and_those_begun_are_waited_for() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Operations(32), 2, began);
        assert_eq!(begin(&mut run, began), [0, 1]);
        run.note(0, Ok(Some(16)), began);
        assert_eq!(begin(&mut run, began), [0]);
        run.note(0, Ok(Some(16)), began);
        assert!(begin(&mut run, began).is_empty());
        assert!(!run.is_over(began));
        run.note(1, Ok(Some(16)), began + MS);
        assert!(run.is_over(began + MS));
        assert_eq!(run.outcome().operations, 48);
    }

    #[test]
    fn a_closed_loop_ends_with_its_time() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Seconds(0.1), 1, began);
        assert_eq!(begin(&mut run, began + 99 * MS), [0]);
        run.note(0, Ok(Some(1)), began + 100 * MS);
        assert!(begin(&mut run, began + 100 * MS).is_empty());
        assert!(run.is_over(began + 100 * MS));
    }

    #[test]
    fn a_run_whose_clients_have_all_failed_is_over() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Seconds(60.0), 2, began);
        for client in begin(&mut run, began) {
            assert!(!run.is_over(began));
            run.note(client, Err(io::Error::other("refused")), began);
        }
        assert!(run.is_over(began));
        assert_eq!(run.broken(), [0, 1]);
        let outcome = run.outcome();
        assert_eq!((outcome.operations, outcome.failed, outcome.seconds), (0, 2, 0.0));
    }

    #[test]
    fn a_client_that_is_not_answered_has_failed() {
        let began = Instant::now();
        let mut run = Run::new(Plan::Seconds(0.1), 2, began);
        begin(&mut run, began);
        run.note(0, Ok(Some(1)), began + 200 * MS);
        assert!(!run.is_over(began + TIME_LIMIT));
        assert!(run.is_over(began + TIME_LIMIT + 201 * MS));
        assert_eq!(run.broken(), [1]);
        let outcome = run.outcome();
        assert_eq!((outcome.operations, outcome.failed), (1, 1));
    }
}
