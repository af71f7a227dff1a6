//! A slab with generations, and the conversion of its keys to poller tokens.
//!
//! A slab reuses freed slots. A bare index that a user keeps (or the kernel, as the token of an
//! event) may therefore name another tenant later. Here each tenant gets its own number, its
//! *generation*, and a [`Key`] carries both. A stale key finds nothing.
//!
//! Generations come from one 32-bit counter per arena. A stale key is mistaken only if exactly
//! 2³² − 1 further tenants (or a multiple of that) are inserted while it is kept, and the last of
//! them gets the same slot.

use std::hint::black_box;
use std::num::NonZeroU32;

use mio::Token;
use slab::Slab;

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
    slots: Slab<Tenant<T>>,
    /// The generation given out last.
    newest: u32,
    /// Half of the slots, and how many tenants are in the upper half: with none, it can be given back.
    half: usize,
    upper: usize,
}

#[derive(Debug)]
struct Tenant<T> {
    generation: NonZeroU32,
    value: T,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Slab::new(), newest: 0, half: 0, upper: 0 }
    }

    /// Inserts `value` and returns its key.
    ///
    /// # Panics
    ///
    /// With 2³² tenants at once; a process runs out of descriptors and memory long before.
    #[inline(always)] // else it is moved once more
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.newest = self.newest.checked_add(1).unwrap_or(1);
        let generation = NonZeroU32::new(self.newest).unwrap_or(NonZeroU32::MIN);
        let index = self.slots.insert(Tenant { generation, value });
        if self.slots.capacity() / 2 > self.half {
            self.half = self.slots.capacity() / 2; // it has doubled, so the others are below
            self.upper = 0;
        }
        self.upper += usize::from(index >= self.half);
        let Ok(index) = u32::try_from(index) else { panic!("2^32 tenants at once") };
        Key { index, generation }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let tenant = self.slots.get(key.index as usize)?;
        (tenant.generation == key.generation).then_some(&tenant.value)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let tenant = self.slots.get_mut(key.index as usize)?;
        (tenant.generation == key.generation).then_some(&mut tenant.value)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let tenant = self.slots.try_remove(key.index as usize)?;
        self.note_removed(key);
        Some(tenant.value)
    }

    /// Drops a tenant. Unlike [`remove`](Self::remove) it is moved only once.
    pub(crate) fn discard(&mut self, key: Key) {
        if self.get(key).is_some() {
            drop(self.slots.try_remove(key.index as usize));
            self.note_removed(key);
        }
    }

    fn note_removed(&mut self, key: Key) {
        self.upper -= usize::from(key.index as usize >= self.half);
        if self.upper == 0 && surplus(self.slots.len(), self.slots.capacity()).is_some() {
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
        self.slots.shrink_to_fit();
        self.half = self.slots.capacity() / 2;
        self.upper = self.slots.iter().rev().take_while(|&(index, _)| index >= self.half).count();
    }

    /// Replaces a tenant with one made from it, under the same key.
    pub(crate) fn convert(&mut self, key: Key, change: impl FnOnce(T) -> T) {
        if self.get(key).is_none() {
            return;
        }
        let tenant = self.slots.remove(key.index as usize);
        // A slab reuses the slot that was freed last, so this insert gets the same slot.
        let index =
            self.slots.insert(Tenant { generation: key.generation, value: change(tenant.value) });
        assert_eq!(index, key.index as usize, "a slab fills the slot freed last");
    }

    /// The tenant of a poller's token, if it still exists.
    pub(crate) fn resolve(&mut self, token: Token) -> Option<(Key, &mut T)> {
        let index = token.0 as u32;
        let tenant = self.slots.get_mut(index as usize)?;
        let key = Key { index, generation: tenant.generation };
        (key.token() == token).then_some((key, &mut tenant.value))
    }

    /// All tenants, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().map(|(index, tenant)| {
            (Key { index: index as u32, generation: tenant.generation }, &tenant.value)
        })
    }

    /// The names of all tenants, by slot. Not collected: that takes twice the code, for each type of tenant.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.len());
        for (key, _) in self.iter() {
            keys.push(key);
        }
        keys
    }

    /// The tenant of a slot, whichever it is.
    pub(crate) fn tenant(&self, slot: u32) -> Option<(Key, &T)> {
        let tenant = self.slots.get(slot as usize)?;
        Some((Key { index: slot, generation: tenant.generation }, &tenant.value))
    }

    /// The same, to be changed.
    pub(crate) fn tenant_mut(&mut self, slot: u32) -> Option<(Key, &mut T)> {
        let tenant = self.slots.get_mut(slot as usize)?;
        Some((Key { index: slot, generation: tenant.generation }, &mut tenant.value))
    }

    /// Reads something of these slots, and so has their memory in the processor's cache soon. It fetches several at
    /// once, as none of the looks waits for the one before; the fewer instructions a look takes the more.
    pub(crate) fn fetch(&self, slots: impl Iterator<Item = u32>) {
        let look = |slot| self.slots.get(slot as usize).map_or(0, |tenant| tenant.generation.get());
        black_box(slots.map(look).fold(0, u32::wrapping_add)); // else the compiler would leave the looks out
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
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
