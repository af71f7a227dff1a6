//! Moments as numbers, for timers.
//!
//! An [`Instant`] takes sixteen bytes, and to compare two takes two comparisons. Timers are many, and waiting for
//! memory is most of what one costs. So a moment is the number of nanoseconds since an origin, in eight bytes. These end
//! after 584 years, but a timer may be set for longer. So a moment more than a century from the origin has two
//! parts: its *rank* counts units of four seconds, and the *rest* the nanoseconds in the unit.
//!
//! ```text
//!   rank   0 ...     | 2^62 ...                2^63 ...             | 3 * 2^62 ...
//!          far past  |         nanoseconds     origin               | far future
//! ```
//!
//! Ranks have the order of their moments. Two far moments may have one rank, and then the rests decide.

use std::time::{Duration, Instant};

/// So many seconds before and after the origin have a rank for each nanosecond: 126 years. It is below 2⁶² ns.
const NEAR: u64 = 4_000_000_000;

/// The rank of the origin.
const ORIGIN: u64 = 1 << 63;

/// Lower ranks are of the far past.
const NEAR_FROM: u64 = 1 << 62;

/// The first rank of the far future.
const FUTURE: u64 = 3 << 62;

/// Two bits of the seconds are in the rest of a far moment: then all seconds of an `Instant` have a rank, and the
/// rest has 32 bits.
const UNIT_BITS: u32 = 2;
const UNIT: u64 = 1 << UNIT_BITS;

const SECOND: u64 = 1_000_000_000;

/// No moment has this rank, nor the one before: they are between the near and the far future.
pub(crate) const NO_RANK: u64 = FUTURE - 1;

/// A moment. Twelve bytes, so that four more fit beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(Rust, packed(4))]
pub(crate) struct Moment {
    rank: u64,
    rest: u32,
}

impl Moment {
    /// The first with this rank.
    pub(crate) fn of_rank(rank: u64) -> Self {
        Self { rank, rest: 0 }
    }

    #[inline]
    pub(crate) fn rank(self) -> u64 {
        self.rank
    }

    /// The part that tells moments of one rank apart.
    pub(crate) fn rest(self) -> u32 {
        self.rest
    }
}

/// Whether no two moments have this rank.
#[inline]
pub(crate) fn is_near(rank: u64) -> bool {
    (NEAR_FROM..FUTURE).contains(&rank)
}

/// The moment that others are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(Instant);

impl Origin {
    /// Any moment will do, if those that matter are near it.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(crate) fn moment(self, at: Instant) -> Moment {
        match at.checked_duration_since(self.0) {
            Some(ahead) if ahead.as_secs() < NEAR => {
                let nanos = ahead.as_secs() * SECOND + u64::from(ahead.subsec_nanos());
                Moment { rank: ORIGIN + nanos, rest: 0 }
            }
            ahead => self.rare(at, ahead),
        }
    }

    /// A moment before the origin, or of the far future.
    #[cold]
    fn rare(self, at: Instant, ahead: Option<Duration>) -> Moment {
        if let Some(ahead) = ahead {
            let (units, rest) = units(ahead);
            return Moment { rank: FUTURE + units, rest: rest as u32 };
        }
        let ago = self.0.saturating_duration_since(at);
        if ago.as_secs() < NEAR {
            let nanos = ago.as_secs() * SECOND + u64::from(ago.subsec_nanos());
            return Moment { rank: ORIGIN - nanos, rest: 0 };
        }
        match units(ago) {
            (units, 0) => Moment { rank: NEAR_FROM - units, rest: 0 },
            (units, rest) => {
                Moment { rank: NEAR_FROM - units - 1, rest: (UNIT * SECOND - rest) as u32 }
            }
        }
    }

    pub(crate) fn instant(self, Moment { rank, rest }: Moment) -> Instant {
        let rest = Duration::from_nanos(rest.into());
        let units = |count: u64| Duration::from_secs(count.saturating_mul(UNIT));
        let instant = match rank {
            ..NEAR_FROM => self.0.checked_sub(units(NEAR_FROM - rank).saturating_sub(rest)),
            NEAR_FROM..ORIGIN => self.0.checked_sub(Duration::from_nanos(ORIGIN - rank)),
            ORIGIN..FUTURE => self.0.checked_add(Duration::from_nanos(rank - ORIGIN)),
            FUTURE.. => self.0.checked_add(units(rank - FUTURE).saturating_add(rest)),
        };
        instant.unwrap_or(self.0) // not reached: it was made from an `Instant`
    }
}

/// A duration in whole units, and the nanoseconds that are left: fewer than 2³².
fn units(duration: Duration) -> (u64, u64) {
    let seconds = duration.as_secs();
    let rest = (seconds % UNIT) * SECOND + u64::from(duration.subsec_nanos());
    (seconds >> UNIT_BITS, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    /// In order.
    fn instants(origin: Instant) -> Vec<Instant> {
        let spans = [0, 1, 100, 126, 127, 300, 10_000, 10_000_000].map(|years| YEAR * years);
        let limit = Duration::from_secs(NEAR);
        let mut all = Vec::new();
        for span in spans.into_iter().chain([limit]) {
            for nanos in [0, 1, 999_999_999, 1_000_000_000, 3_999_999_999, 4_000_000_000] {
                let nanos = Duration::from_nanos(nanos);
                all.extend(origin.checked_add(span + nanos));
                all.extend(origin.checked_sub(span + nanos));
                all.extend((origin + span).checked_sub(nanos));
            }
        }
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn moments_have_the_order_of_their_instants() {
        let origin = Origin::now();
        let all = instants(origin.0);
        assert!(all.len() > 100, "{}", all.len());
        for pair in all.windows(2) {
            let [former, later] = [pair[0], pair[1]].map(|at| origin.moment(at));
            assert!(former < later, "{former:?} {later:?}");
            assert!(former.rank() <= later.rank());
            assert!(former.rank() < later.rank() || !is_near(former.rank()));
        }
    }

    #[test]
    fn a_moment_is_its_instant_exactly() {
        let origin = Origin::now();
        for at in instants(origin.0) {
            let moment = origin.moment(at);
            assert_eq!(origin.instant(moment), at, "{moment:?}");
            assert!(![NO_RANK, NO_RANK - 1].contains(&moment.rank()));
        }
    }

    #[test]
    fn a_moment_takes_twelve_bytes() {
        assert_eq!(size_of::<Moment>(), 12);
    }
}
