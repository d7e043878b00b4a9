//! The library with a store in memory and an embedder that hashes stems.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use domain::document::{Retrieved, Search};
use domain::ports::{BoxFuture, Retriever};
use parking_lot::Mutex;

use super::*;

/// Remembers and counts what it is told.
#[derive(Default)]
struct Memory {
    documents: Mutex<HashMap<CollectionName, Documents>>,
    vectors: Mutex<BTreeMap<(ContentHash, ContentHash), Vec<f32>>>,
    n_replaced: AtomicUsize,
    is_down: AtomicBool,
}

impl PassageStore for Memory {
    fn replace<'a>(
        &'a self,
        collection: &'a CollectionName,
        documents: Documents,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.is_down.load(Ordering::SeqCst) {
                return Err(StoreError::Closed);
            }
            self.n_replaced.fetch_add(1, Ordering::SeqCst);
            self.documents.lock().insert(collection.clone(), documents);
            Ok(())
        })
    }

    fn documents<'a>(
        &'a self,
        collection: &'a CollectionName,
    ) -> BoxFuture<'a, Result<Documents, StoreError>> {
        Box::pin(async move { Ok(self.documents.lock().get(collection).cloned().unwrap_or_default()) })
    }

    fn vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        hashes: Vec<ContentHash>,
    ) -> BoxFuture<'a, Result<Vec<(ContentHash, Vec<f32>)>, StoreError>> {
        let held = self.vectors.lock();
        let found = hashes
            .into_iter()
            .filter_map(|hash| Some((hash.clone(), held.get(&(model.clone(), hash))?.clone())))
            .collect();
        Box::pin(async move { Ok(found) })
    }

    fn put_vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        vectors: Vec<(ContentHash, Vec<f32>)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.vectors.lock().extend(vectors.into_iter().map(|(hash, vector)| ((model.clone(), hash), vector)));
        Box::pin(async { Ok(()) })
    }
}

/// Texts that share stems have near vectors.
struct Stems {
    model: ContentHash,
    n_embedded: AtomicUsize,
    is_broken: AtomicBool,
}

impl Stems {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            model: ContentHash::from("stems"),
            n_embedded: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
        })
    }
}

impl Embedder for Stems {
    fn model(&self) -> &ContentHash {
        &self.model
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            if self.is_broken.load(Ordering::SeqCst) {
                return Err(EmbedError("broken".to_owned()));
            }
            self.n_embedded.fetch_add(texts.len(), Ordering::SeqCst);
            Ok(texts.iter().map(|text| vector(text)).collect())
        })
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut numbers = vec![0.0_f32; 128];
    for stem in language::word::content_stems(text) {
        let place = stem.bytes().fold(7_usize, |sum, byte| sum * 31 % 8191 + usize::from(byte)) % 128;
        numbers[place] += 1.0;
    }
    numbers[0] += 0.01;
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}

const TOPICS: [(&str, &str); 4] = [
    ("wires", "A wire transfer is final once the other bank accepts it. Ask the bank for a recall at once."),
    ("cards", "A stolen credit card costs its holder at most 50 dollars. Report the theft by phone."),
    ("checks", "A deposited check may be held for two business days. Longer holds need a notice."),
    ("pensions", "A retirement withdrawal before age 59 costs a penalty of ten percent. Exceptions exist."),
];

fn file(path: &str, content: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), bytes: content.as_bytes().to_vec() }
}

fn article(name: &str, body: &str) -> SourceFile {
    let content =
        format!("---\ntitle: About {name}\nsource: A statute\nas_of: 2026\n---\n## Rules\n{body}\n");
    file(&format!("{name}.md"), &content)
}

fn articles() -> Vec<SourceFile> {
    TOPICS.iter().map(|(name, body)| article(name, body)).collect()
}

fn questions_file() -> SourceFile {
    let answered = [
        ("when is a wire transfer final", "wires"),
        ("can the bank recall a wire", "wires"),
        ("how do I ask for a wire recall", "wires"),
        ("what does a stolen credit card cost me", "cards"),
        ("how do I report a stolen card", "cards"),
        ("credit card theft by phone", "cards"),
        ("how long is a deposited check held", "checks"),
        ("check hold business days", "checks"),
        ("notice of a longer check hold", "checks"),
        ("penalty for an early retirement withdrawal", "pensions"),
        ("retirement withdrawal before 59", "pensions"),
        ("exceptions from the withdrawal penalty", "pensions"),
    ];
    let refused = [
        "what is the weather tomorrow",
        "what is your routing number",
        "who won the football game",
        "recipe for banana bread",
        "where is your nearest branch",
        "what are your opening hours",
        "how tall is the tower",
        "is your app down",
        "price of bitcoin today",
        "translate hello into French",
        "who is your chief executive",
        "song lyrics please",
    ];
    let answered = answered.map(|(question, document)| {
        format!("{{\"question\": \"{question}\", \"document\": \"{document}\"}}\n")
    });
    let refused = refused.map(|question| format!("{{\"question\": \"{question}\", \"document\": null}}\n"));
    file("calibration-test.jsonl", &[answered.concat(), refused.concat()].concat())
}

fn finance() -> CollectionName {
    CollectionName::from("finance")
}

fn search(query: &str) -> Search {
    Search { collections: vec![finance()], query: query.to_owned(), limit: 2, passage_tokens: 30 }
}

struct Rig {
    store: Arc<Memory>,
    embedder: Arc<Stems>,
    library: Library,
}

fn rig() -> Rig {
    let store = Arc::new(Memory::default());
    let embedder = Stems::new();
    let library = Library::new(store.clone(), Some(embedder.clone()));
    Rig { store, embedder, library }
}

#[tokio::test]
async fn words_alone_and_words_with_vectors_find_the_right_document() {
    for with_vectors in [false, true] {
        let rig = rig();
        rig.library.load(&finance(), articles()).await.unwrap();
        if with_vectors {
            rig.library.embed(&|_| {}).await.unwrap();
        }
        for (query, want) in [
            ("is a wire final", "wires"),
            ("stolen credit cards", "cards"),
            ("held checks", "checks"),
            ("retirement penalties", "pensions"),
        ] {
            let found = rig.library.search(search(query)).await.unwrap();
            assert_eq!(found.passages[0].document.as_str(), want, "{query}, vectors: {with_vectors}");
        }
    }
}

#[tokio::test]
async fn passages_are_exact_spans_within_their_token_limit_and_do_not_overlap() {
    let rig = rig();
    let body: String = (0..120).map(|n| format!("Rule {n} of wires says something. ")).collect();
    rig.library.load(&finance(), vec![article("wires", &body)]).await.unwrap();
    let found = rig.library.search(search("rule 7 of wires")).await.unwrap();
    let stored = rig.store.documents.lock()[&finance()][0].0.clone();
    assert!(!found.passages.is_empty());
    for passage in &found.passages {
        assert_eq!(passage.text, stored.text[passage.start..passage.end]);
        assert!(passage.text.starts_with("Rule") && passage.text.ends_with("something."), "{}", passage.text);
        assert!(rig.embedder.count_tokens(&passage.text) <= 30);
        assert_eq!(passage.version, stored.version);
        assert_eq!((passage.source.as_str(), passage.as_of.as_str()), ("A statute", "2026"));
    }
    assert!(found.passages[0].text.contains("Rule 7 "), "{:?}", found.passages);
    if let [first, second] = found.passages.as_slice() {
        assert!(first.end <= second.start || second.end <= first.start);
    }
}

#[tokio::test]
async fn labelled_questions_teach_when_to_abstain() {
    for with_vectors in [false, true] {
        let rig = rig();
        let mut files = articles();
        files.push(questions_file());
        let loaded = rig.library.load(&finance(), files).await.unwrap();
        assert_eq!(loaded.questions, 24);
        if with_vectors {
            rig.library.embed(&|_| {}).await.unwrap();
        }
        for (query, want) in [
            ("when is my wire final", true),
            ("stolen credit card report", true),
            ("what is your phone number", false),
            ("recipe for chocolate cake", false),
        ] {
            let found = rig.library.search(search(query)).await.unwrap();
            assert_eq!(found.is_answerable(), want, "{query}, vectors: {with_vectors}: {found:?}");
        }
    }
}

#[tokio::test]
async fn without_labelled_questions_the_shipped_judgement_refuses_what_is_nowhere() {
    let rig = rig();
    rig.library.load(&finance(), articles()).await.unwrap();
    rig.library.embed(&|_| {}).await.unwrap();
    let found = rig.library.search(search("banana bread recipe")).await.unwrap();
    assert!(!found.is_answerable(), "{found:?}");
}

#[tokio::test]
async fn what_did_not_change_is_neither_stored_nor_embedded_again() {
    let rig = rig();
    let loaded = rig.library.load(&finance(), articles()).await.unwrap();
    assert_eq!((loaded.documents, loaded.chunks, loaded.content), (4, 4, Content::Replaced));
    rig.library.embed(&|_| {}).await.unwrap();
    // Four chunks and their eight sentences.
    assert_eq!(rig.embedder.n_embedded.load(Ordering::SeqCst), 12);

    // A restart: another library over the same store has all vectors at once.
    let again = Library::new(rig.store.clone(), Some(rig.embedder.clone()));
    let mut files = articles();
    files.reverse();
    assert_eq!(again.load(&finance(), files).await.unwrap().content, Content::Unchanged);
    assert!(again.current.load()[&finance()].model().is_some());
    again.embed(&|_| {}).await.unwrap();
    assert_eq!(rig.embedder.n_embedded.load(Ordering::SeqCst), 12);
    assert_eq!(rig.store.n_replaced.load(Ordering::SeqCst), 1);

    let mut files = articles();
    files[1] = article("cards", "A stolen card costs nothing.");
    assert_eq!(again.load(&finance(), files).await.unwrap().content, Content::Replaced);
    again.embed(&|_| {}).await.unwrap();
    assert_eq!(rig.embedder.n_embedded.load(Ordering::SeqCst), 14);
}

#[tokio::test]
async fn progress_goes_from_what_is_known_to_all() {
    let rig = rig();
    let mut files = articles();
    files.push(questions_file());
    rig.library.load(&finance(), files).await.unwrap();
    let seen = Mutex::new(Vec::new());
    rig.library.embed(&|progress| seen.lock().push(progress)).await.unwrap();
    let seen = seen.into_inner();
    assert_eq!(seen.first(), Some(&Progress { done: 0, total: 36 }));
    assert_eq!(seen.last(), Some(&Progress { done: 36, total: 36 }));
    assert!(seen.windows(2).all(|pair| pair[0].done <= pair[1].done));
}

#[tokio::test]
async fn a_failing_embedder_leaves_the_search_by_words() {
    let rig = rig();
    rig.embedder.is_broken.store(true, Ordering::SeqCst);
    rig.library.load(&finance(), articles()).await.unwrap();
    assert!(matches!(rig.library.embed(&|_| {}).await, Err(LoadError::Embed { .. })));
    assert_eq!(rig.library.search(search("wires")).await.unwrap().passages[0].document.as_str(), "wires");

    // It also does when the embedder fails later, with vectors there.
    rig.embedder.is_broken.store(false, Ordering::SeqCst);
    rig.library.embed(&|_| {}).await.unwrap();
    rig.embedder.is_broken.store(true, Ordering::SeqCst);
    assert_eq!(rig.library.search(search("wires")).await.unwrap().passages[0].document.as_str(), "wires");
}

#[tokio::test]
async fn an_embedder_that_comes_later_measures_and_embeds() {
    let store = Arc::new(Memory::default());
    let library = Library::new(store.clone(), None);
    library.load(&finance(), articles()).await.unwrap();
    library.embed(&|_| {}).await.unwrap();
    assert!(library.current.load()[&finance()].model().is_none());
    let embedder = Stems::new();
    library.set_embedder(embedder.clone());
    library.embed(&|_| {}).await.unwrap();
    let generation = library.current.load()[&finance()].clone();
    assert_eq!(generation.model(), Some(embedder.model()));
    assert_eq!(generation.measured_by.as_ref(), Some(embedder.model()));
}

#[tokio::test]
async fn a_failed_load_leaves_what_was_served() {
    let rig = rig();
    rig.library.load(&finance(), articles()).await.unwrap();
    let bad = vec![file("wires.md", "---\nowner: me\n---\nText.")];
    let error = rig.library.load(&finance(), bad).await.unwrap_err();
    assert_eq!(error.to_string(), "wires.md:2: unknown key `owner`; known are title, source and as_of");
    let twice = vec![file("a.md", "One."), file("a.txt", "Two.")];
    let error = rig.library.load(&finance(), twice).await.unwrap_err();
    assert_eq!(error.to_string(), "`a.md` and `a.txt` are the same document");
    rig.store.is_down.store(true, Ordering::SeqCst);
    let error = rig.library.load(&finance(), vec![article("new", "Other.")]).await.unwrap_err();
    assert!(matches!(error, LoadError::Store { .. }), "{error}");
    assert_eq!(rig.library.search(search("wires")).await.unwrap().passages[0].document.as_str(), "wires");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_sees_one_generation_whole() {
    let rig = rig();
    let version = |word: &str| {
        vec![
            article("a", &format!("Wires are {word} and final once accepted.")),
            article("b", &format!("Branches take {word} fees for wires abroad.")),
        ]
    };
    rig.library.load(&finance(), version("old")).await.unwrap();
    let searches = async {
        for _ in 0..60 {
            let found = rig.library.search(search("wires")).await.unwrap();
            assert_eq!(found.passages.len(), 2);
            let n_old = found.passages.iter().filter(|passage| passage.text.contains("old")).count();
            assert!(n_old == 0 || n_old == 2, "{found:?}");
        }
    };
    let loads = async {
        for round in 0..10 {
            let word = if round % 2 == 0 { "new" } else { "old" };
            rig.library.load(&finance(), version(word)).await.unwrap();
            rig.library.embed(&|_| {}).await.unwrap();
        }
    };
    futures_util::future::join(searches, loads).await;
}

#[tokio::test]
async fn collections_are_searched_together_and_unknown_ones_are_errors() {
    let rig = rig();
    rig.library.load(&finance(), articles()).await.unwrap();
    let other = CollectionName::from("other");
    rig.library.load(&other, vec![article("boats", "A boat loan is secured by the boat.")]).await.unwrap();
    let both = Search { collections: vec![finance(), other], ..search("boat loan") };
    let found = rig.library.search(both).await.unwrap();
    assert!(found.passages.iter().any(|passage| passage.document.as_str() == "boats"), "{found:?}");
    let none = Search { collections: vec![CollectionName::from("nowhere")], ..search("boat") };
    let error = rig.library.search(none).await.unwrap_err();
    assert_eq!(error.to_string(), "could not search: there is no collection `nowhere`");
    let nothing = Search { collections: Vec::new(), ..search("boat") };
    assert_eq!(rig.library.search(nothing).await.unwrap(), Retrieved::default());
}

#[tokio::test]
async fn an_empty_question_finds_nothing_and_is_refused() {
    let rig = rig();
    rig.library.load(&finance(), articles()).await.unwrap();
    let found = rig.library.search(search("the of and")).await.unwrap();
    assert!(found.passages.is_empty() && !found.is_answerable());
}

#[tokio::test]
async fn evaluation_counts_recall_and_abstention() {
    let rig = rig();
    let mut files = articles();
    files.push(questions_file());
    rig.library.load(&finance(), files).await.unwrap();
    rig.library.embed(&|_| {}).await.unwrap();
    let evaluation = rig.library.evaluate(&finance()).await.unwrap().unwrap();
    let hybrid = evaluation.hybrid.unwrap();
    assert_eq!((hybrid.n_answerable, hybrid.n_unanswerable), (12, 12));
    assert!(hybrid.recall_at_1 > 0.9 && hybrid.area > 0.8, "{hybrid:?}");
    assert!(evaluation.by_words.recall_at_2 > 0.9);
    assert_eq!(rig.library.evaluate(&CollectionName::from("nowhere")).await.unwrap(), None);
}
