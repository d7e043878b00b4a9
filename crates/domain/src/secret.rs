//! Secrets and references to them: a value that cannot be printed by accident.

use std::fmt;

/// A secret value; `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is found; configuration holds these, never values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `env::NAME`: an environment variable.
    Env(String),
    /// `file::PATH`: the trimmed content of a file.
    File(String),
}

/// The text is no reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a reference to the secret (`env::NAME` or `file::PATH`), never its value")]
pub struct NotAReference;

impl SecretRef {
    /// Reads `env::NAME` or `file::PATH`.
    ///
    /// # Errors
    /// [`NotAReference`] for anything else; the text itself is not repeated, as it may be a secret.
    pub fn parse(text: &str) -> Result<Self, NotAReference> {
        match text.split_once("::") {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ => Err(NotAReference),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env::{name}"),
            Self::File(path) => write!(f, "file::{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_print() {
        let secret = Secret::new("sk-live".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn only_references_are_accepted() {
        assert_eq!(SecretRef::parse("env::KEY"), Ok(SecretRef::Env("KEY".to_owned())));
        for text in ["sk-live-123", "env::", "vault::x", ""] {
            assert_eq!(SecretRef::parse(text), Err(NotAReference), "{text}");
        }
    }
}
