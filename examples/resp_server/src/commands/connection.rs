//! Commands about the connection. Many clients send them on their own at the start.

use super::refused::{NOT_INTEGER, Refused};
use super::server::VERSION;
use super::{Call, Command, command, is};
use crate::resp::number::integer;
use crate::resp::reply::Version;
use crate::store::Millis;

pub(super) const COMMANDS: &[Command] = &[
    command("ping", -1, ping).help("[message]", "Replies with the message, or PONG."),
    command("echo", 2, echo).help("message", "Replies with the message."),
    command("select", 2, select).help("index", "Chooses the database: there is only 0."),
    command("hello", -1, hello).help(
        "[protover [SETNAME clientname]]",
        "Chooses the version of the protocol; tells about the server.",
    ),
    command("client", -2, client).help(
        "ID|INFO|GETNAME|SETNAME name|SETINFO LIB-NAME name|SETINFO LIB-VER version",
        "Tells or sets what is known of this client.",
    ),
    command("quit", -1, quit).help("", "Closes the connection."),
];

fn ping(call: &mut Call<'_>) -> Result<(), Refused> {
    match call.args.len() {
        1 => call.replies.simple("PONG"),
        2 => call.replies.bulk(&call.args[1]),
        _ => return Err(Refused::wrong_number("ping")),
    }
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Result<(), Refused> {
    call.replies.value(&call.args.value(1));
    Ok(())
}

fn select(call: &mut Call<'_>) -> Result<(), Refused> {
    check_database(&call.args[1])?;
    call.replies.ok();
    Ok(())
}

pub(super) fn check_database(index: &[u8]) -> Result<(), Refused> {
    match integer(index) {
        Some(0) => Ok(()),
        Some(_) => Err(Refused::Text("ERR DB index is out of range")),
        None => Err(NOT_INTEGER),
    }
}

fn hello(call: &mut Call<'_>) -> Result<(), Refused> {
    let version = call.args.get(1).map(version_of).transpose()?;
    let mut name = None;
    let mut options = call.args.from(2);
    while let Some(option) = options.next() {
        match options.next() {
            Some(value) if is(option, "setname") => name = Some(name_of(value)?),
            _ => {
                let text = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
                return Err(Refused::Bytes(text));
            }
        }
    }
    if let Some(name) = name {
        call.client.name = name;
    }
    if let Some(version) = version {
        call.client.version = version;
        call.replies.version = version;
    }
    tell_server(call);
    Ok(())
}

fn version_of(word: &[u8]) -> Result<Version, Refused> {
    match integer(word) {
        Some(2) => Ok(Version::Two),
        Some(3) => Ok(Version::Three),
        Some(_) => Err(Refused::Text("NOPROTO unsupported protocol version")),
        None => Err(Refused::Text("ERR Protocol version is not an integer or out of range")),
    }
}

fn tell_server(call: &mut Call<'_>) {
    let Call { replies, client, .. } = call;
    replies.map(7);
    for (name, value) in [("server", "redis"), ("version", VERSION)] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"proto");
    replies.integer(number_of(client.version));
    replies.bulk(b"id");
    replies.integer(client.id as i64); // nobody connects 2^63 times
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
}

fn number_of(version: Version) -> i64 {
    match version {
        Version::Two => 2,
        Version::Three => 3,
    }
}

fn client(call: &mut Call<'_>) -> Result<(), Refused> {
    let args = call.args;
    let (sub, len) = (&args[1], args.len());
    let expect = |words, name| if len == words { Ok(()) } else { Err(Refused::wrong_number(name)) };
    if is(sub, "id") {
        expect(2, "client|id")?;
        call.replies.integer(call.client.id as i64); // nobody connects 2^63 times
    } else if is(sub, "info") {
        expect(2, "client|info")?;
        call.replies.text(&info(call));
    } else if is(sub, "getname") {
        expect(2, "client|getname")?;
        match &*call.client.name {
            [] => call.replies.null(),
            name => call.replies.bulk(name),
        }
    } else if is(sub, "setname") {
        expect(3, "client|setname")?;
        call.client.name = name_of(&args[2])?;
        call.replies.ok();
    } else if is(sub, "setinfo") {
        expect(4, "client|setinfo")?;
        set_info(call)?;
    } else {
        return Err(Refused::subcommand("CLIENT", sub));
    }
    Ok(())
}

/// Names have no spaces and no line ends, so that a list of clients can be read.
fn name_of(word: &[u8]) -> Result<Vec<u8>, Refused> {
    if word.iter().all(u8::is_ascii_graphic) {
        return Ok(word.to_vec());
    }
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    Err(Refused::Text(text))
}

fn set_info(call: &mut Call<'_>) -> Result<(), Refused> {
    let (option, value) = (&call.args[2], &call.args[3]);
    let (field, name) = if is(option, "lib-name") {
        (&mut call.client.library, "lib-name")
    } else if is(option, "lib-ver") {
        (&mut call.client.library_version, "lib-ver")
    } else {
        return Err(Refused::Bytes([b"ERR Unrecognized option '", option, b"'"].concat()));
    };
    if !value.iter().all(u8::is_ascii_graphic) {
        let text = format!("ERR {name} cannot contain spaces, newlines or special characters.");
        return Err(text.into());
    }
    *field = value.to_vec();
    call.replies.ok();
    Ok(())
}

fn info(call: &Call<'_>) -> String {
    const SECOND: Millis = 1000;
    let client = &call.client;
    let text = String::from_utf8_lossy;
    format!(
        "id={} addr={} name={} age={} db=0 resp={} lib-name={} lib-ver={}\n",
        client.id,
        client.address,
        text(&client.name),
        (call.now - client.since) / SECOND,
        number_of(client.version),
        text(&client.library),
        text(&client.library_version),
    )
}

fn quit(call: &mut Call<'_>) -> Result<(), Refused> {
    call.client.is_leaving = true;
    call.replies.ok();
    Ok(())
}
