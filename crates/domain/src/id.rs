//! Identifiers: one newtype each, so that one cannot be passed for another.

use std::fmt;
use std::sync::Arc;

use crate::hex;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text itself, not copied.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    )*};
}

text_id! {
    /// One finished (or running) turn, `int_` and 32 hex digits; unique for ever.
    InteractionId;
    /// One conversation, `ses_` and 32 hex digits; knowing it is what lets a caller continue it.
    SessionId;
    /// One piece of feedback, `fbk_` and 32 hex digits.
    FeedbackId;
    /// A case handed to a person, `cas_` and 32 hex digits.
    CaseId;
    /// The name of an agent, which is also the name of its use case.
    AgentName;
    /// An immutable configuration snapshot: the first 16 hex digits of its content's SHA-256.
    SnapshotId;
    /// A provider as named in the configuration (`openai`, `embedded`).
    ProviderName;
    /// A region of a provider, by the name its settings give it (`us-west-2`).
    RegionName;
    /// A model as named in the catalogue: `<provider>/<model>`.
    ModelId;
    /// A route as named in the configuration.
    RouteName;
    /// One model at one provider (in one region): the unit of breakers and metrics.
    TargetId;
    /// A collection of documents.
    CollectionName;
    /// A document within a collection: its path without the extension.
    DocumentId;
    /// The hash of a content, 64 hex digits of SHA-256.
    ContentHash;
    /// A customer of this server: what one does, another never sees.
    TenantId;
    /// The public part of a key (12 letters and digits); of a signed token `<issuer>/<subject>`.
    KeyId;
}

impl Default for TenantId {
    /// The tenant of whoever names none.
    fn default() -> Self {
        Self::from("default")
    }
}

impl KeyId {
    /// Stands for everyone, while no key exists.
    #[must_use]
    pub fn open() -> Self {
        Self::from("open")
    }
}

impl ModelId {
    /// The part before the first `/`; the whole text when there is none.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.as_str().split_once('/').map_or(self.as_str(), |(provider, _)| provider)
    }

    /// The part after the first `/`: the name the provider knows.
    #[must_use]
    pub fn name_at_provider(&self) -> &str {
        self.as_str().split_once('/').map_or(self.as_str(), |(_, name)| name)
    }
}

/// Makes the text of an id from a prefix and 128 bits.
#[must_use]
pub fn prefixed(prefix: &str, bits: u128) -> String {
    let mut text = String::with_capacity(prefix.len() + 33);
    text.push_str(prefix);
    text.push('_');
    hex::push(&mut text, &bits.to_be_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_id_splits_at_the_first_slash() {
        for (id, provider, name) in [
            ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
            ("hub/org/model", "hub", "org/model"), // only the first slash separates
            ("bare", "bare", "bare"),
        ] {
            let id = ModelId::from(id);
            assert_eq!((id.provider(), id.name_at_provider()), (provider, name));
        }
    }

    #[test]
    fn prefixed_ids_keep_leading_zeros() {
        assert_eq!(prefixed("int", 1), format!("int_{}1", "0".repeat(31)));
    }
}
