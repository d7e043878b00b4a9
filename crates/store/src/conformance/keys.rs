//! Keys: read back whole, changed one at a time, seen by others.

use std::sync::Arc;

use domain::grant::{Allowed, Grant, Network};
use domain::key::{Key, KeySet};
use domain::ports::KeysChanged;
use domain::principal::Role;
use domain::residency::Residency;

use super::Engine;
use super::samples::at;

fn key(n: u8) -> Key {
    let network = Network::parse("10.0.0.0/8").expect("a network");
    Key {
        id: format!("Key{n:09}").into(),
        hash: [n; 32],
        name: "Büro\u{0}'\"".to_owned(),
        tenant: "acme".into(),
        role: Role::Auditor,
        grant: Grant {
            agents: Allowed::Only(Arc::from(["general".to_owned()])),
            models: Allowed::Only(Arc::from([])),
            routes: Allowed::All,
            addresses: Some(Arc::from([network])),
            residency: Residency::parse(Some(["eu"])).expect("a place"),
        },
        created: at(u64::from(n)),
        created_by: "open".into(),
        expires: Some(at(900)),
        revoked: None,
        replaces: Some("Key000000000".into()),
        limits: Some(r#"{"requests":{"rate":5}}"#.to_owned()),
        budget: None,
    }
}

pub(crate) async fn are_read_back_in_order(engine: &impl Engine) {
    let store = engine.open();
    assert_eq!(store.keys().await.expect("readable"), KeySet::default());
    let bare = Key {
        grant: Grant::default(),
        expires: None,
        replaces: None,
        limits: None,
        budget: Some("{}".to_owned()),
        ..key(9)
    };
    let changed = store.change_keys(0, vec![bare.clone(), key(1)], Vec::new()).await.expect("written");
    assert_eq!(changed, KeysChanged::To(1));
    drop(store);
    let found = engine.open().keys().await.expect("readable");
    assert_eq!(found, KeySet { head: 1, keys: vec![bare, key(1)] });
}

pub(crate) async fn change_needs_the_newest_head(engine: &impl Engine) {
    let (one, other) = (engine.open(), engine.open());
    assert_eq!(one.change_keys(0, vec![key(1)], Vec::new()).await.expect("written"), KeysChanged::To(1));
    assert_eq!(other.keys_head().await.expect("readable"), 1, "another process sees it");
    assert_eq!(
        other.change_keys(0, vec![key(2)], Vec::new()).await.expect("no error"),
        KeysChanged::Outdated
    );
    let revoked = Key { revoked: Some(at(5)), limits: None, ..key(1) };
    let changed = other.change_keys(1, vec![revoked.clone(), key(3)], Vec::new()).await.expect("written");
    assert_eq!(changed, KeysChanged::To(2));
    assert_eq!(one.keys().await.expect("readable"), KeySet { head: 2, keys: vec![revoked, key(3)] });
}

pub(crate) async fn a_taken_id_changes_nothing(engine: &impl Engine) {
    let store = engine.open();
    store.change_keys(0, vec![key(1)], Vec::new()).await.expect("written");
    let stranger = Key { hash: [7; 32], role: Role::Owner, ..key(1) };
    assert!(store.change_keys(1, vec![key(2), stranger], Vec::new()).await.is_err());
    assert_eq!(store.keys().await.expect("readable"), KeySet { head: 1, keys: vec![key(1)] });
}

pub(crate) async fn dropped_ones_are_gone_with_the_change(engine: &impl Engine) {
    let store = engine.open();
    store.change_keys(0, vec![key(1), key(2), key(3)], Vec::new()).await.expect("written");
    let changed = store.change_keys(0, vec![key(4)], vec![key(1).id]).await.expect("no error");
    assert_eq!(changed, KeysChanged::Outdated);
    let dropped = vec![key(2).id, "NoSuchKey000".into()];
    let changed = store.change_keys(1, vec![key(4)], dropped).await.expect("written");
    assert_eq!(changed, KeysChanged::To(2));
    let found = engine.open().keys().await.expect("readable");
    assert_eq!(found, KeySet { head: 2, keys: vec![key(1), key(3), key(4)] });
}
