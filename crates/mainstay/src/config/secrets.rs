//! Secrets from the environment and from files, and the one place that reads the environment.

use domain::ports::{SecretError, Secrets};
use domain::secret::{Secret, SecretRef};

/// Secrets from the environment and from files.
#[derive(Debug)]
pub(crate) struct SystemSecrets;

/// Most bytes of a file that holds a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

impl Secrets for SystemSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let missing = || SecretError::Missing(reference.clone());
        let unreadable = |reason: String| SecretError::Unreadable(reference.clone(), reason);
        let value = match reference {
            SecretRef::Env(name) => environment(name).ok_or_else(missing)?,
            SecretRef::File(path) => {
                let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
                if size > SECRET_BYTES_MAX {
                    return Err(unreadable(format!("it is larger than {SECRET_BYTES_MAX} bytes")));
                }
                std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?
            }
        };
        let value = value.trim();
        if value.is_empty() { Err(missing()) } else { Ok(Secret::new(value.to_owned())) }
    }
}

/// A variable of the environment.
#[expect(clippy::disallowed_methods, reason = "this file is the one reader of the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
