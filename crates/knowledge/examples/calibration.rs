//! Measures how well a folder of articles is searched and when its questions are refused:
//! `calibration FOLDER [EMBEDDER_FOLDER [SUITE…]]`, where the embedder's folder has `model.safetensors`,
//! `tokenizer.json` and `config.json`; without one, the search by words alone is measured. Of each suite it
//! tells for how many answerable questions the two passages hold the facts, and how many others are refused.
#![expect(clippy::print_stdout, reason = "an example's output is its purpose")]

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use domain::document::{Chunk, Document, Passage, Search};
use domain::id::{CollectionName, ContentHash};
use domain::ports::{BoxFuture, Embedder, PassageStore, Retriever, StoreError};
use embedded::embedder::{Config, Files, SentenceEmbedder};
use knowledge::evaluation::Figures;
use knowledge::{Library, SourceFile};
use serde::Deserialize;

/// Searches timed.
const TIMED_SEARCHES: u32 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("usage: calibration FOLDER [EMBEDDER_FOLDER]")?;
    let embedder = arguments.next().map(|folder| open(&folder)).transpose()?;
    let collection = CollectionName::from("measured");
    let library = Library::new(Arc::new(Memory::default()), embedder.clone());

    let start = tokio::time::Instant::now();
    let loaded = library.load(&collection, files(&folder)?).await?;
    println!("{loaded:?} in {:?}", start.elapsed());
    time(&library, &collection, "words").await?;
    let start = tokio::time::Instant::now();
    library.embed(&|_| {}).await?;
    println!("embedded in {:?}", start.elapsed());
    if embedder.is_some() {
        time(&library, &collection, "hybrid, vectors of questions cached").await?;
    }

    let evaluation = library.evaluate(&collection).await?.ok_or("the collection is gone")?;
    show("words", &evaluation.by_words);
    if let Some(hybrid) = &evaluation.hybrid {
        show("hybrid", hybrid);
    }
    for suite in arguments {
        search_suite(&library, &collection, &suite).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Line {
    question: String,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    unanswerable: bool,
    /// The sentence that answers; where a line has one, it must be in the passages instead of `expect`.
    fact: Option<String>,
}

impl Line {
    fn is_held_by(&self, passages: &[Passage]) -> bool {
        let bare = |text: &str| text.split_whitespace().collect::<String>().to_lowercase();
        let held = bare(&passages.iter().map(|passage| passage.text.as_str()).collect::<String>());
        match &self.fact {
            Some(fact) => held.contains(&bare(fact)),
            None => self.expect.iter().all(|fact| fact.split('|').any(|one| held.contains(&bare(one)))),
        }
    }
}

async fn search_suite(
    library: &Library,
    collection: &CollectionName,
    suite: &Path,
) -> Result<(), Box<dyn Error>> {
    let (mut held, mut kept, mut refused, mut n_answerable, mut n_other) = (0, 0, 0, 0, 0);
    println!("\n{}", suite.display());
    for line in std::fs::read_to_string(suite)?.lines().filter(|line| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line)?;
        let found = library.search(search(collection, &line.question)).await?;
        let place = |text: &str| println!("  {text} {:.2}: {}", found.confidence, line.question);
        if line.unanswerable {
            n_other += 1;
            refused += usize::from(!found.is_answerable());
            if found.is_answerable() {
                place("not refused");
            }
            continue;
        }
        n_answerable += 1;
        kept += usize::from(found.is_answerable());
        let is_held = line.is_held_by(&found.passages);
        held += usize::from(is_held);
        match (is_held, found.is_answerable()) {
            (false, _) => place("not found"),
            (true, false) => place("refused"),
            (true, true) => {}
        }
    }
    println!("  found {held} and kept {kept} of {n_answerable}, refused {refused} of {n_other}");
    Ok(())
}

fn search(collection: &CollectionName, query: &str) -> Search {
    Search { collections: vec![collection.clone()], query: query.to_owned(), limit: 2, passage_tokens: 110 }
}

fn show(name: &str, figures: &Figures) {
    println!(
        "\n{name}: {} answerable, {} not; recall@1 {:.3}, recall@2 {:.3}; abstention: area {:.3}, refused {:.3}, kept {:.3} below {:.3}",
        figures.n_answerable,
        figures.n_unanswerable,
        figures.recall_at_1,
        figures.recall_at_2,
        figures.area,
        figures.rates.refused,
        figures.rates.kept,
        figures.abstain_below,
    );
    for (at, rates) in &figures.curve {
        println!("  below {at:.2}: refused {:.3}, kept {:.3}", rates.refused, rates.kept);
    }
    for (question, found) in &figures.missed {
        println!("  missed: {question} -> {found}");
    }
    for (question, confidence) in &figures.misjudged {
        println!("  misjudged {confidence:.3}: {question}");
    }
}

async fn time(library: &Library, collection: &CollectionName, name: &str) -> Result<(), Box<dyn Error>> {
    let search = search(collection, "Is my deposit FDIC insured, and up to how much?");
    library.search(search.clone()).await?;
    let start = tokio::time::Instant::now();
    for _ in 0..TIMED_SEARCHES {
        library.search(search.clone()).await?;
    }
    println!("one search ({name}): {:?}", start.elapsed() / TIMED_SEARCHES);
    Ok(())
}

fn open(folder: &Path) -> Result<Arc<dyn Embedder>, Box<dyn Error>> {
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    Ok(Arc::new(SentenceEmbedder::open(Config::new(files, ContentHash::from("measured")))?))
}

fn files(folder: &Path) -> Result<Vec<SourceFile>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.file_name().to_string_lossy().into_owned();
        files.push(SourceFile { path, bytes: std::fs::read(entry.path())? });
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// A store that forgets.
#[derive(Default)]
struct Memory {
    documents: Mutex<Vec<(Document, Vec<Chunk>)>>,
    vectors: Mutex<HashMap<ContentHash, Vec<f32>>>,
}

fn closed<E>(_: E) -> StoreError {
    StoreError::Closed
}

impl PassageStore for Memory {
    fn replace<'a>(
        &'a self,
        _: &'a CollectionName,
        documents: Vec<(Document, Vec<Chunk>)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.documents.lock().map_err(closed).map(|mut held| *held = documents) })
    }

    fn documents<'a>(
        &'a self,
        _: &'a CollectionName,
    ) -> BoxFuture<'a, Result<Vec<(Document, Vec<Chunk>)>, StoreError>> {
        Box::pin(async { self.documents.lock().map_err(closed).map(|held| held.clone()) })
    }

    fn vectors<'a>(
        &'a self,
        _: &'a ContentHash,
        hashes: Vec<ContentHash>,
    ) -> BoxFuture<'a, Result<Vec<(ContentHash, Vec<f32>)>, StoreError>> {
        Box::pin(async {
            let held = self.vectors.lock().map_err(closed)?;
            Ok(hashes.into_iter().filter_map(|hash| held.get(&hash).cloned().map(|v| (hash, v))).collect())
        })
    }

    fn put_vectors<'a>(
        &'a self,
        _: &'a ContentHash,
        vectors: Vec<(ContentHash, Vec<f32>)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.vectors.lock().map_err(closed).map(|mut held| held.extend(vectors)) })
    }
}
