//! The port `Keys`.

use domain::id::KeyId;
use domain::key::{Key, KeySet};
use domain::ports::{BoxFuture, Keys, KeysChanged, StoreError};
use domain::principal::Role;
use domain::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::Store;
use super::connection::Failure;
use crate::stored::Unreadable;
use crate::stored::key::{grant, grant_json};

/// Everything but what a key is: `hash`, `created` and `position` stay as they were.
const UPSERT: &str = "INSERT INTO keys
    (id, hash, name, tenant, role, grants, created, created_by, expires, revoked, replaces, limits, budget)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, tenant = excluded.tenant, role = excluded.role, grants = excluded.grants,
        expires = excluded.expires, revoked = excluded.revoked, replaces = excluded.replaces,
        limits = excluded.limits, budget = excluded.budget
    WHERE hash = excluded.hash";

const HEAD: &str = "SELECT head FROM keys_head WHERE id = 1";

impl Keys for Store {
    fn keys(&self) -> BoxFuture<'_, Result<KeySet, StoreError>> {
        Box::pin(self.read(|transaction| {
            let head = head(transaction)?;
            let mut statement = transaction.prepare_cached("SELECT * FROM keys ORDER BY position")?;
            let rows = statement.query_map([], |row| Ok(read(row)))?;
            let keys = rows.map(|key| key?).collect::<Result<_, Failure>>()?;
            Ok(KeySet { head, keys })
        }))
    }

    fn keys_head(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.read(|transaction| head(transaction)))
    }

    fn change_keys(
        &self,
        expected: u64,
        keys: Vec<Key>,
        dropped: Vec<KeyId>,
    ) -> BoxFuture<'_, Result<KeysChanged, StoreError>> {
        Box::pin(self.write(move |connection| {
            if head(connection)? != expected {
                return Ok(KeysChanged::Outdated);
            }
            for key in &keys {
                write(connection, key)?;
            }
            for id in &dropped {
                connection.prepare_cached("DELETE FROM keys WHERE id = ?1")?.execute([id.as_str()])?;
            }
            connection.prepare_cached("UPDATE keys_head SET head = head + 1 WHERE id = 1")?.execute([])?;
            Ok(KeysChanged::To(head(connection)?))
        }))
    }
}

fn head(connection: &Connection) -> Result<u64, Failure> {
    let head: i64 = connection.prepare_cached(HEAD)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(head).map_err(|_| Unreadable("the head of the keys is negative".to_owned()))?)
}

fn write(connection: &Connection, key: &Key) -> Result<(), Failure> {
    let n_written = connection.prepare_cached(UPSERT)?.execute(params![
        key.id.as_str(),
        key.hash.as_slice(),
        key.name,
        key.tenant.as_str(),
        key.role.name(),
        grant_json(&key.grant),
        key.created.0,
        key.created_by.as_str(),
        key.expires.map(|at| at.0),
        key.revoked.map(|at| at.0),
        key.replaces.as_ref().map(|id| id.as_str().to_owned()),
        key.limits,
        key.budget,
    ])?;
    match n_written {
        1 => Ok(()),
        _ => Err(Failure::Refused(format!("there is another key `{}`", key.id))),
    }
}

fn read(row: &Row<'_>) -> Result<Key, Failure> {
    let id: String = row.get("id")?;
    let unreadable = |what: &str| Unreadable(format!("key {id}: unknown {what}"));
    let role: String = row.get("role")?;
    let grants: String = row.get("grants")?;
    let role = Role::parse(&role).ok_or_else(|| unreadable("role"))?;
    let grant = grant(&grants).map_err(|Unreadable(reason)| Unreadable(format!("key {id}: {reason}")))?;
    let hash: Vec<u8> = row.get("hash")?;
    let hash = hash.try_into().map_err(|_| unreadable("hash"))?;
    Ok(Key {
        id: id.as_str().into(),
        hash,
        name: row.get("name")?,
        tenant: row.get::<_, String>("tenant")?.into(),
        role,
        grant,
        created: Timestamp(row.get("created")?),
        created_by: row.get::<_, String>("created_by")?.into(),
        expires: row.get::<_, Option<i64>>("expires")?.map(Timestamp),
        revoked: row.get::<_, Option<i64>>("revoked")?.map(Timestamp),
        replaces: row.get::<_, Option<String>>("replaces")?.map(Into::into),
        limits: row.get("limits")?,
        budget: row.get("budget")?,
    })
}
