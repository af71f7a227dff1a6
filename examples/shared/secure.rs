//! The options of a server that speaks TLS, beside those of `shared`: its certificate, read from files or made to try things with.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crocus::tls::rustls::ServerConfig;
use crocus::tls::rustls::crypto::ring::default_provider;
use crocus::tls::rustls::pki_types::pem::PemObject;
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use crocus::tls::rustls::server::{ClientHello, ResolvesServerCert};
use crocus::tls::rustls::sign::CertifiedKey;
use crocus::{Factory, Listen, Reactor};
use signal_hook::consts::SIGHUP;

use crate::shared::cli::{self, Exit};

/// `--cert FILE --key FILE`, or `--self-signed`; without them a server speaks in clear.
#[derive(Debug, Default)]
pub(crate) struct TlsOptions {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    self_signed: bool,
}

impl TlsOptions {
    /// Takes an option if it is one of these; for [`from_args_and`](cli::ServerOptions::from_args_and).
    pub(crate) fn take(&mut self, name: &str, args: &mut lexopt::Parser) -> Result<bool, Exit> {
        match name {
            "cert" => self.cert = Some(args.value()?.into()),
            "key" => self.key = Some(args.value()?.into()),
            "self-signed" => self.self_signed = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The certificates to serve with; `None`: in clear.
    ///
    /// # Errors
    ///
    /// If the options contradict each other, or a file cannot be read or has no certificate or key.
    pub(crate) fn certificates(self) -> Result<Option<Arc<Certificates>>, Exit> {
        let source = match (self.cert, self.key, self.self_signed) {
            (None, None, false) => return Ok(None),
            (Some(cert), Some(key), false) => Source::Files { cert, key },
            (None, None, true) => {
                cli::say(
                    "a certificate was made for this run; nobody trusts it but who is told to",
                );
                Source::Made
            }
            (_, _, true) => {
                return Err(Exit::Usage("--self-signed makes both, --cert and --key".to_owned()));
            }
            _ => return Err(Exit::Usage("--cert and --key go together".to_owned())),
        };
        let now = RwLock::new(source.load()?);
        Ok(Some(Arc::new(Certificates { source, now })))
    }
}

/// The certificate of a server, which can be exchanged while it runs.
#[derive(Debug)]
pub(crate) struct Certificates {
    source: Source,
    now: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug)]
enum Source {
    Files { cert: PathBuf, key: PathBuf },
    Made,
}

impl Certificates {
    /// Encrypts what is accepted at a place.
    pub(crate) fn secure(self: &Arc<Self>, place: Listen) -> Listen {
        let config = ServerConfig::builder().with_no_client_auth();
        place.tls(config.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>))
    }

    /// On SIGHUP reads the files again. Connections that are open keep what they have agreed on, and if a
    /// file cannot be used, so do new ones.
    pub(crate) fn reload_on_hangup(self: &Arc<Self>, reactor: &mut Reactor) -> io::Result<()> {
        let certificates = Arc::clone(self);
        reactor.on_signal(SIGHUP, move |_| match certificates.source.load() {
            Ok(now) => {
                *certificates.now.write().unwrap_or_else(PoisonError::into_inner) = now;
                cli::say("the certificate was read again");
            }
            Err(Exit::Failed(message)) => cli::say(&format!("{message}; the former one stays")),
            Err(_) => {}
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Source {
    fn load(&self) -> Result<Arc<CertifiedKey>, Exit> {
        let (chain, key) = match self {
            Self::Files { cert, key } => {
                let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
                let chain: Vec<_> =
                    chain.map_err(|error| unreadable("certificate", cert.display(), error))?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unreadable("key", key.display(), error))?;
                (chain, key)
            }
            Self::Made => {
                let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
                let made = rcgen::generate_simple_self_signed(names)
                    .map_err(|error| Exit::Failed(format!("cannot make a certificate: {error}")))?;
                let key = made.signing_key.serialize_der();
                let key =
                    PrivateKeyDer::try_from(key).map_err(|error| Exit::Failed(error.into()))?;
                (vec![made.cert.der().clone()], key)
            }
        };
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        certified.map(Arc::new).map_err(|error| {
            Exit::Failed(format!("the certificate and its key cannot be used: {error}"))
        })
    }
}

fn unreadable(what: &str, path: impl Display, error: impl Display) -> Exit {
    Exit::Failed(format!("cannot read the {what} {path}: {error}; it takes a file in PEM"))
}

/// A whole server, in clear or encrypted: as [`serve_at`](cli::serve_at).
pub(crate) fn serve(
    tls: TlsOptions,
    place: Listen,
    factory: impl Factory + 'static,
) -> Result<(), Exit> {
    let Some(certificates) = tls.certificates()? else { return cli::serve_at(place, factory) };
    let mut reactor = cli::reactor()?;
    certificates.reload_on_hangup(&mut reactor)?;
    cli::serve_on(reactor, certificates.secure(place), factory)
}
