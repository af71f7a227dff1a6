//! Datagram sockets of tasks.

use std::io::{self, ErrorKind};
use std::time::Duration;

use crocus::futures::*;

use crate::util::{HOUR, MS, World};

both! {
    fn datagrams_come_whole_with_their_sender(world) {
        let got = run_until(world.reactor(), async {
            let (one, two) = (listen_udp("127.0.0.1:0")?, listen_udp("127.0.0.1:0")?);
            for data in [&b"hello"[..], b"", b"a long one"] {
                one.send_to(data, two.local_addr()?).await?;
            }
            let mut got = Vec::new();
            for _ in 0..3 {
                let mut buf = [0; 6];
                let (length, from) = two.recv_from(&mut buf).await?;
                assert_eq!(from, one.local_addr()?);
                got.push(buf[..length].to_vec());
            }
            io::Result::Ok(got)
        });
        assert_eq!(got.unwrap().unwrap(), [&b"hello"[..], b"", b"a long"]);
        world.run().unwrap();
    }
}

both! {
    fn a_refusal_is_an_error_with_its_errno(world) {
        let error = run_until(world.reactor(), async {
            let nobody = listen_udp("127.0.0.1:0")?.local_addr()?; // closed again
            let socket = listen_udp("127.0.0.1:0")?;
            socket.transport(|transport| transport.connect(nobody)).unwrap()?;
            socket.send(b"hello").await?;
            let error = socket.recv_from(&mut [0]).await.unwrap_err();
            io::Result::Ok(error)
        });
        let error = error.unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some());
    }
}

both! {
    fn a_socket_that_is_not_read_keeps_a_bounded_number(world) {
        let count = run_until(world.reactor(), async {
            let (one, two) = (listen_udp("127.0.0.1:0")?, listen_udp("127.0.0.1:0")?);
            for _ in 0..3000 {
                one.send_to(&[0; 1000], two.local_addr()?).await?;
                sleep(Duration::ZERO).await; // the other end is served
            }
            let (mut count, mut buf) = (0, [0; 1500]);
            while timeout(5 * MS, two.recv_from(&mut buf)).await.is_ok() {
                count += 1;
            }
            io::Result::Ok(count)
        });
        let count = count.unwrap().unwrap();
        assert!((200..=300).contains(&count), "{count} were kept");
    }
}

both! {
    fn what_waits_for_the_task_never_exceeds_its_limit(world) {
        let got = run_until(world.reactor(), async {
            let (one, two) = (listen_udp("127.0.0.1:0")?, listen_udp("127.0.0.1:0")?);
            // The fifth does not fit into 256 KiB any more, and the last one does, to the byte.
            let last = 256 * 1024 - 4 * (60_000 + 64) - 64;
            for length in [60_000, 60_000, 60_000, 60_000, 60_000, last + 1, last, 0] {
                one.send_to(&vec![0; length], two.local_addr()?).await?;
                sleep(Duration::ZERO).await; // the other end is served
            }
            let (mut got, mut buf) = (Vec::new(), [0; 60_000]);
            while let Ok(received) = timeout(5 * MS, two.recv_from(&mut buf)).await {
                got.push(received?.0);
            }
            io::Result::Ok(got)
        });
        assert_eq!(got.unwrap().unwrap(), [60_000, 60_000, 60_000, 60_000, 21_824]);
    }
}

both! {
    fn a_shutdown_closes_the_socket_and_tells_its_task(world) {
        let task = spawn(world.reactor(), async {
            let socket = listen_udp("127.0.0.1:0").unwrap();
            let error = socket.recv_from(&mut [0]).await.unwrap_err();
            socket.send_to(b"x", "127.0.0.1:9".parse().unwrap()).await.unwrap_err();
            error.kind()
        });
        world.reactor().call_later(10 * MS, |reactor| reactor.shutdown(HOUR));
        world.run().unwrap();
        match task.take() {
            Some(Err(JoinError::Aborted)) => {} // the socket was all that the shutdown waited for
            Some(Ok(kind)) => assert_eq!(kind, ErrorKind::ConnectionAborted),
            other => panic!("{other:?}"),
        }
    }
}

both! {
    fn a_socket_that_is_closed_at_once_tells_its_task(world) {
        let error = run_until(world.reactor(), async {
            let socket = listen_udp("127.0.0.1:0").unwrap();
            assert_eq!(socket.transport(|transport| transport.stop_listening()), Some(true));
            socket.recv_from(&mut [0]).await.unwrap_err().kind()
        });
        assert_eq!(error.unwrap(), ErrorKind::NotConnected);
        world.run().unwrap();
    }
}
