//! The arena, with as many tenants as a busy server has connections.
//!
//! Lookups come in random order, each tenant as often as every other.
//!
//! The arena is private, so this program compiles its file a second time.

#[path = "../src/parts/arena.rs"]
#[allow(unused, reason = "only a part of it is measured, and its tests are not run here")]
mod arena;

#[path = "../src/parts/surplus.rs"]
#[allow(unused, reason = "its test is not run here")]
mod surplus;

/// The path by which `arena.rs` finds the other.
mod parts {
    pub(crate) use crate::surplus;
}

use std::hint::black_box;

use divan::Bencher;
use mio::Token;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use arena::{Arena, Key};

const TENANTS: usize = 18_000;

/// About as large as a connection.
type Tenant = [u64; 24];

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 50, sample_size = TENANTS as u32)]
fn get(bencher: Bencher) {
    let (arena, keys) = full();
    let mut key = round(&keys);
    bencher.bench_local(|| arena.get(key()).map(|tenant| tenant[0]));
}

#[divan::bench(sample_count = 50, sample_size = TENANTS as u32)]
fn get_mut(bencher: Bencher) {
    let (mut arena, keys) = full();
    let mut key = round(&keys);
    bencher.bench_local(|| {
        if let Some(tenant) = arena.get_mut(key()) {
            tenant[0] += 1;
        }
    });
}

/// The lookup that the latch phase makes for each event.
#[divan::bench(sample_count = 50, sample_size = TENANTS as u32)]
fn resolve(bencher: Bencher) {
    let (mut arena, keys) = full();
    let tokens: Vec<Token> = keys.into_iter().map(Key::token).collect();
    let mut token = round(&tokens);
    bencher.bench_local(|| arena.resolve(token()).map(|(key, _)| key));
}

/// One tenant is removed and another inserted.
#[divan::bench(sample_count = 50, sample_size = TENANTS as u32)]
fn remove_and_insert(bencher: Bencher) {
    let (mut arena, mut keys) = full();
    let mut next = 0;
    bencher.bench_local(|| {
        let removed = arena.remove(keys[next]);
        keys[next] = arena.insert(black_box([next as u64; 24]));
        next = (next + 1) % TENANTS;
        removed.map(|tenant| tenant[0])
    });
}

/// Tenants are inserted one by one into an arena that grows to hold all of them.
#[divan::bench(sample_count = 50, sample_size = TENANTS as u32)]
fn insert(bencher: Bencher) {
    let mut arena = Arena::new();
    bencher.bench_local(|| {
        if arena.len() == TENANTS {
            arena = Arena::new();
        }
        arena.insert(black_box(Tenant::default()))
    });
}

/// An arena with all tenants, and their keys in random order.
fn full() -> (Arena<Tenant>, Vec<Key>) {
    let mut arena = Arena::new();
    let mut keys: Vec<Key> = (0..TENANTS).map(|_| arena.insert(Tenant::default())).collect();
    keys.shuffle(&mut StdRng::seed_from_u64(1));
    (arena, keys)
}

/// Cycles through all values.
fn round<T: Copy>(all: &[T]) -> impl FnMut() -> T {
    let mut all = all.iter().cycle();
    move || *all.next().expect("there is one")
}
