//! The names of sources: small, and never mistaken for those of others.

use crate::parts::arena::id_type;

id_type! {
    /// Names a connection.
    ConnectionId
}

id_type! {
    /// Names a listener.
    ListenerId
}

id_type! {
    /// Names an attempt to connect, and the connection it led to, through all further attempts.
    ConnectorId
}

id_type! {
    /// Names a datagram socket.
    DatagramId
}

#[cfg(unix)]
id_type! {
    /// Names a descriptor that is watched.
    WatchId
}
