//! Certificates and configs for tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crocus::tls::rustls::pki_types::pem::PemObject;
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use crocus::tls::rustls::server::WebPkiClientVerifier;
use crocus::tls::rustls::version::{TLS12, TLS13};
use crocus::tls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A server's certificate for `localhost` and the loopback addresses, and configs for both sides.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    /// The certificate that a program has to trust.
    pub(crate) authority_pem: String,
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
            authority_pem: made.pem(),
        }
    }

    /// As a public authority makes them today: signed by another key, for 90 days, with the place of a list of
    /// those that were revoked.
    pub(crate) fn signed() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let authority = Issuer::new(authority, authority_key);

        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut own = CertificateParams::new(names).unwrap();
        own.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        own.not_before = date_time_ymd(1970, 1, 1) + (since_1970 - DAY);
        own.not_after = own.not_before + 90 * DAY;
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.use_authority_key_identifier_extension = true;
        let uris = vec!["http://localhost/revoked.crl".to_owned()];
        own.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        let key = KeyPair::generate().unwrap();
        let made = own.signed_by(&key, &authority).unwrap();

        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], private(&key))
            .unwrap();
        Self {
            server: server.into(),
            client: Self::client_of(&authority_pem),
            certificate_pem: made.pem(),
            key_pem: key.serialize_pem(),
            authority_pem,
        }
    }

    /// The same for clients that show a certificate too, which the server asks for.
    pub(crate) fn mutual() -> Self {
        let configs = Self::for_programs();
        let roots = Arc::new(trusting(&configs.authority_pem));
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build().unwrap();
        let chain = || {
            let own = CertificateDer::from_pem_slice(configs.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(configs.key_pem.as_bytes());
            (vec![own.unwrap()], key.unwrap())
        };
        let (certificates, key) = chain();
        let server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .unwrap();
        let (certificates, key) = chain();
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates, key)
            .unwrap();
        Self { server: server.into(), client: client.into(), ..configs }
    }

    /// A client that trusts this authority and has no certificate of its own.
    pub(crate) fn client_of(authority_pem: &str) -> Arc<ClientConfig> {
        let roots = trusting(authority_pem);
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth().into()
    }

    /// The server's config, changed.
    pub(crate) fn server_with(&self, change: impl FnOnce(&mut ServerConfig)) -> Arc<ServerConfig> {
        let mut server = (*self.server).clone();
        change(&mut server);
        server.into()
    }

    /// The client's config, changed.
    pub(crate) fn client_with(&self, change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
        let mut client = (*self.client).clone();
        change(&mut client);
        client.into()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn trusting(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    roots
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
