//! For clients that speak TLS: whom they trust, and what to try after a handshake that failed.
#![allow(dead_code, reason = "each program uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crocus::tls::rustls::pki_types::pem::PemObject;
use crocus::tls::rustls::pki_types::{CertificateDer, ServerName};
use crocus::tls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use crocus::tls::{Fault, TlsError};

use crate::shared::cli::Exit;

/// `--tls` and `--ca FILE`; without the first a client speaks in clear.
#[derive(Debug, Default)]
pub(crate) struct TrustOptions {
    tls: bool,
    ca: Option<PathBuf>,
}

impl TrustOptions {
    /// Takes one of these options, by its name without `--`. Any other one is refused.
    pub(crate) fn take(&mut self, name: &str, args: &mut lexopt::Parser) -> Result<(), Exit> {
        match name {
            "tls" => self.tls = true,
            "ca" => self.ca = Some(args.value()?.into()),
            _ => return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into()),
        }
        Ok(())
    }

    /// The config of the client; `None`: it speaks in clear.
    ///
    /// # Errors
    ///
    /// If the options contradict each other, or as of [`client`].
    pub(crate) fn client(self) -> Result<Option<Arc<ClientConfig>>, Exit> {
        match (self.tls, self.ca) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Exit::Usage("--ca goes with --tls".to_owned())),
            (true, ca) => client(ca.as_deref()).map(Some),
        }
    }
}

/// The config of a client that trusts the authorities in a file, or, without one, those that this system trusts.
///
/// A server has to have a certificate of one of them, for its name. There is no way around that: the file may
/// hold the very certificate of a server.
///
/// # Errors
///
/// If there are no authorities, or the file has something else.
pub(crate) fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Exit> {
    let roots = ca.map_or_else(of_this_system, in_file)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes what can be read of what is there: systems have old certificates among the others.
fn of_this_system() -> Result<RootCertStore, Exit> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    for error in &found.errors {
        log::debug!("a part of the authorities of this system cannot be read: {error}");
    }
    if added == 0 {
        let cause =
            found.errors.first().map_or_else(|| "none are there".to_owned(), ToString::to_string);
        return Err(Exit::Failed(format!(
            "cannot read the authorities that this system trusts: {cause}; --ca FILE names others, and on \
             Debian the package ca-certificates has the usual ones"
        )));
    }
    Ok(roots)
}

fn in_file(path: &Path) -> Result<RootCertStore, Exit> {
    let wrong = |error: &dyn std::fmt::Display| {
        let path = path.display();
        Exit::Failed(format!(
            "cannot read the authorities in {path}: {error}; --ca takes a file in PEM"
        ))
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"there are none")) } else { Ok(roots) }
}

/// The name of the server at `HOST:PORT`, which its certificate must have.
///
/// # Errors
///
/// If no certificate can have such a name.
pub(crate) fn name_at(address: &str) -> Result<ServerName<'static>, Exit> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned());
    name.map_err(|_| Exit::Usage(format!("{host:?} is no name that a certificate can have")))
}

/// A hint for somebody whose client has failed with a server.
pub(crate) fn hint(error: &TlsError) -> &'static str {
    match error.fault() {
        Fault::Tls(Error::InvalidCertificate(fault)) => hint_of(fault),
        Fault::Tls(Error::AlertReceived(_)) => "the server has refused; its log may say why",
        Fault::Truncated | Fault::TimedOut => "does the server speak TLS at this port?",
        _ => "is this the right port?",
    }
}

fn hint_of(fault: &CertificateError) -> &'static str {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext, Other, UnknownIssuer,
        UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    match fault {
        // A signature is bad, or of another kind than the key, if one who is trusted has the name of the signer,
        // and another key: two certificates that were made to try things with.
        UnknownIssuer | BadSignature | UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "nobody who is trusted has signed it; --ca FILE names whom to trust instead"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "is this the right server? The name has to be one that its certificate has"
        }
        Expired | ExpiredContext { .. } => "its owner has to renew it, unless our clock is wrong",
        NotValidYet | NotValidYetContext { .. } => "is our clock right?",
        Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            "it is the certificate of an authority; a server needs one of its own (openssl req -x509 makes \
             it with -addext basicConstraints=critical,CA:FALSE)"
        }
        _ => "its owner has to replace it",
    }
}
