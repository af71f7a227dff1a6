//! A monitoring agent: it polls targets, takes statsd datagrams, and reports to a collector.
//!
//! ```console
//! $ agent --statsd 127.0.0.1:8125 --control /tmp/agent.sock --poll 127.0.0.1:80 --collector 127.0.0.1:9000
//! listening on 127.0.0.1:8125
//! listening on unix:/tmp/agent.sock
//! $ echo status | nc -N -U /tmp/agent.sock
//! ```

mod monitor;
mod options;

use std::io::{self, Write};
use std::process::ExitCode;

use crocus::{Ended, Reactor};
use monitor::Settings;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let settings = match options::read() {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS, // the help was asked for
        Err(error) => {
            eprintln!("agent: {error}");
            return ExitCode::from(2);
        }
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.drain_on_signals(settings.grace())?;
    let places = monitor::start(&mut reactor, settings)?;
    monitor::watch_load(&mut reactor, "/proc/loadavg".into())?;
    let mut output = io::stdout().lock();
    writeln!(output, "listening on {}", places.statsd)?;
    writeln!(output, "listening on {}", places.control)?;
    drop(output);
    reactor.run()?;
    match reactor.ended() {
        Some(Ended::ShutDown) => Ok(()),
        other => Err(io::Error::other(format!("the end was not orderly: {other:?}"))),
    }
}
