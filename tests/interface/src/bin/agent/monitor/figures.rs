//! All that the agent knows, in bounded memory.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crocus::ConnectionId;

/// How many counters, and how many gauges, there may be.
const MAX_NAMES: usize = 1000;
/// How long a name may be.
const MAX_NAME: usize = 100;

/// The outcome of a poll: the status of the answer, or the reason why there is none.
pub(crate) type Outcome = Result<u16, String>;

/// One target and its last poll.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub name: String,
    /// When the poll that is under way began.
    pub polling_since: Option<Instant>,
    /// The control connections that wait for its outcome.
    pub waiting: Vec<ConnectionId>,
    last: Option<(Outcome, Duration)>,
    polls: u64,
    failures: u64,
}

impl Target {
    /// Notes what came of the poll, and how long it took.
    pub(crate) fn note(&mut self, outcome: Outcome, latency: Duration) {
        self.polls += 1;
        self.failures += u64::from(outcome.is_err());
        self.last = Some((outcome, latency));
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "target {} polls={} failures={}", self.name, self.polls, self.failures)?;
        match &self.last {
            None => f.write_str(" not polled yet"),
            Some((outcome, latency)) => {
                write!(f, " latency_ms={:.3}", latency.as_secs_f64() * 1000.0)?;
                match outcome {
                    Ok(status) => write!(f, " status={status}"),
                    Err(error) => write!(f, " error={error}"),
                }
            }
        }
    }
}

/// The figures. Their text is what `status` shows and what the collector gets.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub targets: Vec<Target>,
    counters: BTreeMap<String, f64>,
    gauges: BTreeMap<String, f64>,
    load: Option<String>,
    malformed: u64,
    no_room: u64,
    pub reports: u64,
    pub reports_dropped: u64,
}

impl Figures {
    pub(crate) fn new(targets: &[String]) -> Self {
        let target = |name: &String| Target { name: name.clone(), ..Target::default() };
        Self { targets: targets.iter().map(target).collect(), ..Self::default() }
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.targets.iter().any(|target| target.polling_since.is_some())
    }

    pub(crate) fn set_load(&mut self, load: String) {
        self.load = Some(load);
    }

    /// Begins anew. Polls that are under way go on.
    pub(crate) fn reset(&mut self) {
        let targets = std::mem::take(&mut self.targets).into_iter().map(|target| Target {
            last: None,
            polls: 0,
            failures: 0,
            ..target
        });
        *self = Self { targets: targets.collect(), ..Self::default() };
    }

    /// Takes the samples of a datagram: one, or several on lines of their own.
    pub(crate) fn take_datagram(&mut self, data: &[u8]) {
        for line in data.strip_suffix(b"\n").unwrap_or(data).split(|&byte| byte == b'\n') {
            match Sample::parse(line) {
                Some(sample) => self.take(sample),
                None => self.malformed += 1,
            }
        }
    }

    fn take(&mut self, sample: Sample) {
        let (figures, name) = match sample.kind {
            Kind::Counter => (&mut self.counters, sample.name),
            Kind::Gauge { .. } => (&mut self.gauges, sample.name),
        };
        if !figures.contains_key(name) && figures.len() >= MAX_NAMES {
            self.no_room += 1;
            return;
        }
        let figure = figures.entry(name.to_owned()).or_default();
        let start = if sample.kind == (Kind::Gauge { relative: false }) { 0.0 } else { *figure };
        *figure = (start + sample.value).clamp(f64::MIN, f64::MAX);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for target in &self.targets {
            writeln!(f, "{target}")?;
        }
        for (name, value) in &self.counters {
            writeln!(f, "counter {name} {value}")?;
        }
        for (name, value) in &self.gauges {
            writeln!(f, "gauge {name} {value}")?;
        }
        if let Some(load) = &self.load {
            writeln!(f, "load {load}")?;
        }
        writeln!(f, "statsd malformed={} no_room={}", self.malformed, self.no_room)?;
        writeln!(f, "reports sent={} dropped={}", self.reports, self.reports_dropped)
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Counter,
    Gauge { relative: bool },
}

/// One line of statsd: `name:value|c|@rate` or `name:value|g`.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    value: f64,
    kind: Kind,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (name, rest) = str::from_utf8(line).ok()?.split_once(':')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
            return None;
        }
        let mut parts = rest.split('|');
        let (number, kind, rate) = (parts.next()?, parts.next()?, parts.next());
        let value = number.parse().ok().filter(|value: &f64| value.is_finite())?;
        let rate = match rate {
            None => 1.0,
            Some(rate) => rate.strip_prefix('@')?.parse().ok()?,
        };
        if parts.next().is_some() || !(rate > 0.0 && rate <= 1.0) {
            return None;
        }
        let (kind, value) = match kind {
            "c" => (Kind::Counter, value / rate),
            "g" => (Kind::Gauge { relative: number.starts_with(['+', '-']) }, value),
            _ => return None,
        };
        value.is_finite().then_some(Self { name, value, kind })
    }
}
