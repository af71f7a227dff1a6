//! Which keys are watched by whom: WATCH has a transaction fail if another client changes one.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// Whether a key that a client watches was changed.
pub(crate) type Watch = Rc<Cell<bool>>;

/// The clients that watch a key.
#[derive(Debug, Default)]
pub(super) struct Watches(HashMap<Box<[u8]>, Vec<Watch>>);

impl Watches {
    pub(super) fn add(&mut self, key: &[u8], watch: &Watch) {
        self.0.entry(key.into()).or_default().push(Rc::clone(watch));
    }

    pub(super) fn remove(&mut self, key: &[u8], watch: &Watch) {
        let Some(watches) = self.0.get_mut(key) else { return };
        watches.retain(|other| !Rc::ptr_eq(other, watch));
        if watches.is_empty() {
            self.0.remove(key);
        }
    }

    /// A key is changed.
    #[inline]
    pub(super) fn touch(&mut self, key: &[u8]) {
        if !self.0.is_empty() {
            for watch in self.0.remove(key).unwrap_or_default() {
                watch.set(true);
            }
        }
    }

    /// Those keys are changed for which this holds.
    pub(super) fn touch_all(&mut self, mut is_changed: impl FnMut(&[u8]) -> bool) {
        for (_, watches) in self.0.extract_if(|key, _| is_changed(key)) {
            watches.iter().for_each(|watch| watch.set(true));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
