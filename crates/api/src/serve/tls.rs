//! TLS: the certificate that the server shows, replaced while it runs, and the handshake.

mod life;

pub use life::{Age, Life};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Settings of `[server.tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port that speak TLS; `[server] listen` stays a plain port beside it. Without it `[server] listen`
    /// itself speaks TLS, and nothing else does.
    pub listen: Option<String>,
    /// File with the server's certificate, then those that lead to its authority (PEM).
    pub certificate: String,
    /// The certificate's private key (PEM): `file::PATH` or `env::NAME`.
    pub key: String,
    /// File with the authorities (PEM) of which each client must show a certificate; when it is not set, clients show none.
    pub client_ca: Option<String>,
    /// How long a client may take for the handshake.
    #[serde(with = "resilience::duration_text", default = "handshake_timeout")]
    pub handshake_timeout: Duration,
}

fn handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

/// The texts of a certificate and what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Texts {
    /// The certificate and those that lead to its authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: domain::secret::Secret,
    /// Authorities of clients, where they must show a certificate.
    pub client_ca: Option<Vec<u8>>,
}

/// A certificate that no server can show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in its file.
    #[error("[server.tls] certificate: the file holds no certificate in PEM")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("[server.tls] certificate: {0}")]
    Certificate(pem::Error),
    /// No key.
    #[error("[server.tls] key: no unencrypted private key in PEM: {0}")]
    Key(pem::Error),
    /// Certificate and key do not belong together, or one of them is none.
    #[error("[server.tls]: the certificate and its key cannot be used: {0}")]
    Pair(rustls::Error),
    /// An authority that cannot be read.
    #[error("[server.tls] client_ca: {0}")]
    ClientCa(String),
    /// The library was built without what is asked of it.
    #[error("[server.tls]: {0}")]
    Library(rustls::Error),
}

/// What the server shows: replaced at once for new connections, while those it has go on.
pub struct Certificates(RwLock<Shown>);

struct Shown {
    config: Arc<ServerConfig>,
    life: Option<Life>,
}

impl Certificates {
    /// Reads `texts`.
    ///
    /// # Errors
    /// [`TlsError`] that names the setting.
    pub fn new(texts: &Texts) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(shown(texts)?)))
    }

    /// Shows `texts` from the next handshake on.
    ///
    /// # Errors
    /// [`TlsError`]; what was shown before goes on being shown.
    pub fn replace(&self, texts: &Texts) -> Result<(), TlsError> {
        let shown = shown(texts)?;
        *self.0.write() = shown;
        Ok(())
    }

    /// How long what is shown is good; `None` where it does not say so in a form that can be read.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.0.read().life
    }
}

/// HTTP/2 as ALPN calls it.
pub(super) const HTTP2: &[u8] = b"h2";

fn shown(texts: &Texts) -> Result<Shown, TlsError> {
    let chain = certificates(&texts.certificate).map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let life = Life::of(&chain);
    Ok(Shown { config: Arc::new(config(texts, chain)?), life })
}

/// Each set of texts has its own tickets: a session that a withdrawn authority vouched for is not taken up again.
fn config(texts: &Texts, chain: Vec<CertificateDer<'static>>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(texts.key.expose().as_bytes()).map_err(TlsError::Key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?;
    let builder = match &texts.client_ca {
        None => builder.with_no_client_auth(),
        Some(text) => {
            let roots = Arc::new(authorities(text).map_err(TlsError::ClientCa)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let told = |error: VerifierBuilderError| TlsError::ClientCa(error.to_string());
            builder.with_client_cert_verifier(verifier.map_err(told)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Library)?;
    Ok(config)
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

fn authorities(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(text).map_err(|error| error.to_string())? {
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("the file holds no certificate in PEM".to_owned()),
        false => Ok(roots),
    }
}

/// A connection that came to no agreement.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no handshake within {0:?}")]
    TooSlow(Duration),
    #[error("it speaks HTTP without TLS")]
    Plain,
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// The server's side of the handshake.
pub(super) async fn handshake(
    stream: TcpStream,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Box<TlsStream<TcpStream>>, HandshakeError> {
    let config = Arc::clone(&certificates.0.read().config);
    let shaking = async {
        if begins_like_http(&stream).await? {
            tell_to_use_tls(stream).await;
            return Err(HandshakeError::Plain);
        }
        Ok(Box::new(TlsAcceptor::from(config).accept(stream).await?))
    };
    tokio::time::timeout(limit, shaking).await.unwrap_or(Err(HandshakeError::TooSlow(limit)))
}

/// A TLS record begins with its kind, 22; the name of a method with a letter.
async fn begins_like_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let n = stream.peek(&mut first).await?;
    Ok(n == 1 && first.iter().all(u8::is_ascii_uppercase))
}

const USE_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 37\r\n\
                       connection: close\r\n\r\nThis port speaks TLS: ask by https.\r\n";

/// Whoever forgot the `s` learns it in words, not from an alert that no HTTP client can show.
async fn tell_to_use_tls(mut stream: TcpStream) {
    // What is left unread would make the kernel take the words back.
    let mut thrown_away = [0; 4_096];
    while stream.try_read(&mut thrown_away).is_ok_and(|n| n > 0) {}
    // It may be gone already.
    let _ = stream.write_all(USE_TLS.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use domain::secret::Secret;

    use super::*;

    /// As files hold it.
    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    /// A certificate and its key.
    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        (pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
    }

    fn texts(certificate: &str, key: &str, client_ca: Option<&str>) -> Texts {
        Texts {
            certificate: certificate.as_bytes().to_vec(),
            key: Secret::new(key.to_owned()),
            client_ca: client_ca.map(|text| text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn what_cannot_be_shown_is_named_and_changes_nothing() {
        let ((certificate, key), (other, other_key)) = (made(), made());
        let certificates = Certificates::new(&texts(&certificate, &key, Some(&other))).expect("a good pair");
        let shown = Arc::clone(&certificates.0.read().config);
        let encrypted = pem("ENCRYPTED PRIVATE KEY", b"x");
        for (texts, want) in [
            (texts("", &key, None), "certificate: the file holds no certificate"),
            (texts(&key, &key, None), "certificate: the file holds no certificate"),
            (texts("-----BEGIN CERTIFICATE-----\nA", &key, None), "[server.tls] certificate: "),
            (texts(&pem("CERTIFICATE", b"no certificate"), &key, None), "cannot be used"),
            (texts(&certificate, "", None), "[server.tls] key: no unencrypted private key"),
            (texts(&certificate, &encrypted, None), "[server.tls] key: no unencrypted private key"),
            (texts(&certificate, &pem("PRIVATE KEY", b"no key"), None), "cannot be used"),
            (texts(&certificate, &other_key, None), "cannot be used"),
            (texts(&certificate, &key, Some("")), "[server.tls] client_ca: the file holds no certificate"),
            (texts(&certificate, &key, Some(&pem("CERTIFICATE", b"x"))), "[server.tls] client_ca: "),
        ] {
            let error = certificates.replace(&texts).expect_err(want).to_string();
            assert!(error.contains(want), "{want}: {error}");
            assert!(!error.contains("BEGIN"), "no text of a key is told: {error}");
            assert!(Arc::ptr_eq(&shown, &certificates.0.read().config), "{want}: replaced all the same");
        }
        certificates.replace(&texts(&other, &other_key, None)).expect("another good pair");
        assert!(!Arc::ptr_eq(&shown, &certificates.0.read().config));
    }
}
