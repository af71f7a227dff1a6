//! SCAN, while keys come and go.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};

use crate::child::dial;
use crate::start;

#[test]
fn a_scan_tells_every_key_that_stays() {
    const KEYS: usize = 300;
    let server = start();
    let mut stream = dial(server.addr);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    for key in 0..KEYS {
        stream.write_all(format!("SET {key} v\r\n").as_bytes()).unwrap();
        assert_eq!(lines.next().unwrap(), "+OK");
    }
    let (mut cursor, mut told, mut steps) = ("0".to_owned(), HashSet::new(), 0);
    loop {
        stream.write_all(format!("SCAN {cursor} COUNT 7\r\n").as_bytes()).unwrap();
        let mut next = || lines.next().unwrap();
        assert_eq!(next(), "*2");
        next();
        cursor = next();
        let count: usize = next().strip_prefix('*').unwrap().parse().unwrap();
        assert!(count <= 7);
        for _ in 0..count {
            next();
            told.insert(next());
        }
        if cursor == "0" {
            break;
        }
        // Every third key goes, wherever it is, and other keys come.
        let (gone, new) = (3 * steps, KEYS + steps);
        let requests = format!("DEL {gone} {}\r\nSET {new} v\r\n", KEYS - 3 - gone);
        stream.write_all(requests.as_bytes()).unwrap();
        assert!(next().starts_with(':') && next() == "+OK");
        steps += 1;
        assert!(steps < KEYS, "it never ends");
    }
    for key in (0..KEYS).filter(|key| key % 3 > 0) {
        assert!(told.contains(&key.to_string()), "{key} is missing");
    }
}
