//! A trace in speedscope, the viewer that can be had as a package.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Live;
use crate::child::dial;
use crate::driver::Browser;

/// Where `.ci/run` installs speedscope. Without it the test is left out; in CI it fails.
fn speedscope() -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_BIN_EXE_live")); // TARGET/PROFILE/live
    let page = "npm/node_modules/speedscope/dist/release/index.html";
    let page = binary.ancestors().nth(2).unwrap().join(page);
    if page.is_file() {
        return Some(page);
    }
    assert!(std::env::var_os("CI").is_none(), "no speedscope at {}", page.display());
    println!("skipped: npm install --prefix TARGET/npm speedscope");
    None
}

#[test]
fn a_trace_loads_in_speedscope_without_errors() {
    let (Some(page), Some(browser)) = (speedscope(), Browser::start()) else { return };
    let trace = std::env::temp_dir().join(format!("crocus-trace-{}.json", std::process::id()));
    let live = Live::start(&["--trace", trace.to_str().unwrap()]);
    for _ in 0..10 {
        dial(live.addr()).read_to_end(&mut Vec::new()).unwrap();
    }
    live.server.stop_with_clients();
    browser.open(&format!("file://{}", page.display()));
    browser.until("document.querySelector('input[type=file]') !== null");
    browser.type_into("input[type=file]", trace.to_str().unwrap());
    browser.until("document.title.includes('crocus-trace')");
    browser.until("document.querySelector('canvas') !== null");
    std::fs::remove_file(&trace).unwrap();
    // It tells of itself there, and of slices that do not fit.
    let console = browser.console();
    let fault = |line: &&String| {
        ["Tried to end", "still open", "rror"].iter().any(|word| line.contains(word))
    };
    assert_eq!(console.iter().find(fault), None, "{console:?}");
}
