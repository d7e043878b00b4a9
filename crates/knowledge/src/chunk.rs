//! Cutting a document into the pieces that are indexed and embedded.

use std::ops::Range;

use domain::document::{Chunk, Document};
use domain::ports::Embedder;

use crate::{extract::hash_of_parts, markdown};

/// Most tokens of a chunk with its title and heading. The sentence embedder reads 256 and drops the rest
/// without a word; 200 leave room for special tokens and for estimates that are too low.
pub const CHUNK_TOKENS_MAX: usize = 200;
/// Tokens that a chunk repeats of the one before it, when a section needs several: 15 %.
const OVERLAP_TOKENS: usize = CHUNK_TOKENS_MAX * 15 / 100;
/// A chunk has room for this many tokens of text, however long its title and heading are.
const TEXT_TOKENS_MIN: usize = CHUNK_TOKENS_MAX / 2;

/// How tokens are counted.
#[derive(Clone, Copy)]
pub enum Measure<'a> {
    /// By the sentence embedder's tokenizer.
    Embedder(&'a dyn Embedder),
    /// Without an embedder: 1.35 tokens a word, MiniLM's average on English banking texts.
    Words,
}

impl Measure<'_> {
    /// Tokens of `text`.
    #[must_use]
    pub fn tokens(self, text: &str) -> usize {
        match self {
            Measure::Embedder(embedder) => embedder.count_tokens(text),
            Measure::Words => (text.split_whitespace().count() * 135).div_ceil(100),
        }
    }
}

/// What is embedded of a piece of text: its document's title, its heading, itself.
pub(crate) fn embedded_text(title: &str, heading: &str, text: &str) -> String {
    [title, heading, text].join("\n")
}

/// A sentence (a list item or table row is one too) with its place in the document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) range: Range<usize>,
    pub(crate) tokens: usize,
}

/// The chunks of `document`: whole sentences of one section, at most [`CHUNK_TOKENS_MAX`] tokens.
#[must_use]
pub fn chunks(document: &Document, measure: Measure<'_>) -> Vec<Chunk> {
    let title_tokens = measure.tokens(&document.title);
    let mut chunks = Vec::new();
    for section in sections(document) {
        let room = CHUNK_TOKENS_MAX
            .saturating_sub(title_tokens + measure.tokens(&section.heading))
            .max(TEXT_TOKENS_MIN);
        let sentences: Vec<Sentence> =
            section.lines.iter().flat_map(|line| sentences(&document.text, line, measure, room)).collect();
        for range in packed(&sentences, room) {
            let text = &document.text[range.clone()];
            chunks.push(Chunk {
                document: document.id.clone(),
                index: u32::try_from(chunks.len()).expect("a document is smaller than 4 GiB"),
                heading: section.heading.clone(),
                start: range.start,
                end: range.end,
                text: text.to_owned(),
                hash: hash_of_parts(&[&document.title, &section.heading, text]),
            });
        }
    }
    chunks
}

/// The sentences in `range` of `text`, which are those that chunks are made of.
pub(crate) fn sentences_within(text: &str, range: Range<usize>, measure: Measure<'_>) -> Vec<Sentence> {
    lines(&text[range.clone()])
        .map(|line| line.start + range.start..line.end + range.start)
        .filter(|line| markdown::heading(&text[line.clone()]).is_none())
        .flat_map(|line| sentences(text, &line, measure, usize::MAX))
        .collect()
}

/// The headings under which `document` has text; the empty one stands for what is before the first.
pub(crate) fn headings(document: &Document) -> Vec<String> {
    let written = sections(document).into_iter().filter(|section| !section.lines.is_empty());
    written.map(|section| section.heading).collect()
}

struct Section {
    heading: String,
    lines: Vec<Range<usize>>,
}

/// The document's lines by the headings that they stand under; a heading equal to the title adds nothing.
fn sections(document: &Document) -> Vec<Section> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut sections = vec![Section { heading: String::new(), lines: Vec::new() }];
    for line in lines(&document.text) {
        match markdown::heading(&document.text[line.clone()]) {
            Some((level, words)) => {
                open.retain(|(above, _)| *above < level);
                open.push((level, words));
                let path: Vec<&str> = open
                    .iter()
                    .map(|(_, words)| *words)
                    .filter(|words| !words.eq_ignore_ascii_case(&document.title))
                    .collect();
                sections.push(Section { heading: path.join(": "), lines: Vec::new() });
            }
            None => {
                if let Some(section) = sections.last_mut() {
                    section.lines.push(line);
                }
            }
        }
    }
    sections
}

/// The places of the lines that hold something, without the blanks around it.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let from = start + (line.len() - line.trim_start().len());
        start += line.len();
        let words = line.trim();
        (!words.is_empty()).then(|| from..from + words.len())
    })
}

/// The sentences of one line; one that is longer than `room` is cut between words.
fn sentences(text: &str, line: &Range<usize>, measure: Measure<'_>, room: usize) -> Vec<Sentence> {
    let line_text = &text[line.clone()];
    let marker = markdown::marker(line_text);
    let mut found = Vec::new();
    for (index, inner) in language::sentences(&line_text[marker..]).into_iter().enumerate() {
        // A list marker belongs to the first sentence behind it.
        let start = if index == 0 { line.start } else { line.start + marker + inner.start };
        let range = start..line.start + marker + inner.end;
        let tokens = measure.tokens(&text[range.clone()]);
        if tokens <= room {
            found.push(Sentence { range, tokens });
        } else {
            found.extend(cut(text, range, measure, room));
        }
    }
    found
}

/// Pieces of a sentence that is too long, each of at most `room` tokens unless it is a single word.
fn cut(text: &str, range: Range<usize>, measure: Measure<'_>, room: usize) -> Vec<Sentence> {
    let mut pieces: Vec<Sentence> = Vec::new();
    let mut at = range.start;
    for word in text[range].split_inclusive(' ') {
        let bare = word.trim_end();
        let tokens = measure.tokens(bare);
        let place = at..at + bare.len();
        at += word.len();
        match pieces.last_mut() {
            Some(piece) if piece.tokens + tokens <= room => {
                piece.range.end = place.end;
                piece.tokens += tokens;
            }
            _ => pieces.push(Sentence { range: place, tokens }),
        }
    }
    pieces
}

/// Consecutive sentences packed to at most `room` tokens, each pack repeating the end of the one before.
fn packed(sentences: &[Sentence], room: usize) -> Vec<Range<usize>> {
    let mut packs = Vec::new();
    let mut first = 0;
    let mut tokens = 0;
    for (index, sentence) in sentences.iter().enumerate() {
        if index > first && tokens + sentence.tokens > room {
            packs.push(sentences[first].range.start..sentences[index - 1].range.end);
            tokens = 0;
            // Walk back over what is repeated; never the whole pack, and never past what fits.
            let mut start = index;
            while start - 1 > first
                && tokens + sentences[start - 1].tokens <= OVERLAP_TOKENS
                && tokens + sentences[start - 1].tokens + sentence.tokens <= room
            {
                start -= 1;
                tokens += sentences[start].tokens;
            }
            first = start;
        }
        tokens += sentence.tokens;
    }
    if let (Some(start), Some(end)) = (sentences.get(first), sentences.last()) {
        packs.push(start.range.start..end.range.end);
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(title: &str, text: &str) -> Document {
        Document {
            collection: "finance".into(),
            id: "a".into(),
            title: title.into(),
            source: String::new(),
            as_of: String::new(),
            version: "0".into(),
            text: text.into(),
        }
    }

    /// Sentences of `words` words each, all different.
    fn prose(n_sentences: usize, words: usize) -> String {
        let sentence = |n: usize| format!("Sentence{n}{}.", " word".repeat(words - 1));
        (0..n_sentences).map(sentence).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn headings_are_borders_and_prefixes() {
        let document =
            document("Cards", "# Cards\nIntro.\n## Fees\nOne fee.\n### Abroad\nAnother fee.\n## End\nBye.");
        let found: Vec<(String, String)> =
            chunks(&document, Measure::Words).into_iter().map(|chunk| (chunk.heading, chunk.text)).collect();
        let want = [("", "Intro."), ("Fees", "One fee."), ("Fees: Abroad", "Another fee."), ("End", "Bye.")];
        assert_eq!(found, want.map(|(heading, text)| (heading.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_long_section_is_cut_between_sentences_with_an_overlap_of_at_most_15_percent() {
        let document = document("Title", &prose(40, 10));
        let found = chunks(&document, Measure::Words);
        assert!(found.len() > 2);
        for pair in found.windows(2) {
            assert!(pair[1].start < pair[0].end, "no overlap");
            let overlap = &document.text[pair[1].start..pair[0].end];
            assert!(Measure::Words.tokens(overlap) <= OVERLAP_TOKENS, "{overlap}");
            assert!(pair[1].text.starts_with("Sentence") && pair[0].text.ends_with('.'));
        }
    }

    #[test]
    fn a_sentence_longer_than_a_chunk_is_cut_between_words() {
        let document = document("Title", &prose(1, 500));
        for chunk in chunks(&document, Measure::Words) {
            assert!(Measure::Words.tokens(&chunk.text) <= CHUNK_TOKENS_MAX);
            assert!(chunk.text.ends_with("word") || chunk.text.ends_with("word."));
        }
    }

    #[test]
    fn the_hash_changes_with_title_heading_and_text_only() {
        let hash = |title: &str, text: &str| chunks(&document(title, text), Measure::Words)[0].hash.clone();
        assert_eq!(hash("T", "## H\nText."), hash("T", "## H\n\nText."));
        for (title, text) in [("U", "## H\nText."), ("T", "## I\nText."), ("T", "## H\nTexts.")] {
            assert_ne!(hash("T", "## H\nText."), hash(title, text));
        }
    }

    #[test]
    fn a_title_longer_than_a_chunk_leaves_room_for_text() {
        let found = chunks(&document(&"long ".repeat(300), &prose(10, 10)), Measure::Words);
        assert_eq!(found.len(), 2);
    }

    fn block() -> impl Strategy<Value = String> {
        let sentence = "[A-Z][a-zé$0-9]{0,8}( [a-z0-9,%½]{1,9}){0,60}[.?!]";
        prop_oneof![
            1 => "#{1,4} [A-Z][a-z ]{1,20}",
            4 => proptest::collection::vec(sentence, 1..8).prop_map(|sentences| sentences.join(" ")),
            1 => sentence.prop_map(|item| format!("- {item}")),
            1 => sentence.prop_map(|item| format!("1. {item}")),
        ]
    }

    proptest! {
        #[test]
        fn chunks_hold_every_sentence_and_their_exact_text(blocks in proptest::collection::vec(block(), 1..12)) {
            let document = document("Some title", &blocks.join("\n"));
            let found = chunks(&document, Measure::Words);
            for chunk in &found {
                prop_assert_eq!(&chunk.text, &document.text[chunk.start..chunk.end]);
                let tokens = Measure::Words.tokens(&embedded_text("Some title", &chunk.heading, &chunk.text));
                prop_assert!(tokens <= CHUNK_TOKENS_MAX + 3, "{tokens}: {}", chunk.text);
            }
            for (index, byte) in document.text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                let line = lines(&document.text).find(|line| line.contains(&index)).unwrap();
                let is_heading = markdown::heading(&document.text[line]).is_some();
                let is_held = found.iter().any(|chunk| (chunk.start..chunk.end).contains(&index));
                prop_assert!(is_heading != is_held, "{byte} at {index}");
            }
            for (index, chunk) in found.iter().enumerate() {
                prop_assert_eq!(usize::try_from(chunk.index).unwrap(), index);
            }
        }
    }
}
