//! The options of a server that speaks TLS, beside those of `shared`: its certificate, read from files or made to try
//! things with.
#![allow(dead_code, reason = "each program uses a part of it")]

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crocus::tls::rustls::crypto::ring::default_provider;
use crocus::tls::rustls::pki_types::pem::{self, PemObject};
use crocus::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use crocus::tls::rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
};
use crocus::tls::rustls::sign::CertifiedKey;
use crocus::tls::rustls::{Error, ServerConfig};
use crocus::{Factory, Listen, Reactor};
use ring::digest::{SHA256, digest};
use signal_hook::consts::SIGHUP;

use crate::shared::cli::{self, Exit};

/// How many sessions are kept for clients that resume one: rustls' number.
const SESSIONS: usize = 256;

/// The names in a certificate that is made: the ways to say "this machine".
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A word of the label of a key in PKCS #8, or of the fields of an older one, if a passphrase has encrypted it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// `--cert FILE --key FILE`, or `--self-signed`; without them a server speaks in clear.
#[derive(Debug, Default)]
pub(crate) struct TlsOptions {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    self_signed: bool,
    alpn: Vec<Vec<u8>>,
}

impl TlsOptions {
    /// For a server of protocols that have names in ALPN. A client that asks for none is served, and one that
    /// asks for others only is refused (RFC 7301).
    pub(crate) fn of_protocols(names: &[&str]) -> Self {
        let alpn = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { alpn, ..Self::default() }
    }

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

    /// The TLS of the server; `None`: it speaks in clear.
    ///
    /// # Errors
    ///
    /// If the options contradict each other, or a file cannot be read or has no certificate or key.
    pub(crate) fn server(self) -> Result<Option<ServerTls>, Exit> {
        let source = match (self.cert, self.key, self.self_signed) {
            (None, None, false) => return Ok(None),
            (Some(cert), Some(key), false) => Source::Files { cert, key },
            (None, None, true) => Source::Made,
            (_, _, true) => {
                return Err(Exit::Usage("--self-signed makes both, --cert and --key".to_owned()));
            }
            _ => return Err(Exit::Usage("--cert and --key go together".to_owned())),
        };
        let first = source.load()?;
        if let Source::Made = source {
            cli::say(&format!("a certificate was made for this run, {}", description(&first)));
        }
        let (now, sessions) = (RwLock::new(first), RwLock::new(no_sessions()));
        let certificates = Arc::new(Certificates { source, now, sessions });
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificates>::clone(&certificates);
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        config.session_storage = Arc::<Certificates>::clone(&certificates);
        config.alpn_protocols = self.alpn;
        // The best suite that both have, and not the one that a client names first: scanners ask for that.
        config.ignore_client_order = true;
        Ok(Some(ServerTls { config: Arc::new(config), certificates }))
    }

    /// Has all encrypted that is accepted at a place, if it is to be.
    ///
    /// # Errors
    ///
    /// As of [`server`](Self::server).
    pub(crate) fn secure(self, reactor: &mut Reactor, place: Listen) -> Result<Listen, Exit> {
        let Some(tls) = self.server()? else { return Ok(place) };
        tls.reload_on_hangup(reactor)?;
        Ok(tls.secure(place))
    }
}

/// The TLS of a server: its config, and a certificate that can be exchanged while it runs.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl ServerTls {
    /// Encrypts what is accepted at a place.
    pub(crate) fn secure(&self, place: Listen) -> Listen {
        place.tls(Arc::clone(&self.config))
    }

    /// On SIGHUP reads the files again. Connections that are open keep what they have agreed on, and if a
    /// file cannot be used, so do new ones. A session that began with a former certificate cannot be resumed.
    ///
    /// The reactor waits for the disk, for two small files.
    pub(crate) fn reload_on_hangup(&self, reactor: &mut Reactor) -> io::Result<()> {
        let certificates = Arc::clone(&self.certificates);
        reactor.on_signal(SIGHUP, move |_| certificates.load_again())
    }
}

/// The certificate of a server with its key, and the sessions that began with it.
#[derive(Debug)]
struct Certificates {
    source: Source,
    now: RwLock<Arc<CertifiedKey>>,
    sessions: RwLock<Arc<ServerSessionMemoryCache>>,
}

#[derive(Debug)]
enum Source {
    Files { cert: PathBuf, key: PathBuf },
    Made,
}

impl Certificates {
    fn load_again(&self) {
        let now = match self.source.load() {
            Ok(now) => now,
            Err(Exit::Failed(message)) => {
                return cli::say(&format!("{message}; the former one stays"));
            }
            Err(_) => return, // nothing else is said of files
        };
        match self.source {
            Source::Files { .. } => cli::say("the certificate was read again"),
            Source::Made => {
                cli::say(&format!("another certificate was made, {}", description(&now)));
            }
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = now;
        *self.sessions.write().unwrap_or_else(PoisonError::into_inner) = no_sessions();
    }

    fn sessions(&self) -> Arc<ServerSessionMemoryCache> {
        Arc::clone(&self.sessions.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn no_sessions() -> Arc<ServerSessionMemoryCache> {
    ServerSessionMemoryCache::new(SESSIONS)
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A client that resumes a session is shown no certificate, so the sessions go with the certificate.
impl StoresServerSessions for Certificates {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions().put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions().get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions().take(key)
    }

    fn can_cache(&self) -> bool {
        self.sessions().can_cache()
    }
}

impl Source {
    fn load(&self) -> Result<Arc<CertifiedKey>, Exit> {
        let (chain, key) = match self {
            Self::Files { cert, key } => (chain_in(cert)?, key_in(key)?),
            Self::Made => made()?,
        };
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        certified.map(Arc::new).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &Error) -> Exit {
        let hint = match error {
            Error::InconsistentKeys(_) => "is the key that of the first certificate in the file?",
            Error::InvalidCertificate(_) => "the file has to begin with the server's certificate",
            _ => "a key is RSA of 2,048 bits or more, ECDSA with P-256 or P-384, or Ed25519",
        };
        let which = match self {
            Self::Files { cert, key } => format!(", {} and {}", cert.display(), key.display()),
            Self::Made => String::new(),
        };
        Exit::Failed(format!("the certificate and its key cannot be used{which}: {error}; {hint}"))
    }
}

fn chain_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, Exit> {
    let chain =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unreadable("certificate", path, cause(&error)))?;
    if chain.is_empty() {
        return Err(unreadable("certificate", path, cause(&pem::Error::NoItemsFound)));
    }
    Ok(chain)
}

fn key_in(path: &Path) -> Result<PrivateKeyDer<'static>, Exit> {
    let pem = fs::read(path).map_err(|error| unreadable("key", path, error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        if !pem.windows(ENCRYPTED.len()).any(|word| word == ENCRYPTED) {
            return unreadable("key", path, cause(&error));
        }
        let path = path.display();
        Exit::Failed(format!(
            "cannot read the key {path}: a passphrase has encrypted it; openssl pkey -in {path} decrypts it"
        ))
    })
}

fn unreadable(what: &str, path: &Path, cause: impl Display) -> Exit {
    let path = path.display();
    Exit::Failed(format!("cannot read the {what} {path}: {cause}; it takes a file in PEM"))
}

/// Why a file in PEM cannot be read, without the bytes that rustls shows.
fn cause(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        pem::Error::MissingSectionEnd { .. } => "an END line is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not whole".to_owned(),
        _ => error.to_string(),
    }
}

/// A certificate that is signed by its own key.
fn made() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Exit> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned))
        .map_err(|error| Exit::Failed(format!("cannot make a certificate: {error}")))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let key = key.map_err(|error| Exit::Failed(error.to_owned()))?;
    Ok((vec![made.cert.der().clone()], key))
}

/// Says of a certificate that was made for whom it is, and how to recognise it.
fn description(certified: &CertifiedKey) -> String {
    let [first, second, third] = NAMES;
    let fingerprint = certified.cert.first().map_or_else(String::new, |own| fingerprint(own));
    format!(
        "for {first}, {second} and {third}; only a client that is told to trusts it; \
         SHA-256 fingerprint {fingerprint}"
    )
}

/// In the form in which OpenSSL and browsers show it.
fn fingerprint(certificate: &[u8]) -> String {
    let bytes = digest(&SHA256, certificate);
    let pairs: Vec<_> = bytes.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A whole server, in clear or encrypted: as [`serve_at`](cli::serve_at).
pub(crate) fn serve(
    tls: TlsOptions,
    place: Listen,
    factory: impl Factory + 'static,
) -> Result<(), Exit> {
    serve_on(cli::reactor()?, tls, place, factory)
}

/// The same on a reactor that is made already: as [`serve_on`](cli::serve_on).
pub(crate) fn serve_on(
    mut reactor: Reactor,
    tls: TlsOptions,
    place: Listen,
    factory: impl Factory + 'static,
) -> Result<(), Exit> {
    let place = tls.secure(&mut reactor, place)?;
    cli::serve_on(reactor, place, factory)
}
