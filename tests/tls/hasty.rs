//! A config of a server whose code has a bug where a connection begins: before its first byte is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crocus::tls::rustls::client::danger::HandshakeSignatureValid;
use crocus::tls::rustls::pki_types::{CertificateDer, UnixTime};
use crocus::tls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use crocus::tls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

use crate::certificates::Configs;

/// The first connection panics, the others are served.
pub(crate) fn configs() -> Configs {
    let configs = Configs::new();
    let server = ServerConfig::builder()
        .with_client_cert_verifier(Arc::new(Hasty::default()))
        .with_cert_resolver(Arc::clone(&configs.server.cert_resolver));
    Configs { server: server.into(), ..configs }
}

/// Asks no client for a certificate, and shows a bug when the first connection begins.
#[derive(Debug, Default)]
struct Hasty(AtomicBool);

impl ClientCertVerifier for Hasty {
    fn offer_client_auth(&self) -> bool {
        assert!(self.0.swap(true, Ordering::Relaxed), "a bug");
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        unreachable!("no client has one")
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("no client has one")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("no client has one")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
