//! Values of the user's that are dropped deep inside, where a panic must not pass.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The panics of such values, kept until somebody can tell of them.
#[derive(Debug, Default)]
pub(crate) struct Panics(Vec<Box<dyn Any + Send>>);

impl Panics {
    /// Drops one value.
    #[inline]
    pub(crate) fn let_go<T>(&mut self, value: T) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.0.push(payload);
        }
    }

    #[inline]
    pub(crate) fn are_there(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn take(&mut self) -> Vec<Box<dyn Any + Send>> {
        mem::take(&mut self.0)
    }
}
