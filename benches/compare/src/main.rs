//! crocus beside everything a user would pick instead, over the same workloads.
//!
//! One program in three roles: it drives the comparison, it is the load, and, called as
//! `crocus-compare serve SERVER SERVICE`, it is any one of the Rust servers.

mod figures;
mod server;
mod service;
mod sys;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("serve") {
        let (Some(server), Some(service)) = (args.next(), args.next()) else {
            std::process::exit(2)
        };
        let count = args.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        if let Err(error) = server::serve(&server, &service, count) {
            eprintln!("{server} {service}: {error}");
            std::process::exit(1);
        }
    }
}
