//! A thread that reads what may block, here the load of the machine.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fs, io, thread};

use crocus::{Handle, Reactor};

use super::OnLoop;

/// No file of figures is longer than this.
const MAX_TEXT: usize = 100;

/// Starts the thread. It ends when the reactor shuts down or stops.
pub(crate) fn watch_load(reactor: &mut Reactor, path: PathBuf) -> io::Result<()> {
    let handle = reactor.handle().named("load");
    let (end, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("load".to_owned()).spawn(move || watch(&handle, &path, &ended))?;
    reactor.on_stop(move |_reactor| drop(end));
    Ok(())
}

fn watch(handle: &Handle, path: &Path, ended: &Receiver<()>) {
    loop {
        match fs::read_to_string(path) {
            Ok(text) => hand_in(handle, text),
            Err(error) => log::warn!("{}: {error}", path.display()),
        }
        // The interval may have been changed by the control, so the thread asks for it each time.
        let Ok(Some(interval)) = handle.ask(interval).wait() else { return };
        if ended.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn hand_in(handle: &Handle, text: String) {
    let text: String = text.lines().next().unwrap_or_default().chars().take(MAX_TEXT).collect();
    handle.call_from_thread(move |reactor| {
        if let Some(OnLoop(agent)) = reactor.state() {
            agent.borrow_mut().figures.set_load(text);
        }
    });
}

fn interval(reactor: &mut Reactor) -> Option<Duration> {
    let OnLoop(agent) = reactor.state()?;
    Some(agent.borrow().settings.interval)
}
