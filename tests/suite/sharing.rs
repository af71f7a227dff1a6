//! Bytes that connections share, without a copy for each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crocus::{Bytes, Protocol, Reactor, Transport};

use crate::util::{Log, Recorder, World, pattern};

both! {
    fn many_connections_share_one_copy(world) {
        let log = Log::new();
        let seen = log.clone();
        let addr = world.listen_narrow(move |_| Recorder::new(&seen, "a"));
        let mut fars: Vec<_> = (0..20).map(|_| world.dial(addr)).collect();
        world.until("all", |_| log.count("a made") == fars.len());
        let message = Bytes::from(world.much());
        for id in world.reactor().connections() {
            assert!(world.reactor().transport(id).unwrap().write_owned(message.clone()));
        }
        world.quiet();
        assert!(!message.is_unique(), "those that do not read have it");
        for far in &mut fars {
            assert_eq!(world.read(far, message.len()), message);
        }
        world.until("all to be sent", |_| message.is_unique());
    }
}

both! {
    fn a_shared_piece_that_is_not_sent_is_let_go_at_the_end(world) {
        let message = Bytes::from(world.much());
        let wrote = message.clone();
        let (log, far) = world.dialled_narrow("a", |a| {
            a.on_made(move |transport| assert!(transport.write_owned(wrote.clone())))
        });
        world.until("it to be made", |_| log.has("a made"));
        world.quiet();
        far.reset();
        world.until("the loss", |_| log.count("a lost") == 1);
        world.until("it to be let go", |_| message.is_unique());
    }
}

both! {
    fn bytes_that_are_kept_outlive_the_next_read(world) {
        let kept: Rc<RefCell<Vec<Bytes>>> = Rc::default();
        let (keeping, shared) = (Rc::clone(&kept), Rc::new(Cell::new(0)));
        let counting = Rc::clone(&shared);
        let (_, mut far) = world.served("a", |a| {
            a.on_data(move |transport, data| {
                let (head, tail) = data.split_at(data.len() / 3);
                let keep = |part| match transport.share(part) {
                    Some(bytes) => {
                        counting.set(counting.get() + 1);
                        bytes
                    }
                    None => Bytes::copy_from_slice(part),
                };
                keeping.borrow_mut().extend([keep(head), keep(tail)]);
            })
        });
        let data = pattern(300_000);
        for piece in data.chunks(7_000) {
            world.send(&mut far, piece);
            world.turn();
        }
        world.until("all of it", |_| kept.borrow().iter().map(Bytes::len).sum::<usize>() == data.len());
        assert!(kept.borrow().concat() == data);
        assert!(shared.get() >= 8, "{} pieces are shared", shared.get());
    }
}

/// Keeps what is told, without a copy if that is possible.
fn keep(kept: &Rc<RefCell<Vec<Bytes>>>, transport: &mut Transport, data: &[u8]) {
    let bytes = transport.share(data).unwrap_or_else(|| Bytes::copy_from_slice(data));
    kept.borrow_mut().push(bytes);
}

both! {
    /// They lie where the buffer was when they came, and not in what is read after them.
    fn bytes_that_are_kept_may_be_written_in_a_later_notice(world) {
        let kept: Rc<RefCell<Vec<Bytes>>> = Rc::default();
        let (_, mut far) = world.served("a", |a| {
            let keeping = Rc::clone(&kept);
            a.on_data(move |transport, data| keep(&keeping, transport, data)).on_eof(
                move |transport| {
                    for bytes in kept.borrow_mut().drain(..) {
                        assert!(transport.write(&bytes));
                    }
                    transport.lose_connection();
                },
            )
        });
        let data = pattern(8_000);
        far.send(&data);
        far.close_write(); // so that the end comes in the same visit
        assert!(world.read_to_end(&mut far) == (data, Ok(())));
    }
}

/// A callback must not replace its reactor. If it does, the bytes that it was told are not taken for those of a later read.
#[test]
fn bytes_that_a_replaced_reactor_told_may_be_written_later() {
    struct Replaces(Rc<RefCell<Vec<Bytes>>>);

    impl Protocol for Replaces {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            keep(&self.0, transport, data);
            let former = std::mem::replace(transport.reactor(), Reactor::new().unwrap());
            transport.reactor().call_soon(move |reactor| *reactor = former);
        }
    }

    let kept: Rc<RefCell<Vec<Bytes>>> = Rc::default();
    let mut world = World::real();
    let keeping = Rc::clone(&kept);
    let (_, addr) = world.listen(move |_| Replaces(Rc::clone(&keeping)));
    let mut far = world.dial(addr);
    let data = pattern(8_000);
    far.send(&data);
    world.until("it to be told", |_| !kept.borrow().is_empty());
    let told = kept.borrow().concat();
    let (_log, mut other) = world.served("b", move |b| {
        b.on_made(move |transport| {
            for bytes in kept.borrow_mut().drain(..) {
                assert!(transport.write(&bytes));
            }
        })
    });
    assert!(world.read(&mut other, told.len()) == told);
}
