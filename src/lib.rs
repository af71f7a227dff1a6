//! A small reactor on `mio`, in Twisted's shape.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod arena;
mod clock;
mod connection;
mod connector;
mod handle;
mod listener;
mod memory;
mod observe;
mod poller;
mod protocol;
mod reactor;
mod reason;
#[cfg(feature = "signals")]
mod signals;
mod stream;
pub mod testing;
mod timers;
mod transport;
mod write_buffer;

pub use address::{Address, Endpoint};
pub use connection::ConnectionId;
pub use connector::{ConnectOptions, Connector, ConnectorId};
pub use handle::Handle;
pub use listener::{ListenOptions, ListenerId};
pub use observe::{Callback, LogObserver, Observer, Stats, Subject, TimerEvent, TurnReport};
pub use poller::Readiness;
pub use protocol::{ClientFactory, Factory, Protocol};
pub use reactor::{Reactor, ReactorBuilder, Tick};
pub use reason::{Phase, Reason, Who};
pub use timers::TimerId;
pub use transport::Transport;
