//! A server and its client, for tests without a reactor.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::TLS12;
use rustls::{
    ALL_VERSIONS, CipherSuiteCommon, ClientConfig, RootCertStore, ServerConfig,
    SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
};

use super::{Engine, Role};
use crate::address::{Address, UnixAddress};

/// A server with a certificate of its own, and a client that trusts it.
pub(crate) fn engines() -> (Engine, Engine) {
    engines_of(default_provider(), ALL_VERSIONS)
}

/// Both with TLS 1.2, whose keys are used up after so many records.
pub(crate) fn short_lived_engines(records: u64) -> (Engine, Engine) {
    let suite = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let SupportedCipherSuite::Tls12(suite) = suite else { panic!("{suite:?} is not of TLS 1.2") };
    let CipherSuiteCommon { suite: name, hash_provider, .. } = suite.common;
    let common = CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit: records };
    let suite = Box::leak(Box::new(Tls12CipherSuite { common, ..*suite }));
    let cipher_suites = vec![SupportedCipherSuite::Tls12(suite)];
    engines_of(CryptoProvider { cipher_suites, ..default_provider() }, &[&TLS12])
}

fn engines_of(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> (Engine, Engine) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(provider);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_protocol_versions(versions).unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate], key).unwrap();
    let client = ClientConfig::builder_with_provider(provider);
    let client = client.with_protocol_versions(versions).unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let peer = || Address::Unix(UnixAddress::unnamed());
    let engine = |role: Role| Engine::new(&role, peer()).unwrap();
    (engine(Arc::new(server).into()), engine((Arc::new(client), name).into()))
}
