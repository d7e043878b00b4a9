//! Who asks: a key, a signed token, or anyone on this machine while no key exists.

use std::fmt;
use std::sync::Arc;

use crate::grant::Grant;
use crate::id::{KeyId, TenantId};
use crate::time::Timestamp;

/// What a principal is there for. What each may do is in `access::permission`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, in every tenant.
    Owner,
    /// Looks after the server: health, metrics, breakers. No texts, no keys.
    Operator,
    /// Everything within its tenant, its keys included.
    Admin,
    /// Reads what its tenant did; changes nothing, asks nothing.
    Auditor,
    /// Asks, and gives feedback.
    App,
}

impl Role {
    /// All, for parsing and tests.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Operator, Self::Admin, Self::Auditor, Self::App];

    /// The stable name used in bodies, settings and the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::App => "app",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who asked, as it stands in records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asker {
    /// The tenant that owns what comes of it.
    pub tenant: TenantId,
    /// The key; of a signed token `<issuer>/<subject>`, or `<issuer>/<tenant>/<subject>` where tokens name their tenant;
    /// [`KeyId::open`] while no key exists.
    pub key: KeyId,
}

impl Default for Asker {
    fn default() -> Self {
        Self { tenant: TenantId::default(), key: KeyId::open() }
    }
}

/// Who asks, and what it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub asker: Asker,
    /// What it is there for.
    pub role: Role,
    /// What it may use.
    pub grant: Grant,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

impl Principal {
    /// Anyone on this machine, while no key exists.
    #[must_use]
    pub fn open() -> Arc<Self> {
        let (asker, grant) = (Asker::default(), Grant::default());
        Arc::new(Self { asker, role: Role::Owner, grant, expires: None })
    }

    /// The tenant whose things it may see; `None` for those of all.
    #[must_use]
    pub fn scope(&self) -> Option<&TenantId> {
        (self.role != Role::Owner).then_some(&self.asker.tenant)
    }
}
