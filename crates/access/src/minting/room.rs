//! How many keys there may be, and which of those that ended are kept.

use std::collections::{HashMap, HashSet};

use domain::id::{KeyId, TenantId};
use domain::key::Key;
use domain::principal::Principal;
use domain::time::Timestamp;

use super::MintError;

/// Keys in use that there are at most.
pub(super) const KEYS_MAX: usize = 50_000;
/// Keys in use up to which whoever is no owner makes more in its tenant: no tenant takes the room that others need.
pub(super) const TENANT_KEYS_MAX: usize = 10_000;
/// Keys out of use that are kept at most; those that ended first are dropped.
pub(super) const ENDED_MAX: usize = 10_000;
/// The same of one tenant: what it does does not push out what is known of others' keys.
pub(super) const TENANT_ENDED_MAX: usize = 1_000;

/// Keys in use: those that may be used, and those whose place they took, one after the other. What these spent counts with
/// them, so that none of them may be missing.
fn in_use(keys: &[Key], now: Timestamp) -> HashSet<&KeyId> {
    let by_id: HashMap<&KeyId, &Key> = keys.iter().map(|key| (&key.id, key)).collect();
    let mut found = HashSet::new();
    for key in keys.iter().filter(|key| key.is_usable(now)) {
        let mut next = Some(key);
        // Ends at the first that was found before: nobody goes in circles.
        while let Some(key) = next.filter(|key| found.insert(&key.id)) {
            next = key.replaces.as_ref().and_then(|before| by_id.get(before)).copied();
        }
    }
    found
}

/// Whether `by` may make one more key for `tenant`.
pub(super) fn check(
    keys: &[Key],
    (by, tenant): (&Principal, &TenantId),
    now: Timestamp,
) -> Result<(), MintError> {
    let used = in_use(keys, now);
    if used.len() >= KEYS_MAX {
        let reason = format!("there are {KEYS_MAX} keys in use, and no more can be kept: revoke some first");
        return Err(MintError::Conflict(reason));
    }
    let n_own = keys.iter().filter(|key| key.tenant == *tenant && used.contains(&key.id)).count();
    if by.scope().is_some() && n_own >= TENANT_KEYS_MAX {
        let reason = format!(
            "tenant `{tenant}` has {TENANT_KEYS_MAX} keys in use: revoke some first, or let an owner make this one"
        );
        return Err(MintError::Conflict(reason));
    }
    Ok(())
}

/// The keys out of use that are too many.
pub(super) fn surplus(keys: &[Key], now: Timestamp) -> Vec<KeyId> {
    if keys.len() <= TENANT_ENDED_MAX {
        return Vec::new();
    }
    let used = in_use(keys, now);
    let mut ended: Vec<&Key> = keys.iter().filter(|key| !used.contains(&key.id)).collect();
    ended.sort_by_key(|key| std::cmp::Reverse(end(key)));
    let (mut n_kept, mut n_by_tenant) = (0, HashMap::<&TenantId, usize>::new());
    let mut surplus = Vec::new();
    for key in ended {
        let n_own = n_by_tenant.entry(&key.tenant).or_default();
        if n_kept < ENDED_MAX && *n_own < TENANT_ENDED_MAX {
            n_kept += 1;
            *n_own += 1;
        } else {
            surplus.push(key.id.clone());
        }
    }
    surplus
}

/// When a key that ended did.
fn end(key: &Key) -> Option<Timestamp> {
    match (key.revoked, key.expires) {
        (Some(revoked), Some(expires)) => Some(revoked.min(expires)),
        (revoked, expires) => revoked.or(expires),
    }
}

#[cfg(test)]
mod tests {
    use domain::grant::Grant;
    use domain::principal::{Asker, Role};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn key(tenant: &str, n: usize) -> Key {
        Key {
            id: format!("{tenant}{n}").into(),
            hash: [0; 32],
            name: "one".to_owned(),
            tenant: tenant.into(),
            role: Role::App,
            grant: Grant::default(),
            created: Timestamp(0),
            created_by: "open".into(),
            expires: None,
            revoked: None,
            replaces: None,
            limits: None,
            budget: None,
        }
    }

    /// One that was revoked at `n`.
    fn ended(tenant: &str, n: usize) -> Key {
        let revoked = i64::try_from(n).map(Timestamp).ok();
        Key { revoked, ..key(tenant, n) }
    }

    fn by(tenant: &str, role: Role) -> Principal {
        let asker = Asker { tenant: tenant.into(), key: "maker".into() };
        Principal { asker, role, grant: Grant::default(), expires: None }
    }

    fn may(keys: &[Key], tenant: &str, role: Role) -> bool {
        check(keys, (&by(tenant, role), &tenant.into()), NOW).is_ok()
    }

    #[test]
    fn a_tenants_admin_leaves_room_for_others_and_ended_keys_take_none() {
        let mut keys: Vec<Key> = (0..TENANT_KEYS_MAX).map(|n| key("acme", n)).collect();
        keys.extend((0..KEYS_MAX).map(|n| ended("blue", n)));
        assert!(!may(&keys, "acme", Role::Admin));
        assert!(may(&keys, "acme", Role::Owner), "owners look after the whole");
        assert!(may(&keys, "blue", Role::Admin));
        keys[0].expires = Some(NOW);
        assert!(may(&keys, "acme", Role::Admin), "one has ended");
        let all: Vec<Key> = (0..KEYS_MAX).map(|n| key(&format!("t{}-", n % 100), n)).collect();
        assert!(!may(&all, "acme", Role::Owner) && !may(&all, "acme", Role::Admin));
    }

    #[test]
    fn those_that_ended_first_are_dropped_and_none_whose_successor_is_in_use() {
        let mut keys: Vec<Key> = (0..TENANT_ENDED_MAX + 3).map(|n| ended("acme", n)).collect();
        keys.extend((0..5).map(|n| ended("blue", n)));
        keys.push(Key { replaces: Some("acme1".into()), ..key("acme", 9_999) });
        keys[1].replaces = Some("acme0".into());
        let dropped: Vec<_> = surplus(&keys, NOW).iter().map(KeyId::to_string).collect();
        assert_eq!(dropped, ["acme2"], "acme0 and acme1 were its own before");
        let many: Vec<Key> = (0..ENDED_MAX + 2).map(|n| ended(&format!("t{}-", n % 20), n)).collect();
        let dropped: Vec<_> = surplus(&many, NOW).iter().map(KeyId::to_string).collect();
        assert_eq!(dropped, ["t1-1", "t0-0"]);
    }
}
