//! The identifiers of sources: small, and never reused.

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
    /// Names an attempt to connect, the connection it led to, and all further attempts.
    ConnectorId
}

id_type! {
    /// Names a datagram socket.
    DatagramId
}

#[cfg(unix)]
id_type! {
    /// Names a watched descriptor.
    WatchId
}
