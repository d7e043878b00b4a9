//! Keeping feedback.

use std::sync::Arc;

use domain::feedback::{Feedback, FeedbackFilter, FeedbackKind, Thumb};

use super::samples::{at, feedback, interaction_id, turn};
use super::{Engine, Ports};

async fn list(store: &Arc<dyn Ports>, filter: FeedbackFilter) -> Vec<Feedback> {
    store.feedback(filter).await.expect("readable")
}

fn all() -> FeedbackFilter {
    FeedbackFilter { limit: 10, ..Default::default() }
}

pub(crate) async fn needs_its_interaction(engine: &impl Engine) {
    let store = engine.open();
    assert!(!store.add_feedback(None, feedback(1, 1)).await.expect("no error"));
    assert_eq!(list(&store, all()).await, []);
}

pub(crate) async fn is_read_back(engine: &impl Engine) {
    let store = engine.open();
    store.record(turn(1)).await.expect("written");
    let bare = Feedback {
        session: None,
        kind: FeedbackKind::Implicit,
        rating: None,
        thumb: None,
        comments: None,
        signal: Some("rephrase".to_owned()),
        metadata: None,
        ..feedback(2, 1)
    };
    let down = Feedback { thumb: Some(Thumb::Down), comments: Some(String::new()), ..feedback(3, 1) };
    for given in [&feedback(1, 1), &bare, &down] {
        assert!(store.add_feedback(None, given.clone()).await.expect("written"));
    }
    assert_eq!(list(&store, all()).await, [down, bare, feedback(1, 1)]);
}

pub(crate) async fn filters_and_order(engine: &impl Engine) {
    let store = engine.open();
    for n in 1..=2 {
        store.record(turn(n)).await.expect("written");
    }
    for (n, about, session) in [(3, 1, "ses_1"), (1, 1, "ses_2"), (2, 2, "ses_1")] {
        let feedback = Feedback { session: Some(session.into()), ..feedback(n, about) };
        assert!(store.add_feedback(None, feedback).await.expect("written"));
    }
    for (filter, want) in [
        (all(), ["fbk_3", "fbk_2", "fbk_1"].as_slice()),
        (FeedbackFilter { limit: 1, ..all() }, &["fbk_3"]),
        (FeedbackFilter { interaction: Some(interaction_id(1)), ..all() }, &["fbk_3", "fbk_1"]),
        (FeedbackFilter { session: Some("ses_1".into()), ..all() }, &["fbk_3", "fbk_2"]),
        (FeedbackFilter { since: Some(at(2)), ..all() }, &["fbk_3", "fbk_2"]),
        (
            FeedbackFilter {
                tenant: None,
                session: Some("ses_1".into()),
                interaction: Some(interaction_id(2)),
                since: Some(at(1)),
                limit: 10,
            },
            &["fbk_2"],
        ),
        (FeedbackFilter { limit: 0, ..all() }, &[]),
    ] {
        let found = list(&store, filter.clone()).await;
        let ids: Vec<&str> = found.iter().map(|feedback| feedback.id.as_str()).collect();
        assert_eq!(ids, want, "{filter:?}");
    }
}

pub(crate) async fn same_id_changes_nothing(engine: &impl Engine) {
    let store = engine.open();
    store.record(turn(1)).await.expect("written");
    let again = Feedback { rating: Some(1), ..feedback(1, 1) };
    for given in [feedback(1, 1), again] {
        assert!(store.add_feedback(None, given).await.expect("no error"));
    }
    assert_eq!(list(&store, all()).await, [feedback(1, 1)]);
}
