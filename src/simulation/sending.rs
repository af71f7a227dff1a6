//! Sending in longer steps: all, however little fits into the window; a question and its answer.

use std::io;
use std::time::Duration;

use super::peers::{End, Peer};
use super::testing::Simulation;

/// For how much simulated time nothing need be taken before the sender gives up: longer than any timeout or
/// rate in a usual test.
const PATIENCE: Duration = Duration::from_secs(60);

impl Peer {
    /// Sends all of `data`, and runs the simulation as long as that takes.
    ///
    /// Time passes too if it must, for latency or a rate. The last bytes may still be on their way then:
    /// [`settle`](Simulation::settle) has them arrive.
    ///
    /// # Errors
    ///
    /// If the connection has ended, with the kind of its end; and `WouldBlock` if nothing was taken for a
    /// minute of simulated time, or never will be. The message says how much was sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Count(usize);
    ///
    /// impl Protocol for Count {
    ///     fn data_received(&mut self, _: &mut Transport, data: &[u8]) {
    ///         self.0 += data.len();
    ///     }
    ///
    ///     fn eof_received(&mut self, transport: &mut Transport) {
    ///         let _ = writeln!(transport, "{}", self.0);
    ///         transport.lose_connection();
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Count(0));
    /// peer.send_all(&mut simulation, &vec![0; 1_000_000])?; // 64 KiB fit into the window
    /// peer.close_write();
    /// simulation.settle();
    /// assert_eq!(peer.received(), b"1000000\n");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send_all(&mut self, simulation: &mut Simulation, data: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        let mut give_up_at = simulation.elapsed() + PATIENCE;
        loop {
            let count = self.send(&data[sent..]);
            sent += count;
            if sent == data.len() {
                return Ok(());
            }
            if count > 0 {
                give_up_at = simulation.elapsed() + PATIENCE;
            }
            let next = simulation.time_to_next_event();
            let waits = next.is_some_and(|next| simulation.elapsed() + next <= give_up_at);
            if count == 0 && !waits {
                return Err(self.why_not(sent, data.len()));
            }
            simulation.advance(next.unwrap_or_default());
        }
    }

    /// Sends a piece, runs the simulation until nothing is left to do, and returns what has come back.
    ///
    /// Bytes that the window does not take are not sent; [`send_all`](Self::send_all) is for large pieces.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::testing::Simulation;
    /// use crocus::{Protocol, Transport};
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// let mut simulation = Simulation::new();
    /// let mut peer = simulation.connect(Echo);
    /// assert_eq!(peer.exchange(&mut simulation, b"hello"), b"hello");
    /// ```
    pub fn exchange(&mut self, simulation: &mut Simulation, data: &[u8]) -> Vec<u8> {
        self.send(data);
        simulation.settle();
        self.received()
    }

    fn why_not(&mut self, sent: usize, of: usize) -> io::Error {
        let (kind, why) = match self.end() {
            Some(End::Failed(kind)) => (kind, "the connection has failed"),
            Some(End::Closed) => (io::ErrorKind::BrokenPipe, "the other side has closed"),
            None => (
                io::ErrorKind::WouldBlock,
                "the other side does not read on; does it wait until this peer reads?",
            ),
        };
        io::Error::new(kind, format!("sent {sent} of {of} bytes: {why}"))
    }
}
