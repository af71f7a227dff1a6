//! Web clients: curl, wget, wrk, Node and Chromium, with a small web server of ours.

use std::process::Command;

use crocus::tls::rustls::ProtocolVersion;

use crate::certificates::Configs;
use crate::child::{Finished, TIME_LIMIT, run, run_for, tool};
use crate::clients::{files, path};
use crate::front::{Front, PAGE};
use crate::util::Folder;

const VERSIONS: [(&str, ProtocolVersion); 2] =
    [("1.2", ProtocolVersion::TLSv1_2), ("1.3", ProtocolVersion::TLSv1_3)];

#[test]
fn curl_gets_two_pages_on_one_connection() {
    let configs = Configs::signed();
    let (folder, front) = (files(&configs), Front::page(configs.server));
    for (version, met) in VERSIONS {
        let Some(mut curl) = tool("curl") else { return };
        curl.args(["--silent", "--show-error", &format!("--tlsv{version}"), "--tls-max", version]);
        curl.args(["--resolve", &format!("localhost:{}:127.0.0.1", front.port())]);
        curl.args(["--cacert", &path(&folder, "ca.pem"), "--write-out", "%{num_connects}\n"]);
        let end = run(curl.args([front.url(), front.url()]));
        let expected = format!("{PAGE}1\n{PAGE}0\n");
        assert_eq!((end.code, end.text()), (Some(0), &*expected), "{end:?}");
        assert_eq!(front.met().version(), Some(met));
        assert_eq!(front.end(), "PeerClosed");
    }
    let mut curl = tool("curl").unwrap();
    let end = run(curl.args(["--silent", &format!("https://127.0.0.1:{}/", front.port())]));
    assert_eq!(end.code, Some(60), "it does not trust the certificate");
    let end = front.end();
    assert_eq!(end, "Handshake Tls(AlertReceived(UnknownCA))");
}

#[test]
fn wget_gets_a_page() {
    let configs = Configs::signed();
    let (folder, front) = (files(&configs), Front::page(configs.server));
    for (version, met) in VERSIONS {
        let Some(mut wget) = tool("wget") else { return };
        let protocol = format!("--secure-protocol=TLSv{}", version.replace('.', "_"));
        wget.args(["--quiet", "--output-document=-", "--no-proxy", &protocol]);
        let ca = format!("--ca-certificate={}", path(&folder, "ca.pem"));
        let end = run(wget.args([&ca, &format!("https://127.0.0.1:{}/", front.port())]));
        assert_eq!((end.code, end.text()), (Some(0), PAGE), "{end:?}");
        let version = front.met().version().unwrap();
        assert!(version == met || met == ProtocolVersion::TLSv1_2, "{version:?}"); // that or later
    }
}

/// How many connections wrk keeps open.
const KEPT: usize = 20;

#[test]
fn wrk_asks_again_on_connections_that_stay() {
    let front = Front::page(Configs::signed().server);
    // It knows no other end than a time. On a busy machine a second may be too short for a second request.
    for seconds in [1, 4, 16, 64] {
        let Some(mut wrk) = tool("wrk") else { return };
        wrk.args(["--threads", "2", "--connections", &KEPT.to_string(), "--timeout", "60s"]);
        wrk.args(["--duration", &format!("{seconds}s")]);
        wrk.arg(format!("https://127.0.0.1:{}/", front.port()));
        let end = run_for(&mut wrk, 4 * TIME_LIMIT);
        let text = end.text();
        assert!(end.code == Some(0) && !text.contains("Socket errors"), "{end:?}");
        assert!(!text.contains("Non-2xx"), "{end:?}");
        let line = text.lines().find(|line| line.contains(" requests in ")).unwrap();
        let requests: usize = line.split_whitespace().next().unwrap().parse().unwrap();
        let met = front.met_more().len();
        assert!(met <= KEPT, "no connection is lost and made anew: {met}");
        if requests > KEPT {
            return;
        }
    }
    panic!("no connection is used twice");
}

/// The hash by which Chromium knows a key that it is to trust.
fn hash_of_key(folder: &Folder) -> String {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der \
         | openssl dgst -sha256 -binary | openssl base64",
    ]);
    let end = run(shell.arg(path(folder, "cert.pem")));
    assert_eq!(end.code, Some(0), "{end:?}");
    end.text().trim().to_owned()
}

fn chromium(front: &Front, more: &[&str]) -> Option<Finished> {
    let mut chromium = tool("chromium")?;
    let profile = Folder::new();
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    chromium.args(["--disable-background-networking", "--disable-component-update"]);
    chromium.args(["--disable-sync", "--no-proxy-server", "--dump-dom"]);
    chromium.arg(format!("--user-data-dir={}", profile.display())).args(more);
    Some(run(chromium.arg(front.url())))
}

#[test]
fn chromium_loads_a_page_if_it_trusts_the_key() {
    let configs = Configs::signed();
    let (folder, front) = (files(&configs), Front::page(configs.server));
    let Some(_) = tool("openssl") else { return };
    let list = format!("--ignore-certificate-errors-spki-list={}", hash_of_key(&folder));
    for (option, met) in [
        ("--ssl-version-max=tls1.2", ProtocolVersion::TLSv1_2),
        ("--ssl-version-max=tls1.3", ProtocolVersion::TLSv1_3),
    ] {
        let Some(end) = chromium(&front, &[&list, option]) else { return };
        assert!(end.text().contains("<title>ready</title>"), "{end:?}");
        let versions: Vec<_> = front.met_more().iter().map(|tls| tls.version().unwrap()).collect();
        assert!(!versions.is_empty() && versions.iter().all(|&it| it == met), "{versions:?}");
    }
    let end = chromium(&front, &[]).unwrap();
    assert!(!end.text().contains("<title>ready</title>"), "{end:?}");
    let ended = (0..).map(|_| front.end()).find(|end| end.contains("AlertReceived"));
    assert_eq!(ended.as_deref(), Some("Handshake Tls(AlertReceived(CertificateUnknown))"));
}

/// Closes its half and prints what comes back, in each version, and then resumes.
const NODE: &str = "
const tls = require('tls'), fs = require('fs');
const [port, ca, version] = process.argv.slice(1);
const options = { host: '127.0.0.1', port, servername: 'localhost', ca: fs.readFileSync(ca),
  minVersion: version, maxVersion: version, allowHalfOpen: true };
function visit(session, then) {
  let came = '', kept;
  const socket = tls.connect({ ...options, session }, () => {
    if (session && !socket.isSessionReused()) throw new Error('not resumed');
    socket.end('hello\\n');
  });
  socket.on('session', (session) => { kept = session; });
  socket.on('data', (piece) => { came += piece; });
  socket.on('end', () => { process.stdout.write(came); then(kept); });
}
visit(undefined, (session) => visit(session, () => {}));
";

#[test]
fn node_closes_its_half_and_resumes() {
    let configs = Configs::signed();
    let (folder, front) = (files(&configs), Front::with_last_words(configs.server));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let Some(mut node) = tool("node") else { return };
        let ca = path(&folder, "ca.pem");
        let end = run(node.args(["-e", NODE, &front.port(), &ca, version]));
        let twice = "hello\nand nothing more\n".repeat(2);
        assert_eq!((end.code, end.text()), (Some(0), &*twice), "{end:?}");
        assert_eq!([front.met(), front.met()].map(|tls| tls.is_resumed()), [false, true]);
        assert_eq!([front.end(), front.end()], ["PeerClosed", "PeerClosed"]);
    }
}
