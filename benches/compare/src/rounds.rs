//! The rounds of one workload: all servers in turn, again and again, so that what changes on the
//! machine changes for all of them.

mod one;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figures::{Mark, Round, Trial};
use crate::load::{Load, Plan};
use crate::machine;
use crate::options::Options;
use crate::peers::{Peer, Started, Task};
use crate::service::ON_CORES;
use crate::session::{Session, server_cores};
use crate::sys;
use crate::workloads::{Kind, Workload};
use one::{failures, latency, lonely_round, our_round, redis_round};

/// The number of rounds in which latency is measured, unless it is what the workload is for.
const PACED_ROUNDS: usize = 3;

/// Latency is measured at this share of the baseline's own pace: well below where queues grow, and
/// the same rate for all.
const PACED_SHARE: f64 = 0.4;

/// A round is marked if others use more than this, in per cent of two cores.
const BUSY_PERCENT: f64 = 10.0;

/// A server is behind if it takes more than the planned time multiplied by the first number, plus the
/// second in seconds.
const BEHIND: (f64, f64) = (1.05, 0.01);

/// For how long a server that has just been started is asked before it is measured, as a share of a round.
const AWAKE: f64 = 0.25;

/// The reason for leaving out a server that does not have the service.
pub const LACKING: &str = "does not have it";

/// A server that measures itself for longer than this does it once.
const LONG: Duration = Duration::from_secs(10);

/// Measures a workload at all peers that have its service.
pub fn measure(workload: &Workload, peers: &[Peer], options: &Options, root: &Path) -> Vec<Trial> {
    let peers = peers.iter().filter(|peer| peer.serves(workload.service));
    let mut entrants: Vec<Entrant> = peers.map(|peer| Entrant::new(workload, peer, root)).collect();
    let mut rate = None;
    for entrant in &mut entrants {
        let pace = entrant.warm_up(options);
        if entrant.trial.server == workload.baseline {
            rate = pace.map(|pace| pace * PACED_SHARE).filter(|rate| rate.is_normal());
        }
    }
    for _ in 0..options.rounds {
        for entrant in &mut entrants {
            entrant.play(options);
        }
    }
    if let Some(rate) = rate {
        let paced = if workload.is_for_latency() { usize::MAX } else { PACED_ROUNDS };
        for index in 0..paced.min(options.rounds) {
            for entrant in &mut entrants {
                entrant.pace(index, rate, options);
            }
        }
    }
    entrants.into_iter().map(|entrant| entrant.trial).collect()
}

/// A peer that takes part.
struct Entrant<'a> {
    peer: &'a Peer,
    workload: &'a Workload,
    task: Task,
    play: Option<Play>,
    /// Failures of the round that does not count; reported with the first round that does.
    failures: Vec<Mark>,
    trial: Trial,
}

/// The processes that take part.
enum Play {
    Ours(Session, Plan),
    Redis(Started),
    Alone,
    /// To be started for each round anew.
    Resting,
}

impl<'a> Entrant<'a> {
    fn new(workload: &'a Workload, peer: &'a Peer, root: &Path) -> Self {
        let task = task(workload, root);
        let trial = Trial {
            server: peer.name.clone(),
            left_out: workload.leaves_out(&peer.name).map(str::to_owned),
            rounds: Vec::new(),
            calls: None,
            instructions: None,
            memory: None,
        };
        let mut entrant = Self { peer, workload, task, play: None, failures: Vec::new(), trial };
        if entrant.trial.left_out.is_none() {
            match entrant.enter() {
                Ok(play) => entrant.play = Some(play),
                Err(error) => entrant.drop_out(&error),
            }
        }
        entrant
    }

    fn enter(&mut self) -> io::Result<Play> {
        match &self.workload.kind {
            Kind::Loop(_) if self.workload.starts_anew() => Ok(Play::Resting),
            Kind::Loop(load) => self.open(load, Plan::Seconds(0.0)),
            Kind::Stampede(load) => self.open(load, Plan::Once),
            Kind::Redis { .. } => self.peer.start(&self.task).map(Play::Redis),
            Kind::Alone { .. } => Ok(Play::Alone),
        }
    }

    fn open(&mut self, load: &Load, plan: Plan) -> io::Result<Play> {
        let session = Session::open(self.peer, &self.task, load)?;
        self.trial.memory = session.memory;
        Ok(Play::Ours(session, plan))
    }

    /// Starts a server that is started for each round, and has it answer for a while.
    fn wake(&mut self, options: &Options) -> io::Result<()> {
        let (Some(Play::Resting), Kind::Loop(load)) = (&self.play, &self.workload.kind) else {
            return Ok(());
        };
        let mut session = Session::open(self.peer, &self.task, load)?;
        let plan = Plan::Seconds(options.seconds * AWAKE);
        session.run(plan)?;
        self.play = Some(Play::Ours(session, plan));
        Ok(())
    }

    /// Ends it again.
    fn rest(&mut self) {
        if self.play.is_some() && self.workload.starts_anew() {
            self.play = Some(Play::Resting);
        }
    }

    /// Takes it out because it cannot go on; the rounds that it has finished count.
    fn drop_out(&mut self, error: &io::Error) {
        self.play = None;
        let why = match error.kind() {
            io::ErrorKind::Unsupported => LACKING.to_owned(),
            _ => error.to_string(),
        };
        if why != LACKING {
            eprintln!("  {}: {why}", self.trial.server);
        }
        self.trial.left_out = Some(why);
    }

    /// A round that does not count; returns its operations per second.
    fn warm_up(&mut self, options: &Options) -> Option<f64> {
        if matches!(self.play, Some(Play::Alone) | None) {
            return None;
        }
        match self.round(options) {
            Ok(round) => {
                let is_failure = |mark: &Mark| matches!(mark, Mark::Failed { .. });
                self.failures.extend(round.marks.into_iter().filter(is_failure));
                Some(round.operations as f64 / round.seconds)
            }
            Err(error) => {
                self.drop_out(&error);
                None
            }
        }
    }

    fn play(&mut self, options: &Options) {
        let began = Instant::now();
        if self.play.is_none() {
            return;
        }
        match self.round(options) {
            Ok(mut round) => {
                round.marks.append(&mut self.failures);
                self.trial.rounds.push(round);
            }
            Err(error) => return self.drop_out(&error),
        }
        if matches!(self.play, Some(Play::Alone)) && began.elapsed() > LONG {
            self.play = None;
        }
    }

    fn round(&mut self, options: &Options) -> io::Result<Round> {
        self.wake(options)?;
        let (began, busy) = (Instant::now(), machine::busy_seconds());
        let (mut round, own) = self.round_and_cpu(options)?;
        let others = machine::busy_seconds() - busy - own;
        let percent = others / (2.0 * began.elapsed().as_secs_f64()) * 100.0;
        if percent > BUSY_PERCENT {
            round.marks.push(Mark::Busy { percent: percent as u32 });
        }
        self.rest();
        Ok(round)
    }

    /// Also how many seconds of CPU time the server and its clients took.
    fn round_and_cpu(&mut self, options: &Options) -> io::Result<(Round, f64)> {
        match (&mut self.play, &self.workload.kind) {
            (Some(Play::Ours(session, plan)), _) => {
                let plan = if *plan == Plan::Once { *plan } else { Plan::Seconds(options.seconds) };
                let (outcome, cpu, load) = session.run(plan)?;
                let round = our_round(&outcome, cpu, plan);
                let round = round.map_err(|error| session.with_last_words(&error))?;
                Ok((round, load + cpu * 1e-9))
            }
            (Some(Play::Redis(server)), &Kind::Redis { command, pipeline }) => {
                redis_round(server, command, pipeline, options)
            }
            (Some(Play::Alone), _) => {
                let own = sys::children_cpu_time();
                let round = lonely_round(self.peer, &self.task)?;
                Ok((round, (sys::children_cpu_time() - own).as_secs_f64()))
            }
            _ => Err(io::Error::other("it does not take part")),
        }
    }

    /// Latency at a rate, for the round of that index.
    fn pace(&mut self, index: usize, rate: f64, options: &Options) {
        if index >= self.trial.rounds.len() {
            return;
        }
        if let Err(error) = self.wake(options) {
            return self.drop_out(&error);
        }
        let Some(Play::Ours(session, plan)) = &mut self.play else { return };
        let stream = matches!(self.workload.kind, Kind::Loop(Load::Download { .. } | Load::Flood));
        if *plan == Plan::Once || stream {
            return;
        }
        // The pace is that of whole groups of operations, where some are done together.
        let together = together(&self.workload.kind);
        let plan = Plan::Paced { rate: rate / together, seconds: options.seconds };
        let round = &mut self.trial.rounds[index];
        match session.run(plan) {
            Ok((outcome, ..)) => {
                round.latency = latency(&outcome, rate);
                round.marks.extend(failures(&outcome));
                if outcome.seconds > options.seconds * BEHIND.0 + BEHIND.1 {
                    round.marks.push(Mark::Behind);
                }
            }
            Err(error) => self.drop_out(&error),
        }
        self.rest();
    }
}

/// The task that a server is started for.
pub fn task(workload: &Workload, root: &Path) -> Task {
    let service = workload.service.to_owned();
    let everywhere = service == "calls" || service.starts_with(ON_CORES);
    let cores = if everywhere { Vec::new() } else { server_cores() };
    let root = Some(root.to_owned());
    Task { service, count: workload.count(), root, cores, wrapper: Vec::new() }
}

/// How many operations are begun and ended together.
fn together(kind: &Kind) -> f64 {
    match kind {
        Kind::Loop(Load::Exchange { pipeline, .. }) => *pipeline as f64,
        Kind::Loop(Load::Group { members }) => *members as f64,
        _ => 1.0,
    }
}
