//! The lexical index: BM25 (k1 1.2, b 0.75) over title, heading and body, in memory.

use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, DisjunctionMaxQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, ReloadPolicy, Searcher, TantivyDocument, Term};

use crate::term::terms;

/// Sizes the writer's hash table; it grows beyond when it must.
const WRITER_BYTES: usize = 4_000_000;
/// A term counts where it scores best, with this share of what it scores in the other fields: adding all
/// fields up lets a title of two words outrank the text that answers (recall@2 of the shipped collection by
/// words alone is 0.90 so, 0.79 with sums, titles doubled and headings at 1.5).
const OTHER_FIELDS_SHARE: f32 = 0.2;

/// The lexical index could not be built or read.
#[derive(Debug, thiserror::Error)]
#[error("the lexical index failed: {0}")]
pub(crate) struct WordsError(#[from] tantivy::TantivyError);

/// What is indexed of a chunk.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) heading: &'a str,
    pub(crate) body: &'a str,
}

/// One immutable lexical index; an entry is known by its position.
pub(crate) struct WordIndex {
    searcher: Searcher,
    title: Field,
    heading: Field,
    body: Field,
}

impl WordIndex {
    pub(crate) fn build<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Result<Self, WordsError> {
        // Terms come from `term`, already stemmed: the same for what is indexed and what is looked for.
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("whitespace")
            .set_index_option(IndexRecordOption::WithFreqs);
        let options = TextOptions::default().set_indexing_options(indexing);
        let mut schema = Schema::builder();
        let title = schema.add_text_field("title", options.clone());
        let heading = schema.add_text_field("heading", options.clone());
        let body = schema.add_text_field("body", options);
        // One segment written in order by this thread: positions are document numbers, no thread stays behind.
        let mut writer = Index::builder()
            .schema(schema.build())
            .single_segment_index_writer(RamDirectory::create(), WRITER_BYTES)?;
        for entry in entries {
            let mut document = TantivyDocument::new();
            let name = entry.name.replace(['/', '-', '_'], " ");
            document.add_text(title, terms(&format!("{} {name}", entry.title)).join(" "));
            document.add_text(heading, terms(entry.heading).join(" "));
            document.add_text(body, terms(entry.body).join(" "));
            writer.add_document(document)?;
        }
        let index = writer.finalize()?;
        let searcher = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?.searcher();
        Ok(Self { searcher, title, heading, body })
    }

    /// The best `limit` entries that hold any of `terms`, with their scores, best first.
    pub(crate) fn search(&self, terms: &[String], limit: usize) -> Result<Vec<(usize, f32)>, WordsError> {
        if terms.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let clauses: Vec<(Occur, Box<dyn Query>)> = terms
            .iter()
            .map(|term| {
                let in_fields = [self.title, self.heading, self.body].map(|field| {
                    let term = Term::from_field_text(field, term);
                    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) as Box<dyn Query>
                });
                let best = DisjunctionMaxQuery::with_tie_breaker(in_fields.into(), OTHER_FIELDS_SHARE);
                (Occur::Should, Box::new(best) as Box<dyn Query>)
            })
            .collect();
        let found = self
            .searcher
            .search(&BooleanQuery::new(clauses), &TopDocs::with_limit(limit).order_by_score())?;
        Ok(found.into_iter().map(|(score, address)| (address.doc_id as usize, score)).collect())
    }

    /// How many entries hold `term`, at least (its most frequent field).
    pub(crate) fn frequency(&self, term: &str) -> Result<u64, WordsError> {
        let mut frequency = 0;
        for field in [self.title, self.heading, self.body] {
            frequency = frequency.max(self.searcher.doc_freq(&Term::from_field_text(field, term))?);
        }
        Ok(frequency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(bodies: &[(&str, &str)]) -> WordIndex {
        let entries = bodies.iter().map(|(title, body)| Entry { name: "", title, heading: "", body });
        WordIndex::build(entries).unwrap()
    }

    #[test]
    fn stems_find_in_title_and_body_and_both_are_better_than_one() {
        let index = index(&[
            ("Wire transfers", "They are sent by banks."),
            ("Loans", "Nothing here."),
            ("Wire transfers", "Wires are sent by banks."),
            ("Money", "Wires are sent by banks."),
        ]);
        let found = index.search(&terms("a wire"), 10).unwrap();
        let mut places: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
        assert_eq!(places[0], 2);
        places.sort_unstable();
        assert_eq!(places, [0, 2, 3]);
        assert!(found.is_sorted_by(|left, right| left.1 >= right.1));
    }

    #[test]
    fn nothing_is_found_for_words_that_are_nowhere() {
        let index = index(&[("Cards", "Text.")]);
        assert_eq!(index.search(&terms("bitcoin"), 10).unwrap(), []);
        assert_eq!(index.search(&[], 10).unwrap(), []);
        assert_eq!(index.frequency("bitcoin").unwrap(), 0);
        assert_eq!(index.frequency("card").unwrap(), 1);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(index(&[]).search(&terms("card"), 10).unwrap(), []);
    }
}
