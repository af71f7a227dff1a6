//! A slab with generations, and the conversion of its keys to poller tokens.
//!
//! A slab reuses freed slots, the one freed last first. A bare index that a user keeps (or the kernel, as the token of an
//! event) may therefore name another tenant later. Here each tenant gets its own number, its
//! *generation*, and a [`Key`] carries both. A stale key finds nothing.
//!
//! Generations come from one 32-bit counter per arena. A stale key is mistaken only if exactly
//! 2³² − 1 further tenants (or a multiple of that) are inserted while it is kept, and the last of
//! them gets the same slot.

use std::hint::black_box;
use std::num::NonZeroU32;

use mio::Token;

use crate::parts::surplus::surplus;

/// Names one tenant of an [`Arena`], and never another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: NonZeroU32,
}

impl Key {
    /// The slot, which had other tenants before.
    pub(crate) fn slot(self) -> u32 {
        self.index
    }

    /// The token under which the poller reports this tenant.
    ///
    /// The generation fills the upper half. A `usize` of 32 bits cuts it off. This is safe: nothing
    /// is freed between the poll and the end of the latch phase, so the poller cannot return a
    /// stale token. The generation is a second safeguard.
    pub(crate) fn token(self) -> Token {
        Token(((u64::from(self.generation.get()) << 32) | u64::from(self.index)) as usize)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Declares a public type around a [`Key`], so that the kinds of sources cannot be confused.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident $(#[$example:meta])*) => {
        $(#[$doc])*
        ///
        /// Small, `Copy`, and never reused. A stale one is harmless: methods answer it with `None`
        /// or `false`. Printed as `#slot.generation`.
        $(#[$example])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) crate::parts::arena::Key);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "#{}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}
pub(crate) use id_type;

/// A slab with generations.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// The slots without a tenant; the one freed last is used first.
    free: Vec<u32>,
    /// The generation given out last.
    newest: u32,
    /// Half of the slots, and how many tenants are in the upper half: with none, it can be given back.
    half: usize,
    upper: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// The number of the last tenant.
    generation: NonZeroU32,
    tenant: Option<T>,
}

impl<T> Slot<T> {
    #[inline]
    fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        if self.generation == key.generation { self.tenant.as_mut() } else { None }
    }

    fn key(&self, index: usize) -> Key {
        Key { index: index as u32, generation: self.generation }
    }
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), newest: 0, half: 0, upper: 0 }
    }

    /// Inserts `tenant` and returns its key.
    ///
    /// # Panics
    ///
    /// With 2³² tenants at once; a process runs out of descriptors and memory long before.
    #[inline(always)] // else it is moved once more
    pub(crate) fn insert(&mut self, tenant: T) -> Key {
        self.newest = self.newest.checked_add(1).unwrap_or(1);
        let generation = NonZeroU32::new(self.newest).unwrap_or(NonZeroU32::MIN);
        let slot = Slot { generation, tenant: Some(tenant) };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => self.add(slot),
        };
        self.upper += usize::from(index as usize >= self.half);
        Key { index, generation }
    }

    #[inline(never)]
    fn add(&mut self, slot: Slot<T>) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 tenants");
        self.slots.push(slot);
        if self.slots.capacity() / 2 > self.half {
            self.half = self.slots.capacity() / 2; // it has doubled, so the others are below
            self.upper = 0;
        }
        index
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.tenant.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.index as usize)?.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.get_mut(key)?;
        let tenant = slot.tenant.take();
        self.note_removed(key);
        tenant
    }

    /// Drops a tenant. Unlike [`remove`](Self::remove) it is not moved.
    pub(crate) fn discard(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key.index as usize)
            && slot.get_mut(key).is_some()
        {
            slot.tenant = None;
            self.note_removed(key);
        }
    }

    fn note_removed(&mut self, key: Key) {
        self.free.push(key.index);
        self.upper -= usize::from(key.index as usize >= self.half);
        if self.upper == 0 && surplus(self.len(), self.slots.capacity()).is_some() {
            self.give_memory_back();
        }
    }

    /// Frees the slots behind the last tenant, which cannot move: its key names the slot. So a tenant that
    /// stays for long in a late slot delays this. The lowest free slots are used first from here on.
    ///
    /// It takes a step for each slot, and frees half of them or more.
    #[cold]
    #[inline(never)]
    fn give_memory_back(&mut self) {
        let last = self.slots.iter().rposition(|slot| slot.tenant.is_some());
        self.slots.truncate(last.map_or(0, |last| last + 1));
        self.slots.shrink_to_fit();
        let slots = self.slots.iter().enumerate().rev();
        let free = slots.filter(|(_, slot)| slot.tenant.is_none()).map(|(index, _)| index as u32);
        self.free = free.collect();
        self.half = self.slots.capacity() / 2;
        self.upper = self.slots[self.half..].iter().filter(|slot| slot.tenant.is_some()).count();
    }

    /// Replaces a tenant with one made from it, under the same key.
    pub(crate) fn convert(&mut self, key: Key, change: impl FnOnce(T) -> T) {
        if let Some(slot) = self.slots.get_mut(key.index as usize)
            && slot.generation == key.generation
        {
            slot.tenant = slot.tenant.take().map(change);
        }
    }

    /// The tenant of a poller's token, if it still exists.
    pub(crate) fn resolve(&mut self, token: Token) -> Option<(Key, &mut T)> {
        let index = token.0 as u32;
        let slot = self.slots.get_mut(index as usize)?;
        let key = slot.key(index as usize);
        if key.token() == token { Some((key, slot.tenant.as_mut()?)) } else { None }
    }

    /// All tenants, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((slot.key(index), slot.tenant.as_ref()?)))
    }

    /// The tenant of a slot, whichever it is.
    pub(crate) fn tenant(&self, index: u32) -> Option<(Key, &T)> {
        let slot = self.slots.get(index as usize)?;
        Some((slot.key(index as usize), slot.tenant.as_ref()?))
    }

    /// The same, to be changed.
    pub(crate) fn tenant_mut(&mut self, index: u32) -> Option<(Key, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((slot.key(index as usize), slot.tenant.as_mut()?))
    }

    /// Reads something of these slots, and so has their memory in the processor's cache soon. It fetches several at
    /// once, as none of the looks waits for the one before; the fewer instructions a look takes the more.
    pub(crate) fn fetch(&self, slots: impl Iterator<Item = u32>) {
        let look =
            |slot| self.slots.get(slot as usize).map_or(0, |slot: &Slot<T>| slot.generation.get());
        black_box(slots.map(look).fold(0, u32::wrapping_add)); // else the compiler would leave the looks out
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_does_not_find_the_new_tenant() {
        let mut arena = Arena::new();
        let old = arena.insert("old");
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert("new");
        assert_eq!(old.index, new.index, "the slot is used again");
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.get_mut(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&"new"));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn a_token_resolves_to_its_tenant_only() {
        let mut arena = Arena::new();
        let old = arena.insert(1);
        assert_eq!(arena.resolve(old.token()), Some((old, &mut 1)));
        arena.remove(old);
        assert_eq!(arena.resolve(old.token()), None);
        let new = arena.insert(2);
        assert_eq!(arena.resolve(new.token()), Some((new, &mut 2)));
        #[cfg(target_pointer_width = "64")]
        assert_eq!(arena.resolve(old.token()), None);
    }

    #[test]
    fn a_converted_tenant_keeps_its_key() {
        let mut arena = Arena::new();
        let keys = [1, 2, 3].map(|value| arena.insert(value));
        arena.remove(keys[0]);
        arena.convert(keys[1], |value| value * 10);
        assert_eq!(arena.get(keys[1]), Some(&20));
        arena.convert(keys[0], |_| unreachable!("it is gone"));
        assert_eq!((arena.get(keys[2]), arena.len()), (Some(&3), 2));
    }

    #[test]
    fn memory_is_given_back_after_a_peak_in_whatever_order_tenants_leave() {
        const MANY: usize = 10_000;
        for step in [1, MANY - 1, 7] {
            let mut arena = Arena::new();
            let keys: Vec<Key> = (0..MANY).map(|tenant| arena.insert(tenant)).collect();
            for i in 0..MANY - 100 {
                arena.remove(keys[i * step % MANY]);
            }
            let left: Vec<Key> = arena.iter().map(|(key, _)| key).collect();
            for &key in &left[1..] {
                arena.remove(key);
            }
            let slots = arena.slots.capacity();
            let last = left[0].index as usize;
            assert!(slots <= 2 * last.max(1024), "{slots} slots, step {step}, one at {last}");
            arena.remove(left[0]);
            assert!(
                arena.slots.capacity() <= 1024,
                "{} slots, step {step}",
                arena.slots.capacity()
            );
        }
    }

    #[test]
    fn the_counter_wraps_past_zero() {
        let mut arena = Arena::new();
        arena.newest = u32::MAX;
        let key = arena.insert(());
        assert_eq!(key.generation.get(), 1);
        assert!(arena.get(key).is_some());
    }

    #[test]
    fn an_optional_key_costs_nothing() {
        assert_eq!(size_of::<Option<Key>>(), 8);
    }
}
