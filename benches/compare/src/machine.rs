//! Facts about the machine and about a process.

use std::fs;
use std::process::Command;

use crate::figures::Machine;

/// How long a tick of /proc/stat is: USER_HZ is 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Describes this machine.
pub fn describe() -> Machine {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let cores = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cores.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    Machine {
        name: format!("{cores} x {cpu}, Linux {kernel}"),
        date: say("date", &["+%Y-%m-%d"]),
        rustc: say("rustc", &["--version"]).split(" (").next().unwrap_or_default().to_owned(),
    }
}

/// How many seconds all cores together were at work so far, for this or another machine.
pub fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().take(8).sum::<f64>() - idle) / TICKS_PER_SECOND
}

/// The resident part of a process' own memory, in bytes: without files that are mapped.
pub fn own_memory(pid: u32) -> Option<f64> {
    kilobytes(&format!("/proc/{pid}/status"), "RssAnon")
}

/// The memory of the kernel's slabs, in bytes: sockets above all, when there are many.
pub fn slabs() -> Option<f64> {
    kilobytes("/proc/meminfo", "Slab")
}

fn kilobytes(path: &str, name: &str) -> Option<f64> {
    let field = field(path, name)?;
    field.split(' ').next()?.parse::<f64>().ok().map(|count| count * 1024.0)
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn say(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
