//! The certificate of the servers that speak TLS, and what both sides agree on.
//!
//! It is made for each run, in the folder of [`Task::root`](crate::peers::Task): a key of P-256, signed by an
//! authority of P-256 that the clients trust. All Rust servers have one config, made by [`server_config`]. The
//! clients offer TLS 1.3 with [`SUITE`] and [`GROUP`] only, so that every server does the same cryptography;
//! they refuse a handshake that is not so. Sessions are resumed by tickets that the server does not remember.
//! A server of rustls sends two tickets after every handshake, OpenSSL two after a full one and one after one
//! that was resumed.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs, io};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    CipherSuite, ClientConfig, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite,
};

pub const CERTIFICATE: &str = "certificate.pem";
pub const KEY: &str = "key.pem";
const AUTHORITY: &str = "authority.pem";

/// For which name the certificate is.
pub const NAME: &str = "localhost";

pub const SUITE: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
pub const GROUP: NamedGroup = NamedGroup::X25519;

/// How many servers a client has tickets of: it knows one.
const SERVERS: usize = 1;

/// Makes the files in the folder.
///
/// # Errors
///
/// If they cannot be made or written.
pub fn make(folder: &Path) -> io::Result<()> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "crocus-compare");
    let authority_key = KeyPair::generate().map_err(failed)?; // P-256 is rcgen's default
    let authority_pem = authority.self_signed(&authority_key).map_err(failed)?.pem();
    let authority = Issuer::new(authority, authority_key);

    let key = KeyPair::generate().map_err(failed)?;
    let certificate = CertificateParams::new([NAME.to_owned()]).map_err(failed)?;
    let certificate = certificate.signed_by(&key, &authority).map_err(failed)?;
    fs::write(folder.join(AUTHORITY), authority_pem)?;
    fs::write(folder.join(CERTIFICATE), certificate.pem())?;
    fs::write(folder.join(KEY), key.serialize_pem())
}

/// The config of every Rust server.
///
/// # Errors
///
/// If the files in the folder cannot be read.
pub fn server_config(folder: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::from_pem_file(folder.join(CERTIFICATE)).map_err(failed)?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).map_err(failed)?;
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(failed)?;
    config.ticketer = ring::Ticketer::new().map_err(failed)?;
    Ok(config.into())
}

/// The config of clients, with or without a place for tickets.
///
/// # Errors
///
/// If the files in the folder cannot be read.
pub fn client_config(folder: &Path, resumes: bool) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join(AUTHORITY)).map_err(failed)?;
    roots.add(authority).map_err(failed)?;
    let mut config = ClientConfig::builder_with_provider(only_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = match resumes {
        true => Resumption::in_memory_sessions(SERVERS),
        false => Resumption::disabled(),
    };
    Ok(config)
}

fn only_provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite: &SupportedCipherSuite| suite.suite() == SUITE);
    provider.kx_groups.retain(|group| group.name() == GROUP);
    provider
}

fn failed(error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("the certificate of the comparison: {error}"))
}
