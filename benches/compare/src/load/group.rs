//! A chat: one member speaks, and all must hear it. An operation is one delivery.

use std::io;
use std::net::SocketAddr;

use mio::{Registry, Token};

use super::{Client, Connection, Progress};

const MESSAGE: usize = 64;

/// With a pace, a server that is further behind has less work than the others, so it is left out.
const MOST_OWED: usize = 10;

/// All members of the chat; a client of its own, since they do one thing together.
pub struct Group {
    server: SocketAddr,
    members: Vec<Member>,
    message: [u8; MESSAGE],
    /// The member that spoke last. The first to speak is the last to connect: then all others have been
    /// accepted.
    speaker: usize,
    /// How many have heard all of the message.
    heard: usize,
    /// How many messages were due while some had not heard the last: with a pace only.
    owed: usize,
}

struct Member {
    connection: Connection,
    received: usize,
}

impl Group {
    /// # Errors
    ///
    /// If one of them cannot connect.
    pub fn new(server: SocketAddr, members: usize) -> io::Result<Self> {
        let member = |_| Ok(Member { connection: Connection::new(server)?, received: MESSAGE });
        let members: Vec<Member> = (0..members).map(member).collect::<io::Result<_>>()?;
        let heard = members.len();
        let speaker = heard.saturating_sub(2);
        Ok(Self { server, members, message: [0; MESSAGE], speaker, heard, owed: 0 })
    }

    fn speak(&mut self) -> io::Result<()> {
        self.members.iter_mut().for_each(|member| member.received = 0);
        self.message = rand::random();
        self.heard = 0;
        self.speaker = (self.speaker + 1) % self.members.len();
        self.members[self.speaker].connection.write_all(&self.message)
    }
}

impl Client for Group {
    fn begin(&mut self, registry: &Registry, token: Token, _: &mut [u8]) -> Progress {
        for (index, member) in self.members.iter_mut().enumerate() {
            member.connection.register(registry, Token(token.0 + index), false)?;
        }
        if self.heard < self.members.len() {
            self.owed += 1;
            if self.owed > MOST_OWED {
                return Err(io::Error::other("the chat is behind its pace"));
            }
            return Ok(None);
        }
        self.speak()?;
        Ok(None)
    }

    fn ready(&mut self, socket: usize, scratch: &mut [u8]) -> Progress {
        let member = &mut self.members[socket];
        let Some(count) = member.connection.read(scratch)? else { return Ok(None) };
        if self.message[member.received..].get(..count) != Some(&scratch[..count]) {
            return Err(io::Error::other("a member heard something else"));
        }
        member.received += count;
        self.heard += usize::from(member.received == MESSAGE);
        let all = self.members.len();
        if self.heard < all {
            return Ok(None);
        }
        if self.owed > 0 {
            self.owed -= 1;
            self.speak()?;
        }
        Ok(Some(all as u64))
    }

    fn renew(&mut self) -> io::Result<()> {
        *self = Self::new(self.server, self.members.len())?;
        Ok(())
    }
}
