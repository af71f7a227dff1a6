//! Calls: their interface, and phase 5.

use super::Reactor;
use super::state::Queued;
use crate::callback::Callback;
use crate::observe::Phase;
use crate::parts::call_queue::CallQueue;

/// # Calls
impl Reactor {
    /// Calls `function` in the next [calls phase](Self::turn).
    ///
    /// If `data_received` or a timer asks for it, `function` runs in the same turn, and its writes leave with
    /// the flush of that turn. If a call asks for it, it runs in the next turn. libuv has its check phase at
    /// this place.
    ///
    /// Calls run in the order in which they were made.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use crocus::Reactor;
    ///
    /// let said = Rc::new(RefCell::new(String::new()));
    /// let mut reactor = Reactor::new()?;
    /// for word in ["first ", "second"] {
    ///     let said = Rc::clone(&said);
    ///     reactor.call_soon(move |_reactor| said.borrow_mut().push_str(word));
    /// }
    /// assert_eq!(*said.borrow(), "", "not at once, but in the next turn");
    /// reactor.run()?;
    /// assert_eq!(*said.borrow(), "first second");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn call_soon(&mut self, function: impl FnOnce(&mut Self) + 'static) {
        let call = self.name_call(function);
        self.calls.push(call);
    }

    /// Phase 5. Calls made by calls wait for the next turn, and so do those above the budget.
    pub(crate) fn run_calls(&mut self) {
        self.begin_phase(Phase::Calls);
        let budget = self.limits.call_budget;
        let mut left = self.calls.take_of_others(budget);
        while left > 0 {
            match self.calls.next() {
                Some(Queued::Own(call)) => {
                    self.count_call();
                    self.call_by_name(Callback::Call, call);
                    left -= 1;
                }
                Some(Queued::OfOthers(calls)) => left -= self.run_calls_of_others(calls, left),
                None => return,
            }
        }
    }

    /// Runs at most so many calls; returns how many.
    fn run_calls_of_others(&mut self, mut calls: Box<CallQueue<Self>>, most: usize) -> usize {
        let all = calls.len();
        let count = all.min(most);
        for begun in 1..=count {
            let Some((name, functions)) = calls.next() else { break };
            self.calls.set_rest(all - begun);
            self.count_call();
            self.under_name(name, Callback::Call, |reactor| functions.call_next(reactor));
        }
        self.calls.put_back(calls);
        count
    }

    fn count_call(&mut self) {
        self.monitor.report.calls += 1;
        self.monitor.stats.calls += 1;
    }
}
