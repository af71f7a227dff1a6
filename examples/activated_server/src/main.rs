//! How a server lives under systemd and behind a proxy: sockets handed over, a watchdog, a health check.
//!
//! ```text
//! systemd-socket-activate -l 127.0.0.1:5000 --fdname=web target/release/activated_server
//! curl -i http://127.0.0.1:5000/health              # beside it
//! ```
//!
//! The unit files for systemd stand beside `src`. `docs/production.md` tells what each line of them is for, and
//! which proxy goes with it. Read the modules in this order: `lib` sets the server up; `manager` talks to systemd;
//! `service` answers.

use std::process::ExitCode;

fn main() -> ExitCode {
    activated_server::main()
}
