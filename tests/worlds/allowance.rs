//! The bytes that a rate allows, reckoned by the clock and not by turns.

use std::time::Instant;

/// The most bytes that may pass at a rate: the burst, and what each second adds, up to the burst again.
pub struct Allowance {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Begins with a full burst; but a rate that is set anew adds nothing to what is `former`ly left.
    pub fn set(former: Option<Self>, per_second: usize, burst: usize, at: Instant) -> Self {
        let (per_second, burst) = (per_second as f64, burst as f64);
        let left = former.map_or(burst, |mut former| {
            former.fill(at);
            former.left.min(burst)
        });
        Self { per_second, burst, left, at }
    }

    /// So many bytes pass; returns whether they may. A byte is forgiven, for rounding.
    pub fn take(&mut self, bytes: usize, at: Instant) -> bool {
        self.fill(at);
        self.left -= bytes as f64;
        self.left > -1.0
    }

    fn fill(&mut self, at: Instant) {
        let passed = at.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.burst);
        self.at = at;
    }
}
