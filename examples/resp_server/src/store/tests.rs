#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
use super::*;

const NOW: Millis = 1_700_000_000_000;

fn value(store: &Store, key: &[u8], now: Millis) -> String {
    store.get(key, now).unwrap().escape_ascii().to_string()
}

/// Whether the deadlines in the two maps agree.
fn is_sound(store: &Store) -> bool {
    let deadlines = store.entries.iter().filter_map(|(key, entry)| Some((entry.deadline?, key)));
    let size = store.entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
    store.size == size
        && deadlines.clone().count() == store.ending.len()
        && deadlines.clone().all(|(deadline, key)| store.ending.get(&deadline) == Some(key))
}

#[test]
fn a_key_is_there_up_to_its_deadline_and_not_from_then_on() {
    let (mut store, now) = (Store::default(), NOW);
    let end = now + 10;
    store.set(b"k", Bytes::from_static(b"v"), Expiry::At(end), now);
    assert_eq!(value(&store, b"k", end - 1), "v");
    assert_eq!(store.deadline(b"k", now), Some(Some(end)));
    assert_eq!((store.get(b"k", end), store.deadline(b"k", end)), (None, None));
    assert_eq!((store.keys(end).count(), store.len()), (0, 1));
    assert!(!store.remove(b"k", end));
    assert_eq!((store.len(), store.ending()), (0, 0));
}

#[test]
fn setting_anew_ends_the_old_deadline_unless_it_is_to_be_kept() {
    let (mut store, now) = (Store::default(), NOW);
    let end = now + 10;
    for (expiry, expected) in
        [(Expiry::Keep, Some(end)), (Expiry::Never, None), (Expiry::At(end + 1), Some(end + 1))]
    {
        store.set(b"k", Bytes::from_static(b"1"), Expiry::At(end), now);
        store.set(b"k", Bytes::from_static(b"22"), expiry, now);
        assert_eq!(store.deadline(b"k", now), Some(expected));
        assert!(is_sound(&store), "{store:?}");
    }
    // An expired key has no deadline to keep.
    store.set(b"k", Bytes::from_static(b"3"), Expiry::At(end), now);
    store.set(b"k", Bytes::from_static(b"4"), Expiry::Keep, end);
    assert_eq!(store.deadline(b"k", end), Some(None));
    assert!(is_sound(&store));
}

#[test]
fn keys_are_removed_in_the_order_they_end_and_no_more_than_asked_for() {
    let (mut store, now) = (Store::default(), NOW);
    for number in 0..100_u32 {
        store.set(
            &number.to_le_bytes(),
            Bytes::from_static(b""),
            Expiry::At(now + Millis::from(number % 10)),
            now,
        );
    }
    store.set(b"stays", Bytes::from_static(b""), Expiry::Never, now);
    assert_eq!(store.next_deadline(), Some(now));
    assert_eq!(store.expire(now + 4, 30), 30);
    assert_eq!(store.next_deadline(), Some(now + 3));
    assert_eq!(store.expire(now + 4, 30), 20);
    assert_eq!(store.next_deadline(), Some(now + 5));
    assert_eq!((store.len(), store.ending()), (51, 50));
    assert!(is_sound(&store));
    assert_eq!(store.expire(now + 9, usize::MAX), 50);
    assert_eq!((store.len(), store.next_deadline()), (1, None));
}

#[test]
fn a_million_deadlines_of_one_key_leave_one() {
    let (mut store, now) = (Store::default(), NOW);
    for number in 0..1_000_000 {
        store.set(b"session", Bytes::from_static(b""), Expiry::At(now + number), now);
    }
    assert_eq!((store.len(), store.ending()), (1, 1));
}

#[test]
fn numbers_are_added_to_within_64_bits() {
    let (mut store, now) = (Store::default(), NOW);
    assert_eq!(store.add(b"n", 9, now), Ok(9));
    assert_eq!(store.add(b"n", 1, now), Ok(10));
    assert_eq!(value(&store, b"n", now), "10");
    assert_eq!(store.add(b"n", i64::MAX, now), Err(NoIncrement::Overflow));
    assert_eq!(store.add(b"n", i64::MIN, now), Ok(i64::MIN + 10));
    assert_eq!(store.add(b"n", -11, now), Err(NoIncrement::Overflow));
    for text in ["", "x", "1x", "+1", " 1", "01", "-0", "-", "9223372036854775808"] {
        store.set(b"n", text.into(), Expiry::Never, now);
        assert_eq!(store.add(b"n", 1, now), Err(NoIncrement::NoNumber), "{text:?}");
    }
    store.set(b"n", Bytes::from_static(b"-9223372036854775808"), Expiry::At(now + 1), now);
    assert_eq!(store.add(b"n", 1, now), Ok(i64::MIN + 1));
    assert_eq!(store.deadline(b"n", now), Some(Some(now + 1)));
    assert_eq!(store.add(b"n", 1, now + 1), Ok(1));
    assert_eq!(store.deadline(b"n", now + 1), Some(None));
}

#[test]
fn a_watch_notices_every_kind_of_change_and_no_other() {
    type Change = fn(&mut Store);
    let changes: [(Change, bool); 10] = [
        (|store| store.set(b"k", Bytes::new(), Expiry::Never, NOW), true),
        (|store| assert!(store.remove(b"k", NOW)), true),
        (|store| store.set_expiry(b"k", Expiry::At(NOW + 1)), true),
        (|store| store.edit(b"k", NOW, |value| value.push(1)), true),
        (|store| store.copy(b"other", b"k", NOW), true),
        (|store| assert_eq!(store.expire(NOW + 1000, 9), 1), true),
        (Store::clear, true),
        (|store| assert_eq!(store.expire(NOW + 99, 9), 0), false),
        (|store| store.copy(b"k", b"other", NOW), false),
        (|store| assert!(store.remove(b"other", NOW)), false),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let (mut store, watch) = (Store::default(), Watch::default());
        store.set(b"k", Bytes::from_static(b"7"), Expiry::At(NOW + 100), NOW);
        store.set(b"other", Bytes::new(), Expiry::Never, NOW);
        store.watch(b"k", &watch);
        change(&mut store);
        assert_eq!(watch.get(), expected, "change {index}");
        store.unwatch(b"k", &watch);
        assert!(store.watches.is_empty(), "nothing is left of it");
    }
}

#[test]
fn a_value_is_edited_in_its_own_memory_unless_it_is_shared() {
    let mut store = Store::default();
    store.set(b"k", vec![b'x'; 1000].into(), Expiry::Never, NOW);
    let place = store.get(b"k", NOW).unwrap().as_ptr();
    store.edit(b"k", NOW, |value| value[0] = b'y');
    assert_eq!(store.get(b"k", NOW).unwrap().as_ptr(), place);
    let shared = store.get(b"k", NOW).unwrap().clone();
    store.edit(b"k", NOW, |value| value[0] = b'z');
    assert_eq!((shared[0], store.get(b"k", NOW).unwrap()[0]), (b'y', b'z'));
}
