//! A chat: what one says all must hear. An operation is one delivery.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Client, Progress, hold};

const MESSAGE: usize = 64;

/// All members of the chat; a client of its own, since they do one thing together.
pub struct Group {
    server: SocketAddr,
    members: Vec<Member>,
    registered: bool,
    message: [u8; MESSAGE],
    /// Who spoke last. The first is who connected last: then all others have been accepted.
    speaker: usize,
    /// How many have heard all of the message.
    heard: usize,
}

struct Member {
    stream: TcpStream,
    received: usize,
}

impl Group {
    /// # Errors
    ///
    /// If one of them cannot connect.
    pub fn new(server: SocketAddr, members: usize) -> io::Result<Self> {
        let member = |_| Ok(Member { stream: hold::connect(server)?, received: MESSAGE });
        let members: io::Result<Vec<Member>> = (0..members).map(member).collect();
        let members = members?;
        let heard = members.len();
        let speaker = heard.saturating_sub(2);
        let message = [0; MESSAGE];
        Ok(Self { server, members, registered: false, message, speaker, heard })
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if std::mem::replace(&mut self.registered, true) {
            return Ok(());
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            registry.register(&mut member.stream, Token(token.0 + index), Interest::READABLE)?;
        }
        Ok(())
    }

    fn speak(&mut self) -> io::Result<()> {
        self.message = rand::random();
        self.heard = 0;
        self.members.iter_mut().for_each(|member| member.received = 0);
        self.speaker = (self.speaker + 1) % self.members.len();
        // 64 bytes fit into an empty socket buffer.
        self.members[self.speaker].stream.write_all(&self.message)
    }
}

impl Client for Group {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        match self.register(registry, token).and_then(|()| self.speak()) {
            Ok(()) => Progress::Waiting,
            Err(error) => error.into(),
        }
    }

    fn ready(&mut self, socket: usize, scratch: &mut [u8]) -> Progress {
        let member = &mut self.members[socket];
        let count = match member.stream.read(scratch) {
            Ok(0) => return Progress::Failed("a member was shut out".into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Waiting,
            Err(error) => return error.into(),
        };
        if self.message[member.received..].get(..count) != Some(&scratch[..count]) {
            return Progress::Failed("a member heard something else".into());
        }
        member.received += count;
        self.heard += usize::from(member.received == MESSAGE);
        match self.heard == self.members.len() {
            true => Progress::Done(self.members.len() as u64),
            false => Progress::Waiting,
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server, self.members.len())?;
        Ok(())
    }
}
