//! The key of an answer: a hash over everything that it depends on.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 over all parts of a key; the parts cannot be had back from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Puts a key together. Each part goes in with its name and length, so that no two lists of parts give the same bytes.
#[derive(Clone)]
pub struct KeyMaker(Sha256);

impl KeyMaker {
    /// Of keys of one kind; those of two kinds are never the same.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        Self(Sha256::new()).part("kind", kind.as_bytes())
    }

    /// With the part `name`.
    #[must_use]
    pub fn part(mut self, name: &str, value: &[u8]) -> Self {
        for bytes in [name.as_bytes(), value] {
            self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.update(bytes);
        }
        self
    }

    /// With the text `name`.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(name, value.as_bytes())
    }

    /// With the part `name`, which may be missing; missing is not empty.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.part(name, value),
            None => self.part("without", name.as_bytes()),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(self) -> Key {
        Key(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_none_runs_into_the_next() {
        let keys = [
            KeyMaker::of("a"),
            KeyMaker::of("b"),
            KeyMaker::of("a").text("x", "yz"),
            KeyMaker::of("a").text("xy", "z"),
            KeyMaker::of("a").text("x", "y").text("z", ""),
            KeyMaker::of("a").text("x", ""),
            KeyMaker::of("a").maybe("x", None),
            KeyMaker::of("a").text("x", "y").text("x", "z"),
            KeyMaker::of("a").text("x", "z").text("x", "y"),
        ]
        .map(KeyMaker::key);
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|other| other != key), "{n}");
        }
        let twice = || KeyMaker::of("a").maybe("x", Some(b"y")).key();
        assert_eq!(twice(), twice());
        assert_eq!(twice(), KeyMaker::of("a").text("x", "y").key());
    }
}
