//! **The state machine** of one connection, which decides what happens to it next.
//!
//! A [`Connection`] has its stream, its buffers and its state. It refers to no reactor, protocol, queue or
//! other connection. Events are [latched](Connection::latch) and commands are methods; both only change the
//! state. [`next`](Connection::next) reads or writes once and returns what to do now. Nothing else decides, but for the most
//! frequent of its steps, [`send_plainly`](Connection::send_plainly), which the flush phase takes without it too.
//!
//! # The life of a connection
//!
//! ```text
//!        next: Made          close            all sent, FIN sent          the peer's FIN, or time is up
//!   New ───────────▶ Open ─────────▶ Closing ───────────────────▶ Lingering ─────────────────────▶ Gone
//!                    ▲  │ hand_over  ▲  │                                                            ▲
//!     next: Handover │  ▼   close    │  │ all sent, and the peer has closed or sent nothing yet;     │
//!                  HandingOver ──────┘  └─ or the close timeout ─────────────────────────────────────┤
//!                                                                                                    │
//!   Open, when both halves are shut; New, on close; every state, on end or an error ─────────────────┘
//! ```
//!
//! If a TCP socket is closed while the peer still sends, a reset answers the peer's next segment, and may
//! overtake bytes that the peer has not read. So after the last bytes the connection sends FIN and reads for
//! some seconds (nginx: a lingering close). Bytes that arrive after `close` are read and discarded, so that a
//! peer which reads only after it has sent everything causes no deadlock. *Finishing* is as Open. A connection with
//! a preparation before it is announced, the handshake of TLS, begins as *Preparing*, and becomes New.
//!
//! Between the stream and the buffers there may be a [filter](filter): TLS. In the table "bytes" and "FIN" are then
//! what it makes of the stream's.
//!
//! # The legal sequence of notices
//!
//! A [`Tell`] is one call to the protocol. `Made` comes first, once. Then come `Data`, `TimedOut`, and
//! `Pause` and `Resume` in turns; among them `ShuttingDown` at most once, and `Eof` at most once, after
//! which no `Data` comes. `Handover` begins a new sequence for another protocol, as if it were `Made`.
//! After `close` or `end` no notice comes, and [`Next::Gone`] is the last result.
//!
//! # States and inputs
//!
//! Each row has a test of its own in `table.rs` or a file beside it, by its number. A connection is *held* while there is a
//! reason not to read it ([`Holds`]).
//!
//! | # | in | comes | becomes | is told |
//! |--:|----|-------|---------|---------|
//! | 1 | New | `next` | Open | `Made` |
//! | 2 | New | `close`, `end` | Gone | nothing |
//! | 3 | Open | bytes | Open | `Data` |
//! | 4 | Open, held | bytes, FIN | Open | nothing until `release`, then `Data`, `Eof` |
//! | 5 | Open | more bytes than the allowance | Open | `Data`, and the rest in another visit |
//! | 6 | Open | `unread` | Open | the same `Data` again in another visit, before anything newer |
//! | 7 | Open | FIN | Open, input told | `Eof`, once |
//! | 8 | Open, FIN sent | FIN | Gone | `Eof` |
//! | 9 | Open | above the high mark | Open, pressure high | `Pause`, before anything is sent |
//! | 10 | Open, pressure high | down to the low mark | Open, pressure low | `Resume` |
//! | 11 | Open | a write, of bytes to copy, to share or in a file | Open | nothing; it leaves in `next`, once per visit |
//! | 12 | Open | a write when more than the cap was left unsent | Gone | nothing |
//! | 13 | Open | `shut_write` | Open, FIN behind the last byte | nothing; writes are dropped |
//! | 14 | Open | silence for the timeout, and the stream has nothing | Open, timeout off | `TimedOut` |
//! | 15 | Open | sending fails | Open, output broken | what came before it, `Resume` if paused; then Gone |
//! | 16 | Open, held by the protocol, or input told | sending fails | Gone | nothing |
//! | 17 | Open, output broken | `hold` by the protocol, `close` | Gone | nothing |
//! | 18 | Open, held | a hang-up with an error | Gone | nothing |
//! | 19 | Open | an error on reading | Gone | nothing |
//! | 20 | Open | its bucket is empty | Open, held by its rate | nothing until there is a portion in it |
//! | 21 | Open | `hand_over` | HandingOver | nothing: the former protocol gets no more |
//! | 22 | HandingOver | `next` | Open | `Handover`, then what was put back, then `Eof` again |
//! | 23 | HandingOver | `close`, `end`, sending fails | as from Open | nothing |
//! | 24 | Open | `close` | Closing | nothing; what waits is sent |
//! | 25 | Closing, Lingering | bytes | the same | nothing: they are discarded |
//! | 26 | Closing | all sent, the peer still sends | Lingering, FIN sent | nothing |
//! | 27 | Closing | all sent, the peer has closed | Gone | nothing |
//! | 28 | Closing, fresh | all sent at once, nothing came | Gone, FIN sent | nothing |
//! | 29 | Closing | the close timeout, counted from the last progress | Gone | nothing |
//! | 30 | Lingering | bytes | Lingering, a while longer within the close timeout | nothing |
//! | 31 | Lingering | FIN | Gone | nothing |
//! | 32 | Lingering | its time is up | Gone | nothing |
//! | 33 | Gone | anything | Gone | nothing |
//! | 34 | Open, Closing, Lingering | `end`, an error | Gone | nothing |
//! | 35 | Open, held or not | a shutdown | Open | what has come and is not held, then `ShuttingDown`, once |
//! | 36 | New, during a shutdown | `next` | Open | `Made`, then as in 35 |
//! | 37 | HandingOver, during a shutdown | `next` | Open | `Handover`, then as in 35 for the new protocol |
//! | 38 | Closing | a shutdown | Closing | nothing |
//! | 39 | Lingering | a shutdown | Lingering, for less time | nothing |
//! | 40 | Open | silence for the timeout, but bytes wait that no event told | Open | `Data` |
//! | 41 | Open, Closing | the same, but the stream takes some | the same, the time counts anew | nothing |
//! | 42 | Open, held | bytes | Open, the timeout counts anew | nothing until `release` |
//! | 43 | Closing, Lingering | more bytes than are discarded | the same | nothing: they stay in the kernel |
//! | 44 | Open, pressure low | `close_when_written` | Closing | nothing; as 24 |
//! | 45 | Open, pressure high | `close_when_written` | Finishing | as when open; `Resume` |
//! | 46 | Finishing | `close_if_written`, or new marks; no pressure | Closing | nothing; as 24 |
//! | 47 | Finishing | the close timeout, counted from the last progress | Gone | nothing |
//! | 48 | Lingering | a stop | Gone, for its reason if the peer has sent nothing since, else stopped | nothing |
//! | 49 | Open, held | silence for the timeout, but not all events were told | Open | nothing, until they are |
//! | 50 | Preparing | its handshake is over | New | nothing: the reactor has its protocol made; then as 1 |
//! | 51 | Preparing | bytes that TLS refuses | Closing, an alert sent; this stays the reason if the peer resets | nothing |
//! | 52 | Preparing | FIN; the time of the handshake is up | Gone | nothing |
//! | 53 | Open | `start_tls` | Open, shaking hands | nothing until that is over; what was put back is of TLS |
//! | 54 | Open, TLS | close_notify | Open, input told | what came before it, `Eof` |
//! | 55 | Open, TLS | FIN without close_notify | Gone, unless that is allowed | what came before it |
//! | 56 | Open, TLS | bytes that TLS refuses | Closing, an alert sent; nothing that waits can leave | what came before it |
//! | 57 | HandingOver, shaking hands | the handshake is over | as 22 | as 22 |
//! | 58 | Closing, TLS | all sent | as 26, after close_notify | nothing |
//! | 59 | Closing, shaking hands | the handshake is over | as 58, or at once if nothing waits | nothing |
//! | 60 | Preparing | its PROXY header is whole | New, or Preparing for TLS | nothing: as 50; what came behind is delivered, or of TLS |
//! | 61 | Preparing | bytes that are no header | Gone, reset | nothing |
//! | 62 | Preparing | FIN before the header is whole; its time is up | Gone | nothing |
//! | 63 | Open, HandingOver, Closing | a file that is being sent is too short, or cannot be read | Gone, reset | nothing |
//! | 64 | Open, told bytes | a write of them | Open | nothing; they leave as in 11, from the read buffer |
//! | 65 | any, bytes of the read buffer unsent | a read, or the end of the visit | the same | nothing; they are copied before, in their place |
//! | 66 | Open, pressure high | down to the low mark, in a visit that has sent | Open, pressure low | `Resume`, and the input in another visit |
//! | 67 | Open, `Resume` told in this visit | a shutdown, before it or in it | Open | as in 35, in this visit |

mod commands;
mod ending;
mod extras;
#[cfg(feature = "tls")]
mod filter;
#[cfg(not(feature = "tls"))]
#[path = "no_filter.rs"]
mod filter;
#[cfg(feature = "proxy")]
mod header;
#[cfg(not(feature = "proxy"))]
#[path = "no_header.rs"]
mod header;
mod input;
mod lent;
mod output;
mod pieces;
mod plain;
mod preparing;
mod read_buffer;
#[cfg(any(test, fuzzing))]
mod script;
mod securing;
#[cfg(any(test, fuzzing))]
pub(crate) mod sequences;
#[cfg(test)]
mod table;
#[cfg(all(test, feature = "proxy"))]
mod table_of_headers;
#[cfg(test)]
mod table_of_lent;
#[cfg(all(test, feature = "tls"))]
mod table_of_tls;
mod timing;
mod values;

pub(crate) use extras::Direction;
#[cfg(feature = "tls")]
pub(crate) use filter::Engine;
#[cfg(feature = "proxy")]
pub(crate) use header::Header;
pub(crate) use preparing::{HAS_STEPS, Step};
pub(crate) use read_buffer::ReadBuffer;
pub(crate) use values::{ClosingTimes, Common, Holds, Io, Marks, Next, Reached, Tell, Traffic};

use std::mem;

use crate::parts::outgoing::Outgoing;
use crate::reason::Reason;
use crate::system::byte_stream::ByteStream;
use crate::system::poller::Readiness;
use crate::system::stream::Stream;
use extras::Extras;
use input::Input;
use output::{Output, Pressure};
use preparing::Preparation;
use values::{Side, Told};

/// A handover is charged like a read of so many bytes, or of the whole buffer if that is smaller: protocols that hand
/// over in a circle do not delay other connections.
const HAND_OVER: usize = 64 * 1024;

/// One connection.
pub(crate) struct Connection<S = Stream> {
    pub(crate) stream: S,
    outgoing: Outgoing,
    marks: Marks,
    /// The parts that few connections need, in a box to keep the others small.
    extras: Option<Box<Extras>>,
    life: Life,
    input: Input,
    output: Output,
    traffic: Traffic,
    /// The readiness that events reported and no attempt has contradicted.
    ready: Readiness,
    held: Holds,
    pressure: Pressure,
    /// Whether the last visit that could send has left more than the cap.
    above_cap: bool,
    /// The side that ended its output first.
    ended_first: Option<Side>,
    told: Told,
}

/// The states of a connection.
#[derive(Debug)]
enum Life {
    /// Its preparation is not over: it has no protocol yet.
    Preparing(Preparation),
    /// Its protocol was not told of it yet.
    New,
    Open,
    /// As `Open`, but its protocol gets no more notices, and another takes over.
    HandingOver,
    /// As `Open`, in a shutdown: it closes when its protocol, told to go on writing, has added nothing.
    Finishing,
    /// Its protocol gets no more notices but the last, with this reason.
    Ending(End, Reason),
}

/// The stages of an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The outgoing buffer is being sent.
    Closing,
    /// Everything is sent, FIN too; waiting for the peer's FIN.
    Lingering,
    Gone,
}

impl<S: ByteStream> Connection<S> {
    pub(crate) fn new(stream: S, marks: Marks) -> Self {
        Self {
            stream,
            outgoing: Outgoing::default(),
            marks,
            extras: None,
            life: Life::New,
            input: Input::Open,
            output: Output::Open,
            traffic: Traffic::default(),
            ready: Readiness::WRITABLE,
            held: Holds::default(),
            pressure: Pressure::Low,
            above_cap: false,
            ended_first: None,
            told: Told::Nothing,
        }
    }

    /// Records the readiness of an event, a hint: `next` tries.
    pub(crate) fn latch(&mut self, readiness: Readiness) {
        self.ready |= readiness;
        self.note_event(readiness);
    }

    /// Reads or writes once, within the allowance of the visit, and returns what to do now. Bytes to be
    /// delivered are at the beginning of `buffer`. The order is input, output, deadlines: so a timeout is
    /// told only to a connection that has nothing left to read.
    #[inline(always)]
    pub(crate) fn next(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        self.begin_step(common, buffer);
        match self.life {
            Life::Open | Life::Finishing => self.while_open(io, common, buffer),
            _ => self.while_not_open(io, common, buffer),
        }
    }

    /// Not inlined: most steps are of connections that are open.
    #[inline(never)]
    fn while_not_open(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        match self.life {
            Life::Preparing(_) => self.while_preparing(io, common, buffer),
            Life::New => self.announce(common),
            Life::HandingOver => self.while_handing_over(io, common, buffer),
            Life::Ending(End::Closing, _) => self.while_closing(io, common, buffer),
            Life::Ending(End::Lingering, _) => self.while_lingering(io, common, buffer),
            Life::Open | Life::Finishing | Life::Ending(End::Gone, _) => Next::Gone,
        }
    }

    #[inline(always)]
    fn while_open(&mut self, io: &mut Io, common: &mut Common, buffer: &mut ReadBuffer) -> Next {
        if let Some(next) = self.send_at_once(io, common, buffer) {
            return next;
        }
        let mut more = false;
        if self.may_deliver() {
            if io.read > 0 {
                return self.deliver(io, common, buffer);
            }
            more = true; // but not in this visit
        }
        if let Some(budget) = io.write {
            if self.is_to_pause() {
                if budget > 0 {
                    self.pressure = Pressure::High;
                    return Next::Tell(Tell::Pause);
                }
                more = true; // `Pause` comes before a write, and this visit has had its write
            }
            match self.flush(io, common, buffer) {
                // Encrypted bytes are more than they were in clear.
                Ok(unsent) => more |= unsent || (self.extras.is_some() && self.is_to_pause()),
                Err(error) => return self.break_off(error, common),
            }
            if self.is_to_resume() {
                self.pressure = Pressure::Low;
                // No more writes in this visit, or this could go on for ever. An answer to input that is read now would
                // have to be copied.
                (io.put_off, io.read, io.write) = (io.read, 0, Some(0));
                return Next::Tell(Tell::Resume);
            }
        }
        if self.both_halves_are_shut() {
            return self.finish();
        }
        if common.shutting_down && self.told != Told::OfShutdown {
            if io.serves {
                if io.put_off > 0 && self.may_deliver() {
                    io.read = mem::take(&mut io.put_off);
                    return Next::Again;
                }
                self.told = Told::OfShutdown;
                return Next::Tell(Tell::ShuttingDown);
            }
            more = true; // but not before this connection was served
        }
        self.settle(io, common, buffer, more)
    }

    #[inline(never)]
    fn while_handing_over(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &mut ReadBuffer,
    ) -> Next {
        if self.is_handshaking() {
            return self.shake_hands(io, common, buffer); // first: `Handover` is another's `Made`
        }
        if io.read > 0 {
            io.read = io.read.saturating_sub(buffer.len().min(HAND_OVER));
            self.life = Life::Open;
            self.input.begin_again();
            self.told = Told::Made;
            self.held.remove(Holds::UNREAD);
            return Next::Tell(Tell::Handover);
        }
        if io.write.is_some()
            && let Err(error) = self.flush(io, common, buffer)
        {
            return self.break_off(error, common);
        }
        self.copy_lent(buffer, common);
        Next::Yield
    }

    /// Ends a visit. Copies what is lent; checks for a broken connection and for deadlines; then rests, or yields if there is
    /// `more` to do and the allowance is spent. An open connection times out only if nothing is left to be
    /// read; bytes that were put back count as read. A closing connection ends at its deadline in any case.
    #[inline(always)]
    fn settle(
        &mut self,
        io: &mut Io,
        common: &mut Common,
        buffer: &ReadBuffer,
        more: bool,
    ) -> Next {
        self.copy_lent(buffer, common);
        // Only a connection with extras can have put bytes back.
        let again = self.is_timed() && self.gives_again();
        if !more
            && self.ready.contains(Readiness::HANGUP)
            && let Some(error) = self.judge_hangup(again)
        {
            return self.fail(error);
        }
        if self.is_timed() {
            let input_waits = more || (again && self.ready.contains(Readiness::READABLE));
            if !(input_waits && self.is_open())
                && let Some(next) = self.judge_deadlines(io, common)
            {
                return next;
            }
            self.held.remove(Holds::UNREAD);
        }
        if again || more { Next::Yield } else { Next::Rest }
    }
}
