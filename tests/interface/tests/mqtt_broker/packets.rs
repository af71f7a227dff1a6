//! Packets of a client.

/// A packet: its first byte, its length, its body.
pub(super) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![first];
    let mut length = body.len();
    while length > 0x7f {
        packet.push(length as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    [packet, body].concat()
}

pub(super) fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

pub(super) fn connect(name: &str, keep_alive: u16) -> Vec<u8> {
    let keep_alive = keep_alive.to_be_bytes();
    packet(0x10, &[&field("MQTT"), &[4, 2], &keep_alive, &field(name)])
}

pub(super) fn connect_with_will(name: &str, topic: &str, text: &str) -> Vec<u8> {
    let will = [field(topic), field(text)].concat();
    packet(0x10, &[&field("MQTT"), &[4, 0x06, 0, 0], &field(name), &will])
}

pub(super) fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &field(filter), &[0]])
}

pub(super) fn publish(topic: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    packet(0x30, &[&field(topic), payload.as_ref()])
}

pub(super) fn retain(topic: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    packet(0x31, &[&field(topic), payload.as_ref()])
}
