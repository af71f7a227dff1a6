//! Where messages go: a file of a folder, or standard output.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::shared::cli;

/// The sender and the recipients of a message. Those in its header may differ.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) from: Option<String>,
    pub(crate) to: Vec<String>,
    /// How the message came encrypted; `None`: in clear.
    pub(crate) tls: Option<String>,
}

/// Saves a message in the first file from this number on that is not there yet; returns its number.
pub(crate) fn to_folder(
    folder: &Path,
    number: u64,
    envelope: &Envelope,
    message: &[u8],
) -> io::Result<u64> {
    for number in number.. {
        let path = folder.join(format!("{number}.eml"));
        let mut file = match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        let written = file.write_all(&[head_of(envelope).as_bytes(), message].concat());
        if written.is_err() {
            let _ = fs::remove_file(path); // no half a message; the client is told
        }
        return written.map(|()| number);
    }
    Err(io::Error::other("all numbers are taken"))
}

/// Prints a message, with control characters escaped, and those that could rearrange the text; returns its number.
pub(crate) fn to_output(number: u64, envelope: &Envelope, message: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let mut safe = format!("message {number}\n{}", head_of(envelope)).replace("\r\n", "\n");
    for char in text.chars() {
        match char {
            '\n' | '\t' => safe.push(char),
            char if cli::is_harmless(char) => safe.push(char),
            char => safe.extend(char.escape_default()),
        }
    }
    match cli::print(&safe) {
        Ok(true) => Ok(number),
        Ok(false) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(exit) => Err(io::Error::other(format!("{exit:?}"))),
    }
}

/// The lines that a mail server adds where it delivers.
fn head_of(Envelope { from, to, tls }: &Envelope) -> String {
    let from = from.as_deref().unwrap_or_default();
    let to = to.iter().map(|to| format!("Delivered-To: {to}\r\n"));
    let tls = tls.iter().map(|tls| format!("X-Encrypted: {tls}\r\n"));
    format!("Return-Path: <{from}>\r\n{}{}", to.collect::<String>(), tls.collect::<String>())
}
