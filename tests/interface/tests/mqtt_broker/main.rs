//! The broker: in a simulation, packet by packet, and with mosquitto's clients on real sockets.

mod clients;
mod packets;
#[path = "../../src/bin/mqtt_broker/server/mod.rs"]
mod server;
mod simulated;
