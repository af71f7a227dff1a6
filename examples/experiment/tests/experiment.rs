//! The experiment, small: its figures add up, and it leaves nothing behind. No test asks how fast a
//! server is.
#![cfg(target_os = "linux")] // it looks into /proc
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "../../../tests/programs/child.rs"]
mod child;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use child::{Running, TIME_LIMIT, run, tool};
use serde_json::Value;

const SERVERS: [&str; 4] = ["blocking", "blocking-4096", "threads", "reactor"];

const CONSTRAINTS: [&str; 7] = [
    "calm",
    "stampede",
    "slow-source",
    "silent-client",
    "stalled-reader",
    "few-descriptors",
    "dribble",
];

/// Where a test's files go; removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("crocus-{name}-{}", std::process::id()));
        Self(folder)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.0.join("experiment.json")).unwrap()).unwrap()
    }

    fn svg(&self) -> String {
        fs::read_to_string(self.0.join("experiment.svg")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A seed that no other run has: the servers have it in their command lines, and can be found.
fn seed(number: u64) -> String {
    format!("{}00{number}", std::process::id())
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiment"));
    command.env_remove("RUST_LOG");
    command
}

fn experiment(folder: &Folder, seed: &str, args: &[&str]) -> Command {
    let mut command = program();
    command.args(["--seed", seed, "--out"]).arg(&folder.0).args(args);
    command
}

/// The processes that serve with this seed.
fn servers(seed: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = processes.filter(|process| {
        let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split('\0').any(|arg| arg == "serve") && line.split('\0').any(|arg| arg == seed)
    });
    ours.collect()
}

/// Waits until a condition holds that nothing announces.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + TIME_LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn number(value: &Value, field: &str) -> usize {
    usize::try_from(value[field].as_u64().unwrap_or_else(|| panic!("{field} of {value}"))).unwrap()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().unwrap()
}

/// Checks that every client is counted once, and that every answer is a different one.
fn check_trial(name: &str, trial: &Value) {
    let served = number(trial, "served");
    let fates = ["served", "refused", "reset", "timed_out", "wrong", "failed"];
    let sum: usize = fates.iter().map(|fate| number(trial, fate)).sum();
    let who = format!("{name}, {}", trial["server"]);
    assert_eq!(sum, number(trial, "asked"), "{who}: everybody has one outcome");
    assert_eq!((number(trial, "wrong"), &trial["trouble"]), (0, &Value::Null), "{who}");
    assert!(!trial["broken_off"].as_bool().unwrap(), "{who}");

    let arrivals: Vec<f64> =
        list(trial, "arrivals_ms").iter().map(|time| time.as_f64().unwrap()).collect();
    assert_eq!(arrivals.len(), served, "{who}");
    assert!(arrivals.is_sorted(), "{who}");
    let points = list(trial, "points");
    let different: HashSet<String> = points.iter().map(ToString::to_string).collect();
    assert_eq!((points.len(), different.len()), (served, served), "{who}: each answer once");
    for coordinate in points
        .iter()
        .flat_map(|pair| pair.as_array().unwrap())
        .flat_map(|point| point.as_array().unwrap())
    {
        assert!((-1.0..1.0).contains(&coordinate.as_f64().unwrap()), "{who}: {coordinate}");
    }
    for field in ["p50_ms", "p99_ms", "worst_ms", "last_ms"] {
        assert_eq!(trial[field].is_null(), served == 0, "{who}: {field}");
    }
    if served > 0 {
        let latency = ["p50_ms", "p99_ms", "worst_ms"].map(|field| trial[field].as_f64().unwrap());
        assert!(latency.is_sorted(), "{who}: {latency:?}");
    }
    for field in ["peak_memory", "threads", "descriptors"] {
        assert!(number(trial, field) > 0, "{who}: {field}");
    }
}

#[test]
fn a_small_run_adds_up_and_leaves_nobody_behind() {
    let (folder, seed) = (Folder::new("small"), seed(1));
    let args = ["--clients", "200", "--patience", "1", "--size", "0.25", "--json"];
    let end = run(&mut experiment(&folder, &seed, &args));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(servers(&seed), Vec::<String>::new());

    let json: Value = serde_json::from_str(end.text()).expect("standard output is JSON");
    assert_eq!(json, folder.json());
    let constraints = list(&json, "constraints");
    let names: Vec<_> = constraints.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, CONSTRAINTS);
    for constraint in constraints {
        let name = constraint["name"].as_str().unwrap();
        let trials = list(constraint, "trials");
        let models: Vec<_> = trials.iter().map(|one| one["server"].as_str().unwrap()).collect();
        assert_eq!(models, SERVERS, "{name}");
        trials.iter().for_each(|trial| check_trial(name, trial));
        assert!(!constraint["verdict"].as_str().unwrap().is_empty(), "{name}");
    }

    let svg = folder.svg();
    let picture = roxmltree::Document::parse(&svg).expect("the picture is well-formed");
    assert_eq!(picture.root_element().tag_name().name(), "svg");
    assert!(CONSTRAINTS.iter().all(|name| svg.contains(name)), "each constraint has a panel");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

/// However slow the machine is: every server serves all of its patient clients one after another, and
/// with one seed all give the same answers.
#[test]
fn in_calm_everybody_is_served_and_the_seed_decides_the_answers() {
    let (folder, seed) = (Folder::new("calm"), seed(2));
    let mut args = vec!["--only", "calm", "--clients", "40", "--patience", "600"];
    if tool("python3").is_some() {
        args.push("--python");
    }
    let end = run(&mut experiment(&folder, &seed, &args));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.text().contains("\ncalm: 40 clients one after another\n"), "{end:?}");
    assert!(end.text().contains("40 of 40"), "{end:?}");
    let paths: Vec<&str> = end.text().lines().rev().take(2).collect();
    let expected = ["experiment.json", "experiment.svg"].map(|name| folder.0.join(name));
    assert_eq!(paths.iter().map(Path::new).collect::<Vec<_>>(), expected, "the last lines");

    let json = folder.json();
    let trials = list(&json["constraints"][0], "trials");
    for trial in trials {
        check_trial("calm", trial);
        assert_eq!(number(trial, "served"), 40, "{}", trial["server"]);
        if trial["server"] != "python" {
            assert_eq!(trial["points"], trials[0]["points"], "{}", trial["server"]);
        }
    }
    let python = usize::from(args.contains(&"--python"));
    assert_eq!(trials.len(), SERVERS.len() + python, "Python's is tried when asked for");
}

/// The clients of a trial that takes longer than any test.
const ENDLESS: [&str; 6] = ["--only", "silent-client", "--clients", "20", "--patience", "600"];

#[test]
fn ctrl_c_ends_the_servers_and_shows_what_is_known() {
    let (folder, seed) = (Folder::new("interrupted"), seed(3));
    let program = Running::start(&mut experiment(&folder, &seed, &ENDLESS));
    until("a server runs", || !servers(&seed).is_empty());
    program.signal("INT");
    let end = program.finish();
    assert_eq!(end.code, Some(130), "{end:?}");
    assert!(end.text().contains("broken off"), "{end:?}");
    assert_eq!(servers(&seed), Vec::<String>::new());
    assert_eq!(folder.json()["broken_off"], true);
    assert!(roxmltree::Document::parse(&folder.svg()).is_ok());
}

#[test]
fn no_server_outlives_an_experiment_that_is_killed() {
    let (folder, seed) = (Folder::new("killed"), seed(4));
    let program = Running::start(&mut experiment(&folder, &seed, &ENDLESS));
    until("a server runs", || !servers(&seed).is_empty());
    program.signal("KILL");
    assert_eq!(program.finish().code, None);
    until("the servers are gone", || servers(&seed).is_empty());
}

#[test]
fn with_few_descriptors_it_says_so_and_has_fewer_clients() {
    let (folder, seed) = (Folder::new("few"), seed(5));
    let args = ["--only", "stampede", "--clients", "1000", "--patience", "1"];
    let command = experiment(&folder, &seed, &args);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(command.get_program());
    limited.args(command.get_args());
    let end = run(&mut limited);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stderr.contains("may have open files for 68 clients only, not 1,000"), "{end:?}");
    assert!(end.stderr.contains("At most 100 files may be open"), "{end:?}");
    let json = folder.json();
    for trial in list(&json["constraints"][0], "trials") {
        check_trial("stampede", trial);
        assert_eq!(number(trial, "asked"), 68);
    }
}

#[test]
fn bad_usage_is_told_in_a_line() {
    for (args, complaint) in [
        (["--only", "peace"], "--only takes one of calm, stampede"),
        (["--clients", "0"], "--clients takes a number from 1"),
        (["--patience", "-1"], "--patience takes seconds"),
        (["--descriptors", "3"], "--descriptors takes a number from 16"),
        (["--seed", "x"], "--seed takes a whole number"),
        (["--delay", "-3"], "--delay takes milliseconds"),
        (["--size", "0"], "--size takes MiB"),
        (["serve", "nothing"], "serve takes a kind of server"),
        (["serve", "--task=dance"], "a task is answer"),
    ] {
        let end = run(program().args(args));
        assert!(end.complaint(2).contains(complaint), "{args:?}: {end:?}");
    }
    let end = run(program().args(["--out", "/dev/null/x", "--only", "calm", "--clients", "1"]));
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stderr.contains("cannot write /dev/null/x"), "{end:?}");
    assert!(end.stderr.contains("try --out DIR"), "{end:?}");
    let end = run(program().arg("--help"));
    assert!(CONSTRAINTS.iter().chain(&SERVERS).all(|name| end.text().contains(name)), "{end:?}");
}
