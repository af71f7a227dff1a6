//! crocus beside everything a user would pick instead, over the same workloads.
//!
//! One program in three roles: it drives the comparison, it is the load, and, called as
//! `crocus-compare serve SERVER SERVICE`, it is any one of the Rust servers. Called as
//! `crocus-compare report FILE`, it makes the tables and the picture again from a `bench.json`.

mod figures;
mod load;
mod server;
mod service;
mod sys;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", server, service] => server::serve(server, service, 0),
        ["serve", server, service, count] => {
            server::serve(server, service, count.parse().unwrap_or(0))
        }
        ["load", load, server] => serde_json::from_str(load)
            .map_err(Into::into)
            .and_then(|load| load::run(&load, server.parse().unwrap())),
        _ => std::process::exit(2),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
    if role.as_deref() == Some("report") {
        let Some(file) = args.next() else { std::process::exit(2) };
        if let Err(error) = report::from_json(file.as_ref()) {
            eprintln!("{file}: {error}");
            std::process::exit(1);
        }
    }
}
