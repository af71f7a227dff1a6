//! crocus, as its users write it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crocus::{
    Address, Bytes, ConnectionId, Cores, Factory, Listen, Protocol, Reactor, Reason, Recorder,
    SocketOptions, TimerId, Transport,
};

use rustls::ServerConfig;

use super::measuring::{self, Timers, start_calling};
use crate::service::{BACKLOG, RANDOM_LENGTH, TICK_INTERVAL, bulk_block, first_tick, write_random};

pub fn serve(service: &str, count: u64) -> io::Result<()> {
    match service {
        "timers" => timers(count),
        "calls" => calls(count),
        "beside-broadcast" => beside_broadcast(count),
        "beside-timers" => beside_timers(count),
        _ => serve_by(Reactor::new()?, service, place()),
    }
}

/// The same with a recorder: the difference is its cost.
pub fn serve_recorded(service: &str, _: u64) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let recorder = Rc::new(RefCell::new(Recorder::new(RECORDS)));
    reactor.set_observer(Some(Box::new(recorder)));
    serve_by(reactor, service, place())
}

/// The streams with as much unsent in the kernel as it likes, as the others have it: the difference is the cost of a bound.
pub fn serve_unbounded(service: &str, _: u64) -> io::Result<()> {
    if !["bulk", "flood"].contains(&service) {
        return super::no_such_service(); // where little is unsent there is no difference
    }
    let socket = SocketOptions::new().unsent_low_water(u32::MAX);
    serve_by(Reactor::new()?, service, place().socket(socket))
}

pub fn serve_over_tls(service: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    serve_by(Reactor::new()?, service, place().tls(config))
}

/// The notices of some 500 messages. Many more are no longer in the cache when they are overwritten.
const RECORDS: usize = 4_000;

fn place() -> Listen {
    Listen::at("127.0.0.1:0").backlog(BACKLOG)
}

fn serve_by(reactor: Reactor, service: &str, place: Listen) -> io::Result<()> {
    match service {
        "random" => listen(reactor, place, |_: Address| Random),
        "echo" | "flood" => listen(reactor, place, |_: Address| Echo),
        "bulk" => {
            let block = Bytes::from(bulk_block());
            listen(reactor, place, move |_: Address| Bulk { block: block.clone() })
        }
        "broadcast" => {
            let all = Rc::default();
            listen(reactor, place, move |_: Address| Member { all: Rc::clone(&all) })
        }
        _ => super::no_such_service(),
    }
}

fn listen(mut reactor: Reactor, place: Listen, factory: impl Factory + 'static) -> io::Result<()> {
    let listener = reactor.listen(place, factory)?;
    if let Some(addr) = reactor.local_addr(listener) {
        println!("listening on {addr}");
    }
    reactor.run()
}

/// With [`Cores`] for one loop too.
pub fn serve_by_loops(service: &str, loops: usize) -> io::Result<()> {
    let service = service.to_owned();
    let cores = Cores::start(loops, move |core| match service.as_str() {
        "random" => core.listen(place(), |_: Address| Random).map(drop),
        "echo" => core.listen(place(), |_: Address| Echo).map(drop),
        _ => super::no_such_service(),
    })?;
    println!("listening on {}", cores.addresses()[0]);
    cores.join()
}

fn beside_broadcast(count: u64) -> io::Result<()> {
    let all = Rc::<RefCell<Vec<ConnectionId>>>::default();
    listen(Reactor::new()?, place(), move |_: Address| -> Box<dyn Protocol> {
        if all.borrow().len() < count as usize {
            Box::new(Member { all: Rc::clone(&all) })
        } else {
            Box::new(Echo)
        }
    })
}

fn beside_timers(count: u64) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    for index in 0..count {
        reactor.call_later(first_tick(index), tick);
    }
    listen(reactor, place(), |_: Address| Echo)
}

fn tick(reactor: &mut Reactor) {
    reactor.call_later(TICK_INTERVAL, tick);
}

/// The default of a connection.
const HIGH_WATER: usize = 64 * 1024;

struct Random;

impl Protocol for Random {
    fn connection_made(&mut self, transport: &mut Transport) {
        let mut answer = [0; RANDOM_LENGTH];
        write_random(&mut answer);
        transport.write(&answer);
        transport.lose_connection();
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// Writes on whenever the peer has caught up.
struct Bulk {
    block: Bytes,
}

impl Bulk {
    fn write_on(&self, transport: &mut Transport) {
        // Up to the high-water mark: then the loop says when to go on.
        while transport.buffered() <= HIGH_WATER && transport.write_owned(self.block.clone()) {}
    }
}

impl Protocol for Bulk {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.write_on(transport);
    }

    fn pause_writing(&mut self, _: &mut Transport) {}

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.write_on(transport);
    }
}

struct Member {
    all: Rc<RefCell<Vec<ConnectionId>>>,
}

impl Protocol for Member {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.all.borrow_mut().push(transport.id());
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        for &id in self.all.borrow().iter() {
            if let Some(mut member) = transport.reactor().transport(id) {
                member.write(data);
            }
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
        self.all.borrow_mut().retain(|&id| id != transport.id());
    }
}

impl Timers for Reactor {
    type Timer = TimerId;

    fn arm(&mut self, delay: Duration) -> io::Result<TimerId> {
        Ok(self.call_later(delay, |_| {}))
    }

    fn reset(&mut self, timer: &mut TimerId, delay: Duration) -> io::Result<()> {
        pending(Self::reset_timer(self, *timer, delay))
    }

    fn cancel(&mut self, timer: TimerId) -> io::Result<()> {
        pending(Self::cancel_timer(self, timer))
    }
}

fn pending(is_pending: bool) -> io::Result<()> {
    if is_pending { Ok(()) } else { Err(io::Error::other("a timer is not pending")) }
}

/// All of it within callbacks, where users set timers.
fn timers(count: u64) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let measured = Rc::new(Cell::new(None));
    let measuring = Rc::clone(&measured);
    reactor.call_soon(move |reactor| {
        measuring.set(Some(measuring::population(count, reactor)));
    });
    reactor.run()?;
    let figures = measured.take().ok_or_else(|| io::Error::other("nothing was measured"))??;
    measuring::firing(count, figures, |delays| {
        reactor.call_soon(move |reactor| {
            for delay in delays {
                reactor.call_later(delay, |_| {});
            }
        });
        reactor.run()?; // returns when no timer is left
        pending(reactor.stats().timers == count)
    })
}

fn calls(count: u64) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let (handle, hold) = (reactor.handle(), reactor.hold());
    start_calling(count, move |call| {
        let _ = &hold; // dropped with this function, after the last call
        handle.call_from_thread(move |_| call.serve());
    })?;
    reactor.run()
}
