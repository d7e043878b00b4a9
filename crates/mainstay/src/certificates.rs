//! The files of the server's certificate: read at the start, and again when they change; and how it stands with it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::health::{Part, PartState};
use api::serve::tls::{self, Age, Certificates, Life, Texts, TlsError};
use domain::ports::{Clock, SecretError, Secrets};
use domain::secret::{NotAReference, SecretRef};
use domain::time::Timestamp;
use parking_lot::Mutex;
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
    standing: Arc<Standing>,
    asked: Arc<Notify>,
}

/// How the certificate is; read at any time.
pub(crate) struct Standing {
    certificates: Arc<Certificates>,
    /// Why what the files hold is not shown.
    refused: Mutex<Option<String>>,
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
        let standing = Arc::new(Standing { certificates, refused: Mutex::default() });
        Ok(Self { config, shown, standing, asked: Arc::default() })
    }

    pub(crate) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.standing.certificates)
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
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
            *self.standing.refused.lock() = None;
            if look == Look::Asked {
                tracing::info!("the certificate is the one that is shown already");
            }
            return;
        }
        let certificates = &self.standing.certificates;
        let taken = found.as_ref().map_err(Clone::clone).and_then(|texts| {
            certificates.replace(texts).map_err(|error| error.to_string()).map(|()| texts.clone())
        });
        match taken {
            Ok(texts) => {
                let until = certificates.life().map(|life| format!(", good until {}", life.ends.day()));
                tracing::info!(
                    "the certificate was replaced: new connections are shown the new one{}",
                    until.unwrap_or_default()
                );
                self.shown = texts;
                *self.standing.refused.lock() = None;
            }
            Err(reason) => {
                let before = self.standing.refused.lock().replace(reason.clone());
                // Told once, not at each look.
                if look == Look::Asked || before.as_ref() != Some(&reason) {
                    tracing::error!(
                        reason,
                        "the new certificate is refused and the last good one goes on being shown: {reason}"
                    );
                }
            }
        }
    }
}

/// What to do about a certificate that is over, or soon is.
const RENEW: &str = "put a new one and its key into the files of [server.tls]";

impl Standing {
    /// When what is shown ends, where it says so.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.certificates.life().map(|life| life.ends)
    }

    /// How it is at `now`.
    pub(crate) fn part(&self, now: Timestamp) -> Part {
        let (mut state, mut detail) = told(self.certificates.life(), now);
        if let Some(reason) = self.refused.lock().as_ref() {
            // What is over stays a failure.
            state = if state == PartState::Failed { state } else { PartState::Degraded };
            detail.push_str("; what its files hold now is not shown: ");
            detail.push_str(reason);
        }
        Part { name: "certificate".to_owned(), state, detail }
    }
}

fn told(life: Option<Life>, now: Timestamp) -> (PartState, String) {
    let Some(life) = life else {
        return (PartState::Ready, "shown; until when it is good could not be read".to_owned());
    };
    let (begins, ends) = (life.begins.rfc3339(), life.ends.rfc3339());
    match life.age(now) {
        Age::Good => (PartState::Ready, format!("good until {ends}")),
        Age::EndsSoon => (PartState::Degraded, format!("good until {ends} only: {RENEW}")),
        Age::Ended => (PartState::Failed, format!("ended at {ends}, so clients refuse it: {RENEW}")),
        Age::Unborn => {
            let detail = format!(
                "good from {begins} on, until then clients refuse it: look at this machine's clock, or {RENEW}"
            );
            (PartState::Failed, detail)
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
