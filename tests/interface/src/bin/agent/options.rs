//! The command line.

use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::monitor::{INTERVALS, MAX_TARGETS, Settings};

const HELP: &str = "\
usage: agent --statsd HOST:PORT --control PATH [options]

  --statsd HOST:PORT     take statsd datagrams here; port 0 lets the system choose
  --control PATH         obey the lines that come in at this Unix socket
  --poll HOST:PORT       ask this target for /health; may be given up to 100 times
  --collector HOST:PORT  send the reports there
  --interval MS          poll and report so often (default: 10000)
  --timeout MS           how long a poll may take (default: 2000)";

/// Reads the command line; `None` if it asks for help, which is printed.
pub(crate) fn read() -> Result<Option<Settings>, Box<dyn Error>> {
    let (mut statsd, mut control) = (None, None);
    let mut settings = Settings::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("statsd") => statsd = Some(parser.value()?.string()?),
            Long("control") => control = Some(parser.value()?.into()),
            Long("poll") => settings.targets.push(parser.value()?.string()?),
            Long("collector") => settings.collector = Some(parser.value()?.string()?),
            Long("interval") => settings.interval = milliseconds(&parser.value()?.string()?)?,
            Long("timeout") => settings.timeout = milliseconds(&parser.value()?.string()?)?,
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if settings.targets.len() > MAX_TARGETS {
        return Err(format!("more than {MAX_TARGETS} targets").into());
    }
    settings.statsd = statsd.ok_or("--statsd is missing")?;
    settings.control = control.ok_or("--control is missing")?;
    Ok(Some(settings))
}

fn milliseconds(text: &str) -> Result<Duration, Box<dyn Error>> {
    let number = u64::from_str(text).map_err(|error| format!("{text:?}: {error}"))?;
    match INTERVALS.contains(&number) {
        true => Ok(Duration::from_millis(number)),
        false => Err(format!("{number} is not in {INTERVALS:?}").into()),
    }
}
