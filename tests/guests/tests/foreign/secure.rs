//! TLS for tasks: by futures-rustls upon a connection, and by the feature `tls` below it. OpenSSL is the client,
//! and each of the two is.

use std::io::{self, Write};
use std::process::ChildStdin;
use std::sync::Arc;

use crocus::futures::{connect, listen, run_until, spawn_local};
use crocus::tls::rustls::pki_types::ServerName;
use crocus::{Connect, Listen, Reactor};
use futures::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use futures::join;
use futures_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::Configs;
use crate::child::{Running, tool};
use crate::folder::Folder;
use crate::host::{Host, enter, in_each_world, outcome, pattern};

/// Sends lines back until one says `bye`. Returns how many bytes that were.
async fn converse(peer: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<usize> {
    let (reader, mut writer) = peer.split();
    let (mut reader, mut line, mut sum) = (BufReader::new(reader), String::new(), 0);
    while line != "bye\n" {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        writer.write_all(line.as_bytes()).await?;
        writer.flush().await?; // futures-rustls keeps it otherwise
        sum += line.len();
    }
    writer.close().await?;
    Ok(sum)
}

/// Where TLS is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Crate,
    Feature,
}

const EACH: [By; 2] = [By::Crate, By::Feature];

fn host(by: By, configs: &Configs) -> Host {
    let (place, server) = (Listen::at("127.0.0.1:0"), Arc::clone(&configs.server));
    match by {
        By::Crate => Host::start_at(place, move |peer| {
            peer.read_in_shutdown();
            let acceptor = TlsAcceptor::from(Arc::clone(&server));
            Box::pin(async move {
                outcome(async { converse(acceptor.accept(peer).await?).await }.await)
            })
        }),
        By::Feature => Host::start_at(place.tls(server), |peer| {
            peer.read_in_shutdown();
            Box::pin(async { outcome(converse(peer).await) })
        }),
    }
}

/// OpenSSL's client, which has to trust the server, and its keyboard.
fn s_client(host: &Host, configs: &Configs, version: &str) -> Option<(Running, ChildStdin)> {
    let folder = Folder::new();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, &configs.authority_pem).unwrap();
    let mut client = tool("openssl")?;
    client.args(["s_client", "-quiet", version, "-connect", &host.addr.to_string()]);
    client.args(["-servername", "localhost", "-verify_return_error", "-CAfile"]).arg(&authority);
    let (client, mut keyboard) = Running::start_talking(&mut client);
    enter(&mut keyboard, b"hello\n");
    assert_eq!(client.line(), "hello"); // and it has read the file
    Some((client, keyboard))
}

#[test]
fn openssl_gets_each_byte_back() {
    let text: String = (0..100_000).map(|i| format!("{i}\n")).chain(["bye\n".to_owned()]).collect();
    let configs = Configs::for_programs();
    for by in EACH {
        let host = host(by, &configs);
        for version in ["-tls1_2", "-tls1_3"] {
            let Some((client, mut keyboard)) = s_client(&host, &configs, version) else { return };
            keyboard.write_all(text.as_bytes()).unwrap();
            let end = client.finish();
            assert_eq!(end.code, Some(0), "{by:?} {version}: {}", end.stderr);
            assert!(end.text() == text, "{by:?} {version}: {} bytes", end.text().len());
        }
        assert_eq!(host.close(), 2, "{by:?}");
    }
}

#[test]
fn a_shutdown_lets_a_dialogue_end() {
    let configs = Configs::for_programs();
    for by in EACH {
        let host = host(by, &configs);
        let Some((client, mut keyboard)) = s_client(&host, &configs, "-tls1_3") else { return };
        host.begin_shutdown();
        enter(&mut keyboard, b"after\nbye\n");
        let end = client.finish();
        assert_eq!((end.code, end.text()), (Some(0), "after\nbye\n"), "{by:?}: {}", end.stderr);
        assert_eq!(host.close(), 1, "{by:?}");
    }
}

#[test]
fn a_client_that_goes_without_close_notify_is_an_error() {
    let configs = Configs::for_programs();
    for by in EACH {
        let host = host(by, &configs);
        let Some((client, keyboard)) = s_client(&host, &configs, "-tls1_3") else { return };
        drop((client, keyboard)); // killed
        let error = host.end().unwrap_err();
        assert!(error.contains("UnexpectedEof") || error.contains("ConnectionReset"), "{error}");
        assert_eq!(host.close(), 0, "{by:?}");
    }
}

#[test]
fn openssl_is_a_server_for_tasks() {
    let Some(mut server) = tool("openssl") else { return };
    let (configs, folder) = (Configs::for_programs(), Folder::new());
    std::fs::write(folder.join("both.pem"), configs.certificate_pem.clone() + &configs.key_pem)
        .unwrap();
    // Each line comes back reversed.
    server
        .args(["s_server", "-rev", "-accept", "127.0.0.1:0", "-cert"])
        .arg(folder.join("both.pem"));
    let server = Running::start(&mut server);
    let addr = loop {
        if let Some(addr) = server.line().strip_prefix("ACCEPT ") {
            break addr.to_owned();
        }
    };
    for by in EACH {
        let (client, to) = (Arc::clone(&configs.client), Connect::to(&*addr));
        let dialogue = async move {
            match by {
                By::Crate => {
                    let name = ServerName::try_from("localhost").unwrap();
                    let peer = connect(to).await?;
                    reversed(TlsConnector::from(client).connect(name, peer).await?).await
                }
                By::Feature => {
                    let name = ServerName::try_from("localhost").unwrap();
                    reversed(connect(to.tls(client, Some(name))).await?).await
                }
            }
        };
        let line = run_until(&mut Reactor::new().unwrap(), dialogue).unwrap().unwrap();
        assert_eq!(line, "olleh\n", "{by:?}");
    }
}

async fn reversed(mut peer: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    peer.write_all(b"hello\n").await?;
    peer.flush().await?;
    let mut line = String::new();
    BufReader::new(peer).read_line(&mut line).await?;
    Ok(line)
}

/// Each server with each client.
async fn in_one_reactor(configs: Configs) {
    for server in EACH {
        for client in EACH {
            let place = Listen::at("127.0.0.1:0");
            let mut incoming = listen(match server {
                By::Crate => place,
                By::Feature => place.tls(Arc::clone(&configs.server)),
            })
            .unwrap();
            let to = Connect::to(incoming.local_addr());
            let acceptor = TlsAcceptor::from(Arc::clone(&configs.server));
            let echo = spawn_local(async move {
                let peer = incoming.accept().await.unwrap();
                match server {
                    By::Crate => echo(acceptor.accept(peer).await?).await,
                    By::Feature => echo(peer).await,
                }
            });
            let name = ServerName::try_from("localhost").unwrap();
            let config = Arc::clone(&configs.client);
            match client {
                By::Crate => {
                    let peer = connect(to).await.unwrap();
                    exchange(TlsConnector::from(config).connect(name, peer).await.unwrap()).await;
                }
                By::Feature => exchange(connect(to.tls(config, Some(name))).await.unwrap()).await,
            }
            assert_eq!(echo.await.unwrap().unwrap(), 300_000, "{server:?} and {client:?}");
        }
    }
}

async fn echo(peer: impl AsyncRead + AsyncWrite) -> io::Result<u64> {
    let (reader, mut writer) = peer.split();
    let count = futures::io::copy(reader, &mut writer).await?;
    writer.close().await?;
    Ok(count)
}

async fn exchange(peer: impl AsyncRead + AsyncWrite) {
    let (sent, mut back) = (pattern(300_000), Vec::new());
    let (mut reader, mut writer) = peer.split();
    let send = async {
        writer.write_all(&sent).await.unwrap();
        writer.close().await.unwrap();
    };
    let (read, ()) = join!(reader.read_to_end(&mut back), send);
    read.unwrap();
    assert!(back == sent, "{} bytes", back.len());
}

#[test]
fn the_crate_and_the_feature_understand_each_other() {
    in_each_world(|| in_one_reactor(Configs::new()));
}
