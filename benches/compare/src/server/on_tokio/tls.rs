//! TLS by tokio-rustls, as its documentation shows it.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use super::accept;
use crate::server::no_such_service;
use crate::service::{RANDOM_LENGTH, READ_BUFFER, bulk_block, write_random};

pub fn serve(service: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let tls = TlsAcceptor::from(config);
    match service {
        "random" => runtime.block_on(accept(move |stream| random(tls.clone(), stream))),
        "echo" => runtime.block_on(accept(move |stream| echo(tls.clone(), stream))),
        "bulk" => {
            let block: Arc<[u8]> = bulk_block().into();
            runtime.block_on(accept(move |stream| bulk(tls.clone(), stream, Arc::clone(&block))))
        }
        _ => no_such_service(),
    }
}

async fn random(tls: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut answer = [0; RANDOM_LENGTH];
    write_random(&mut answer);
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

async fn echo(tls: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        stream.flush().await?;
        buffer.clear();
    }
    Ok(())
}

async fn bulk(tls: TlsAcceptor, stream: TcpStream, block: Arc<[u8]>) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    loop {
        stream.write_all(&block).await?;
    }
}
