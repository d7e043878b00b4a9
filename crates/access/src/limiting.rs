//! Giving a key limits of its own.

use domain::id::KeyId;
use domain::key::Key;
use domain::principal::Principal;
use serde_json::{Map, Value};

use crate::gatekeeper::Gatekeeper;
use crate::limits::Own;
use crate::minting::{MintError, find};

impl Gatekeeper {
    /// Lays `changes` over the limits that a key has of its own; `null` takes one away.
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
            let key = Key { limits, budget, ..found.clone() };
            Ok((vec![key.clone()], key))
        })
        .await
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
        let wrong = keeper.limit(&owner, &next.id, changes(json!({ "rate": "fast" }))).await;
        assert!(matches!(wrong, Err(MintError::Wrong(_))), "{wrong:?}");
        let unknown = keeper.limit(&owner, &"NoSuchKey000".into(), Map::new()).await;
        assert!(matches!(unknown, Err(MintError::Unknown(_))), "{unknown:?}");
    }
}
