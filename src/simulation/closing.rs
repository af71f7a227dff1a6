//! How connections in memory end: FIN, reset, and the close of a socket.

use super::link::{Kind, Link, Payload, Stage};
use super::network::Network;
use crate::address::Address;

impl Network {
    pub(super) fn finish(&mut self, index: usize, side: usize) {
        let link = &mut self.links[index];
        if !link.pipes[side].finished {
            link.pipes[side].finished = true;
            link.first_to_finish.get_or_insert(side);
            self.send(index, side, Payload::End);
        }
    }

    fn send_reset(&mut self, index: usize, side: usize) {
        let window = self.window;
        let link = &mut self.links[index];
        link.first_to_finish = None;
        link.ends[side].stage = Stage::Down;
        link.pipes[side].finished = true;
        link.pipes[side].drop_unsent(window);
        self.send(index, side, Payload::Reset);
    }

    pub(super) fn close(&mut self, index: usize, side: usize) {
        let end = &mut self.links[index].ends[side];
        end.open = false;
        if let Some(token) = end.token.take() {
            self.ready.retain(|(ready, _)| *ready != token);
        }
        let link = &mut self.links[index];
        let asks = link.request.filter(|request| request.blocking && !link.ends[side].resets);
        if link.request.is_some() && asks.is_none() {
            link.request = None; // taken back
            link.ends[1].open = false;
        } else if link.ends[side].stage != Stage::Down {
            self.part(index, side);
        }
        self.sweep(index);
    }

    /// Closes a connection that waited to be accepted when its listener closed: its peer gets a reset.
    pub(super) fn turn_away(&mut self, index: usize) {
        let link = &mut self.links[index];
        match link.kind {
            Kind::Tcp => link.ends[1].resets = true,
            Kind::Unix => {
                link.ends[1].stage = Stage::Down;
                link.pipes[1].finished = true;
                self.send(index, 1, Payload::Gone { unread: true });
            }
        }
        self.close(index, 1);
    }

    /// Resets what is left of a former connection with the same addresses, whose peer has not closed: its
    /// answer to the new request shows that it is out of date.
    pub(super) fn reset_predecessor(&mut self, from: &Address, to: &Address) {
        self.wake_port(from, to);
        let is_left = |link: &Link| {
            let [near, far] = &link.ends;
            near.local == *from && near.peer == *to && !near.open && far.open
        };
        let found = self.links.iter().find(|(_, link)| link.request.is_none() && is_left(link));
        let Some(index) = found.map(|(index, _)| index) else { return };
        self.links[index].first_to_finish = None;
        self.deliver_payload(index, 1, Payload::Reset);
    }

    /// Tells the peer that this end is closed.
    fn part(&mut self, index: usize, side: usize) {
        let link = &mut self.links[index];
        let unread = !link.pipes[1 - side].arrived.is_empty();
        match link.kind {
            Kind::Unix => {
                let unread = unread || link.pipes[1 - side].flying_bytes > 0;
                link.pipes[side].finished = true;
                self.send(index, side, Payload::Gone { unread });
            }
            Kind::Tcp if unread || link.ends[side].resets => self.send_reset(index, side),
            Kind::Tcp => self.finish(index, side),
        }
    }
}
