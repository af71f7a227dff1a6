//! Checks a trace: it is JSON, its slices nest, each beginning has its end; and counts what is in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use crocus::Stats;
use serde_json::Value;

/// A file in memory that the test shares.
#[derive(Clone, Default)]
pub struct Shared(Rc<RefCell<Vec<u8>>>);

impl Shared {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.borrow().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The facts that a trace has told so far.
#[derive(Default)]
struct Reader {
    /// The names of the slices that are open, in each row.
    rows: BTreeMap<String, Vec<String>>,
    arrows: BTreeMap<u64, u64>,
    last: u64,
    sums: Stats,
}

/// The sums of a trace, to be compared with [`crocus::Reactor::stats`]. All but the number of slow callbacks
/// is in a trace.
///
/// # Errors
///
/// If the trace is not as a viewer needs it.
pub fn sums_of_trace(trace: &[u8]) -> Result<Stats, String> {
    let events: Vec<Value> = serde_json::from_slice(trace).map_err(|error| error.to_string())?;
    let mut reader = Reader::default();
    for event in &events {
        reader.read(event).map_err(|fault| format!("{fault}: {event}"))?;
    }
    let open: Vec<_> = reader.rows.values().filter(|open| !open.is_empty()).collect();
    let is_whole = open.is_empty() && reader.arrows.is_empty();
    if is_whole { Ok(reader.sums) } else { Err(format!("no end of {open:?}, {:?}", reader.arrows)) }
}

impl Reader {
    fn read(&mut self, event: &Value) -> Result<(), String> {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let number = |key: &str| event["args"][key].as_u64().unwrap_or_default();
        let (name, category, ph) = (text("name"), text("cat"), text("ph"));
        let at = (event["ts"].as_f64().ok_or("no time")? * 1000.0).round() as u64;
        let row = match event["id"].as_str() {
            Some(id) => id.to_owned(),
            None => format!("row {}", event["tid"]),
        };
        match ph {
            "B" | "b" => self.begin(row.clone(), category, name, at)?,
            "E" | "e" => self.end(row.clone(), name, at)?,
            "n" if self.rows.get(&row).is_none_or(Vec::is_empty) => return Err("not open".into()),
            "s" => drop(self.arrows.insert(event["id"].as_u64().ok_or("no id")?, at)),
            "f" => {
                let from = self.arrows.remove(&event["id"].as_u64().ok_or("no id")?);
                let forward = from.is_some_and(|from| from <= at);
                forward.then_some(()).ok_or("an arrow without a beginning, or backwards")?;
            }
            "n" | "i" | "X" | "C" | "M" => {}
            other => return Err(format!("unknown kind {other}")),
        }
        // The functions to call at a stop are none that were queued.
        let stops = self.rows.get(&row).is_some_and(|open| open.iter().any(|it| it == "stop"));
        let sums = &mut self.sums;
        let origin = event["args"]["origin"].as_str().unwrap_or_default();
        let why = event["args"]["why"].as_str();
        match (ph, category, name) {
            ("B", "turn", _) => sums.turns += 1,
            ("B", "phase", "latch") => sums.events += number("events"),
            ("B", "callback", _) => {
                sums.callbacks += 1;
                sums.calls += u64::from(name == "a call" && !stops);
            }
            ("b", ..) if origin.starts_with("accepted") => sums.accepted += 1,
            ("b", ..) if origin.starts_with("made") => sums.connected += 1,
            ("e", ..) if why.is_some_and(|why| why != "the trace ends") => sums.closed += 1,
            ("n", _, "received") => sums.bytes_read += number("bytes"),
            ("n", _, "sent") => sums.bytes_written += number("bytes"),
            ("i", _, mark) => count_mark(sums, mark, number("bytes")),
            ("X", ..) => sums.wakes += 1,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, row: String, category: &str, name: &str, at: u64) -> Result<(), String> {
        self.pass(at)?;
        let open = self.rows.entry(row).or_default();
        let fits = match category {
            "turn" => open.is_empty(),
            "phase" => open.len() <= 1,
            "connection" => open.len() == usize::from(!name.starts_with("connection")),
            _ => true,
        };
        open.push(name.to_owned());
        fits.then_some(()).ok_or_else(|| format!("not inside of {open:?}"))
    }

    fn end(&mut self, row: String, name: &str, at: u64) -> Result<(), String> {
        self.pass(at)?;
        let begun = self.rows.entry(row).or_default().pop();
        (begun.as_deref() == Some(name))
            .then_some(())
            .ok_or_else(|| format!("the end of {begun:?}"))
    }

    fn pass(&mut self, at: u64) -> Result<(), String> {
        let before = std::mem::replace(&mut self.last, at);
        (before <= at).then_some(()).ok_or_else(|| "it goes back in time".to_owned())
    }
}

fn count_mark(sums: &mut Stats, mark: &str, bytes: u64) {
    match mark {
        "panic" => sums.panics += 1,
        "not connected" => sums.failed += 1,
        "turned away" => {
            sums.accepted += 1;
            sums.turned_away += 1;
        }
        "out of descriptors" | "not accepted" => sums.accept_errors += 1,
        "a timer fires" => sums.timers += 1,
        "datagram received" => {
            sums.datagrams_received += 1;
            sums.bytes_read += bytes;
        }
        "datagram sent" => {
            sums.datagrams_sent += 1;
            sums.bytes_written += bytes;
        }
        _ => {}
    }
}
