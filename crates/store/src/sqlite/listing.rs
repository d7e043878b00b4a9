//! Listings: a query whose conditions depend on the filter, newest first, never more than a page.

use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params_from_iter};

use crate::stored::integer;

/// At most this many rows come back, whatever the filter says.
pub(crate) const PAGE_MAX: usize = 1_000;

/// A `SELECT` being put together. Every text is a constant, so its plan is cached.
pub(crate) struct Listing {
    sql: String,
    glue: &'static str,
    values: Vec<Value>,
}

impl Listing {
    pub(crate) fn new(select: &str) -> Self {
        Self { sql: select.to_owned(), glue: " WHERE ", values: Vec::new() }
    }

    /// Adds a condition with one `?`, when there is a value for it.
    pub(crate) fn matching<V: Into<Value>>(mut self, condition: &'static str, value: Option<V>) -> Self {
        if let Some(value) = value {
            self.sql.push_str(self.glue);
            self.sql.push_str(condition);
            self.glue = " AND ";
            self.values.push(value.into());
        }
        self
    }

    /// Adds a condition with as many `?` as there are values, when there are.
    pub(crate) fn behind<const N: usize>(self, condition: &'static str, values: Option<[Value; N]>) -> Self {
        let Some(values) = values else { return self };
        let mut values = values.into_iter();
        let mut listing = self.matching(condition, values.next());
        listing.values.extend(values);
        listing
    }

    /// The first `limit` rows in `order`.
    pub(crate) fn rows<T>(
        mut self,
        transaction: &Transaction<'_>,
        (order, limit): (&'static str, usize),
        map: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ?");
        self.values.push(Value::Integer(integer(limit.min(PAGE_MAX))));
        transaction.prepare_cached(&self.sql)?.query_map(params_from_iter(self.values), map)?.collect()
    }
}
