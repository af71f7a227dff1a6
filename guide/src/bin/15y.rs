//! Step 15y, which is wrong: the thread keeps the tasks, and not the reactor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future;
use std::pin::Pin;
use std::thread;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// The tasks that are not ready yet, by number.
    static TASKS: RefCell<BTreeMap<usize, Task>> = const { RefCell::new(BTreeMap::new()) };
}

/// A task that ends when this is dropped.
struct Child(usize);

impl Drop for Child {
    fn drop(&mut self) {
        let task = TASKS.with_borrow_mut(|tasks| tasks.remove(&self.0));
        println!("task {} is dropped: {}", self.0, task.is_some());
    }
}

fn main() {
    let thread = thread::spawn(|| {
        let child = Child(2);
        let parent = async move {
            let _child = child;
            future::pending::<()>().await;
        };
        TASKS.with_borrow_mut(|tasks| {
            tasks.insert(1, Box::pin(parent));
            tasks.insert(2, Box::pin(future::pending()));
        });
        println!("the thread ends, and two tasks wait");
    });
    println!("joined: {}", thread.join().is_ok());
}
