//! The axis of time: linear where it can be, logarithmic where the curves lie too far apart.

use std::time::Duration;

/// When the slowest curve takes more than this many times as long as the fastest, the fast ones would
/// be a vertical line at the beginning of a linear axis.
const FAR_APART: f64 = 10.0;

/// A logarithmic axis begins at this part of the time of the fastest curve at the earliest: each tenth
/// part before it would take as much room again.
const HEAD_START: f64 = 100.0;

/// The clocks here count microseconds.
const SHORTEST: f64 = 1e-6;

/// A little room after the last step.
const ROOM: f64 = 1.04;

/// How many labels stand below a logarithmic axis without touching.
const MOST_TICKS: usize = 5;

/// The part of an axis that two labels next to each other need at least.
const LABEL: f64 = 0.23;

/// From times, in seconds, to places on an axis that reaches from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Axis {
    Linear { end: f64 },
    Logarithmic { start: f64, end: f64 },
}

impl Axis {
    /// The axis for curves that have their first and last step at these times.
    pub(crate) fn covering(curves: impl Iterator<Item = (Duration, Duration)> + Clone) -> Self {
        let firsts = curves.clone().map(|(first, _)| first.as_secs_f64());
        let lasts = curves.map(|(_, last)| last.as_secs_f64().max(SHORTEST));
        let slowest = lasts.clone().fold(SHORTEST, f64::max);
        let fastest = lasts.fold(slowest, f64::min);
        if slowest <= fastest * FAR_APART {
            return Self::Linear { end: slowest * ROOM };
        }
        let start = firsts.fold(fastest, f64::min).max(fastest / HEAD_START);
        let start = round_down(start.max(SHORTEST));
        Self::Logarithmic { start, end: slowest * (slowest / start).powf(ROOM - 1.0) }
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        matches!(self, Self::Logarithmic { .. })
    }

    /// Where a time lies, from 0 to 1. A time that is too early lies at the beginning.
    pub(crate) fn place(&self, time: Duration) -> f64 {
        self.place_of(time.as_secs_f64())
    }

    /// Places and texts of the labels below the axis.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Linear { end } => {
                let step = linear_step(end);
                // Few, since `linear_step` is a good part of the end.
                (0..)
                    .map(|index| f64::from(index) * step)
                    .take_while(|&tick| tick <= end)
                    .map(|tick| (self.place_of(tick), label(tick, step)))
                    .collect()
            }
            Self::Logarithmic { start, end } => {
                let mut ticks = logarithmic_ticks(start, end);
                if ticks.first().is_none_or(|&first| self.place_of(first) > LABEL) {
                    ticks.insert(0, start);
                }
                ticks.into_iter().map(|tick| (self.place_of(tick), label(tick, tick))).collect()
            }
        }
    }

    fn place_of(&self, seconds: f64) -> f64 {
        let place = match *self {
            Self::Linear { end } => seconds / end,
            Self::Logarithmic { start, end } => {
                (seconds.max(start) / start).ln() / (end / start).ln()
            }
        };
        place.clamp(0.0, 1.0)
    }
}

/// The largest of 1, 2, 5, 10, 20, 50 … that is not above `value`.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|step| step * decade);
    steps.into_iter().find(|&step| step <= value).unwrap_or(decade)
}

/// The smallest round step that leaves room for the labels.
fn linear_step(end: f64) -> f64 {
    let decade = 10_f64.powf(end.log10().floor() - 1.0);
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].map(|step| step * decade);
    steps.into_iter().find(|&step| step / end > LABEL).unwrap_or(end)
}

/// The densest row of round times that is not too dense.
fn logarithmic_ticks(start: f64, end: f64) -> Vec<f64> {
    let rows: [(&[f64], i32); 5] =
        [(&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3)];
    // The start is round, and may be a tick in spite of the last binary digit.
    let range = start * (1.0 - f64::EPSILON * 4.0)..=end;
    let decades = start.log10().floor() as i32..=end.log10().ceil() as i32;
    let row = |(steps, stride): (&[f64], i32)| -> Vec<f64> {
        let decades = decades.clone().filter(|decade| decade % stride == 0);
        let ticks =
            decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        ticks.filter(|tick| range.contains(tick)).collect()
    };
    rows.into_iter().map(row).find(|ticks| ticks.len() <= MOST_TICKS).unwrap_or_default()
}

/// A time with the unit that suits times of the size of `like`: `20 ms`, `0.1 s`.
fn label(seconds: f64, like: f64) -> String {
    let (scale, unit) = match like {
        _ if like > 0.099 => (1.0, "s"),
        _ if like > 0.000_099 => (1e3, "ms"),
        _ => (1e6, "us"),
    };
    // Three digits behind the point are more than a round time has.
    format!("{} {unit}", (seconds * scale * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(curves: &[(f64, f64)]) -> Axis {
        let time = Duration::from_secs_f64;
        Axis::covering(curves.iter().map(|&(first, last)| (time(first), time(last))))
    }

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn near_times_are_linear_and_times_far_apart_are_not() {
        assert!(!axis(&[(0.1, 0.2), (0.1, 1.9)]).is_logarithmic());
        assert!(axis(&[(0.1, 0.2), (0.1, 2.1)]).is_logarithmic());
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_steps() {
        assert_eq!(labels(axis(&[(0.1, 4.0)])), ["0 s", "1 s", "2 s", "3 s", "4 s"]);
        assert_eq!(labels(axis(&[(0.0, 0.1)])), ["0 ms", "50 ms", "100 ms"]);
        assert_eq!(labels(axis(&[(0.0, 0.43)])), ["0 s", "0.2 s", "0.4 s"]);
        assert_eq!(labels(axis(&[(0.0, 0.000_05)])), ["0 us", "20 us", "40 us"]);
    }

    #[test]
    fn a_logarithmic_axis_has_its_ticks_at_decades_or_between() {
        assert_eq!(labels(axis(&[(0.001, 0.02), (0.02, 7.0)])), ["1 ms", "10 ms", "0.1 s", "1 s"]);
        let ticks = labels(axis(&[(0.02, 0.021), (0.02, 4.2)]));
        assert_eq!(ticks, ["30 ms", "0.1 s", "0.3 s", "1 s", "3 s"]);
        assert_eq!(
            labels(axis(&[(0.0, 0.000_002), (0.0, 90.0)])),
            ["1 us", "0.1 ms", "10 ms", "1 s", "100 s"]
        );
    }

    #[test]
    fn places_of_ticks_rise_from_0_to_1() {
        for last in [1e-6, 0.003, 0.7, 4.0, 59.0, 4_000.0] {
            for axis in [axis(&[(0.0, last)]), axis(&[(0.0, last), (last, last * 30.0)])] {
                let places: Vec<f64> = axis.ticks().into_iter().map(|(place, _)| place).collect();
                assert!((2..=MOST_TICKS).contains(&places.len()), "{axis:?}: {places:?}");
                assert!(places.is_sorted_by(|a, b| a < b), "{axis:?}: {places:?}");
                assert!(places.iter().all(|place| (0.0..=1.0).contains(place)), "{places:?}");
            }
        }
    }

    #[test]
    fn no_time_is_outside() {
        for axis in [axis(&[]), axis(&[(0.0, 0.0)]), axis(&[(0.0, 0.0), (0.0, 1.0)])] {
            for seconds in [0, 1, 1_000_000] {
                let place = axis.place(Duration::from_secs(seconds));
                assert!((0.0..=1.0).contains(&place), "{axis:?}: {place}");
            }
            assert!(axis.place(Duration::ZERO) < 1e-9, "{axis:?}");
        }
    }
}
