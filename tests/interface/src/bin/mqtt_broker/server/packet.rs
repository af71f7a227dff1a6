//! The packets of MQTT 3.1.1: their framing, what a client may send, and what the broker answers.

use crocus::framing::{FrameError, Framing};

/// Cuts the stream into packets, and parses each.
pub(crate) struct Mqtt {
    /// The longest packet that a client may send, without its first byte and its length.
    pub(crate) max_packet: usize,
}

/// A packet from a client.
#[derive(PartialEq, Debug)]
pub(crate) enum Packet<'a> {
    Connect(Connect<'a>),
    /// A CONNECT of another version, of which nothing else is known.
    OtherVersion(u8),
    Publish(Publish<'a>),
    Subscribe {
        id: u16,
        filters: Vec<&'a str>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<&'a str>,
    },
    Ping,
    Disconnect,
    /// PUBACK, PUBREC, PUBREL or PUBCOMP: an answer to what this broker never sends.
    Stray(&'static str),
}

#[derive(PartialEq, Debug)]
pub(crate) struct Connect<'a> {
    pub(crate) client: &'a str,
    pub(crate) clean: bool,
    /// In seconds; 0 is for ever.
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Publish<'a>>,
}

#[derive(PartialEq, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) retain: bool,
    pub(crate) qos: u8,
    /// The packet identifier; 0 with QoS 0.
    pub(crate) id: u16,
}

/// The codes of CONNACK.
#[derive(Clone, Copy)]
pub(crate) enum Welcome {
    Accepted = 0,
    UnacceptableVersion = 1,
    IdentifierRejected = 2,
    Unavailable = 3,
}

impl Framing for Mqtt {
    type Frame<'a> = Packet<'a>;

    fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        _seen: usize,
    ) -> Result<Option<(Packet<'a>, usize)>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        check_first(first)?;
        let mut length = 0;
        for (at, &byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * at);
            if length > self.max_packet {
                return Err(FrameError::TooLong { limit: self.max_packet });
            }
            if byte & 0x80 == 0 {
                let (start, end) = (at + 2, at + 2 + length);
                let Some(body) = bytes.get(start..end) else { return Ok(None) };
                return Ok(Some((parse(first, Reader(body))?, end)));
            }
        }
        match rest.len() {
            0..4 => Ok(None),
            _ => malformed("a length has at most four bytes"),
        }
    }
}

fn malformed<T>(fault: &'static str) -> Result<T, FrameError> {
    Err(FrameError::Malformed(fault.into()))
}

/// Checks the type and its flags. Of PUBLISH alone the flags have a meaning.
fn check_first(first: u8) -> Result<(), FrameError> {
    match (first >> 4, first & 0x0f) {
        (3, flags) if flags & 0b0110 == 0b0110 => malformed("there is no QoS 3"),
        (3, _) | (6 | 8 | 10, 2) | (1 | 4 | 5 | 7 | 12 | 14, 0) => Ok(()),
        (2 | 9 | 11 | 13, _) => malformed("only a server sends packets of this type"),
        (0 | 15, _) => malformed("no packet has this type"),
        _ => malformed("wrong flags for a packet of this type"),
    }
}

fn parse(first: u8, mut body: Reader<'_>) -> Result<Packet<'_>, FrameError> {
    let packet = match first >> 4 {
        1 => return connect(body),
        3 => return publish(first & 0x0f, body),
        8 => {
            let (id, filters) = filters(&mut body, true)?;
            Packet::Subscribe { id, filters }
        }
        10 => {
            let (id, filters) = filters(&mut body, false)?;
            Packet::Unsubscribe { id, filters }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        other => {
            body.id()?;
            Packet::Stray(["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"][usize::from(other) - 4])
        }
    };
    body.end()?;
    Ok(packet)
}

fn connect(mut body: Reader<'_>) -> Result<Packet<'_>, FrameError> {
    let (name, level) = (body.text()?, body.byte()?);
    match (name, level) {
        ("MQTT", 4) => {}
        ("MQTT" | "MQIsdp", _) => return Ok(Packet::OtherVersion(level)),
        _ => return malformed("CONNECT is not of MQTT"),
    }
    let (flags, keep_alive) = (body.byte()?, body.number()?);
    let (has_will, qos, retain) = (flags & 0x04 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    let (has_password, has_user) = (flags & 0x40 != 0, flags & 0x80 != 0);
    if flags & 1 != 0 || qos == 3 || !has_will && (qos != 0 || retain) || has_password && !has_user
    {
        return malformed("wrong flags in CONNECT");
    }
    let client = body.text()?;
    let will = match has_will {
        false => None,
        true => {
            let (topic, payload) = (body.topic()?, body.field()?);
            Some(Publish { topic, payload, retain, qos, id: 0 })
        }
    };
    if has_user {
        body.text()?;
    }
    if has_password {
        body.field()?;
    }
    body.end()?;
    Ok(Packet::Connect(Connect { client, clean: flags & 0x02 != 0, keep_alive, will }))
}

fn publish(flags: u8, mut body: Reader<'_>) -> Result<Packet<'_>, FrameError> {
    let qos = flags >> 1 & 3;
    if qos == 0 && flags & 0x08 != 0 {
        return malformed("DUP without QoS");
    }
    let topic = body.topic()?;
    let id = if qos == 0 { 0 } else { body.id()? };
    Ok(Packet::Publish(Publish { topic, payload: body.0, retain: flags & 1 != 0, qos, id }))
}

/// The identifier and the filters of SUBSCRIBE, which gives each a QoS, or UNSUBSCRIBE.
fn filters<'a>(body: &mut Reader<'a>, with_qos: bool) -> Result<(u16, Vec<&'a str>), FrameError> {
    let (id, mut filters) = (body.id()?, Vec::new());
    while !body.0.is_empty() {
        filters.push(body.text()?);
        if with_qos && body.byte()? > 2 {
            return malformed("wrong QoS in SUBSCRIBE");
        }
    }
    match filters.is_empty() {
        true => malformed("a packet without a filter"),
        false => Ok((id, filters)),
    }
}

/// The rest of a packet's body.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            return malformed("a packet shorter than its fields");
        };
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, FrameError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u16, FrameError> {
        Ok(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    fn id(&mut self) -> Result<u16, FrameError> {
        match self.number()? {
            0 => malformed("the packet identifier is 0"),
            id => Ok(id),
        }
    }

    /// Bytes behind a length of two bytes.
    fn field(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        match str::from_utf8(self.field()?) {
            Ok(text) if !text.contains('\0') => Ok(text),
            Ok(_) => malformed("a text with a NUL"),
            Err(_) => malformed("a text that is not UTF-8"),
        }
    }

    /// The name of a topic, which has no wildcards.
    fn topic(&mut self) -> Result<&'a str, FrameError> {
        match self.text()? {
            "" => malformed("a topic without a name"),
            topic if topic.contains(['+', '#']) => malformed("a wildcard in the name of a topic"),
            topic => Ok(topic),
        }
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { malformed("bytes behind the last field") }
    }
}

pub(crate) fn connack(welcome: Welcome) -> [u8; 4] {
    [0x20, 2, 0, welcome as u8]
}

pub(crate) fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}

pub(crate) fn unsuback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0xb0, 2, high, low]
}

/// SUBACK. Each accepted filter gets QoS 0.
pub(crate) fn suback(id: u16, accepted: &[bool]) -> Vec<u8> {
    let mut packet = head(0x90, 2 + accepted.len());
    packet.extend(id.to_be_bytes());
    packet.extend(accepted.iter().map(|accepted| if *accepted { 0 } else { 0x80 }));
    packet
}

pub(crate) const PINGRESP: [u8; 2] = [0xd0, 0];

/// A PUBLISH of QoS 0.
pub(crate) fn message(topic: &str, payload: &[u8], retain: bool) -> Vec<u8> {
    let mut packet = head(0x30 | u8::from(retain), 2 + topic.len() + payload.len());
    // The parser made `topic` from a field with a length of two bytes.
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload);
    packet
}

fn head(first: u8, mut length: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + length);
    packet.push(first);
    loop {
        let digit = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            packet.push(digit);
            return packet;
        }
        packet.push(digit | 0x80);
    }
}
