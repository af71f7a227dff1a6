//! hyper: HTTP/1 and HTTP/2 to curl and h2load, and in a simulation.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use crocus::futures::{Connection, closing, connect, spawn, spawn_local};
use crocus::testing::{Cut, End, Simulation};
use futures::future::{Either, join_all, select};
use guests::{Clock, Io, Tasks};
use h2::client::SendRequest;
use http_body_util::{Either as OneOf, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::child::{Running, dial, run, tool};
use crate::host::{Ending, Host, enter, outcome, pattern, simulate};

/// The length of the page `/big`: more than the kernel keeps for a client that does not read.
const BIG: usize = 16 << 20;

fn big() -> Vec<u8> {
    [b"begin\n", &*pattern(BIG)].concat()
}

/// How long a client of HTTP/1 may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// A server of a version of HTTP, the option of curl and those of h2load that ask for it.
type Version = (fn(Connection) -> Ending, &'static str, &'static [&'static str]);

const VERSIONS: [Version; 2] = [
    (http_1, "--http1.1", &["--h1"]),
    (http_2, "--http2-prior-knowledge", &["-m", "10"]), // so many streams at once
];

fn http_1(peer: Connection) -> Ending {
    Box::pin(async {
        peer.read_in_shutdown();
        let mut builder = http1::Builder::new();
        builder.timer(Clock).header_read_timeout(HEAD_LIMIT);
        let mut connection = pin!(builder.serve_connection(Io(peer), service_fn(answer)));
        outcome(match until_closing(connection.as_mut()).await {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        })
    })
}

fn http_2(peer: Connection) -> Ending {
    Box::pin(async {
        peer.read_in_shutdown();
        let mut builder = http2::Builder::new(Tasks);
        builder.timer(Clock).keep_alive_interval(HEAD_LIMIT);
        let mut connection = pin!(builder.serve_connection(Io(peer), service_fn(answer)));
        outcome(match until_closing(connection.as_mut()).await {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        })
    })
}

/// The output of a future; `None` if a shutdown begins before.
async fn until_closing<F: Future + Unpin>(future: F) -> Option<F::Output> {
    match select(future, pin!(closing())).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<OneOf<Full<Bytes>, Incoming>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/" => (StatusCode::OK, OneOf::Left("hello\n".into())),
        "/big" => (StatusCode::OK, OneOf::Left(big().into())),
        "/echo" => (StatusCode::OK, OneOf::Right(request.into_body())), // as it comes
        _ => (StatusCode::NOT_FOUND, OneOf::Left(Full::default())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

/// curl, which prints nothing but what it gets.
fn curl(version: &str) -> Option<Command> {
    let mut curl = tool("curl")?;
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--no-buffer",
        version,
        "--header",
        "Expect:",
    ]);
    Some(curl)
}

#[test]
fn curl_gets_each_byte() {
    for (dialogue, version, _) in VERSIONS {
        let host = Host::start(dialogue);
        let Some(mut client) = curl(version) else { return };
        let end = run(client.arg(host.url() + "/big"));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{version}");
        assert!(end.stdout == big(), "{version}: {} bytes", end.stdout.len());
        assert_eq!(host.close(), 1, "{version}");
    }
}

#[test]
fn curl_gets_back_what_it_sends_while_it_sends() {
    for (dialogue, version, _) in VERSIONS {
        let host = Host::start(dialogue);
        let Some(mut client) = curl(version) else { return };
        let client = client.args(["--upload-file", ".", &(host.url() + "/echo")]);
        let (client, mut keyboard) = Running::start_talking(client);
        for _ in 0..10 {
            enter(&mut keyboard, b"a line\n");
            assert_eq!(client.line(), "a line", "{version}");
        }
        drop(keyboard);
        assert_eq!(client.finish().code, Some(0), "{version}");
        assert_eq!(host.close(), 1);
    }
}

#[test]
fn h2load_gets_all_of_its_answers() {
    for (dialogue, version, options) in VERSIONS {
        let host = Host::start(dialogue);
        let Some(mut client) = tool("h2load") else { return };
        let end = run(client.args(options).args(["-n", "2000", "-c", "20", &(host.url() + "/")]));
        assert_eq!(end.code, Some(0), "{version}: {end:?}");
        let all =
            "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(end.text().contains(all), "{version}: {end:?}");
        assert!(end.text().contains(" (12000) data"), "{version}: {end:?}"); // six bytes each
        assert_eq!(host.close(), 20, "{version}");
    }
}

#[test]
fn a_shutdown_lets_an_answer_end_that_is_on_its_way() {
    for (dialogue, version, _) in VERSIONS {
        let host = Host::start(dialogue);
        let Some(mut client) = curl(version) else { return };
        let client = client.args(["--upload-file", ".", &(host.url() + "/echo")]);
        let (client, mut keyboard) = Running::start_talking(client);
        enter(&mut keyboard, b"before\n");
        assert_eq!(client.line(), "before", "{version}");
        host.begin_shutdown();
        enter(&mut keyboard, b"after\n");
        assert_eq!(client.line(), "after", "{version}");
        drop(keyboard);
        assert_eq!(client.finish().code, Some(0), "{version}");
        assert_eq!(host.end(), Ok("()".to_owned()), "{version}");
        host.close();
    }
}

#[test]
fn a_client_that_goes_in_the_middle_costs_nobody_else() {
    for (dialogue, version, _) in VERSIONS {
        let host = Host::start(dialogue);
        let Some(mut stays) = curl(version) else { return };
        let stays = stays.args(["--upload-file", ".", &(host.url() + "/echo")]);
        let (stays, mut keyboard) = Running::start_talking(stays);
        enter(&mut keyboard, b"one\n");
        assert_eq!(stays.line(), "one", "{version}");

        let mut goes = curl(version).unwrap();
        let goes = Running::start(goes.args(["--limit-rate", "1k", &(host.url() + "/big")]));
        assert_eq!(goes.line(), "begin", "{version}");
        drop(goes); // killed, with megabytes on their way
        // HTTP/2 takes any end of the network for the end of the connection.
        assert!(host.end().is_err() || version != "--http1.1", "{version}");

        enter(&mut keyboard, b"two\n");
        assert_eq!(stays.line(), "two", "{version}");
        drop(keyboard);
        assert_eq!(stays.finish().code, Some(0), "{version}");
        host.close();
    }
}

#[test]
fn half_a_request_is_no_request() {
    let host = Host::start(http_1);
    let mut client = dial(host.addr);
    client.write_all(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    let mut answer = [0; 15];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    drop(client);
    assert!(host.end().is_err());
    host.close();
}

/// The server of the other tests: in a simulation, through a network that cuts where it likes.
#[test]
fn http_1_runs_in_a_simulation() {
    for seed in 0..20 {
        let mut simulation = Simulation::with_seed(seed);
        simulation.set_cut(Cut::Random(7));
        simulation.set_latency(Duration::from_millis(20));
        let ends = simulate(&mut simulation, "127.0.0.1:80", http_1);
        let mut peer = simulation.dial("127.0.0.1:80");
        let body = pattern(1000);
        peer.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        peer.send(&body);
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        simulation.advance(Duration::from_secs(10));
        let answers = peer.received();
        let (first, second) =
            (answers.windows(1000).position(|part| part == body), b"\r\n\r\nhello\n");
        assert!(
            first.is_some() && answers.ends_with(second),
            "seed {seed}: {}",
            answers.escape_ascii()
        );
        assert_eq!(peer.end(), Some(End::Closed), "seed {seed}");
        assert_eq!(ends.try_recv().unwrap(), Ok("()".to_owned()), "seed {seed}");
    }
}

/// The same for HTTP/2. The client is h2, which wants the traits of tokio, and gets them by an adaptor of tokio-util's.
#[test]
fn http_2_runs_in_a_simulation() {
    for seed in 0..5 {
        let mut simulation = Simulation::with_seed(seed);
        simulation.set_cut(Cut::Random(2000));
        simulation.set_latency(Duration::from_millis(20));
        let ends = simulate(&mut simulation, "127.0.0.1:80", http_2);
        let client = spawn(simulation.reactor(), async {
            let server = connect("127.0.0.1:80").await.unwrap();
            let (requests, connection) = h2::client::handshake(server.compat()).await.unwrap();
            let connection = spawn_local(connection);
            join_all((0..5).map(|number| echoed(requests.clone(), pattern(number * 10_000)))).await;
            drop(requests);
            connection.await.unwrap().unwrap();
        });
        simulation.advance(Duration::from_secs(60));
        client.take().expect("it ends").unwrap();
        assert_eq!(ends.try_recv().unwrap(), Ok("()".to_owned()), "seed {seed}");
    }
}

/// One request, whose body comes back.
async fn echoed(requests: SendRequest<Bytes>, body: Vec<u8>) {
    let request = Request::put("http://localhost/echo").body(()).unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (response, mut sending) = requests.send_request(request, false).unwrap();
    sending.send_data(body.clone().into(), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    let mut back = Vec::new();
    while let Some(bytes) = answer.data().await {
        let bytes = bytes.unwrap();
        answer.flow_control().release_capacity(bytes.len()).unwrap();
        back.extend_from_slice(&bytes);
    }
    assert!(back == body, "{} bytes", back.len());
}

#[test]
fn the_time_limit_of_http_1_is_met_to_the_second() {
    let mut simulation = Simulation::new();
    let ends = simulate(&mut simulation, "127.0.0.1:80", http_1);
    let mut peer = simulation.dial("127.0.0.1:80");
    peer.send(b"GET / HTTP/1.1\r\nHost: half of a he");
    simulation.advance(HEAD_LIMIT - Duration::from_millis(1));
    assert_eq!(peer.end(), None);
    simulation.advance(Duration::from_millis(1));
    assert_eq!(peer.end(), Some(End::Closed));
    assert!(ends.try_recv().unwrap().unwrap_err().contains("HeaderTimeout"));
}
