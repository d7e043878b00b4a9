//! The port `PassageStore`.

use std::collections::HashSet;

use domain::document::{Chunk, Document};
use domain::id::{CollectionName, ContentHash};
use domain::ports::{BoxFuture, PassageStore, StoreError};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Store;
use super::connection::Failure;
use crate::stored::{count, integer, vector};

impl PassageStore for Store {
    fn replace<'a>(
        &'a self,
        collection: &'a CollectionName,
        documents: Vec<(Document, Vec<Chunk>)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let collection = collection.clone();
        Box::pin(self.write(move |connection| replace(connection, &collection, &documents)))
    }

    fn documents<'a>(
        &'a self,
        collection: &'a CollectionName,
    ) -> BoxFuture<'a, Result<Vec<(Document, Vec<Chunk>)>, StoreError>> {
        let collection = collection.clone();
        Box::pin(self.read(move |transaction| documents(transaction, &collection)))
    }

    fn vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        hashes: Vec<ContentHash>,
    ) -> BoxFuture<'a, Result<Vec<(ContentHash, Vec<f32>)>, StoreError>> {
        let model = model.clone();
        Box::pin(self.read(move |transaction| vectors(transaction, &model, hashes)))
    }

    fn put_vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        vectors: Vec<(ContentHash, Vec<f32>)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let model = model.clone();
        Box::pin(self.write(move |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO vectors (hash, model, vector) VALUES (?1, ?2, ?3)
                 ON CONFLICT (hash, model) DO UPDATE SET vector = excluded.vector",
            )?;
            for (hash, values) in &vectors {
                insert.execute(params![hash.as_str(), model.as_str(), vector::to_bytes(values)])?;
            }
            Ok(())
        }))
    }
}

/// Makes `documents` the whole collection. Vectors whose chunks left it, and that nothing else uses, go too.
fn replace(
    connection: &Connection,
    collection: &CollectionName,
    documents: &[(Document, Vec<Chunk>)],
) -> Result<(), Failure> {
    let mut ids = HashSet::new();
    if let Some((twice, _)) = documents.iter().find(|(document, _)| !ids.insert(&document.id)) {
        return Err(Failure::Refused(format!("two documents of `{collection}` are called `{}`", twice.id)));
    }
    let hashes_before: Vec<String> = connection
        .prepare_cached("SELECT DISTINCT hash FROM chunks WHERE collection = ?1")?
        .query_map([collection.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    connection
        .prepare_cached("DELETE FROM documents WHERE collection = ?1")?
        .execute([collection.as_str()])?;
    for (document, chunks) in documents {
        insert(connection, collection, (document, chunks))?;
    }
    let mut drop_orphans = connection.prepare_cached(
        "DELETE FROM vectors WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE hash = ?1)",
    )?;
    for hash in hashes_before {
        drop_orphans.execute([hash])?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    collection: &CollectionName,
    (document, chunks): (&Document, &[Chunk]),
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO documents (collection, id, title, source, as_of, version, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            collection.as_str(),
            document.id.as_str(),
            document.title,
            document.source,
            document.as_of,
            document.version.as_str(),
            document.text,
        ])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO chunks (collection, document, chunk_index, heading, start, \"end\", text, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for chunk in chunks {
        insert.execute(params![
            collection.as_str(),
            document.id.as_str(),
            chunk.index,
            chunk.heading,
            integer(chunk.start),
            integer(chunk.end),
            chunk.text,
            chunk.hash.as_str(),
        ])?;
    }
    Ok(())
}

fn documents(
    transaction: &Transaction<'_>,
    collection: &CollectionName,
) -> Result<Vec<(Document, Vec<Chunk>)>, Failure> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, title, source, as_of, version, text FROM documents WHERE collection = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([collection.as_str()], |row| {
        Ok(Document {
            collection: collection.clone(),
            id: row.get::<_, String>(0)?.into(),
            title: row.get(1)?,
            source: row.get(2)?,
            as_of: row.get(3)?,
            version: row.get::<_, String>(4)?.into(),
            text: row.get(5)?,
        })
    })?;
    let mut documents = Vec::new();
    for document in rows {
        let document = document?;
        let chunks = chunks(transaction, &document)?;
        documents.push((document, chunks));
    }
    Ok(documents)
}

fn chunks(transaction: &Transaction<'_>, document: &Document) -> Result<Vec<Chunk>, Failure> {
    let mut statement = transaction.prepare_cached(
        "SELECT chunk_index, heading, start, \"end\", text, hash FROM chunks
         WHERE collection = ?1 AND document = ?2 ORDER BY chunk_index",
    )?;
    let mut rows = statement.query(params![document.collection.as_str(), document.id.as_str()])?;
    let mut chunks = Vec::new();
    while let Some(row) = rows.next()? {
        chunks.push(Chunk {
            document: document.id.clone(),
            index: row.get(0)?,
            heading: row.get(1)?,
            start: count(row.get(2)?)?,
            end: count(row.get(3)?)?,
            text: row.get(4)?,
            hash: row.get::<_, String>(5)?.into(),
        });
    }
    Ok(chunks)
}

fn vectors(
    transaction: &Transaction<'_>,
    model: &ContentHash,
    hashes: Vec<ContentHash>,
) -> Result<Vec<(ContentHash, Vec<f32>)>, Failure> {
    let mut statement =
        transaction.prepare_cached("SELECT vector FROM vectors WHERE hash = ?1 AND model = ?2")?;
    let mut asked = HashSet::new();
    let mut found = Vec::new();
    for hash in hashes {
        if !asked.insert(hash.clone()) {
            continue;
        }
        let bytes: Option<Vec<u8>> =
            statement.query_row([hash.as_str(), model.as_str()], |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            found.push((hash, vector::from_bytes(&bytes)?));
        }
    }
    Ok(found)
}
