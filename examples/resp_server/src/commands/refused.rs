//! Why a command was not carried out, in Redis' words.

use crate::resp::reply::Replies;

pub(crate) const SYNTAX: Refused = Refused::Text("ERR syntax error");
pub(crate) const NOT_INTEGER: Refused =
    Refused::Text("ERR value is not an integer or out of range");
pub(crate) const NO_KEY: Refused = Refused::Text("ERR no such key");
pub(crate) const OVERFLOW: Refused = Refused::Text("ERR increment or decrement would overflow");
pub(crate) const TOO_LONG: Refused =
    Refused::Text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// An error. Its first word is its kind.
#[derive(Debug)]
pub(crate) enum Refused {
    Text(&'static str),
    /// It may quote the peer, and need not be UTF-8.
    Bytes(Vec<u8>),
}

impl Refused {
    pub(crate) fn wrong_number(name: &str) -> Self {
        format!("ERR wrong number of arguments for '{name}' command").into()
    }

    pub(crate) fn expire_time(name: &str) -> Self {
        format!("ERR invalid expire time in '{name}' command").into()
    }

    pub(crate) fn subcommand(name: &str, sub: &[u8]) -> Self {
        let sub = &sub[..sub.len().min(super::SHOWN)];
        let help = format!("'. Try {name} HELP.");
        Self::Bytes([b"ERR unknown subcommand '", sub, help.as_bytes()].concat())
    }

    pub(crate) fn reply_too_long(limit: usize) -> Self {
        format!("ERR the reply is longer than {limit} bytes").into()
    }

    pub(crate) fn reply(&self, replies: &mut Replies) {
        match self {
            Self::Text(text) => replies.error(text.as_bytes()),
            Self::Bytes(text) => replies.error(text),
        }
    }
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}
