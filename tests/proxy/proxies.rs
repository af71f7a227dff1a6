//! Proxies that are not ours, on either side: HAProxy and nginx in front of a reactor, and behind `port_forward`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crocus::Listen;
use crocus::proxy::Network;
use socket2::{Domain, Socket, Type};

use crate::certificates::Configs;
use crate::child::{Running, Server, TIME_LIMIT, dial, example, patient, run, tool};
use crate::far::TlsFar;
use crate::header::{header, local_networks, place, served, who};
use crate::util::{Far, Folder, Log, Recorder, World};

/// A port that nobody else gets, for a program that shares it (SO_REUSEPORT). This socket does not listen.
struct Port(Socket);

impl Port {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// HAProxy with these sections beside its defaults.
fn haproxy(folder: &Folder, sections: &str) -> Option<Running> {
    let mut haproxy = tool("haproxy")?;
    let config = format!(
        "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n{sections}"
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    Some(Running::start(haproxy.arg("-db").arg("-f").arg(path)))
}

/// nginx with these directives at the top.
fn nginx(folder: &Folder, directives: &str) -> Option<Running> {
    let mut nginx = tool("nginx")?;
    let dir = folder.display();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so; pid {dir}/pid; error_log stderr; \
         daemon off; master_process off; events {{}} {directives}"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    nginx.args(["-e", "stderr", "-p"]).arg(&**folder).arg("-c").arg(path);
    Some(Running::start(&mut nginx))
}

/// A client of a program that may not listen yet.
fn patient_dial(world: &mut World, addr: SocketAddr) -> TcpStream {
    let mut found = None;
    world.until("the proxy to listen", |_| {
        found = TcpStream::connect(addr).ok();
        found.is_some()
    });
    found.unwrap()
}

fn far(stream: TcpStream) -> Far {
    stream.set_nonblocking(true).unwrap();
    Far::Real(stream)
}

/// A recorder that also writes down what a proxy says about TLS.
fn telling(log: &Log) -> impl FnMut(crocus::Address) -> Recorder + use<> {
    let log = log.clone();
    move |_| {
        let its = log.clone();
        Recorder::new(&log, "s").with_data().echoing().on_made(move |transport| {
            its.push(format!("of {}", who(transport)));
            let header = transport.proxy().unwrap().header();
            let version = header.ssl().and_then(|ssl| ssl.version().map(str::to_owned));
            its.push(format!("{version:?} {:?} {:?}", header.authority(), header.alpn()));
            its.push(format!("checksum {}", header.crc32c().is_some()));
        })
    }
}

#[test]
fn haproxy_tells_whose_connection_it_is() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let log = Log::new();
    let id = world.reactor().listen(place(), telling(&log)).unwrap();
    let to = world.reactor().local_addr(id).unwrap();
    let ways = [
        ("send-proxy", false),
        ("send-proxy-v2", false),
        ("send-proxy-v2 proxy-v2-options crc32c", true),
        ("send-proxy-v2-ssl", false),
        ("send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority", true),
    ];
    let ports = ways.map(|_| Port::new());
    let listen = |(port, (way, _)): (&Port, &(&str, bool))| {
        format!("listen l{0}\n bind {0}\n server s {to} {way}\n", port.addr())
    };
    let sections: String = ports.iter().zip(&ways).map(listen).collect();
    let Some(_haproxy) = haproxy(&folder, &sections) else { return };
    for (port, (way, checksum)) in ports.iter().zip(ways) {
        let client = patient_dial(world, port.addr());
        let from = client.local_addr().unwrap();
        let mut far = far(client);
        world.send(&mut far, b"hello");
        assert_eq!(world.read(&mut far, 5), b"hello", "{way}");
        let told = format!("of {from} at {}", port.addr());
        let sum = format!("checksum {checksum}");
        let expected = ["s made", &told, "None None None", &sum, "s data hello"];
        assert_eq!(log.take(), expected, "{way}");
        far.close_write();
        world.until("the end", |_| log.has("s lost PeerClosed"));
        assert_eq!(world.read_to_end(&mut far), (vec![], Ok(())), "{way}");
        log.take();
    }
}

#[test]
fn haproxy_takes_the_tls_off_and_tells_what_it_was() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let (log, port, configs) = (Log::new(), Port::new(), Configs::for_programs());
    let pem = folder.join("both.pem");
    std::fs::write(&pem, [&*configs.certificate_pem, &configs.key_pem].concat()).unwrap();
    let id = world.reactor().listen(place(), telling(&log)).unwrap();
    let to = world.reactor().local_addr(id).unwrap();
    let options = "proxy-v2-options ssl,authority,crc32c";
    let section = format!(
        "listen l\n bind {} ssl crt {} alpn h2\n server s {to} send-proxy-v2 {options}\n",
        port.addr(),
        pem.display()
    );
    let Some(_haproxy) = haproxy(&folder, &section) else { return };
    let mut config = (*configs.client).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = patient_dial(world, port.addr());
    let from = client.local_addr().unwrap();
    let mut far = TlsFar::client(far(client), &Arc::new(config));
    far.write(b"hello");
    far.until_got(world, 5);
    let lines = log.take();
    assert_eq!(lines[1], format!("of {from} at {}", port.addr()));
    let told = r#"Some("TLSv1.3") Some("localhost") Some([104, 50])"#;
    assert_eq!(lines[2..], [told, "checksum true", "s data hello"]);
}

#[test]
fn haproxy_sends_its_header_and_then_tls() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let configs = Configs::for_programs();
    let (log, _, to) = served(world, place().tls(Arc::clone(&configs.server)));
    let ports = [Port::new(), Port::new()];
    let listen = |(port, version): (&Port, &str)| {
        let addr = port.addr();
        format!("listen l{addr}\n bind {addr}\n server s {to} {version} ssl verify none\n")
    };
    let sections: String = ports.iter().zip(["send-proxy", "send-proxy-v2"]).map(listen).collect();
    let Some(_haproxy) = haproxy(&folder, &sections) else { return };
    for port in &ports {
        let client = patient_dial(world, port.addr());
        let from = client.local_addr().unwrap();
        let mut far = far(client);
        world.send(&mut far, b"hello");
        world.until("the data", |_| log.has("s data hello"));
        assert!(log.has(&format!("of {from} at {}", port.addr())), "{:?}", log.lines());
        log.take();
    }
}

#[test]
fn health_checks_of_haproxy_are_its_own_connections() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let (log, _, to) = served(world, place());
    let ports = [Port::new(), Port::new()];
    let checked = |(port, way): (&Port, &str)| {
        let addr = port.addr();
        format!("listen l{addr}\n bind {addr}\n server s {to} {way} check inter 50ms\n")
    };
    let sections: String = ports.iter().zip(["send-proxy", "send-proxy-v2"]).map(checked).collect();
    let Some(_haproxy) = haproxy(&folder, &sections) else { return };
    // In version 1 it names its own addresses, in version 2 nobody.
    let named = format!(" at {to}");
    let checks = |log: &Log| {
        let made = log.lines().into_iter().filter(|line| line.starts_with("of "));
        made.partition::<Vec<_>, _>(|line| {
            line.ends_with(&named) && line.starts_with("of 127.0.0.1:")
        })
    };
    world.until("checks of both versions", |_| {
        let (named, others) = checks(&log);
        named.len() > 2 && others.len() > 2
    });
    assert!(checks(&log).1.iter().all(|line| line == "of the proxy"), "{:?}", log.lines());
}

#[test]
fn haproxy_speaks_over_unix_sockets_too() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let path = folder.join("back.sock");
    let log = Log::new();
    let at = Listen::at(&path).proxy_protocol([Network::unix()]);
    world.reactor().listen(at, telling(&log)).unwrap();
    let (port, front) = (Port::new(), folder.join("front.sock"));
    let section = format!(
        "listen l\n bind {}\n bind unix@{}\n server s unix@{} send-proxy-v2\n",
        port.addr(),
        front.display(),
        path.display()
    );
    let Some(_haproxy) = haproxy(&folder, &section) else { return };
    let client = patient_dial(world, port.addr());
    let told = format!("of {} at {}", client.local_addr().unwrap(), port.addr());
    let mut near = far(client);
    world.send(&mut near, b"hello");
    assert_eq!(world.read(&mut near, 5), b"hello");
    assert_eq!(log.take()[1], told);

    // HAProxy 2.6 does not name clients that come to it by a Unix socket.
    let mut client = std::os::unix::net::UnixStream::connect(&front).unwrap();
    client.write_all(b"hello").unwrap();
    world.until("the data", |_| log.has("s data hello"));
    assert!(log.has("of the proxy"), "{:?}", log.lines());
}

#[test]
fn nginx_tells_whose_connection_it_is() {
    let (world, folder) = (&mut World::real(), Folder::new());
    let (log, _, to) = served(world, place());
    let port = Port::new();
    let stream = format!(
        "stream {{ server {{ listen {} reuseport; proxy_pass {to}; proxy_protocol on; }} }}",
        port.addr()
    );
    let Some(_nginx) = nginx(&folder, &stream) else { return };
    let client = patient_dial(world, port.addr());
    let from = client.local_addr().unwrap();
    let mut far = far(client);
    world.send(&mut far, b"hello");
    world.until("the data", |_| log.has("s data hello"));
    assert_eq!(log.lines()[..2], ["built for the proxy", "s made"]);
    assert_eq!(log.lines()[2], format!("of {from} at {}", port.addr()));
}

/// The answer to a request by HTTP.
fn ask(addr: SocketAddr) -> (SocketAddr, String) {
    let mut stream = dial(addr);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (stream.local_addr().unwrap(), answer)
}

/// A forwarder that tells the server whose each connection is.
fn forward(to: impl ToString, version: &str) -> Server {
    let options = ["--listen", "127.0.0.1:0", "--to", &to.to_string(), version];
    Server::start(example("port_forward").args(options))
}

/// Waits until a program listens.
fn until_it_listens(addr: SocketAddr) {
    let begin = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(begin.elapsed() < TIME_LIMIT, "nobody listens at {addr}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn haproxy_behind_port_forward_knows_the_client() {
    let folder = Folder::new();
    let port = Port::new();
    let section = format!(
        "frontend f\n mode http\n bind {} accept-proxy\n http-request return status 200 \
         content-type text/plain lf-string \"%[src]:%[src_port] at %[dst]:%[dst_port]\"\n",
        port.addr()
    );
    let Some(_haproxy) = haproxy(&folder, &section) else { return };
    until_it_listens(port.addr());
    for version in ["--send-proxy", "--send-proxy=v1", "--send-proxy=v2"] {
        let server = forward(port.addr(), version);
        let (from, answer) = ask(server.addr);
        assert!(answer.ends_with(&format!("\r\n\r\n{from} at {}", server.addr)), "{answer}");
        server.stop_with_clients();
    }
}

#[test]
fn nginx_behind_port_forward_knows_the_client() {
    let folder = Folder::new();
    let (port, dir) = (Port::new(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
        .concat();
    let unix = folder.join("nginx.sock");
    let http = format!(
        "http {{ access_log off; {temporary} server {{ listen {} reuseport proxy_protocol; \
         listen unix:{} proxy_protocol; \
         return 200 \"$proxy_protocol_addr:$proxy_protocol_port\"; }} }}",
        port.addr(),
        unix.display()
    );
    let Some(_nginx) = nginx(&folder, &http) else { return };
    until_it_listens(port.addr());
    let targets = [port.addr().to_string(), format!("unix:{}", unix.display())];
    for to in &targets {
        for version in ["--send-proxy", "--send-proxy=v2"] {
            let server = forward(to, version);
            let (from, answer) = ask(server.addr);
            assert!(answer.ends_with(&format!("\r\n\r\n{from}")), "{to} {version}: {answer}");
            server.stop_with_clients();
        }
    }
}

#[test]
fn our_own_programs_speak_it_with_each_other() {
    let options = ["--listen", "127.0.0.1:0", "--proxy-protocol", "10.0.0.0/8,127.0.0.1"];
    let echo = Server::start(example("echo_server").args(options));
    for version in ["--send-proxy=v1", "--send-proxy=v2"] {
        let server = forward(echo.addr, version);
        let mut client = dial(server.addr);
        client.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        drop(client);
        server.stop_with_clients();
    }
    // Without a header it is refused.
    let mut client = dial(echo.addr);
    client.write_all(b"hello").unwrap();
    assert!(client.read(&mut [0]).is_err(), "a reset");
    echo.stop_with_clients();

    let options = ["--listen", "127.0.0.1:0", "--proxy-protocol", "10.0.0.0/8"];
    let echo = Server::start(example("echo_server").args(options));
    let mut client = patient(TcpStream::connect(echo.addr).unwrap());
    let _ = client.write_all(&header()); // it may be closed already
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "and is not served");
    echo.stop();
}

#[test]
fn bad_usage_is_told() {
    for (program, option, complaint) in [
        ("echo_server", "--proxy-protocol=10.0.0.0/33", "\"10.0.0.0/33\" is not a network"),
        ("echo_server", "--proxy-protocol=", "\"\" is not a network"),
        ("port_forward", "--send-proxy=v3", "\"v3\" is no version of the PROXY protocol"),
    ] {
        let end = run(example(program).arg(option));
        assert!(end.complaint(2).contains(complaint), "{end:?}");
    }
    assert_eq!(local_networks().len(), 2);
}
