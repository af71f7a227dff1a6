//! A certificate in files, which a test can exchange while a server runs, with a client that checks it and a
//! server that shows it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crocus::tls::rustls::client::Resumption;
use crocus::tls::rustls::pki_types::{PrivateKeyDer, ServerName};
use crocus::tls::rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData, StreamOwned,
};
use rcgen::{CertificateParams, KeyPair};

use crate::child::Server;

/// A connection over TLS, which blocks. Reading fails if the end comes without a close_notify.
pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// The same at the side of the server.
pub(crate) type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// The names in a certificate, unless a test wants others.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate that is signed by its own key, in the files `cert.pem` and `key.pem` of a folder.
pub(crate) struct Certificate {
    folder: PathBuf,
    cert_pem: String,
    key_pem: String,
    /// The config of a client that trusts it, and nothing else.
    pub(crate) client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Certificate {
    pub(crate) fn new(folder: &Path) -> Self {
        Self::made(folder, CertificateParams::new(NAMES.map(str::to_owned)).unwrap())
    }

    pub(crate) fn made(folder: &Path, params: CertificateParams) -> Self {
        let made = Self::unsaved(folder, params);
        made.save_cert();
        made.save_key();
        made
    }

    fn unsaved(folder: &Path, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let mut client =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        client.resumption = Resumption::disabled(); // so that each handshake shows a certificate
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![cert.der().clone()], private).unwrap();
        Self {
            folder: folder.to_owned(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    fn save_cert(&self) {
        fs::write(self.folder.join("cert.pem"), &self.cert_pem).unwrap();
    }

    fn save_key(&self) {
        fs::write(self.folder.join("key.pem"), &self.key_pem).unwrap();
    }

    /// The path of the certificate, for a client.
    pub(crate) fn cert(&self) -> String {
        self.path("cert.pem")
    }

    /// The options of a server.
    pub(crate) fn options(&self) -> [String; 4] {
        ["--cert".to_owned(), self.cert(), "--key".to_owned(), self.path("key.pem")]
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A connection over TLS with a server that has this certificate.
    pub(crate) fn dial(&self, addr: SocketAddr) -> TlsStream {
        shake_hands(crate::child::dial(addr), &self.client).unwrap()
    }

    /// TLS on a connection that was accepted. Its handshake comes with the first byte that is read or written.
    pub(crate) fn serve(&self, stream: TcpStream) -> ServerStream {
        StreamOwned::new(ServerConnection::new(Arc::clone(&self.server)).unwrap(), stream)
    }
}

/// Begins TLS with the server `localhost` on a connection.
pub(crate) fn shake_hands(
    mut stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(client, stream))
}

/// Says that nothing more comes, as TLS has it, and as TCP has it.
pub(crate) fn close_write<C, S>(stream: &mut StreamOwned<C, TcpStream>)
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    stream.conn.send_close_notify();
    // It fails if the peer has closed already, which is no fault here.
    let _ = stream.flush();
    let _ = stream.sock.shutdown(Shutdown::Write);
}

/// Exchanges the certificate of a server that runs. Clients that come then see the new one, and each file that
/// cannot be used leaves everything as it was, and is told. `begin` connects until TLS can begin, and `goes_on`
/// uses a connection from before.
pub(crate) fn exchange(
    server: &Server,
    old: &Certificate,
    begin: impl Fn(SocketAddr) -> TcpStream,
    mut goes_on: impl FnMut(),
) {
    let handshake = |expected: &Certificate| shake_hands(begin(server.addr), &expected.client);
    drop(handshake(old).unwrap());
    goes_on();
    let names = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    let new = Certificate::unsaved(&old.folder, names);
    let (cert, key) = (old.folder.join("cert.pem"), old.folder.join("key.pem"));
    type Spoil<'a> = (&'a dyn Fn(), &'a str);
    let faults: [Spoil<'_>; 4] = [
        (&|| fs::write(&cert, "nonsense").unwrap(), "cannot read the certificate"),
        (&|| new.save_cert(), "the certificate and its key cannot be used"), // the key is the old one
        (&|| fs::remove_file(&key).unwrap(), "cannot read the key"),
        (&|| fs::write(&key, &new.cert_pem).unwrap(), "cannot read the key"),
    ];
    for (spoil, told) in faults {
        spoil();
        server.program.signal("HUP");
        let line = server.program.error_line();
        assert!(line.starts_with(told) && line.ends_with("; the former one stays"), "{line}");
        drop(handshake(old).unwrap());
        goes_on();
    }
    new.save_key();
    server.program.signal("HUP");
    assert_eq!(server.program.error_line(), "the certificate was read again");
    drop(handshake(&new).unwrap());
    let refused = handshake(old).err().unwrap().to_string();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    goes_on();
}
