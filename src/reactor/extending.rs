//! Room for code that builds upon a reactor: state by its type, holds, names, notices of the end.

use std::any::Any;
use std::mem;

use super::Reactor;
use super::state::{Call, Ending};
use crate::callback::Callback;
use crate::handle::Hold;
use crate::observe::Subject;

/// # State from outside
impl Reactor {
    /// Keeps a value in the reactor, for [`state`](Self::state) to find by its type; returns the former value
    /// of this type.
    ///
    /// This is for what a call of a [`Handle`](crate::Handle) needs and cannot capture, because it is not
    /// `Send` or does not exist yet. A type of the program's own keeps it apart from the state of others.
    ///
    /// The value stays when the reactor stops, so that a program can [take](Self::take_state) its results
    /// afterwards. Values that are left are dropped with the reactor, the latest first, after every connection was
    /// told of its end and while the reactor still works. To clean up at a stop, see
    /// [`on_stop`](Self::on_stop).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use crocus::Reactor;
    ///
    /// struct Names(Rc<RefCell<Vec<String>>>); // shared with the protocols, and not `Send`
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.set_state(Names(Rc::default()));
    /// let (handle, hold) = (reactor.handle(), reactor.hold());
    /// std::thread::spawn(move || {
    ///     handle.call_from_thread(|reactor| {
    ///         if let Some(names) = reactor.state::<Names>() {
    ///             names.0.borrow_mut().push("Ada".to_owned());
    ///         }
    ///     });
    ///     drop(hold);
    /// });
    /// reactor.run()?;
    /// assert_eq!(*reactor.take_state::<Names>().unwrap().0.borrow(), ["Ada"]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_state<T: Any>(&mut self, value: T) -> Option<T> {
        self.extension.states.insert(value)
    }

    /// The value of this type that was [kept](Self::set_state), if there is one.
    ///
    /// The borrow includes the reactor. Code that needs both [takes](Self::take_state) the value and sets it
    /// again, or keeps an `Rc` here and clones it.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// struct Greeted(u32);
    ///
    /// fn greet(reactor: &mut Reactor) {
    ///     if let Some(greeted) = reactor.state::<Greeted>() {
    ///         greeted.0 += 1;
    ///     }
    /// }
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.set_state(Greeted(0));
    /// reactor.call_soon(greet);
    /// reactor.call_soon(greet);
    /// reactor.run()?;
    /// assert_eq!(reactor.take_state::<Greeted>().unwrap().0, 2);
    /// assert!(reactor.take_state::<Greeted>().is_none(), "it is taken");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn state<T: Any>(&mut self) -> Option<&mut T> {
        self.extension.states.get_mut()
    }

    /// Takes the value of this type out of the reactor. See the example of [`state`](Self::state).
    pub fn take_state<T: Any>(&mut self) -> Option<T> {
        self.extension.states.remove()
    }

    /// Drops all states, each while those that were set before it still are there.
    pub(crate) fn drop_states(&mut self) {
        while let Some(state) = self.extension.states.pop() {
            self.let_go(Subject::Reactor, state);
        }
    }
}

/// # Holding it, and hearing of its end
impl Reactor {
    /// Keeps [`run`](Self::run) from returning for lack of work, and a [shutdown](Self::shutdown) waiting,
    /// until the hold and its clones are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Ended, Reactor};
    ///
    /// let mut reactor = Reactor::new()?;
    /// let (handle, hold) = (reactor.handle(), reactor.hold());
    /// let thread = std::thread::spawn(move || {
    ///     let answer = handle.ask(|_reactor| 6 * 7).wait();
    ///     drop(hold); // nothing more will come from here
    ///     answer
    /// });
    /// reactor.run()?;
    /// assert_eq!(reactor.ended(), Some(Ended::NothingLeft));
    /// assert_eq!(thread.join().unwrap()?, 42);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn hold(&self) -> Hold {
        Hold::new(&self.calls.shared)
    }

    /// Calls `function` once when a [shutdown](Self::shutdown) begins, in the next calls phase.
    ///
    /// It is dropped without a call if the reactor [stops](Self::stop) at once. If a shutdown has begun already,
    /// it is called in the next calls phase.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::testing::Simulation;
    ///
    /// let mut simulation = Simulation::new();
    /// let reactor = simulation.reactor();
    /// let ticking = reactor.call_every(Duration::from_secs(1), |_reactor, _tick| {});
    /// reactor.on_shutdown(move |reactor| {
    ///     assert!(reactor.is_stopping());
    ///     reactor.cancel_timer(ticking);
    /// });
    /// reactor.shutdown(Duration::from_secs(10));
    /// reactor.run()?;
    /// assert_eq!(simulation.elapsed(), Duration::ZERO);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_shutdown(&mut self, function: impl FnOnce(&mut Self) + 'static) {
        let call = self.name_call(function);
        if matches!(self.ending, Ending::Draining(_)) {
            self.calls.push(call);
        } else {
            self.extension.on_shutdown.push(call);
        }
    }

    /// Calls `function` once when the reactor stops, at the end of a [shutdown](Self::shutdown) too: first of
    /// all, while connections, timers and listeners are still there.
    ///
    /// Functions are called in the order in which they were given, and the drop of a reactor counts as a stop.
    /// One that is given during a stop is for the next. If `run` returns because nothing is left, that is no
    /// stop.
    ///
    /// Twisted's `addSystemEventTrigger`.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// struct Tasks(Vec<String>);
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.set_state(Tasks(vec!["half done".to_owned()]));
    /// reactor.on_stop(|reactor| drop(reactor.take_state::<Tasks>()));
    /// reactor.call_soon(Reactor::stop);
    /// reactor.run()?;
    /// assert!(reactor.state::<Tasks>().is_none());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_stop(&mut self, function: impl FnOnce(&mut Self) + 'static) {
        let call = self.name_call(function);
        self.extension.on_stop.push(call);
    }

    /// Queues what waits for a shutdown.
    pub(crate) fn announce_shutdown(&mut self) {
        for call in self.extension.on_shutdown.drain(..) {
            self.calls.push(call);
        }
    }

    /// Calls what waits for a stop, and drops what waits for a shutdown.
    pub(crate) fn announce_stop(&mut self) {
        for call in mem::take(&mut self.extension.on_stop) {
            self.call_by_name(Callback::Call, call);
        }
        let untold = mem::take(&mut self.extension.on_shutdown);
        self.let_go_of_each(Subject::Reactor, untold);
    }
}

/// # Naming calls and timers
impl Reactor {
    /// Gives a name to the calls and timers that `set` makes, and to those that they make in turn.
    ///
    /// Observers and the warning of a slow callback show it, as [`Subject::Named`]. An extra gives its own
    /// name, so that a program with several can tell which one is slow. Calls of other threads are named by
    /// [`Handle::named`](crate::Handle::named).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// let timer = reactor.with_name("cache", |reactor| {
    ///     reactor.call_later(Duration::from_millis(1), |_reactor| { /* drop what is old */ })
    /// });
    /// # reactor.run()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn with_name<R>(&mut self, name: &'static str, set: impl FnOnce(&mut Self) -> R) -> R {
        /// Restores the former name, after a panic too.
        struct Restore<'a>(&'a mut Reactor, Option<&'static str>);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.extension.name = self.1;
            }
        }

        let former = self.extension.name.replace(name);
        let restore = Restore(self, former);
        set(restore.0)
    }

    /// The name that calls and timers get that are made now; `None` outside of [`with_name`](Self::with_name)
    /// and of what was made in it.
    ///
    /// For an extra that queues work of its own, to give it the name of its maker.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::Reactor;
    ///
    /// let mut reactor = Reactor::new()?;
    /// reactor.with_name("cache", |reactor| {
    ///     assert_eq!(reactor.name(), Some("cache"));
    ///     reactor.call_soon(|reactor| assert_eq!(reactor.name(), Some("cache")));
    /// });
    /// assert_eq!(reactor.name(), None);
    /// reactor.run()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn name(&self) -> Option<&'static str> {
        self.extension.name
    }

    /// A call under the name in force.
    pub(crate) fn name_call(&self, function: impl FnOnce(&mut Self) + 'static) -> Call {
        Call { name: self.extension.name, function: Box::new(function) }
    }

    pub(crate) fn call_by_name(&mut self, callback: Callback, call: Call) {
        self.under_name(call.name, callback, call.function);
    }

    /// Calls `code` with a name in force. `None`: it panicked.
    pub(crate) fn under_name<R>(
        &mut self,
        name: Option<&'static str>,
        callback: Callback,
        code: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        let former = mem::replace(&mut self.extension.name, name);
        let subject = name.map_or(Subject::Reactor, Subject::Named);
        let result = self.call(move || subject, callback, code);
        self.extension.name = former;
        result
    }
}
