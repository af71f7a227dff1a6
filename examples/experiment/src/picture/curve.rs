//! One server under one constraint: its curve, and what stands at the end of it.

use std::time::Duration;

use super::axis::Axis;
use crate::figures::{Time, grouped};

/// Into how many columns the arrivals are gathered: they are two units wide, thinner than most
/// curves.
const COLUMNS: f64 = 110.0;

#[derive(Clone, Debug)]
pub(super) struct Curve<'a> {
    pub(super) server: &'a str,
    /// Which of the servers it is: it has its colour, dashes and mark in all panels.
    pub(super) style: usize,
    pub(super) asked: usize,
    /// When each client that was served had its whole answer, in order.
    pub(super) arrivals: &'a [Duration],
    pub(super) broken_off: bool,
}

impl Curve<'_> {
    /// When the first and the last client were served, if any was.
    pub(super) fn span(&self) -> Option<(Duration, Duration)> {
        Some((*self.arrivals.first()?, *self.arrivals.last()?))
    }

    /// The part of the clients that was served in the end, from 0 to 1.
    pub(super) fn served(&self) -> f64 {
        self.share(self.arrivals.len())
    }

    /// Where the curve bends, on an axis of time and one of clients from 0 to 1.
    ///
    /// Arrivals of one column make one slope, from the first to the last of them; between columns
    /// it is level. So a step stays where it is, and as high, and a crowd costs two points.
    pub(super) fn bends(&self, axis: &Axis) -> Vec<(f64, f64)> {
        if self.arrivals.is_empty() {
            return vec![(0.0, 0.0), (1.0, 0.0)];
        }
        let column = |arrival: &Duration| (axis.place(*arrival) * COLUMNS) as usize;
        let mut served = 0;
        let mut bends = Vec::new();
        for crowd in self.arrivals.chunk_by(|a, b| column(a) == column(b)) {
            bends.push((axis.place(crowd[0]), self.share(served)));
            served += crowd.len();
            bends.push((axis.place(crowd[crowd.len() - 1]), self.share(served)));
        }
        bends
    }

    /// What came out, in two or three words: the time of the last if all were served, and how many
    /// were if not.
    pub(super) fn outcome(&self) -> String {
        let served = self.arrivals.len();
        let missing = self.asked.saturating_sub(served);
        match self.span() {
            None if self.broken_off => "broken off".to_owned(),
            None => "nobody".to_owned(),
            Some(_) if self.broken_off => format!("{} so far", grouped(served)),
            Some((_, last)) if missing == 0 => Time(last).to_string(),
            // Rounded, these would read like none and all.
            Some(_) if served * 100 < self.asked => format!("only {}", grouped(served)),
            Some(_) if missing * 100 < self.asked => format!("all but {}", grouped(missing)),
            Some(_) => format!("{:.0} %", self.served() * 100.0),
        }
    }

    fn share(&self, served: usize) -> f64 {
        // More than were asked would be a fault elsewhere, and must not leave the panel.
        served as f64 / self.asked.max(self.arrivals.len()).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(asked: usize, arrivals: &[Duration]) -> Curve<'_> {
        Curve { server: "reactor", style: 0, asked, arrivals, broken_off: false }
    }

    fn millis(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        times.into_iter().map(Duration::from_millis).collect()
    }

    fn axis_of(curve: &Curve<'_>) -> Axis {
        Axis::covering(curve.span().into_iter())
    }

    #[test]
    fn a_thinned_curve_never_runs_backwards_and_keeps_its_end() {
        let arrivals = millis((0..10_000).map(|index| index * index / 10_000));
        let curve = curve(12_500, &arrivals);
        let axis = axis_of(&curve);
        let bends = curve.bends(&axis);
        assert!(bends.len() <= 250, "{}", bends.len());
        assert!(bends.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert_eq!(bends.last(), Some(&(axis.place(arrivals[9_999]), 0.8)));
    }

    #[test]
    fn a_thinned_curve_is_never_further_off_than_a_column() {
        let arrivals = millis((0..5_000).map(|index| index / 1_000 * 1_000 + index % 7));
        let mut arrivals = arrivals;
        arrivals.sort();
        let curve = curve(5_000, &arrivals);
        let axis = axis_of(&curve);
        let bends = curve.bends(&axis);
        for (index, arrival) in arrivals.iter().enumerate() {
            let (place, share) = (axis.place(*arrival), (index + 1) as f64 / 5_000.0);
            let near = bends.windows(2).any(|ends| {
                (ends[0].0 - 1.0 / COLUMNS..=ends[1].0 + 1.0 / COLUMNS).contains(&place)
                    && (ends[0].1..=ends[1].1).contains(&share)
            });
            assert!(near, "{place} {share}");
        }
    }

    #[test]
    fn steps_stay_as_they_are() {
        let arrivals = millis([1_000, 2_000, 2_000, 4_000]);
        let curve = curve(4, &arrivals);
        let axis = axis_of(&curve);
        let place = |index: usize| axis.place(arrivals[index]);
        let steps = [
            (place(0), 0.0),
            (place(0), 0.25),
            (place(1), 0.25),
            (place(1), 0.75),
            (place(3), 0.75),
            (place(3), 1.0),
        ];
        assert_eq!(curve.bends(&axis), steps);
    }

    #[test]
    fn who_serves_nobody_has_a_line_at_the_bottom() {
        let curve = curve(100, &[]);
        assert_eq!(curve.bends(&axis_of(&curve)), [(0.0, 0.0), (1.0, 0.0)]);
        assert_eq!(curve.outcome(), "nobody");
        assert_eq!(Curve { broken_off: true, ..curve }.outcome(), "broken off");
    }

    #[test]
    fn the_outcome_never_rounds_to_all_or_to_none() {
        let arrivals = millis(0..10_000);
        let outcome = |asked, served: usize| curve(asked, &arrivals[..served]).outcome();
        assert_eq!(outcome(10_000, 10_000), "10.0 s");
        assert_eq!(outcome(10_000, 9_999), "all but 1");
        assert_eq!(outcome(10_000, 6_012), "60 %");
        assert_eq!(outcome(10_000, 12), "only 12");
        assert_eq!(outcome(1, 0), "nobody");
        let broken_off = Curve { broken_off: true, ..curve(10_000, &arrivals[..1_234]) };
        assert_eq!(broken_off.outcome(), "1,234 so far");
    }

    #[test]
    fn nobody_asked_is_no_division_by_zero() {
        for arrivals in [&[][..], &[Duration::ZERO]] {
            let curve = curve(0, arrivals);
            let bends = curve.bends(&axis_of(&curve));
            assert!(bends.iter().all(|bend| bend.0.is_finite() && bend.1 <= 1.0), "{bends:?}");
        }
    }
}
