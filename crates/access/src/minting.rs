//! Making, rotating and revoking keys. Nobody hands out more than it has.
//!
//! Reading order: this file, `room` (how many keys there may be).

mod room;

use std::collections::HashSet;
use std::time::Duration;

use domain::grant::{Allowed, Grant, Network};
use domain::id::{KeyId, TenantId};
use domain::key::{Key, KeySet};
use domain::ports::{KeysChanged, StoreError};
use domain::principal::{Principal, Role};
use domain::residency::Residency;
use domain::secret::Secret;
use domain::time::Timestamp;

use crate::gatekeeper::Gatekeeper;
use crate::given;
use crate::permission::{Permission, may, may_mint};
use crate::token;

/// A key that is to be made. What is left out is as its maker's own.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// What it is there for.
    pub role: Option<Role>,
    /// Agents it may ask.
    pub agents: Option<Vec<String>>,
    /// Models it may reach.
    pub models: Option<Vec<String>>,
    /// Routes it may take.
    pub routes: Option<Vec<String>>,
    /// Where it may be used.
    pub addresses: Option<Vec<Network>>,
    /// Where its requests may be processed; as the key that makes it when left out.
    pub residency: Option<Residency>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Settings of its rate limits.
    pub limits: Option<String>,
    /// Settings of its budget.
    pub budget: Option<String>,
}

/// A key that was made: shown once.
#[derive(Debug)]
pub struct Minted {
    /// The key itself.
    pub secret: Secret,
    /// With which its holder signs requests in the manner of AWS; its public part is the access key id.
    pub signing_secret: Secret,
    /// As it is kept.
    pub key: Key,
}

/// A key could not be changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MintError {
    /// There is no such key for whoever asks.
    #[error("there is no key `{0}`")]
    Unknown(KeyId),
    /// It is more than whoever asks may hand out.
    #[error("{0}")]
    Beyond(String),
    /// The wish makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// It does not fit with the keys there are.
    #[error("{0}")]
    Conflict(String),
    /// The keys cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Letters of a key's name.
const NAME_MAX: usize = 100;
/// How long a rotated key may go on beside its successor.
pub const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);
/// How often a change is tried that changes of other processes come before.
const TRIES: u32 = 8;
/// How long the second try waits at most; each further one up to twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// A change, computed from the keys as they are.
pub(crate) type Change<T> = Result<(Vec<Key>, T), MintError>;

impl Gatekeeper {
    /// Makes a key.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn mint(&self, by: &Principal, wanted: Wanted) -> Result<Minted, MintError> {
        let wanted = &wanted;
        self.change(|set| {
            let (id, secret) = token::mint(self.parts.rng.as_ref());
            let key = new_key(by, wanted, (id, self.parts.pepper.hash(secret.expose())), self.now())?;
            room::check(&set.keys, (by, &key.tenant), self.now())?;
            let is_first = set.keys.is_empty() && !self.keyring.load().has_bootstrap();
            if is_first && !is_whole(&key) {
                let reason = "the first key must be an owner's without limits and without an end: from then on \
                              nobody gets in without a key";
                return Err(MintError::Conflict(reason.to_owned()));
            }
            Ok((vec![key.clone()], self.minted(key, secret)))
        })
        .await
    }

    /// Makes a key that takes the place of another, which may be used `overlap` longer.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn rotate(&self, by: &Principal, id: &KeyId, overlap: Duration) -> Result<Minted, MintError> {
        if overlap > OVERLAP_MAX {
            return Err(MintError::Wrong("the overlap is 30 days at most".to_owned()));
        }
        self.change(|set| {
            let now = self.now();
            let old = find(set, by, id)?;
            if !old.is_usable(now) {
                return Err(MintError::Conflict(format!("key `{id}` has ended: make a new one")));
            }
            if !old.grant.is_within(&by.grant) || !is_sooner(old.expires, by.expires) {
                return Err(MintError::Beyond(format!("key `{id}` may do more than yours")));
            }
            room::check(&set.keys, (by, &old.tenant), now)?;
            let (id, secret) = token::mint(self.parts.rng.as_ref());
            let until = now.after(overlap);
            let ending =
                Key { expires: Some(old.expires.map_or(until, |expires| expires.min(until))), ..old.clone() };
            let key = Key {
                id,
                hash: self.parts.pepper.hash(secret.expose()),
                created: now,
                created_by: by.asker.key.clone(),
                replaces: Some(old.id.clone()),
                ..old.clone()
            };
            Ok((vec![ending, key.clone()], self.minted(key, secret)))
        })
        .await
    }

    /// Takes a key back: from now on it is refused. Once more changes nothing.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn revoke(&self, by: &Principal, id: &KeyId) -> Result<Key, MintError> {
        self.change(|set| {
            let now = self.now();
            let found = find(set, by, id)?;
            let is_other_owner = |key: &&Key| key.id != *id && is_whole(key) && key.is_usable(now);
            let is_needed = is_whole(found) && found.is_usable(now) && !self.keyring.load().has_bootstrap();
            if is_needed && !set.keys.iter().any(|key| is_other_owner(&key)) {
                let reason = "this is the last owner's key without limits and end: make another one first, else \
                              nobody could make keys any more";
                return Err(MintError::Conflict(reason.to_owned()));
            }
            let key = Key { revoked: found.revoked.or(Some(now)), ..found.clone() };
            Ok((vec![key.clone()], key))
        })
        .await
    }

    /// The keys that a principal may see, in the order in which they were made.
    #[must_use]
    pub fn keys(&self, by: &Principal) -> Vec<Key> {
        let keyring = self.keyring.load();
        let is_seen = |key: &&Key| by.scope().is_none_or(|tenant| key.tenant == *tenant);
        keyring.set.keys.iter().filter(is_seen).cloned().collect()
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.wall()
    }

    fn minted(&self, key: Key, secret: Secret) -> Minted {
        Minted { secret, signing_secret: self.parts.pepper.signing_secret(&key.id), key }
    }

    /// Writes what `compute` makes of the keys as they are; when others changed them meanwhile, of what they are then.
    ///
    /// Changes of one process come one after the other, in their order: else those of a busy tenant would keep others' from
    /// their turn. Nothing but changes waits for it.
    pub(crate) async fn change<T>(&self, compute: impl Fn(&KeySet) -> Change<T>) -> Result<T, MintError> {
        let _turn = self.changing.lock().await;
        for n_tried in 0..TRIES {
            if n_tried > 0 {
                self.parts.clock.sleep(self.pause(n_tried)).await;
            }
            let set = self.parts.store.keys().await?;
            let (changed, result) = compute(&set)?;
            let mut keys = with(set.keys, changed.clone());
            let dropped = room::surplus(&keys, self.now());
            if !dropped.is_empty() {
                let gone: HashSet<&KeyId> = dropped.iter().collect();
                keys.retain(|key| !gone.contains(&key.id));
            }
            let written = self.parts.store.change_keys(set.head, changed, dropped).await?;
            if let KeysChanged::To(head) = written {
                // What is answered is in force: a key that was revoked is refused from here on.
                self.take(KeySet { head, keys });
                return Ok(result);
            }
        }
        Err(MintError::Conflict("other servers change keys all the time; try again".to_owned()))
    }

    /// Chance decides, so that two processes that came into each other's way do not do so again.
    fn pause(&self, n_tried: u32) -> Duration {
        let longest = PAUSE_MAX.saturating_mul(1 << (n_tried - 1));
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.parts.rng.next_u64() % micros.max(1))
    }
}

/// `keys` as they are after the change.
fn with(mut keys: Vec<Key>, changed: Vec<Key>) -> Vec<Key> {
    for key in changed {
        match keys.iter_mut().find(|known| known.id == key.id) {
            Some(known) => *known = key,
            None => keys.push(key),
        }
    }
    keys
}

/// An owner's key that nothing ends or limits.
fn is_whole(key: &Key) -> bool {
    key.role == Role::Owner && key.grant == Grant::default() && key.expires.is_none()
}

/// Whether a key that ends at `end` ends no later than `other`.
fn is_sooner(end: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    other.is_none_or(|other| end.is_some_and(|end| end <= other))
}

/// The key, when `by` may see it and change it.
pub(crate) fn find<'a>(set: &'a KeySet, by: &Principal, id: &KeyId) -> Result<&'a Key, MintError> {
    let is_seen = |key: &&Key| key.id == *id && by.scope().is_none_or(|tenant| key.tenant == *tenant);
    let key = set.keys.iter().find(is_seen).ok_or_else(|| MintError::Unknown(id.clone()))?;
    match may_mint(by.role, key.role) {
        true => Ok(key),
        false => Err(MintError::Beyond(format!("key `{id}` belongs to an {}", key.role))),
    }
}

fn new_key(
    by: &Principal,
    wanted: &Wanted,
    (id, hash): (KeyId, [u8; 32]),
    now: Timestamp,
) -> Result<Key, MintError> {
    let role = wanted.role.unwrap_or(Role::App);
    if !may_mint(by.role, role) {
        return Err(MintError::Beyond(format!("an {} cannot make keys for an {role}", by.role)));
    }
    let tenant = wanted.tenant.clone().unwrap_or_else(|| by.asker.tenant.clone());
    if tenant != by.asker.tenant && !may(by.role, Permission::EveryTenant) {
        return Err(MintError::Beyond("keys of another tenant are made by an owner".to_owned()));
    }
    let grant = grant(by, wanted)?;
    if !grant.is_within(&by.grant) {
        let reason = "agents, models, routes, addresses and residency must be among those of the key that makes this one";
        return Err(MintError::Beyond(reason.to_owned()));
    }
    let expires = wanted.expires.or(by.expires);
    if !is_sooner(expires, by.expires) {
        return Err(MintError::Beyond("a key ends no later than the one that made it".to_owned()));
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(MintError::Wrong("`expires` is over already".to_owned()));
    }
    check_name(&wanted.name)?;
    given::tenant(tenant.as_str()).map_err(|reason| MintError::Wrong(format!("`tenant`: {reason}")))?;
    Ok(Key {
        id,
        hash,
        name: wanted.name.clone(),
        tenant,
        role,
        grant,
        created: now,
        created_by: by.asker.key.clone(),
        expires,
        revoked: None,
        replaces: None,
        limits: wanted.limits.clone(),
        budget: wanted.budget.clone(),
    })
}

fn grant(by: &Principal, wanted: &Wanted) -> Result<Grant, MintError> {
    let wrong = |name: &'static str| move |reason: String| MintError::Wrong(format!("`{name}`: {reason}"));
    let list = |(name, list, own): (&'static str, &Option<Vec<String>>, &Allowed)| match list {
        None => Ok(own.clone()),
        Some(entries) => given::allowed(entries).map_err(wrong(name)),
    };
    let addresses = match &wanted.addresses {
        Some(networks) => Some(given::addresses(networks).map_err(wrong("addresses"))?),
        None => by.grant.addresses.clone(),
    };
    Ok(Grant {
        agents: list(("agents", &wanted.agents, &by.grant.agents))?,
        models: list(("models", &wanted.models, &by.grant.models))?,
        routes: list(("routes", &wanted.routes, &by.grant.routes))?,
        addresses,
        residency: wanted.residency.clone().unwrap_or_else(|| by.grant.residency.clone()),
    })
}

fn check_name(name: &str) -> Result<(), MintError> {
    let is_right = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    match is_right && !name.trim().is_empty() {
        true => Ok(()),
        false => Err(MintError::Wrong(format!("`name`: 1 to {NAME_MAX} letters that people can read"))),
    }
}

#[cfg(test)]
mod tests;
