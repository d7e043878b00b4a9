//! From the bytes of a file to a document: Markdown with a front matter block, or plain text.

use domain::document::Document;
use domain::id::{CollectionName, ContentHash, DocumentId};

use crate::{hash, markdown};

/// Longest first line that is taken for a plain text's title, in characters.
const TITLE_CHARACTERS_MAX: usize = 120;

/// A file as found in a collection's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path within the collection, with `/` between folders.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// One document.
    Document,
    /// Questions that teach when to abstain.
    Calibration,
    /// Questions that show what sections are asked.
    Questions,
}

/// A file cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct ExtractError {
    /// The file's path within its collection.
    pub file: String,
    /// The line at fault, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a file cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Neither Markdown, plain text nor labelled questions.
    #[error("unknown kind of file; known are .md, .txt, calibration*.jsonl and questions*.jsonl")]
    Kind,
    /// The bytes are no text.
    #[error("not UTF-8")]
    Encoding,
    /// The front matter has no second `---`.
    #[error("the front matter that opens here is never closed by a line `---`")]
    Unclosed,
    /// A front matter line without a colon.
    #[error("a front matter line reads `key: value`")]
    NotAKey,
    /// A front matter key that does not exist.
    #[error("unknown key `{0}`; known are title, source and as_of")]
    UnknownKey(String),
    /// A front matter key that stands there twice.
    #[error("key `{0}` stands here a second time")]
    DuplicateKey(String),
    /// A front matter key without a value.
    #[error("key `{0}` has no value")]
    EmptyValue(String),
    /// An `as_of` that is no date.
    #[error("as_of is `2026`, `2026-11` or `2026-11-21`, not `{0}`")]
    Date(String),
    /// Nothing to read.
    #[error("the document holds no text")]
    Empty,
    /// A line of labelled questions that cannot be read; the keys that it has, and what is wrong.
    #[error("not a line {{{0}}}: {1}")]
    Question(&'static str, String),
    /// A labelled question about a document that is not there.
    #[error("no document `{0}` in this collection")]
    NoSuchDocument(String),
    /// A labelled question about a section that is not in its document.
    #[error("no section `{0}` in `{1}`")]
    NoSuchSection(String, String),
}

impl SourceFile {
    /// What this file holds, by its name; whether a document can be read from it shows later.
    pub(crate) fn kind(&self) -> FileKind {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        match name.strip_suffix(".jsonl") {
            Some(stem) if stem.starts_with("calibration") => FileKind::Calibration,
            Some(stem) if stem.starts_with("questions") => FileKind::Questions,
            _ => FileKind::Document,
        }
    }

    /// The content as text, without a byte order mark.
    pub(crate) fn text(&self) -> Result<&str, ExtractError> {
        let text = std::str::from_utf8(&self.bytes).map_err(|error| {
            let before = self.bytes.get(..error.valid_up_to()).unwrap_or_default();
            self.error(before.split(|byte| *byte == b'\n').count(), Reason::Encoding)
        })?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    pub(crate) fn error(&self, line: usize, reason: Reason) -> ExtractError {
        ExtractError { file: self.path.clone(), line, reason }
    }
}

/// The document in `file`. Its text has one block (paragraph, list item, table row) a line and keeps
/// headings as Markdown heading lines.
///
/// # Errors
/// [`ExtractError`] with file, line and reason when the file is no document.
pub fn extract(collection: &CollectionName, file: &SourceFile) -> Result<Document, ExtractError> {
    let content = file.text()?;
    let (stem, kind) = file.path.rsplit_once('.').unwrap_or((&file.path, ""));
    let (front, text, first_line) = match kind {
        "md" | "markdown" => {
            let (front, body) = front_matter(file, content)?;
            let first_line = content.lines().count() - body.lines().count() + 1;
            (front, markdown::readable(body), first_line)
        }
        "txt" => (FrontMatter::default(), plain(content), 1),
        _ => return Err(file.error(1, Reason::Kind)),
    };
    if text.lines().all(|line| markdown::heading(line).is_some()) {
        return Err(file.error(first_line, Reason::Empty));
    }
    let title = front
        .title
        .or_else(|| title_of(&text))
        .unwrap_or_else(|| stem.rsplit('/').next().unwrap_or(stem).replace(['-', '_'], " "));
    Ok(Document {
        collection: collection.clone(),
        id: DocumentId::from(stem),
        title,
        source: front.source.unwrap_or_default(),
        as_of: front.as_of.unwrap_or_default(),
        version: hash(&file.bytes),
        text,
    })
}

#[derive(Default)]
struct FrontMatter {
    title: Option<String>,
    source: Option<String>,
    as_of: Option<String>,
}

/// Reads the front matter, if there is one, and returns what follows it.
fn front_matter<'a>(file: &SourceFile, content: &'a str) -> Result<(FrontMatter, &'a str), ExtractError> {
    let mut front = FrontMatter::default();
    let mut rest = content;
    let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
    if first.trim_end() != "---" {
        return Ok((front, content));
    }
    if !after.lines().any(|line| line.trim() == "---") {
        return Err(file.error(1, Reason::Unclosed));
    }
    rest = after;
    for number in 2.. {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let line = line.trim();
        if line == "---" {
            return Ok((front, rest));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        front.set(line).map_err(|reason| file.error(number, reason))?;
    }
    Ok((front, rest))
}

impl FrontMatter {
    fn set(&mut self, line: &str) -> Result<(), Reason> {
        let (key, value) = line.split_once(':').ok_or(Reason::NotAKey)?;
        let (key, value) = (key.trim(), unquoted(value.trim()));
        let place = match key {
            "title" => &mut self.title,
            "source" => &mut self.source,
            "as_of" => &mut self.as_of,
            _ => return Err(Reason::UnknownKey(key.to_owned())),
        };
        if value.is_empty() {
            return Err(Reason::EmptyValue(key.to_owned()));
        }
        if key == "as_of" && !is_date(value) {
            return Err(Reason::Date(value.to_owned()));
        }
        match place.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Reason::DuplicateKey(key.to_owned())),
        }
    }
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value)
        .trim()
}

/// Whether `text` is a year, a month or a day, as `2026-11-21`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize, range: std::ops::RangeInclusive<u32>| {
        part.len() == digits && part.parse().is_ok_and(|value| range.contains(&value))
    };
    match parts.as_slice() {
        [year] => number(year, 4, 1..=9999),
        [year, month] => number(year, 4, 1..=9999) && number(month, 2, 1..=12),
        [year, month, day] => number(year, 4, 1..=9999) && number(month, 2, 1..=12) && number(day, 2, 1..=31),
        _ => false,
    }
}

/// The first line when it can be a title.
fn title_of(text: &str) -> Option<String> {
    let first = text.lines().next()?;
    let title = markdown::heading(first).map_or(first, |(_, title)| title);
    (title.chars().count() <= TITLE_CHARACTERS_MAX).then(|| title.trim_end_matches('.').to_owned())
}

/// Plain text with one paragraph or list item a line: hard line breaks within a paragraph are undone.
fn plain(content: &str) -> String {
    let mut text = String::with_capacity(content.len());
    let mut is_open = false;
    let mut is_first = true;
    for line in content.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            is_open = false;
            continue;
        }
        let line = words.join(" ");
        let stands_alone = markdown::heading(&line).is_some() || markdown::marker(&line) > 0;
        if !text.is_empty() {
            // The first line stays by itself, since it may be the title.
            text.push(if is_open && !is_first && !stands_alone { ' ' } else { '\n' });
            is_first = false;
        }
        text.push_str(&line);
        is_open = markdown::heading(&line).is_none();
    }
    text
}

pub(crate) fn hash_of_parts(parts: &[&str]) -> ContentHash {
    hash(parts.join("\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), bytes: content.as_bytes().to_vec() }
    }

    fn document(path: &str, content: &str) -> Document {
        extract(&"finance".into(), &file(path, content)).unwrap()
    }

    #[test]
    fn front_matter_names_title_source_and_date() {
        let found = document(
            "cards/fees.md",
            "---\ntitle: \"Card fees\"\nsource: https://example.org/fees: all\nas_of: 2026-11\n---\n\n# Fees\n\nThere is *one* fee.\nIt is [small](https://example.org).\n",
        );
        assert_eq!(found.id.as_str(), "cards/fees");
        assert_eq!(found.title, "Card fees");
        assert_eq!(found.source, "https://example.org/fees: all");
        assert_eq!(found.as_of, "2026-11");
        assert_eq!(found.text, "# Fees\nThere is one fee. It is small.");
    }

    #[test]
    fn without_front_matter_the_title_is_the_first_line_or_the_file_name() {
        let long = format!("{}\n\nMore.", "word ".repeat(60));
        for (path, content, want) in [
            ("a.md", "# Wire transfers\n\nThey are fast.", "Wire transfers"),
            ("a.txt", "Wire transfers\n\nThey are fast.", "Wire transfers"),
            ("a.txt", "Wire transfers.\nThey are fast.", "Wire transfers"),
            ("deep/wire-transfers.txt", &long, "wire transfers"),
        ] {
            assert_eq!(document(path, content).title, want, "{content}");
        }
    }

    #[test]
    fn plain_text_paragraphs_become_one_line_each() {
        let found = document("a.txt", "Title\nfirst half\nsecond half.\n\n- one\n- two\n  more\n\nLast.");
        assert_eq!(found.text, "Title\nfirst half second half.\n- one\n- two more\nLast.");
    }

    #[test]
    fn errors_name_file_line_and_reason() {
        for (path, content, line, reason) in [
            ("a.md", "---\ntitle: A\nowner: me\n---\nText.", 3, Reason::UnknownKey("owner".into())),
            ("a.md", "---\ntitle: A\ntitle: B\n---\nText.", 3, Reason::DuplicateKey("title".into())),
            ("a.md", "---\ntitle: A\nnonsense\n---\nText.", 3, Reason::NotAKey),
            ("a.md", "---\ntitle:\n---\nText.", 2, Reason::EmptyValue("title".into())),
            ("a.md", "---\nas_of: soon\n---\nText.", 2, Reason::Date("soon".into())),
            ("a.md", "---\nas_of: 2026-13\n---\nText.", 2, Reason::Date("2026-13".into())),
            ("a.md", "---\ntitle: A\nText.", 1, Reason::Unclosed),
            ("a.md", "---\ntitle: A\n---\n\n# Only a heading\n", 4, Reason::Empty),
            ("a.txt", " \n", 1, Reason::Empty),
            ("a.pdf", "x", 1, Reason::Kind),
        ] {
            let error = extract(&"finance".into(), &file(path, content)).unwrap_err();
            assert_eq!(error, ExtractError { file: path.into(), line, reason }, "{content}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_naming_file_and_line() {
        let file = SourceFile { path: "bad.txt".into(), bytes: b"good\nb\xffd".to_vec() };
        let error = extract(&"finance".into(), &file).unwrap_err();
        assert_eq!(error.to_string(), "bad.txt:2: not UTF-8");
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_read_over() {
        let found = document("a.md", "\u{feff}---\r\ntitle: A\r\n---\r\nOne\r\ntwo.\r\n");
        assert_eq!((found.title.as_str(), found.text.as_str()), ("A", "One two."));
    }
}
