//! One curve: what part of many has come about at what time.

use std::time::Duration;

use crate::axis::Axis;

/// Into how many columns the times are gathered: they are two units wide, thinner than most curves.
const COLUMNS: f64 = 110.0;

/// How many of `of` had happened at each time.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    /// Stands beside its end.
    pub name: &'a str,
    /// Which of the looks it has: the same in all panels of a picture.
    pub look: usize,
    /// When each of them happened, in order.
    pub times: &'a [Duration],
    /// How many could have happened: the height of the plot.
    pub of: usize,
    /// The result, in two or three words.
    pub outcome: String,
}

impl Curve<'_> {
    /// The first and the last time.
    pub(crate) fn span(&self) -> Option<(Duration, Duration)> {
        Some((*self.times.first()?, *self.times.last()?))
    }

    /// The part that had happened in the end, from 0 to 1.
    pub(crate) fn height(&self) -> f64 {
        self.share(self.times.len())
    }

    /// Where the curve bends, on an axis of time and one of shares from 0 to 1.
    ///
    /// The times of one column make one slope, from the first to the last of them; between columns
    /// the curve is level. So a step stays where it is, and as high, and a crowd costs two points.
    pub(crate) fn bends(&self, axis: &Axis) -> Vec<(f64, f64)> {
        if self.times.is_empty() {
            return vec![(0.0, 0.0), (1.0, 0.0)];
        }
        let column = |time: &Duration| (axis.place(*time) * COLUMNS) as usize;
        let mut count = 0;
        let mut bends = Vec::new();
        for crowd in self.times.chunk_by(|a, b| column(a) == column(b)) {
            bends.push((axis.place(crowd[0]), self.share(count)));
            count += crowd.len();
            bends.push((axis.place(crowd[crowd.len() - 1]), self.share(count)));
        }
        bends
    }

    fn share(&self, count: usize) -> f64 {
        // More than there could be is a fault elsewhere, and must not leave the panel.
        count as f64 / self.of.max(self.times.len()).max(1) as f64
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn curve(look: usize, of: usize, times: &[Duration]) -> Curve<'_> {
        Curve { name: "blocking-4096", look, times, of, outcome: "as expected".to_owned() }
    }

    pub(crate) fn millis(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        times.into_iter().map(Duration::from_millis).collect()
    }

    fn axis_of(curve: &Curve<'_>) -> Axis {
        Axis::covering(curve.span().into_iter())
    }

    #[test]
    fn a_thinned_curve_never_runs_backwards_and_keeps_its_end() {
        let times = millis((0..10_000).map(|index| index * index / 10_000));
        let curve = curve(0, 12_500, &times);
        let axis = axis_of(&curve);
        let bends = curve.bends(&axis);
        assert!(bends.len() <= 250, "{}", bends.len());
        assert!(bends.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert_eq!(bends.last(), Some(&(axis.place(times[9_999]), 0.8)));
    }

    #[test]
    fn a_thinned_curve_is_never_further_off_than_a_column() {
        let mut times = millis((0..5_000).map(|index| index / 1_000 * 1_000 + index % 7));
        times.sort();
        let curve = curve(0, 5_000, &times);
        let axis = axis_of(&curve);
        let bends = curve.bends(&axis);
        for (index, time) in times.iter().enumerate() {
            let (place, share) = (axis.place(*time), (index + 1) as f64 / 5_000.0);
            let near = bends.windows(2).any(|ends| {
                (ends[0].0 - 1.0 / COLUMNS..=ends[1].0 + 1.0 / COLUMNS).contains(&place)
                    && (ends[0].1..=ends[1].1).contains(&share)
            });
            assert!(near, "{place} {share}");
        }
    }

    #[test]
    fn steps_stay_as_they_are() {
        let times = millis([1_000, 2_000, 2_000, 4_000]);
        let curve = curve(0, 4, &times);
        let axis = axis_of(&curve);
        let place = |index: usize| axis.place(times[index]);
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
    fn a_curve_of_nothing_lies_at_the_bottom() {
        let nothing = curve(0, 100, &[]);
        assert_eq!(nothing.bends(&axis_of(&nothing)), [(0.0, 0.0), (1.0, 0.0)]);
        for times in [&[][..], &[Duration::ZERO]] {
            let curve = curve(0, 0, times);
            let bends = curve.bends(&axis_of(&curve));
            assert!(bends.iter().all(|bend| bend.0.is_finite() && bend.1 <= 1.0), "{bends:?}");
        }
    }
}
