//! The programs over TLS, with clients and servers that are not ours, and with peers that misbehave.

mod forwarding;
mod mail;
mod random_numbers;
mod telnet;
