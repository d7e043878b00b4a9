//! The best run of whole sentences of a chunk, and the choice of passages that say different things.

use std::ops::Range;

use domain::document::{NearSentence, Passage};

use crate::chunk::Measure;
use crate::corpus::{Corpus, Evidence, Query, TermKey};

/// How many candidates are looked at for passages, over the limit, before giving up on more.
const SPARE_CANDIDATES: usize = 8;
/// Two passages that share more of their terms than this say the same.
const SAME_SHARE: f32 = 0.7;

/// The best passages of what was found: at most `limit`, at most `tokens` tokens each.
pub(crate) fn passages(corpus: &Corpus, query: &Query, evidence: &Evidence, room: Room) -> Vec<Passage> {
    let mut chosen: Vec<Run> = Vec::new();
    let mut passages = Vec::new();
    for candidate in evidence.ranked.iter().take(room.passages + SPARE_CANDIDATES) {
        if passages.len() == room.passages {
            break;
        }
        let open = open_sentences(corpus, candidate.chunk, &chosen);
        let relevance = |sentence: usize| {
            let cosine = evidence.sentence_cosines.get(&sentence).copied().unwrap_or_default();
            query.share(&corpus.sentences[sentence].terms) + cosine
        };
        let Some(run) = best_run(corpus, open, relevance, room.tokens) else { continue };
        let run = Run::new(corpus, candidate.chunk, run, room.tokens);
        if chosen.iter().any(|other| shared(&run.terms, &other.terms) > SAME_SHARE) {
            continue;
        }
        let document = &corpus.documents[run.document];
        passages.push(Passage {
            document: document.id.clone(),
            version: document.version.clone(),
            title: document.title.clone(),
            source: document.source.clone(),
            as_of: document.as_of.clone(),
            start: run.range.start,
            end: run.range.end,
            text: document.text[run.range.clone()].to_owned(),
            score: candidate.score,
            sentences: run
                .sentences
                .clone()
                .filter_map(|at| near_sentence(corpus, evidence, &run, at))
                .collect(),
        });
        chosen.push(run);
    }
    passages
}

/// The sentence at `at` in its passage, where vectors tell how near it is.
fn near_sentence(corpus: &Corpus, evidence: &Evidence, run: &Run, at: usize) -> Option<NearSentence> {
    let nearness = *evidence.sentence_cosines.get(&at)?;
    let range = &corpus.sentences[at].range;
    let place = |offset: usize| offset.min(run.range.end) - run.range.start;
    Some(NearSentence { start: place(range.start), end: place(range.end), nearness })
}

/// How much a reader of the passages takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) passages: usize,
    pub(crate) tokens: usize,
}

/// A run of sentences that became a passage.
struct Run {
    document: usize,
    range: Range<usize>,
    /// By position among all sentences.
    sentences: Range<usize>,
    terms: Vec<TermKey>,
}

impl Run {
    fn new(corpus: &Corpus, chunk: usize, sentences: Range<usize>, tokens: usize) -> Self {
        let document = corpus.chunks[chunk].document;
        let places = sentences.clone();
        let sentences = &corpus.sentences[sentences];
        let mut terms: Vec<TermKey> = sentences.iter().flat_map(|sentence| sentence.terms.clone()).collect();
        terms.sort_unstable();
        terms.dedup();
        let start = sentences.first().map_or(0, |sentence| sentence.range.start);
        let mut end = sentences.last().map_or(0, |sentence| sentence.range.end);
        if let [only] = sentences
            && only.tokens > tokens
        {
            end = start + first_words(&corpus.documents[document].text[start..end], tokens).len();
        }
        Self { document, range: start..end, sentences: places, terms }
    }
}

/// The longest unbroken stretch of the chunk's sentences that no chosen passage holds already.
fn open_sentences(corpus: &Corpus, chunk: usize, chosen: &[Run]) -> Range<usize> {
    let chunk = &corpus.chunks[chunk];
    let is_taken = |sentence: usize| {
        let range = &corpus.sentences[sentence].range;
        chosen.iter().any(|run| {
            run.document == chunk.document && run.range.start < range.end && range.start < run.range.end
        })
    };
    let mut longest = chunk.sentences.start..chunk.sentences.start;
    let mut start = chunk.sentences.start;
    for sentence in chunk.sentences.clone() {
        if is_taken(sentence) {
            start = sentence + 1;
        } else if sentence + 1 - start > longest.len() {
            longest = start..sentence + 1;
        }
    }
    longest
}

/// Grows from the most relevant sentence to whichever neighbour is more relevant, as long as one fits.
fn best_run(
    corpus: &Corpus,
    open: Range<usize>,
    relevance: impl Fn(usize) -> f32,
    tokens: usize,
) -> Option<Range<usize>> {
    let first = open.clone().max_by(|left, right| {
        // The earlier one wins a tie.
        relevance(*left).total_cmp(&relevance(*right)).then(right.cmp(left))
    })?;
    let mut run = first..first + 1;
    let mut held = corpus.sentences[first].tokens;
    let fits = |sentence: usize, held: usize| held + corpus.sentences[sentence].tokens <= tokens;
    loop {
        let before = (run.start > open.start).then(|| run.start - 1).filter(|at| fits(*at, held));
        let after = (run.end < open.end).then_some(run.end).filter(|at| fits(*at, held));
        let next = match (before, after) {
            (Some(before), Some(after)) if relevance(before) > relevance(after) => before,
            (_, Some(after)) => after,
            (Some(before), None) => before,
            (None, None) => return Some(run),
        };
        held += corpus.sentences[next].tokens;
        run = run.start.min(next)..run.end.max(next + 1);
    }
}

/// The first words of a sentence that is too long by itself, by estimate.
fn first_words(sentence: &str, tokens: usize) -> &str {
    let mut end = 0;
    for (at, _) in sentence.match_indices(' ').chain([(sentence.len(), "")]) {
        if end > 0 && Measure::Words.tokens(&sentence[..at]) > tokens {
            break;
        }
        end = at;
    }
    &sentence[..end]
}

/// The share of the smaller set that is in the other too; both sorted.
fn shared(left: &[TermKey], right: &[TermKey]) -> f32 {
    let smaller = left.len().min(right.len());
    let both = left.iter().filter(|term| right.binary_search(term).is_ok()).count();
    if smaller == 0 { 0.0 } else { both as f32 / smaller as f32 }
}

#[cfg(test)]
mod tests {
    use domain::document::Document;

    use super::*;
    use crate::chunk::chunks;

    fn corpus(texts: &[(&str, &str)]) -> Corpus {
        let content = texts.iter().map(|(id, text)| {
            let document = Document {
                collection: "c".into(),
                id: (*id).into(),
                title: "Rules".into(),
                source: String::new(),
                as_of: String::new(),
                version: "0".into(),
                text: (*text).into(),
            };
            let chunks = chunks(&document, Measure::Words);
            (document, chunks)
        });
        Corpus::build(content.collect(), Measure::Words).unwrap()
    }

    fn found(corpus: &Corpus, query: &str, room: Room) -> Vec<String> {
        let query = corpus.query(query, None).unwrap();
        let evidence = corpus.search(None, &query).unwrap();
        passages(corpus, &query, &evidence, room).into_iter().map(|passage| passage.text).collect()
    }

    #[test]
    fn the_run_grows_from_the_best_sentence_to_the_better_neighbour() {
        let corpus = corpus(&[(
            "a",
            "Nothing to see in here. Fees are small. The overdraft fee is ten dollars. Call the bank soon. The end.",
        )]);
        for (tokens, want) in [
            (9, "The overdraft fee is ten dollars."),
            (14, "Fees are small. The overdraft fee is ten dollars."),
            (20, "Fees are small. The overdraft fee is ten dollars. Call the bank soon."),
        ] {
            let room = Room { passages: 1, tokens };
            assert_eq!(found(&corpus, "overdraft fee dollars", room), [want], "{tokens}");
        }
    }

    #[test]
    fn a_sentence_longer_than_a_passage_is_cut_between_words() {
        let corpus = corpus(&[("a", "The overdraft fee is ten dollars and then some more words follow.")]);
        let room = Room { passages: 1, tokens: 7 };
        assert_eq!(found(&corpus, "overdraft", room), ["The overdraft fee is ten"]);
    }

    #[test]
    fn a_passage_that_says_the_same_is_left_out() {
        let text = "The overdraft fee is ten dollars.";
        let corpus = corpus(&[("a", text), ("b", text), ("c", "An overdraft can be repaid within a week.")]);
        let room = Room { passages: 2, tokens: 50 };
        let found = found(&corpus, "overdraft fee", room);
        assert_eq!(found, [text, "An overdraft can be repaid within a week."]);
    }
}
