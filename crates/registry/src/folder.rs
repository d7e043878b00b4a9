//! The files of a release, in memory: reading them from disk or from the binary is the caller's work.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::hex;
use domain::id::SnapshotId;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Paths (relative, with `/`) and contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, Content>,
}

/// A file's content; what is in the binary is not copied.
#[derive(Debug, Clone)]
enum Content {
    Read(Arc<[u8]>),
    Shipped(&'static [u8]),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Shipped(bytes) => bytes,
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Content {}

impl Folder {
    /// Adds a file, replacing one of the same path.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Arc<[u8]>>) {
        self.files.insert(path.into(), Content::Read(content.into()));
    }

    /// Adds a file that is part of the binary.
    pub fn insert_shipped(&mut self, path: impl Into<String>, content: &'static [u8]) {
        self.files.insert(path.into(), Content::Shipped(content));
    }

    /// All files whose path starts with `prefix`, in order of path.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.files
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, content)| (path.as_str(), content.bytes()))
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Hash over all paths and contents: equal folders have equal ids.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let mut hash = Sha256::new();
        for (path, content) in &self.files {
            let content = content.bytes();
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path.as_bytes());
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        let digest = hash.finalize();
        SnapshotId::new(hex::of(digest.get(..8).unwrap_or_default()))
    }

    /// The text of a file.
    ///
    /// # Errors
    /// A [`Problem`] when it is missing or not UTF-8.
    pub fn text(&self, path: &str) -> Result<&str, Problem> {
        let content = self.files.get(path).ok_or_else(|| Problem::of_file(path, "the file is missing"))?;
        std::str::from_utf8(content.bytes())
            .map_err(|error| Problem::of_file(path, format!("not UTF-8 from byte {}", error.valid_up_to())))
    }

    /// A TOML file as `T`.
    ///
    /// # Errors
    /// A [`Problem`] with the line when it is missing, no TOML, or does not fit `T`.
    pub fn toml<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let text = self.text(path)?;
        toml::from_str(text).map_err(|error| toml_problem(path, text, &error))
    }
}

/// A TOML error as a problem with its line.
#[must_use]
pub fn toml_problem(path: &str, text: &str, error: &toml::de::Error) -> Problem {
    let reason = toml_reason(text, error);
    match error.span() {
        Some(span) => Problem::at(path, text, span.start, reason),
        None => Problem::of_file(path, reason),
    }
}

/// What a TOML error says, in one line; a key that stands twice in `text` is named.
#[must_use]
pub fn toml_reason(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message().trim().replace('\n', "; ");
    let there = error.span().and_then(|span| text.get(span)).filter(|_| reason == "duplicate key");
    match there {
        Some(key) => format!("{reason} `{}`", key.trim()),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[expect(dead_code, reason = "only its parsing is tested")]
        size: u32,
    }

    #[test]
    fn toml_errors_name_file_line_and_reason() {
        let mut folder = Folder::default();
        folder.insert("a.toml", b"size = 1\n\ncolour = 2\n".as_slice());
        let problem = folder.toml::<Small>("a.toml").expect_err("unknown key");
        assert_eq!((problem.file.as_str(), problem.line), ("a.toml", Some(3)));
        assert!(problem.reason.contains("colour"), "{problem}");
        folder.insert("a.toml", b"[x]\nsize = 1\n\n[x]\nsize = 2\n".as_slice());
        let problem = folder.toml::<Small>("a.toml").expect_err("twice");
        assert_eq!(problem.to_string(), "a.toml:4: duplicate key `x`");
        assert_eq!(
            folder.toml::<Small>("b.toml").expect_err("missing").to_string(),
            "b.toml: the file is missing"
        );
    }

    #[test]
    fn id_depends_on_paths_and_contents_only() {
        let mut one = Folder::default();
        one.insert("a", b"x".as_slice());
        let mut other = one.clone();
        assert_eq!(one.id(), other.id());
        other.insert("b", b"".as_slice());
        assert_ne!(one.id(), other.id());
    }
}
