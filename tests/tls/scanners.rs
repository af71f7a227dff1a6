//! sslscan and testssl.sh look at a web server of ours with the defaults of rustls, and find nothing
//! weak.
//!
//! sslscan takes some seconds. testssl.sh takes minutes, so it runs on request:
//!
//! ```console
//! $ cargo test --release --test tls -- --ignored --nocapture
//! ```

use std::process::Command;
use std::time::Duration;

use crocus::tls::rustls::ServerConfig;
use serde_json::Value;

use crate::certificates::Configs;
use crate::child::{Finished, run_for, tool};
use crate::clients::{files, path};
use crate::front::Front;
use crate::util::Folder;

/// How long a scanner may take: many times as long as it does.
const LONGEST: Duration = Duration::from_secs(3600);

/// Starts a scanner of a server that has a certificate of an authority.
fn scanned(
    name: &str,
    change: impl FnOnce(&mut ServerConfig),
    set_up: impl FnOnce(&mut Command, &Front, &Folder),
) -> Option<(Folder, Finished)> {
    let mut scanner = tool(name)?;
    let configs = Configs::signed();
    let (folder, front) = (files(&configs), Front::page(configs.server_with(change)));
    set_up(&mut scanner, &front, &folder);
    let end = run_for(&mut scanner, LONGEST);
    Some((folder, end))
}

#[test]
fn sslscan_finds_nothing_weak() {
    let scanned = scanned(
        "sslscan",
        |_| {},
        |sslscan, front, folder| {
            let report = path(folder, "report.xml");
            sslscan.args(["--no-colour", "--sni-name=localhost", &format!("--xml={report}")]);
            sslscan.arg(front.addr.to_string());
        },
    );
    let Some((folder, end)) = scanned else { return };
    let report = std::fs::read_to_string(folder.join("report.xml")).unwrap();
    assert_eq!(end.code, Some(0), "{end:?}");
    let elements: Vec<&str> = report.lines().map(str::trim).collect();
    let about = |what: &str| -> Vec<&str> {
        let begin = format!("<{what} ");
        elements.iter().copied().filter(|element| element.starts_with(&begin)).collect()
    };
    let enabled: Vec<_> =
        about("protocol").into_iter().filter(|it| it.contains("enabled=\"1\"")).collect();
    assert_eq!(
        enabled,
        [
            "<protocol type=\"tls\" version=\"1.2\" enabled=\"1\" />",
            "<protocol type=\"tls\" version=\"1.3\" enabled=\"1\" />",
        ]
    );
    assert!(!report.contains("compression supported=\"1\""), "{report}");
    assert!(!report.contains("renegotiation supported=\"1\" secure=\"0\""), "{report}");
    let heartbleed = about("heartbleed");
    assert_eq!(heartbleed.len(), 2, "{report}");
    for element in heartbleed {
        assert!(element.contains("vulnerable=\"0\""), "{element}");
    }
    let ciphers = about("cipher");
    assert!(ciphers.len() >= 6, "three of each version: {report}");
    for cipher in ciphers {
        let fine = ["strong", "acceptable"]
            .iter()
            .any(|it| cipher.contains(&format!("strength=\"{it}\"")));
        assert!(fine, "{cipher}");
    }
    for group in about("group") {
        assert!(!group.contains("strength=\"weak\""), "{group}");
    }
    assert!(!report.contains("<error>"), "{report}");
}

/// Has testssl.sh check a server, and returns what it finds that is more than "info".
fn above_info(change: impl FnOnce(&mut ServerConfig)) -> Option<Vec<String>> {
    let (folder, end) = scanned("testssl", change, |testssl, front, folder| {
        testssl.args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"]);
        testssl.args(["--ip", "127.0.0.1", "--add-ca", &path(folder, "ca.pem")]);
        testssl.args(["--jsonfile", &path(folder, "report.json")]).arg(front.url());
    })?;
    let report = std::fs::read_to_string(folder.join("report.json"));
    let report = report.unwrap_or_else(|_| panic!("{end:?}"));
    let report: Vec<Value> = serde_json::from_str(&report).unwrap();
    let mut bad = Vec::new();
    for finding in &report {
        let of = |key| finding[key].as_str().unwrap();
        let line = format!("{}: {}: {}", of("id"), of("severity"), of("finding"));
        println!("{line}");
        if !["OK", "INFO"].contains(&of("severity")) {
            bad.push(line);
        }
    }
    for id in ["cipher_order", "scanTime"] {
        assert!(
            report.iter().any(|finding| finding["id"] == id),
            "it has not come to {id}: {end:?}"
        );
    }
    assert!(report.len() > 100, "that is not all: {end:?}");
    Some(bad)
}

/// rustls lets the client choose among its suites, of which none is weak; that is the only finding for its own
/// defaults. The servers of the examples choose by themselves.
#[test]
#[ignore = "takes minutes: cargo test --release --test tls -- --ignored --nocapture"]
fn testssl_finds_nothing_above_info() {
    let ordered = |server: &mut ServerConfig| server.ignore_client_order = true;
    let Some(found) = above_info(ordered) else { return };
    assert_eq!(found, [""; 0]);
}
