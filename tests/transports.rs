//! Writing, closing, losing.

mod util;

use util::{Log, Recorder, World};

both! {
    /// Twisted's `test_writer`.
    fn an_answer_written_and_closed_in_connection_made_arrives_whole_and_ends_in_order(world) {
        let log = Log::new();
        let seen = log.clone();
        let (_, addr) = world.listen(move |_| {
            Recorder::new(&seen, "a").on_made(|transport| {
                assert!(transport.write(b"hello, "));
                assert!(transport.write(b"world"));
                transport.lose_connection();
                assert!(!transport.write(b"never sent"));
            })
        });
        let mut far = world.dial(addr);
        assert_eq!(world.read_to_end(&mut far), (b"hello, world".to_vec(), Ok(())));
        world.until("the loss", |_| log.count("a lost") > 0);
        world.quiet();
        assert_eq!(log.take(), ["a made", "a lost Closed"]);
    }
}
