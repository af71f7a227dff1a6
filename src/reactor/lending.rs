//! Reaching the reactor from deep inside a call, where no argument leads to it.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use super::Reactor;
use super::limits::Limits;
use crate::parts::clock::Clock;
use crate::parts::random::Random;
use crate::system::poller::Poller;

/// A place for a lent reactor. While nothing is lent a hollow one is in it.
type Place = Rc<RefCell<Reactor>>;

struct Places {
    /// Those in which reactors are lent, the latest last.
    lent: Vec<Place>,
    /// Those for later use, as many as were in use at once.
    spare: Vec<Place>,
}

thread_local! {
    static PLACES: RefCell<Places> =
        const { RefCell::new(Places { lent: Vec::new(), spare: Vec::new() }) };
}

/// # Reaching the reactor from deep inside a call
impl Reactor {
    /// Calls `code`, in which [`with_lent`](Self::with_lent) reaches this reactor.
    ///
    /// This is for code that is called by other code which passes no argument on: a `Future` that is polled,
    /// a `Drop`, a callback of a library. Any `&mut Reactor` can be lent, in a callback and outside of a turn.
    ///
    /// For the call the reactor moves to a place of the thread, and a hollow one stands in for it. Safe code
    /// cannot meet the hollow one: it is behind the `&mut` that this call holds. A panic in `code` brings the
    /// reactor back before it goes on.
    ///
    /// While its thread ends, a reactor that is dropped with the thread's other values may be lent to nobody.
    ///
    /// Costs two moves of a kilobyte, and no allocation but at the first call of a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// struct Parting;
    ///
    /// impl Drop for Parting {
    ///     fn drop(&mut self) {
    ///         Reactor::with_lent(|reactor| reactor.call_soon(|_| println!("the last word")));
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// let parting = Parting;
    /// reactor.lend(|| drop(parting));
    /// reactor.run()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn lend<R>(&mut self, code: impl FnOnce() -> R) -> R {
        /// Brings the reactor back, after a panic too.
        struct Loan<'a>(&'a mut Reactor);

        impl Drop for Loan<'_> {
            fn drop(&mut self) {
                PLACES.with_borrow_mut(|places| {
                    // Loans end in turn, so the last is this one. Nothing holds a borrow of its place: each ended with its
                    // call to `with_lent`, inside of this one.
                    if let Some(place) = places.lent.pop() {
                        mem::swap(self.0, &mut place.borrow_mut());
                        places.spare.push(place);
                    }
                });
            }
        }

        let lent = PLACES.try_with(|places| {
            let mut places = places.borrow_mut();
            let place = places.spare.pop().unwrap_or_else(Self::hollow);
            mem::swap(self, &mut place.borrow_mut());
            places.lent.push(place);
        });
        let _loan = lent.is_ok().then(|| Loan(self));
        code()
    }

    /// Calls `code` with the reactor that this thread has [lent](Self::lend).
    ///
    /// Returns `None`, and drops `code`, if none is lent, or the lent one is in use already: by a `with_lent`
    /// further up the stack, whose code has the reactor as its argument. If several are lent, one inside
    /// the other's call, this is the last of them. Inside of `with_lent` the reactor can be lent again.
    ///
    /// In a callback the lent reactor is in a turn, so it cannot be turned.
    pub fn with_lent<R>(code: impl FnOnce(&mut Self) -> R) -> Option<R> {
        // An error: the thread ends, and its places are gone.
        let place = PLACES.try_with(|places| places.borrow().lent.last().cloned()).ok()??;
        let mut reactor = place.try_borrow_mut().ok()?;
        Some(code(&mut reactor))
    }

    /// A reactor without a poller, to stand in for one that is lent.
    fn hollow() -> Place {
        let hollow = Self::with_poller(
            Poller::hollow(),
            Clock::Monotonic,
            Random::new(0),
            Limits::default(),
        );
        Rc::new(RefCell::new(hollow.expect("only the waker could fail, and it has none")))
    }
}
