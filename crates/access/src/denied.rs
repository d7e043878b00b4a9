//! Why a request is not let in.

use crate::permission::Permission;
use crate::sigv4::SignatureError;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// It carries no key.
    #[error("send a key as `authorization: Bearer sk-ms-…` or `x-api-key: sk-ms-…`")]
    Missing,
    /// It carries several that differ.
    #[error("the request carries several keys that differ; send one")]
    Several,
    /// What it carries was meant as a key and is none.
    #[error("the key is mistyped or cut: its checksum does not fit")]
    Mistyped,
    /// Nobody has this key.
    #[error("this key is not known")]
    Unknown,
    /// The key's time is over.
    #[error("this key has expired")]
    Expired,
    /// The key was taken back.
    #[error("this key was revoked")]
    Revoked,
    /// A signed request whose signature does not hold.
    #[error("the request's signature is not accepted: {0}")]
    Signature(SignatureError),
    /// A signed token that does not hold.
    #[error("this token is not accepted: {0}")]
    Token(&'static str),
    /// Who signs tokens cannot be asked for their keys at the moment.
    #[error("the keys of the token's issuer cannot be had at the moment; try again")]
    IssuerAway,
    /// The key may not be used from there.
    #[error("this key may not be used from this address")]
    Address,
    /// The key's role does not reach so far.
    #[error("this key's role does not let it {}", .0.describe())]
    Permission(Permission),
}

impl Denied {
    /// The stable name used in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Mistyped => "mistyped",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Signature(_) => "signature",
            Self::Token(_) => "token",
            Self::IssuerAway => "issuer_away",
            Self::Address => "address",
            Self::Permission(_) => "permission",
        }
    }

    /// Whether another key might be let in where this one was understood.
    #[must_use]
    pub fn is_forbidden(self) -> bool {
        matches!(self, Self::Address | Self::Permission(_))
    }
}
