//! Documents, chunks and vectors.

use std::sync::Arc;

use domain::document::{Chunk, Document};
use domain::id::CollectionName;
use domain::ports::StoreError;

use super::samples::{document, hash};
use super::{Engine, Ports};

async fn read(store: &Arc<dyn Ports>, collection: &str) -> Vec<(Document, Vec<Chunk>)> {
    store.documents(&collection.into()).await.expect("readable")
}

async fn known(store: &Arc<dyn Ports>, model: u64, hashes: &[u64]) -> Vec<u64> {
    let asked = hashes.iter().map(|n| hash(*n)).collect();
    let found = store.vectors(&hash(model), asked).await.expect("readable");
    hashes.iter().copied().filter(|n| found.iter().any(|(found, _)| *found == hash(*n))).collect()
}

pub(crate) async fn collection_is_replaced(engine: &impl Engine) {
    let store = engine.open();
    let finance = CollectionName::from("finance");
    assert_eq!(read(&store, "finance").await, []);
    let (a, b, empty) = (document("a", &[1, 2, 3]), document("b/ü", &[4]), document("c", &[]));
    let a_changed = document("a", &[1, 5]);
    for content in [vec![a.clone(), b.clone()], vec![a_changed, empty], vec![a, b], vec![]] {
        store.replace(&finance, content.clone()).await.expect("written");
        assert_eq!(read(&store, "finance").await, content);
    }
}

pub(crate) async fn collections_are_apart(engine: &impl Engine) {
    let store = engine.open();
    let (finance, other) = (vec![document("a", &[1])], vec![document("a", &[2])]);
    store.replace(&"finance".into(), finance.clone()).await.expect("written");
    store.replace(&"other".into(), other).await.expect("written");
    store.replace(&"other".into(), vec![]).await.expect("written");
    assert_eq!(read(&store, "finance").await, finance);
}

pub(crate) async fn same_id_twice_is_refused(engine: &impl Engine) {
    let store = engine.open();
    let before = vec![document("a", &[1])];
    store.replace(&"finance".into(), before.clone()).await.expect("written");
    let twice = vec![document("b", &[2]), document("b", &[3])];
    let error = store.replace(&"finance".into(), twice).await.expect_err("refused");
    assert!(matches!(&error, StoreError::Unavailable(reason) if reason.contains("`b`")), "{error}");
    assert_eq!(read(&store, "finance").await, before, "the old content stays");
}

pub(crate) async fn vectors_are_kept_by_model(engine: &impl Engine) {
    let store = engine.open();
    let (first, second) = (hash(100), hash(200));
    let vectors = vec![(hash(1), vec![0.25, -1.0e-30, f32::MAX]), (hash(2), vec![])];
    store.put_vectors(&first, vectors.clone()).await.expect("written");
    store.put_vectors(&second, vec![(hash(1), vec![9.0])]).await.expect("written");
    store.put_vectors(&second, vec![]).await.expect("nothing to do");
    let asked = vec![hash(1), hash(3), hash(2), hash(1)];
    let found = store.vectors(&first, asked).await.expect("readable");
    assert_eq!(found, vectors, "those not there are left out, none comes twice");
    assert_eq!(store.vectors(&second, vec![hash(1)]).await.expect("readable"), [(hash(1), vec![9.0])]);
    store.put_vectors(&second, vec![(hash(1), vec![8.0])]).await.expect("written");
    assert_eq!(store.vectors(&second, vec![hash(1)]).await.expect("readable"), [(hash(1), vec![8.0])]);
}

pub(crate) async fn vectors_outlive_unchanged_chunks(engine: &impl Engine) {
    let store = engine.open();
    // 9 was embedded before any chunk is stored; 1 is in two collections.
    let vectors = [1, 2, 3, 9].map(|n| (hash(n), vec![1.0])).to_vec();
    store.put_vectors(&hash(100), vectors).await.expect("written");
    store.replace(&"other".into(), vec![document("x", &[1])]).await.expect("written");
    let content = vec![document("a", &[1, 2]), document("b", &[3])];
    store.replace(&"finance".into(), content).await.expect("written");
    assert_eq!(known(&store, 100, &[1, 2, 3, 9]).await, [1, 2, 3, 9]);
    store.replace(&"finance".into(), vec![document("a", &[2, 4])]).await.expect("written");
    assert_eq!(known(&store, 100, &[1, 2, 3, 9]).await, [1, 2, 9], "only 3 was left by all");
}

pub(crate) async fn large_collection(engine: &impl Engine) {
    let store = engine.open();
    let hashes: Vec<u64> = (0..2_000).collect();
    let content: Vec<_> =
        hashes.chunks(20).enumerate().map(|(n, hashes)| document(&format!("{n:04}"), hashes)).collect();
    store.replace(&"finance".into(), content.clone()).await.expect("written");
    let vectors = hashes.iter().map(|n| (hash(*n), vec![0.5; 384])).collect();
    store.put_vectors(&hash(100), vectors).await.expect("written");
    assert_eq!(read(&store, "finance").await, content);
    assert_eq!(known(&store, 100, &hashes).await.len(), hashes.len());
}
