//! Opening and closing.

use std::error::Error;
use std::fs;
use std::path::Path;

use domain::interaction::InteractionFilter;
use domain::ports::{Records, StoreError};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{Config, Engine, Sqlite, Store};
use crate::conformance::samples::{LATENCY, at, interaction_id, session_turn, turn};

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let folder = TempDir::new().expect("a folder");
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, "this is no database, just a long enough text. ".repeat(50)).expect("a file");
    let nowhere = folder.path().join("nowhere/mainstay.db");
    for (path, want, reason) in [
        (garbage.as_path(), "could not open the database", "not a database"),
        (nowhere.as_path(), "could not create the database file", "No such file"),
        (folder.path(), "could not create the database file", "directory"),
    ] {
        let Err(error) = Store::open(path, &Config::default()) else {
            panic!("{} was opened", path.display());
        };
        assert_eq!(error.to_string(), format!("{want} {}", path.display()));
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(reason), "{source}");
    }
    assert!(fs::read_to_string(&garbage).expect("still there").starts_with("this is no"));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    store.probe().await.expect("written");
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", engine.path().display());
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_folds_the_log() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let mut writers = JoinSet::new();
    for n in 0..50 {
        let store = std::sync::Arc::clone(&store);
        writers.spawn(async move { store.record(turn(n)).await });
    }
    while store.stats().queue_depth == 0 && store.stats().writes < 50 {
        tokio::task::yield_now().await;
    }
    store.close().await.expect("closed");
    let mut n_written = 0;
    for end in writers.join_all().await {
        match end {
            Ok(()) => n_written += 1,
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error}"),
        }
    }
    assert!(n_written > 0);
    let wal = format!("{}-wal", engine.path().display());
    assert!(!Path::new(&wal).exists(), "all is in the one file");
    let filter = InteractionFilter { limit: 100, ..Default::default() };
    assert!(matches!(store.record(turn(100)).await, Err(StoreError::Closed)));
    assert!(matches!(store.interactions(filter.clone()).await, Err(StoreError::Closed)));
    store.close().await.expect("closing twice is harmless");
    let read = engine.open().interactions(filter).await.expect("readable");
    assert_eq!(read.len(), n_written, "what was answered is there, what was refused is not");
}

#[tokio::test]
async fn connections_are_set_for_durability() {
    fn settings(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let names =
            ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "cache_size", "query_only"];
        let value = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0));
        names.into_iter().map(|name| Ok(format!("{name} {:?}", value(name)?))).collect()
    }
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let writer = store.write(|writer| Ok(settings(writer)?)).await.expect("settings");
    let reader = store.read(|reader| Ok(settings(reader)?)).await.expect("settings");
    let want = [
        "journal_mode Text(\"wal\")",
        "synchronous Integer(2)", // FULL: an fsync before each commit is answered
        "foreign_keys Integer(1)",
        "secure_delete Integer(1)",
        "cache_size Integer(-1024)",
    ];
    assert_eq!(writer[..5], want);
    assert_eq!(reader[..5], want);
    assert_eq!((writer[5].as_str(), reader[5].as_str()), ("query_only Integer(0)", "query_only Integer(1)"));
}

#[tokio::test]
async fn an_escalated_turn_opens_its_case() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let mut turn = session_turn("ses_1", 1);
    turn.interaction.case = Some("cas_1".into());
    for _ in 0..2 {
        store.record(turn.clone()).await.expect("written");
    }
    let case = engine.stranger().query_row("SELECT * FROM cases", [], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    });
    let (id, interaction, session, opened, state): (_, _, _, i64, String) = case.expect("one case");
    assert_eq!((id.as_str(), session.as_str(), state.as_str()), ("cas_1", "ses_1", "open"));
    assert_eq!((interaction, opened), (interaction_id(1).to_string(), at(1).after(LATENCY).0));
}

#[tokio::test]
async fn an_unreadable_row_is_said_to_be_so() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    for damage in [
        "interactions SET outcome = 'delighted'",
        "interactions SET steps = '[{'",
        "interactions SET citations = 'my secret'",
        "interactions SET attempt = -1",
        "attempts SET result = 'lucky'",
        "attempts SET input = -1",
    ] {
        let sql = format!("UPDATE {damage}");
        let stranger = engine.stranger();
        stranger.execute_batch("DELETE FROM interactions; DELETE FROM attempts").expect("empty");
        store.record(turn(1)).await.expect("written");
        stranger.execute_batch(&sql).expect("damaged");
        let Err(error) = store.interaction(None, &interaction_id(1)).await else {
            panic!("{damage} was read")
        };
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn listings_and_expiry_use_their_indexes() {
    let engine = Sqlite::new();
    drop(engine.store(&Config::default()));
    let connection = engine.stranger();
    let page = "AND (created, id) < (SELECT created, id FROM interactions WHERE id = ?) ORDER BY created DESC, id DESC";
    for (sql, index) in [
        (format!("SELECT * FROM interactions WHERE created >= ? {page}"), "interactions_by_time"),
        (format!("SELECT * FROM interactions WHERE session = ? {page}"), "interactions_by_session"),
        (
            format!("SELECT * FROM interactions WHERE outcome <> 'answered' AND outcome = ? {page}"),
            "interactions_by_outcome",
        ),
        (format!("SELECT * FROM interactions WHERE outcome = ? {page}"), "interactions_by_time"),
        ("SELECT rowid FROM interactions WHERE expires <= ?".to_owned(), "interactions_by_expiry"),
        ("SELECT rowid FROM sessions WHERE expires <= ?".to_owned(), "sessions_by_expiry"),
        ("SELECT * FROM messages WHERE session = ? ORDER BY position DESC".to_owned(), "messages_by_session"),
        (
            "SELECT * FROM feedback WHERE session = ? ORDER BY at DESC, id DESC".to_owned(),
            "feedback_by_session",
        ),
    ] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
        let n_parameters = statement.parameter_count();
        let rows = statement.query_map(params_from_iter(vec![Value::Null; n_parameters]), |row| row.get(3));
        let plan: Vec<String> = rows.expect("a plan").collect::<rusqlite::Result<_>>().expect("a plan");
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn readers_cannot_write() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let end = store.read(|reader| Ok(reader.execute("DELETE FROM probes", [])?)).await;
    assert!(matches!(end, Err(StoreError::Unavailable(_))), "{end:?}");
}

#[tokio::test]
async fn damage_is_found_while_a_server_runs_and_after_it() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    crate::examine(&engine.path()).expect("whole, and in use");
    store.close().await.expect("closed");
    crate::examine(&engine.path()).expect("whole");
    let mut bytes = fs::read(engine.path()).expect("a database");
    bytes[4_096..].fill(0xff);
    fs::write(engine.path(), bytes).expect("writable");
    let error = crate::examine(&engine.path()).expect_err("damaged");
    assert!(error.to_string().contains("mainstay.db"), "{error}");
    fs::write(engine.path(), "this is no database. ".repeat(500)).expect("writable");
    crate::examine(&engine.path()).expect_err("none");
}
