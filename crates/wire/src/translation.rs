//! Why a request cannot be read, or not be said in another dialect.

use std::borrow::Cow;

/// A caller's request that cannot be understood, or asks for what no translation can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not a request of its dialect at all.
    #[error("not a request of this kind: {0}")]
    Unreadable(&'static str),
    /// A field makes no sense.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What it should be.
        reason: Cow<'static, str>,
    },
    /// It asks for something that only models of its own dialect can do.
    #[error("`{field}`: {reason}")]
    Unsupported {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What cannot be done.
        reason: Cow<'static, str>,
    },
}

impl ReadError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Unreadable(_) => None,
            Self::Invalid { field, .. } | Self::Unsupported { field, .. } => Some(field),
        }
    }

    /// `field` makes no sense.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// `field` cannot be carried to another dialect.
    pub fn unsupported(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported { field: field.into(), reason: reason.into() }
    }
}

/// Something that a provider's format cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` cannot be said to this model: {reason}")]
pub struct Untranslatable {
    /// What, in the words of most dialects, as `top_k` or `messages[2]: an image`.
    pub what: Cow<'static, str>,
    /// Why not, or what can be.
    pub reason: Cow<'static, str>,
}

impl Untranslatable {
    /// `what` cannot be carried.
    pub fn new(what: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}
