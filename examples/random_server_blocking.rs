//! The same server without a reactor: accept, send, close, one client after the other.
//!
//! ```text
//! cargo run --release --example random_server_blocking
//! cargo run --release --example random_client
//! ```
//!
//! It serves one client at a time. As long as the answer fits into the kernel's buffer, no client
//! can block it. A silent client would block a server that has to read first.

mod shared;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use shared::cli::{self, Exit, ServerOptions};
use shared::frame;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use socket2::{Domain, Socket, Type};

const HELP: &str = "\
Serves 16 random bytes in a frame of 81 to everybody who connects, one after the other.

Usage: random_server_blocking [--listen HOST:PORT] [--backlog N]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [1, as in the article]
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops it after the client it serves,
a second one at once.

Examples:
  random_server_blocking                  then, beside it: random_client
  random_server_blocking --backlog 128    for random_client --count 100

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The article's number. Two clients may wait while another is served; the rest stay half
/// connected, and the kernel tries again after 1, 3, 7 seconds and so on.
const BACKLOG: u32 = 1;

/// How often the loop checks whether to stop.
const TICK: Duration = Duration::from_secs(1);

/// How long to wait after an error that the next accept would only repeat.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    cli::run("random_server_blocking", serve)
}

fn serve() -> Result<(), Exit> {
    let options = ServerOptions::from_args_and(HELP, |name, _| match name {
        "trace" => Err(Exit::Usage("invalid option '--trace': it has no reactor".to_owned())),
        _ => Ok(false),
    })?;
    let backlog = options.backlog.unwrap_or(BACKLOG);
    let listener = listen(options.listen, backlog)
        .map_err(|error| cli::cannot_listen(options.listen, &error))?;
    let stopping = stop_on_signals()?;
    if let Some(addr) = listener.local_addr()?.as_socket() {
        cli::announce(addr)?;
    }
    let mut accepted = 0_u64;
    while !stopping.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _peer)) => {
                accepted += 1;
                answer(&stream.into());
            }
            Err(error) => match error.kind() {
                // A signal, or the tick: check whether to stop.
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                // The client was gone before its turn came.
                io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors, perhaps: waiting clients stay in the queue.
                _ => {
                    log::warn!("cannot accept: {error}; trying again");
                    thread::sleep(PAUSE);
                }
            },
        }
    }
    cli::say("stopping");
    log::info!("stopped: {accepted} accepted, {accepted} closed");
    Ok(())
}

/// Sends the reply; dropping the stream closes it.
///
/// A client that has sent something is reset by this close, perhaps before it has read the reply:
/// the reactor's `lose_connection` takes care of that.
fn answer(mut stream: &TcpStream) {
    if let Err(error) = stream.write_all(&frame::encode(rand::random())) {
        log::debug!("a client left before its reply: {error}");
    }
}

/// A listening socket. std's `TcpListener::bind` would not do: it chooses the backlog itself, and
/// no signal interrupts its accept.
fn listen(addr: SocketAddr, backlog: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if cfg!(unix) {
        // The port can be bound again at once; on other systems the option means sharing it.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    // The timeout does two things. On Linux a signal interrupts an accept only if it has one
    // (signal(7)). And if a signal comes between the check of the flag and the accept, the loop
    // notices it when the time is up.
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

/// A flag that SIGINT and SIGTERM set. A second signal ends the program.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal must not find the flag that it sets itself.
        flag::register_conditional_shutdown(signal, cli::INTERRUPTED, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    Ok(stopping)
}
