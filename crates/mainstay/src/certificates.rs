//! The files of the server's certificate: read at the start, and again when they change.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::serve::tls::{self, Certificates, Texts, TlsError};
use domain::ports::{Clock, SecretError, Secrets};
use domain::secret::{NotAReference, SecretRef};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::SystemSecrets;

/// Bytes of a file of certificates: far more than a chain, or the authorities of a company, need.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How often the files are looked at. They are read whole: links, mounted secrets and file systems of other machines
/// change in ways that no notification tells of.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The server cannot show its certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file.
    #[error("[server.tls] {key}: {path}: {source}")]
    Read {
        /// The setting.
        key: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Not a reference.
    #[error("[server.tls] key: {0}")]
    Reference(NotAReference),
    /// The key.
    #[error("[server.tls] key: {0}")]
    Key(SecretError),
    /// What is in them.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What is shown, and where it comes from.
pub(crate) struct Files {
    config: tls::Config,
    shown: Texts,
    certificates: Arc<Certificates>,
    /// Why what the files hold is not shown.
    refused: Option<String>,
    asked: Arc<Notify>,
}

/// Why the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    ByItself,
    /// Somebody waits for a word about it.
    Asked,
}

impl Files {
    /// Reads the files of `config`.
    pub(crate) fn open(config: tls::Config) -> Result<Self, CertificateError> {
        let shown = read(&config)?;
        let certificates = Arc::new(Certificates::new(&shown)?);
        Ok(Self { config, shown, certificates, refused: None, asked: Arc::default() })
    }

    pub(crate) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Has the files looked at now.
    pub(crate) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Follows the files until `shutdown`.
    pub(crate) async fn follow(mut self, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
        let mut found_before = None;
        loop {
            let look = tokio::select! {
                () = clock.sleep(LOOK_EVERY) => Look::ByItself,
                () = self.asked.notified() => Look::Asked,
                () = shutdown.cancelled() => return,
            };
            let config = self.config.clone();
            let reading =
                tokio::task::spawn_blocking(move || read(&config).map_err(|error| error.to_string()));
            let Ok(found) = reading.await else { continue };
            // Files are written in strokes, and one after the other: what is found twice is meant.
            let is_settled = found_before.as_ref() == Some(&found);
            if is_settled || look == Look::Asked {
                self.take(&found, look);
            }
            found_before = Some(found);
        }
    }

    /// Shows what was found, where it is another one and a good one.
    fn take(&mut self, found: &Result<Texts, String>, look: Look) {
        if found.as_ref() == Ok(&self.shown) {
            self.refused = None;
            if look == Look::Asked {
                tracing::info!("the certificate is the one that is shown already");
            }
            return;
        }
        let taken = found.as_ref().map_err(Clone::clone).and_then(|texts| {
            self.certificates.replace(texts).map_err(|error| error.to_string()).map(|()| texts.clone())
        });
        match taken {
            Ok(texts) => {
                tracing::info!("the certificate was replaced: new connections are shown the new one");
                (self.shown, self.refused) = (texts, None);
            }
            // Told once, not at each look.
            Err(reason) if look == Look::ByItself && self.refused.as_ref() == Some(&reason) => {}
            Err(reason) => {
                tracing::error!(
                    reason,
                    "the new certificate is refused and the last good one goes on being shown: {reason}"
                );
                self.refused = Some(reason);
            }
        }
    }
}

fn read(config: &tls::Config) -> Result<Texts, CertificateError> {
    let reference = SecretRef::parse(&config.key).map_err(CertificateError::Reference)?;
    let client_ca = config.client_ca.as_deref().map(|path| file("client_ca", path)).transpose()?;
    Ok(Texts {
        certificate: file("certificate", &config.certificate)?,
        key: SystemSecrets.resolve(&reference).map_err(CertificateError::Key)?,
        client_ca,
    })
}

fn file(key: &'static str, path: &str) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::Read { key, path: path.to_owned(), source };
    let file = Path::new(path);
    if std::fs::metadata(file).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(file).map_err(failed)
}
