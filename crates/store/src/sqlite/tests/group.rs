//! Group commit: many share a transaction, one bad job fails alone, nobody is told what is not so.

use std::sync::Arc;

use domain::ports::{Records, StoreError};
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::{Config, Engine, Sqlite, Store};
use crate::conformance::samples::{interaction_id, turn};
use crate::sqlite::connection::Failure;

type End = Result<(), StoreError>;
type Work = fn(&Connection) -> Result<(), Failure>;

/// Waits until the writer has taken all that was queued and waits for the lock with it.
async fn taken(store: &Store) {
    while store.stats().queue_depth > 0 {
        tokio::task::yield_now().await;
    }
}

/// Runs `work` in one transaction with records 1 and 2 around it; the ends are in that order.
async fn together(engine: &Sqlite, store: &Arc<Store>, work: Work) -> [End; 3] {
    let stranger = engine.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let first = async { store.probe().await };
    let rest = async {
        taken(store).await;
        // The writer now waits for the lock with the probe; what follows queues up behind it.
        let release = async {
            while store.stats().queue_depth < 3 {
                tokio::task::yield_now().await;
            }
            stranger.execute_batch("ROLLBACK").expect("released");
        };
        let (a, b, c, ()) =
            tokio::join!(store.record(turn(1)), store.write(work), store.record(turn(2)), release);
        [a, b, c]
    };
    let (probe, ends) = tokio::join!(first, rest);
    probe.expect("written");
    ends
}

async fn is_written(store: &Store, n: u64) -> bool {
    store.interaction(None, &interaction_id(n)).await.expect("readable").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_together_share_a_commit() {
    let store = Sqlite::new();
    let store = store.store(&Config::default());
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.record(turn(n)).await });
    }
    for end in writers.join_all().await {
        end.expect("written");
    }
    let stats = store.stats();
    assert_eq!((stats.writes, stats.failed, stats.queue_depth), (64, 0, 0));
    assert!(stats.rows >= 64, "{stats:?}");
    assert!(stats.commits <= 32, "{stats:?}");
}

#[tokio::test]
async fn a_bad_job_fails_alone() {
    let bad: [(&str, Work); 3] = [
        ("no such table", |connection| {
            connection.execute(
                "INSERT INTO probes (id, count) VALUES (1, 500) ON CONFLICT DO UPDATE SET count = 500",
                [],
            )?;
            connection.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok(())
        }),
        ("FOREIGN KEY", |connection| {
            connection.execute("INSERT INTO cases VALUES ('cas_1', 'int_unknown', NULL, 0, 'open')", [])?;
            Ok(())
        }),
        ("panicked", |_| panic!("a bug in a job")),
    ];
    for (reason, work) in bad {
        let engine = Sqlite::new();
        let store = engine.store(&Config::default());
        let [first, bad, second] = together(&engine, &store, work).await;
        first.and(second).expect("written");
        let error = bad.expect_err("refused");
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains(reason)), "{error}");
        assert!(is_written(&store, 1).await && is_written(&store, 2).await);
        let stats = store.stats();
        assert_eq!((stats.commits, stats.writes, stats.failed), (2, 3, 1), "{reason}");
        let probes: i64 =
            engine.stranger().query_row("SELECT count FROM probes", [], |row| row.get(0)).expect("a count");
        assert_eq!(probes, 1, "what the bad job did first is undone");
    }
}

#[tokio::test]
async fn a_lost_transaction_is_reported_to_all_its_waiters() {
    let fatal: [(&str, Work); 2] = [
        // The commit itself fails: a foreign key that is checked only then.
        ("FOREIGN KEY", |connection| {
            connection.execute_batch(
                "PRAGMA defer_foreign_keys = ON;
                 INSERT INTO cases VALUES ('cas_1', 'int_unknown', NULL, 0, 'open')",
            )?;
            Ok(())
        }),
        // SQLite rolls everything back by itself, as it may on a full disk.
        ("disk failed", |connection| {
            connection.execute_batch("ROLLBACK")?;
            Err(Failure::Refused("disk failed".to_owned()))
        }),
    ];
    for (reason, work) in fatal {
        let engine = Sqlite::new();
        let store = engine.store(&Config::default());
        for end in together(&engine, &store, work).await {
            let error = end.expect_err("lost");
            assert!(matches!(&error, StoreError::Unavailable(text) if text.contains(reason)), "{error}");
        }
        assert!(!is_written(&store, 1).await && !is_written(&store, 2).await);
        assert_eq!((store.stats().commits, store.stats().failed), (1, 3));
        store.record(turn(1)).await.expect("the next transaction is a new one");
        assert!(is_written(&store, 1).await);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let engine = Sqlite::new();
    let store = engine.store(&Config { queue_max: 1, ..Config::default() });
    let stranger = engine.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let rest = async {
        taken(&store).await;
        let refused = async {
            assert_eq!(store.stats().queue_depth, 1);
            let end = store.record(turn(3)).await;
            stranger.execute_batch("ROLLBACK").expect("released");
            end
        };
        tokio::join!(store.record(turn(2)), refused)
    };
    let (first, (second, third)) = tokio::join!(store.record(turn(1)), rest);
    first.and(second).expect("written");
    assert!(matches!(third, Err(StoreError::Busy)), "{third:?}");
    assert!(!is_written(&store, 3).await);
    assert_eq!(store.stats().queue_depth, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_record_does_not_spoil_those_written_with_it() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let refused = interaction_id(41);
    let trigger = format!(
        "CREATE TRIGGER refusing BEFORE INSERT ON interactions WHEN new.id = '{refused}'
         BEGIN SELECT raise(ABORT, 'refused'); END",
    );
    engine.stranger().execute_batch(&trigger).expect("a trigger");
    let lost = store.record_all((0..300).map(turn).collect()).await;
    assert_eq!(lost.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&refused]);
    for n in 0..300 {
        assert_eq!(is_written(&store, n).await, n != 41, "{n}");
    }
    assert!(store.stats().commits <= 5, "{:?}", store.stats());
}
