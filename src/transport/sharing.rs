//! Bytes that are not copied, on their way in and out.

use bytes::Bytes;

use super::Transport;
use crate::connection::ReadBuffer;
use crate::ids::ConnectionId;
use crate::reactor::Reactor;

/// # Keeping and writing without a copy
impl<'a> Transport<'a> {
    /// In a callback that is told bytes of this buffer.
    pub(crate) fn telling(
        reactor: &'a mut Reactor,
        id: ConnectionId,
        buffer: Option<&'a ReadBuffer>,
    ) -> Self {
        Self { reactor, id, buffer }
    }

    /// Sends bytes that are handed over, or shared: [`write`](Self::write) without a copy.
    ///
    /// [`Bytes`] is made of a `Vec<u8>`, a `String` or something static without copying it, and its clones share
    /// the memory. So a message to ten thousand connections is in memory once, however slowly they read. All that
    /// [`write`](Self::write) promises is true here too: the order of both, [`buffered`](Self::buffered), the marks
    /// and the cap, for each of which the bytes count as many as they are.
    ///
    /// Fewer than a kilobyte are copied, since that costs less than to share them. The others keep all the
    /// memory of which they are a part until the kernel has taken them.
    ///
    /// Returns whether the data was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Bytes, Protocol, Transport};
    ///
    /// struct Member;
    ///
    /// impl Protocol for Member {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         let message = Bytes::copy_from_slice(data); // once, for all
    ///         for id in transport.reactor().connections() {
    ///             if let Some(mut other) = transport.reactor().transport(id) {
    ///                 other.write_owned(message.clone());
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let (mut first, mut second) = (simulation.connect(Member), simulation.connect(Member));
    /// simulation.settle();
    /// first.send(&[b'x'; 5000]);
    /// simulation.settle();
    /// assert_eq!((first.received().len(), second.received().len()), (5000, 5000));
    /// ```
    pub fn write_owned(&mut self, data: impl Into<Bytes>) -> bool {
        self.reactor.write_owned(self.id, data.into())
    }

    /// Returns bytes that `data_received` is being told as [`Bytes`], without a copy: to be kept after the callback, or given
    /// to another thread.
    ///
    /// `None` where a copy is better: for fewer than 4 KiB (in a simulation for none), for bytes that lie elsewhere, in other callbacks, and
    /// while others keep bytes of eight buffers already. For as long as any of these bytes are kept, all of the
    /// [read buffer](crate::ReactorBuilder::read_buffer) is, which neither a mark nor the cap counts; the reactor reads into
    /// another. So they are for use soon: one that keeps them for long has all others copy.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::Sender;
    /// use crocus::{Bytes, Protocol, Transport};
    ///
    /// /// Has another thread look at all that comes.
    /// struct Inspected(Sender<Bytes>);
    ///
    /// impl Protocol for Inspected {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         let data = transport.share(data).unwrap_or_else(|| Bytes::copy_from_slice(data));
    ///         if self.0.send(data).is_err() {
    ///             transport.lose_connection();
    ///         }
    ///     }
    /// }
    /// ```
    pub fn share(&self, data: &[u8]) -> Option<Bytes> {
        let pays = data.len() >= self.reactor.hot.lent_from;
        self.buffer.filter(|_| pays)?.share(data)
    }
}
