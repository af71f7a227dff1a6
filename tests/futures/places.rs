//! The place of a task that is over, and the next tenant.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crocus::futures::*;

use crate::util::World;

both! {
    fn a_call_for_a_task_that_is_over_does_not_end_the_next_tenant(world) {
        let own: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
        let handle = Rc::clone(&own);
        let first = spawn(world.reactor(), poll_fn(move |_| {
            handle.take().unwrap().abort(); // a further call for this task, which is over now
            Poll::Ready(())
        }));
        own.set(Some(first));
        world.turn();
        assert_eq!(task_count(world.reactor()), 0);
        let second = spawn(world.reactor(), async { sleep(crate::util::MS).await });
        world.run().unwrap();
        assert!(matches!(second.take(), Some(Ok(()))));
    }
}
