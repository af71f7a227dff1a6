//! Certificates and configs for tests.

use std::sync::Arc;

use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use crocus::tls::rustls::version::{TLS12, TLS13};
use crocus::tls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rcgen::{CertificateParams, KeyPair};

/// A server's certificate for `localhost` and the loopback addresses, and configs for both sides.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// The versions that a test is about.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

impl Configs {
    pub(crate) fn new() -> Self {
        Self::of(&VERSIONS)
    }

    /// With these versions only. The signatures of Ed25519 all have one length, so that a simulation is the same
    /// each time.
    pub(crate) fn of(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self::with_key(&key, versions, vec![])
    }

    /// With a key that every program reads, whatever the version of its format.
    pub(crate) fn for_programs() -> Self {
        Self::with_key(&KeyPair::generate().unwrap(), &VERSIONS, vec![])
    }

    pub(crate) fn with_alpn(protocols: &[&str]) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let alpn = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self::with_key(&key, &VERSIONS, alpn)
    }

    pub(crate) fn with_key(
        key: &KeyPair,
        versions: &[&'static SupportedProtocolVersion],
        alpn: Vec<Vec<u8>>,
    ) -> Self {
        let names = ["localhost", "example.org", "127.0.0.1", "::1"].map(str::to_owned);
        let made = CertificateParams::new(names).unwrap().self_signed(key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.der().clone()).unwrap();
        let mut server = ServerConfig::builder_with_protocol_versions(versions)
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], private(key))
            .unwrap();
        let mut client = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.alpn_protocols.clone_from(&alpn);
        client.alpn_protocols = alpn;
        Self {
            server: server.into(),
            client: client.into(),
            certificate_pem: made.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

/// A client that trusts nobody.
pub(crate) fn distrustful() -> ClientConfig {
    let roots = RootCertStore::empty();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// The certificate of a server that has 60 KiB of other ones behind its own.
pub(crate) fn long_chain() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    let mut chain: Vec<CertificateDer<'static>> = vec![own.der().clone()];
    let mut length = 0;
    while length < 55_000 {
        let names: Vec<String> = (0..60).map(|i| format!("a-long-name-{i}.example.org")).collect();
        let other = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        length += other.der().len();
        chain.push(other.der().clone());
    }
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private(&key))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (server.into(), client.into())
}
