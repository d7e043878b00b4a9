//! A key as it is kept: never its secret.

use crate::grant::Grant;
use crate::id::{KeyId, TenantId};
use crate::principal::Role;
use crate::time::Timestamp;

/// A key of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public part.
    pub id: KeyId,
    /// HMAC-SHA256 of the whole key under the server's pepper.
    pub hash: [u8; 32],
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is there for.
    pub role: Role,
    /// What it may use.
    pub grant: Grant,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: KeyId,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
    /// The key whose place it took.
    pub replaces: Option<KeyId>,
    /// Settings of its rate limits, as JSON text; read by `access::limits`.
    pub limits: Option<String>,
    /// Settings of its budget, as JSON text; read by `access::budget`.
    pub budget: Option<String>,
}

impl Key {
    /// Whether it may be used at `now`.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// All keys as they were at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySet {
    /// Counts the changes ever made.
    pub head: u64,
    /// The keys, also those that ended and were not dropped yet, in the order in which they were made.
    pub keys: Vec<Key>,
}
