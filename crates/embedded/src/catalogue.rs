//! The catalogue of models that can run here, as configured: identity, needs and where the files come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::id::ContentHash;
use serde::Deserialize;

/// All models that can be named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Chat models to choose from at the first start, best first: the first that fits the machine is taken.
    #[serde(default)]
    pub chat: Vec<String>,
    /// The sentence encoder.
    #[serde(default)]
    pub embedder: Option<String>,
    /// The models by name.
    pub models: BTreeMap<String, Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What it does.
    pub kind: Kind,
    /// One line for listings.
    #[serde(default)]
    pub summary: String,
    /// SPDX identifier of the weights' licence.
    #[serde(default)]
    pub license: String,
    /// Its files; the first is the weights, whose SHA-256 is the model's identity.
    pub files: Vec<File>,
    /// Memory in bytes of one token in the context; 0 for encoders.
    #[serde(default)]
    pub context_token_bytes: u64,
    /// Memory in bytes beside weights and context: buffers, repacked weights, the program itself.
    #[serde(default)]
    pub working_bytes: u64,
    /// Where to get it, tried in order.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Answers; runs in a worker process.
    Chat,
    /// Makes vectors of sentences; runs in this process.
    Embedder,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name within the model's folder.
    pub name: String,
    /// Its SHA-256 as 64 hex digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// Where a model's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// A folder on this machine that holds the files by their names.
    File {
        /// The folder.
        folder: PathBuf,
    },
    /// A model hub, over HTTPS. A download that breaks is continued where it stopped, at once or by a later start.
    Hub {
        /// Address to which the file's name is appended.
        address: String,
    },
    /// Python packages that carry the files, fetched by the machine's own package client.
    Package {
        /// `name==version`, in the order in which their parts are joined.
        packages: Vec<String>,
        /// How the name of the entry in each package ends; the file's own name when not given.
        #[serde(default)]
        suffix: Option<String>,
    },
}

impl Source {
    /// What it is, for listings and reasons.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File { folder } => format!("folder {}", folder.display()),
            Self::Hub { address } => format!("hub {address}"),
            Self::Package { packages, .. } => match packages.as_slice() {
                [one] => format!("package {one}"),
                [first, .., last] => format!("packages {first} to {last}"),
                [] => "no package".to_owned(),
            },
        }
    }
}

impl Model {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The model's identity: the SHA-256 of its first file.
    #[must_use]
    pub fn identity(&self) -> ContentHash {
        ContentHash::from(self.files.first().map_or("", |file| file.sha256.as_str()))
    }

    /// Memory in bytes that it takes with a context of `n_ctx` tokens.
    #[must_use]
    pub fn memory_bytes(&self, n_ctx: u32) -> u64 {
        let context = self.context_token_bytes.saturating_mul(u64::from(n_ctx));
        self.bytes().saturating_add(context).saturating_add(self.working_bytes)
    }
}

/// The catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not TOML of the right form; the text has line and reason.
    #[error("the model catalogue is unreadable: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A part contradicts another.
    #[error("model `{model}` in the catalogue: {reason}")]
    Model {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
}

impl Catalogue {
    /// Reads and checks a catalogue.
    ///
    /// # Errors
    /// [`CatalogueError`] names the line or the model, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = toml::from_str(text)?;
        let wrong = |model: &str, reason: &str| CatalogueError::Model {
            model: model.to_owned(),
            reason: reason.to_owned(),
        };
        for (name, model) in &catalogue.models {
            if !is_plain_name(name) {
                return Err(wrong(name, "a name has letters, digits, `.`, `-` and `_` only"));
            }
            model.check().map_err(|reason| wrong(name, reason))?;
        }
        let named = catalogue.chat.iter().map(|name| (name, Kind::Chat));
        for (name, kind) in named.chain(catalogue.embedder.iter().map(|name| (name, Kind::Embedder))) {
            match catalogue.models.get(name) {
                None => return Err(wrong(name, "is to be used but is not described")),
                Some(model) if model.kind != kind => {
                    return Err(wrong(name, "has the wrong kind for its use"));
                }
                Some(_) => {}
            }
        }
        Ok(catalogue)
    }

    /// The model called `name`.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }
}

impl Model {
    fn check(&self) -> Result<(), &'static str> {
        if self.files.is_empty() {
            return Err("has no files");
        }
        for file in &self.files {
            if !is_plain_name(&file.name) {
                return Err("a file's name has letters, digits, `.`, `-` and `_` only");
            }
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if file.sha256.len() != 64 || !file.sha256.bytes().all(is_hex) {
                return Err("`sha256` is 64 lower-case hex digits");
            }
        }
        for source in &self.sources {
            match source {
                Source::Hub { address } if !address.starts_with("https://") || !address.ends_with('/') => {
                    return Err("a hub's `address` begins with https:// and ends with /");
                }
                Source::Package { packages, suffix } => {
                    if packages.is_empty() || !packages.iter().all(|package| is_requirement(package)) {
                        return Err("`packages` is a list of name==version");
                    }
                    if suffix.is_some() && self.files.len() > 1 {
                        return Err("`suffix` is for models of one file");
                    }
                }
                Source::File { .. } | Source::Hub { .. } => {}
            }
        }
        Ok(())
    }
}

/// Whether `name` is safe as the name of a folder or file.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// Whether `text` is `name==version` and nothing that a package client could take for an option or an address.
fn is_requirement(text: &str) -> bool {
    text.split_once("==").is_some_and(|(name, version)| {
        is_plain_name(name) && !name.starts_with('-') && is_plain_name(version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../config/models.toml");

    #[test]
    fn the_shipped_catalogue_is_whole() {
        let catalogue = Catalogue::parse(SHIPPED).unwrap();
        assert_eq!(catalogue.chat, ["qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"]);
        assert_eq!(catalogue.embedder.as_deref(), Some("all-minilm-l6-v2"));
        for (name, model) in &catalogue.models {
            assert_eq!(model.license, "Apache-2.0", "{name}");
            assert!(
                matches!(model.sources.last(), Some(Source::Package { .. })),
                "{name}: packages are the last resort"
            );
        }
        let large = catalogue.model("qwen2.5-coder-1.5b").unwrap();
        assert_eq!(large.bytes(), 1_117_320_768);
        assert!(large.memory_bytes(4_096) > large.bytes() + 4_096 * large.context_token_bytes);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let sum = "a".repeat(64);
        let model = |file: &str, source: &str| {
            format!("[models.m]\nkind = \"chat\"\nfiles = [{file}]\nsources = [{source}]\n")
        };
        let file = format!("{{ name = \"m.gguf\", sha256 = \"{sum}\", bytes = 1 }}");
        assert!(Catalogue::parse(&model(&file, "")).is_ok());
        for (text, want) in [
            ("chat = [\"x\"]\n[models]\n".to_owned(), "not described"),
            (format!("embedder = \"m\"\n{}", model(&file, "")), "wrong kind"),
            (model("", ""), "no files"),
            (model(&file.replace("m.gguf", "../m"), ""), "letters"),
            (model(&file.replace("aaaa", "AAAA"), ""), "hex"),
            (model(&file, "{ from = \"hub\", address = \"http://hub/\" }"), "https"),
            (model(&file, "{ from = \"package\", packages = [\"--index-url==x\"] }"), "name==version"),
            (model(&file, "{ from = \"package\", packages = [\"a>=1\"] }"), "name==version"),
            (model(&file, "{ from = \"moon\" }"), "moon"),
            (format!("{}colour = 1\n", model(&file, "")), "colour"),
        ] {
            let error = Catalogue::parse(&text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}\nfor\n{text}");
        }
    }
}
