//! Giving a key limits of its own.

use std::collections::BTreeSet;

use domain::id::KeyId;
use domain::key::Key;
use domain::principal::Principal;
use serde_json::{Map, Value};

use crate::gatekeeper::Gatekeeper;
use crate::limits::Own;
use crate::minting::{MintError, find};

impl Gatekeeper {
    /// Lays `changes` over the limits that a key has of its own; `null` takes one away. Keys that took each other's place count
    /// as one, so all of them are given the same.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn limit(
        &self,
        by: &Principal,
        id: &KeyId,
        changes: Map<String, Value>,
    ) -> Result<Key, MintError> {
        let changes = &changes;
        self.change(|set| {
            let found = find(set, by, id)?;
            let own = Own::of(found).with(changes.clone());
            let Own { limits, budget } = own.map_err(|error| MintError::Wrong(error.to_string()))?;
            let limited = |key: &Key| Key { limits: limits.clone(), budget: budget.clone(), ..key.clone() };
            let others = line(&set.keys, &found.id).into_iter().filter(|key| key.id != found.id).map(limited);
            let key = limited(found);
            Ok((others.chain([key.clone()]).collect(), key))
        })
        .await
    }
}

/// The keys that took the place of `id`, or whose place it took, one after the other, itself among them.
fn line<'a>(keys: &'a [Key], id: &KeyId) -> Vec<&'a Key> {
    let mut ids = BTreeSet::from([id]);
    loop {
        let n_known = ids.len();
        for key in keys {
            if let Some(before) = &key.replaces
                && (ids.contains(before) || ids.contains(&key.id))
            {
                ids.extend([before, &key.id]);
            }
        }
        if ids.len() == n_known {
            return keys.iter().filter(|key| ids.contains(&key.id)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::limit::Level;
    use domain::principal::Role;
    use serde_json::json;
    use testkit::{ManualClock, MemoryKeys};

    use super::*;
    use crate::doubles::gatekeeper;
    use crate::limits::{Config, Meters, Now};
    use crate::minting::Wanted;

    fn changes(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[tokio::test]
    async fn a_keys_own_limits_are_in_force_when_the_change_is_answered() {
        let (store, clock) = (Arc::<MemoryKeys>::default(), Arc::new(ManualClock::new()));
        let keeper = gatekeeper(&store, &clock, Some(&"b".repeat(67))).await;
        let owner = keeper.check(&"b".repeat(67)).expect("the bootstrap key");
        let wanted = Wanted { name: "one".to_owned(), role: Some(Role::App), ..Wanted::default() };
        let made = keeper.mint(&owner, wanted).await.expect("minted").key;
        let now = Now { moment: domain::time::Moment::default(), wall: testkit::clock::EPOCH };
        let meters = Arc::new(Meters::new(&Config::default(), now).expect("valid"));
        keeper.govern(Arc::clone(&meters));
        let level = Level::Key(made.id.clone());
        let parallel = |keeper: &Arc<Meters>| keeper.read(&level, now).and_then(|reading| reading.parallel);
        assert_eq!(parallel(&meters), None);
        let key = keeper.limit(&owner, &made.id, changes(json!({ "parallel": 3 }))).await.expect("changed");
        assert_eq!((key.limits.as_deref(), parallel(&meters)), (Some(r#"{"parallel":3}"#), Some(3)));
        // Its successor has them, too, and both count as one.
        let next =
            keeper.rotate(&owner, &made.id, std::time::Duration::from_secs(9)).await.expect("rotated").key;
        let joined = meters.read(&Level::Key(next.id.clone()), now).expect("a meter");
        assert_eq!((joined.level, joined.parallel), (level.clone(), Some(3)));
        keeper.limit(&owner, &next.id, changes(json!({ "parallel": null }))).await.expect("changed");
        assert_eq!(parallel(&meters), None);
        // By whichever of their names.
        keeper.limit(&owner, &made.id, changes(json!({ "parallel": 2 }))).await.expect("changed");
        assert_eq!(parallel(&meters), Some(2));
        keeper.revoke(&owner, &made.id).await.expect("revoked");
        keeper.limit(&owner, &made.id, changes(json!({ "parallel": 1 }))).await.expect("changed");
        assert_eq!(parallel(&meters), Some(1));
        let wrong = keeper.limit(&owner, &next.id, changes(json!({ "rate": "fast" }))).await;
        assert!(matches!(wrong, Err(MintError::Wrong(_))), "{wrong:?}");
        let unknown = keeper.limit(&owner, &"NoSuchKey000".into(), Map::new()).await;
        assert!(matches!(unknown, Err(MintError::Unknown(_))), "{unknown:?}");
    }
}
