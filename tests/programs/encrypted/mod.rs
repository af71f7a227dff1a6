//! The programs over TLS, with clients and servers that are not ours, and with peers that misbehave.

mod forwarding;
mod mail;
mod random_numbers;
mod telnet;

use crate::certificate::Certificate;
use crate::child::{Running, tool};

/// OpenSSL's server, which sends each line back reversed, and its address. `None`: it is not there.
fn reversing_server(certificate: &Certificate, version: &str) -> Option<(Running, String)> {
    let mut openssl = tool("openssl")?;
    openssl.args(["s_server", "-accept", "127.0.0.1:0", "-rev", version]);
    let [_, cert, _, key] = certificate.options();
    let server = Running::start(openssl.args(["-cert", &cert, "-key", &key]));
    loop {
        if let Some(addr) = server.line().strip_prefix("ACCEPT ") {
            let addr = addr.to_owned();
            return Some((server, addr));
        }
    }
}
