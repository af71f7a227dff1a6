//! A protocol that writes down what it is told.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use crocus::{ConnectionId, Protocol, Reason, TimerId, Transport};

use super::{Log, message, tag};

type Then = Box<dyn FnMut(&mut Transport)>;
type ThenData = Box<dyn FnMut(&mut Transport, &[u8])>;

/// Writes down what it is told, does what it was set up to do, and checks that the calls come in
/// the order the contract allows.
///
/// Lines: `a made`, `a data …`, `a eof`, `a pause`, `a resume`, `a timer`, `a timed out`,
/// `a shutting down`, `a lost Closed`, with the name given in place of `a`. `data` is written only if asked for by
/// [`Recorder::with_data`].
///
/// A panic in one of its functions is a violation too, since the reactor would catch it. The exception
/// is a panic with `on purpose` in its message.
pub struct Recorder {
    log: Log,
    name: String,
    record_data: bool,
    made: Option<Then>,
    data: Option<ThenData>,
    eof: Option<Then>,
    pause: Option<Then>,
    resume: Option<Then>,
    timer: Option<Box<dyn FnMut(&mut Transport, TimerId)>>,
    timed_out: Option<Then>,
    shutting_down: Option<Then>,
    lost: Option<Box<dyn FnMut(&mut Transport, &Reason)>>,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct State {
    made: bool,
    eof: bool,
    paused: bool,
    shutting_down: bool,
    /// A command was given after which only the loss may follow.
    closing: bool,
    /// Another protocol takes over, unless the loss comes first.
    replaced: bool,
    id: Option<ConnectionId>,
    lost: bool,
    inside: bool,
}

impl Recorder {
    pub fn new(log: &Log, name: &str) -> Self {
        Self {
            log: log.clone(),
            name: name.to_owned(),
            record_data: false,
            made: None,
            data: None,
            eof: None,
            pause: None,
            resume: None,
            timer: None,
            timed_out: None,
            shutting_down: None,
            lost: None,
            state: Rc::default(),
        }
    }

    /// The log that it writes into, for what `set_up` of [`World::served`](super::World::served) makes.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    pub fn with_data(mut self) -> Self {
        self.record_data = true;
        self
    }

    pub fn on_made(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.made = Some(Box::new(then));
        self
    }

    pub fn on_data(mut self, then: impl FnMut(&mut Transport, &[u8]) + 'static) -> Self {
        self.data = Some(Box::new(then));
        self
    }

    /// Writes what it is sent.
    pub fn echoing(self) -> Self {
        self.on_data(|transport, data| {
            transport.write(data);
        })
    }

    /// In place of the default, which closes.
    pub fn on_eof(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.eof = Some(Box::new(then));
        self
    }

    /// In place of the default, which pauses reading.
    pub fn on_pause(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.pause = Some(Box::new(then));
        self
    }

    /// In place of the default, which resumes reading.
    pub fn on_resume(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.resume = Some(Box::new(then));
        self
    }

    pub fn on_timer(mut self, then: impl FnMut(&mut Transport, TimerId) + 'static) -> Self {
        self.timer = Some(Box::new(then));
        self
    }

    /// In place of the default, which closes.
    pub fn on_timed_out(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.timed_out = Some(Box::new(then));
        self
    }

    /// In place of the default, which closes. It is written down then.
    pub fn on_shutting_down(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.shutting_down = Some(Box::new(then));
        self
    }

    pub fn on_lost(mut self, then: impl FnMut(&mut Transport, &Reason) + 'static) -> Self {
        self.lost = Some(Box::new(then));
        self
    }

    /// Checks a call against the contract, writes it down, and does what was set up.
    fn told(
        &mut self,
        what: &str,
        transport: &mut Transport,
        then: impl FnOnce(&mut Self, &mut Transport),
    ) {
        let mut state = self.state.get();
        if state.id.is_none() {
            state.id = Some(transport.id());
            self.log.taken_over(transport.id());
        }
        state.replaced = self.is_replaced(&state);
        let legal = match what {
            "lost" => state.made,
            _ if state.replaced => false,
            "made" => !state.made,
            "pause" => state.made && !state.paused && !state.closing,
            "resume" => state.made && state.paused && !state.closing,
            "data" | "eof" => state.made && !state.eof && !state.closing,
            "shutting down" => state.made && !state.shutting_down && !state.closing,
            _ => state.made && !state.closing,
        };
        if !legal || state.lost || state.inside {
            self.log.violation(format!("{} was told {what} in {state:?}", self.name));
        }
        match what {
            "made" => state.made = true,
            "pause" => state.paused = true,
            "resume" => state.paused = false,
            "eof" => state.eof = true,
            "shutting down" => state.shutting_down = true,
            "lost" => state.lost = true,
            _ => {}
        }
        self.state.set(State { inside: true, ..state });
        let result = catch_unwind(AssertUnwindSafe(|| then(self, transport)));
        let closing = transport.is_closing() || result.is_err();
        self.state.set(State { closing, replaced: self.is_replaced(&state), ..state });
        if let Err(payload) = result {
            let message = message(payload.as_ref());
            if !message.contains("on purpose") {
                self.log.violation(format!("{} panicked, told {what}: {message}", self.name));
            }
            resume_unwind(payload);
        }
    }

    fn is_replaced(&self, state: &State) -> bool {
        state.replaced || state.id.is_some_and(|id| self.log.is_handed_over(id))
    }

    fn line(&self, what: &str) {
        self.log.push(format!("{} {what}", self.name));
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.told("made", transport, |me, transport| {
            me.line("made");
            if let Some(then) = &mut me.made {
                then(transport);
            }
        });
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.told("data", transport, |me, transport| {
            if data.is_empty() {
                me.log.violation(format!("{} was given no data", me.name));
            }
            if me.record_data {
                me.log.extend(&format!("{} data ", me.name), data);
            }
            if let Some(then) = &mut me.data {
                then(transport, data);
            }
        });
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.told("eof", transport, |me, transport| {
            me.line("eof");
            match &mut me.eof {
                Some(then) => then(transport),
                None => transport.lose_connection(),
            }
        });
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.told("pause", transport, |me, transport| {
            me.line("pause");
            match &mut me.pause {
                Some(then) => then(transport),
                None => transport.pause_reading(),
            }
        });
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.told("resume", transport, |me, transport| {
            me.line("resume");
            match &mut me.resume {
                Some(then) => then(transport),
                None => transport.resume_reading(),
            }
        });
    }

    fn timer_fired(&mut self, transport: &mut Transport, timer: TimerId) {
        self.told("timer", transport, |me, transport| {
            me.line("timer");
            if let Some(then) = &mut me.timer {
                then(transport, timer);
            }
        });
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.told("timed out", transport, |me, transport| {
            me.line("timed out");
            match &mut me.timed_out {
                Some(then) => then(transport),
                None => transport.lose_connection(),
            }
        });
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        self.told("shutting down", transport, |me, transport| match &mut me.shutting_down {
            Some(then) => {
                me.log.push(format!("{} shutting down", me.name));
                then(transport);
            }
            None => transport.default_shutting_down(),
        });
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        self.told("lost", transport, |me, transport| {
            me.line(&format!("lost {}", tag(reason)));
            if let Some(then) = &mut me.lost {
                then(transport, reason);
            }
        });
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let state = self.state.get();
        let replaced = self.is_replaced(&state);
        if replaced && !state.lost {
            self.line("replaced");
        }
        if state.made && !state.lost && !replaced && !std::thread::panicking() {
            self.log.violation(format!("{} was dropped without its loss being told", self.name));
        }
    }
}
