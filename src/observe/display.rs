//! Notices as lines of text.

use std::fmt;
use std::time::Duration;

use super::notice::Notice;
use super::values::{
    Command, Origin, Outcome, Phase, Queue, Stage, Subject, TimerEvent, TimerOwner,
};

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnBegin { turn } => write!(f, "turn {turn}"),
            Self::PhaseBegin(phase) => phase.fmt(f),
            Self::Woke { slept, events } => write!(f, "woke after {slept:?} with {events} events"),
            Self::Woken => f.write_str("woken by another thread"),
            Self::Event { subject: Some(subject), readiness } => {
                write!(f, "{subject}: an event, {readiness:?}")
            }
            Self::Event { subject: None, readiness } => {
                write!(f, "a source that is gone: an event, {readiness:?}")
            }
            Self::Queued { subject, queue, spent } => {
                let why = if *spent { ", its budget is spent" } else { "" };
                write!(f, "{subject}: into the {queue} queue{why}")
            }
            Self::CallbackBegin { subject, callback } => write!(f, "{subject}: {callback} begins"),
            Self::CallbackEnd { subject, callback, took } => {
                write!(f, "{subject}: {callback} took {took:?}")
            }
            Self::Panicked { subject, callback, message } => {
                write!(f, "{subject}: {callback} panicked: {message}")
            }
            Self::Command { by: Some(by), to, command } if by != to => {
                write!(f, "{to}: {command}, by {by}")
            }
            Self::Command { to, command, .. } => write!(f, "{to}: {command}"),
            Self::Timer { timer, owner, event } => write!(f, "timer {timer} {owner} {event}"),
            Self::TurnEnd(report) => write!(f, "end of turn {}: {report}", report.turn),
            about => fmt_traffic(about, f),
        }
    }
}

/// The notices about connections, datagrams, listeners and connectors.
fn fmt_traffic(notice: &Notice, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match notice {
        Notice::Opened { connection, peer, origin } => {
            write!(f, "connection {connection} with {peer} opened, {origin}")
        }
        #[cfg(feature = "proxy")]
        Notice::Identified { connection, peer, proxy, local } => match local {
            true => write!(f, "connection {connection}: of the proxy {proxy} itself"),
            false => write!(f, "connection {connection}: of {peer}, by the proxy {proxy}"),
        },
        Notice::Stage { connection, stage } => write!(f, "connection {connection}: {stage}"),
        Notice::Gone { connection, peer, reason } => {
            write!(f, "connection {connection} with {peer} ended: {reason}")
        }
        Notice::Received { connection, bytes } => {
            write!(f, "connection {connection}: {bytes} bytes in")
        }
        Notice::Sent { connection, bytes, waiting } => {
            write!(f, "connection {connection}: {bytes} bytes out, {waiting} waiting")
        }
        Notice::Pressure { connection, high, waiting } => {
            let word = if *high { "pause" } else { "resume" };
            write!(f, "connection {connection}: {word} writing, {waiting} bytes waiting")
        }
        Notice::DatagramReceived { socket, from, bytes } => {
            write!(f, "datagram socket {socket}: {bytes} bytes from {from}")
        }
        Notice::DatagramSent { socket, to, bytes } => {
            write!(f, "datagram socket {socket}: {bytes} bytes to {to}")
        }
        Notice::AttemptBegin { connector, to } => write!(f, "connector {connector}: trying {to}"),
        Notice::AttemptEnd { connector, to, outcome } => {
            write!(f, "connector {connector}: {to} {outcome}")
        }
        Notice::ConnectFailed { connector, reason } => {
            write!(f, "connector {connector} failed: {reason}")
        }
        Notice::TurnedAway { listener, peer, reason } => {
            write!(f, "listener {listener}: turned {peer} away: {reason}")
        }
        Notice::CannotAccept { listener, error } => {
            write!(f, "listener {listener} cannot accept: {error}")
        }
        other => write!(f, "{other:?}"), // `Display` handles all others
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reactor => f.write_str("reactor"),
            Self::Named(name) => f.write_str(name),
            Self::Listener(id) => write!(f, "listener {id}"),
            Self::Connection(id) => write!(f, "connection {id}"),
            Self::Connector(id) => write!(f, "connector {id}"),
            Self::Datagram(id) => write!(f, "datagram socket {id}"),
            #[cfg(unix)]
            Self::Watch(id) => write!(f, "watch {id}"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sleep { timeout: None } => "sleep until something happens",
            Self::Sleep { timeout: Some(Duration::ZERO) } => "look without sleeping",
            Self::Sleep { timeout: Some(timeout) } => {
                return write!(f, "sleep for at most {timeout:?}");
            }
            Self::Latch => "latch",
            Self::Timers => "timers",
            Self::Serve => "serve",
            Self::Calls => "calls",
            Self::Flush => "flush",
            Self::Stop => "stop",
        })
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Flush => "flush",
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "sendfile")]
            Self::SendFile { bytes } => return write!(f, "send {bytes} bytes of a file"),
            Self::Write { bytes } => return write!(f, "write {bytes} bytes"),
            Self::Unread { bytes } => return write!(f, "put {bytes} bytes back"),
            Self::LoseConnection => "close",
            Self::LoseWriteConnection => "close the write half",
            Self::AbortConnection => "abort",
            Self::PauseReading => "pause reading",
            Self::ResumeReading => "resume reading",
            Self::SetProtocol => "hand over to another protocol",
            #[cfg(feature = "tls")]
            Self::StartTls => "start TLS",
            Self::SetTimeout(None) => "no timeout",
            Self::SetTimeout(Some(limit)) => return write!(f, "time out after {limit:?}"),
            Self::SetCloseTimeout(limit) => return write!(f, "close within {limit:?}"),
            Self::SetReadRate => "set the rate of reading",
            Self::SetWriteRate => "set the rate of writing",
            Self::SetWriteBufferLimits { high, low } => {
                return write!(f, "set the marks to {high} and {low} bytes");
            }
            Self::Listen(at) => return write!(f, "listen at {at}"),
            Self::StopListening => "stop listening",
            Self::PauseAccepting => "pause accepting",
            Self::ResumeAccepting => "resume accepting",
            Self::Connect(to) => return write!(f, "connect to {to}"),
            Self::CancelConnect => "cancel the attempt",
            Self::Disconnect => "disconnect",
            Self::Watch => "watch",
            Self::Unwatch => "end the watch",
            Self::Stop => "stop",
            Self::Shutdown { grace } => return write!(f, "shut down within {grace:?}"),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(listener) => write!(f, "accepted by listener {listener}"),
            Self::Connected(connector) => write!(f, "made by connector {connector}"),
            Self::Adopted => f.write_str("adopted"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FinReceived => "FIN received",
            Self::FinSent => "FIN sent",
            Self::HandedOver => "handed over to another protocol",
            #[cfg(feature = "tls")]
            Self::Encrypted => "encrypted",
            Self::Closing => "closing",
            Self::Lingering => "lingering",
        })
    }
}

impl fmt::Display for TimerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(_) => f.write_str("is set"),
            Self::Moved(_) => f.write_str("is moved"),
            Self::Fired(late) => write!(f, "fires, {late:?} late"),
            Self::Cancelled => f.write_str("is cancelled"),
        }
    }
}

impl fmt::Display for TimerOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reactor => f.write_str("of the reactor"),
            Self::Named(name) => write!(f, "of {name}"),
            Self::Connection(id) => write!(f, "of connection {id}"),
            Self::Datagram(id) => write!(f, "of datagram socket {id}"),
            Self::Deadline(id) => write!(f, "for the deadline of connection {id}"),
            Self::Accept(id) => write!(f, "for listener {id} to accept again"),
            Self::ConnectTimeout(id) => write!(f, "for the timeout of connector {id}"),
            Self::HeadStart(id) => write!(f, "for the next address of connector {id}"),
            Self::Reconnect(id) => write!(f, "for connector {id} to try again"),
            Self::Shutdown => f.write_str("for the end of the shutdown"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(connection) => write!(f, "answered: connection {connection}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::GivenUp => f.write_str("is given up"),
        }
    }
}
