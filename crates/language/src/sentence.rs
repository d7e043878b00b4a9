//! Where sentences end, in a whole text and in one that is still being written.
//!
//! Reading order: this file, `full_stop` (abbreviations and what looks like one).

mod full_stop;

use std::ops::Range;

use crate::markup::fence;

/// A sentence longer than this is cut at a blank: what is released or checked sentence by sentence stays
/// bounded whatever a model writes.
pub const SENTENCE_BYTES_MAX: usize = 4_000;

/// A first line shorter than this, followed by a line that begins anew, is a heading without a mark.
const HEADING_CHARS_MAX: usize = 50;

/// The sentences of `text` in their order, as byte ranges without the blanks around them. Headings, list
/// items, table rows and fenced blocks count as sentences; a citation mark behind the full stop belongs to
/// the sentence before it.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = next_sentence(
        &text[from..],
        Tail::Complete,
        if from == 0 { Place::Opening } else { Place::Following },
    ) {
        found.push(from + start..from + end);
        from += end;
    }
    found
}

/// Splits a text that arrives in pieces. What it hands out, joined, is the text itself: a sentence carries
/// the blanks before it. Holds at most one unfinished sentence and what is needed to know that it ended.
#[derive(Debug, Default)]
pub struct SentenceStream {
    waiting: String,
    place: Place,
}

impl SentenceStream {
    /// A stream that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece; returns the sentences that surely ended.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.waiting.push_str(piece);
        self.split(Tail::Growing)
    }

    /// Says that nothing follows; returns what is left.
    pub fn finish(&mut self) -> Vec<String> {
        let mut rest = self.split(Tail::Complete);
        rest.retain(|sentence| !sentence.trim().is_empty());
        *self = Self::default();
        rest
    }

    fn split(&mut self, tail: Tail) -> Vec<String> {
        let mut ended = Vec::new();
        let mut from = 0;
        while let Some((_, end)) = next_sentence(&self.waiting[from..], tail, self.place) {
            ended.push(self.waiting[from..from + end].to_owned());
            from += end;
            self.place = Place::Following;
        }
        self.waiting.drain(..from);
        ended
    }
}

/// Whether more text may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Complete,
    Growing,
}

/// Where a sentence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// It opens the text.
    #[default]
    Opening,
    /// Another one stands before it.
    Following,
}

/// Whether a sentence ends at a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ends,
    GoesOn,
    /// What follows decides, and it is not there yet.
    Unknown,
}

impl Tail {
    /// The verdict when the text is over where something was expected.
    fn at_end(self) -> Verdict {
        match self {
            Self::Complete => Verdict::Ends,
            Self::Growing => Verdict::Unknown,
        }
    }
}

/// Start and end of the first sentence in `text`; `None` when there is none, or none that surely ended.
fn next_sentence(text: &str, tail: Tail, place: Place) -> Option<(usize, usize)> {
    let body = text.trim_start();
    let start = text.len() - body.len();
    if body.is_empty() {
        return None;
    }
    let is_line_start = place == Place::Opening || text[..start].contains('\n');
    let end = Scan { body, tail, is_line_start }.end()?;
    Some((start, start + end))
}

/// A look at one sentence from its first byte on.
struct Scan<'a> {
    body: &'a str,
    tail: Tail,
    is_line_start: bool,
}

impl Scan<'_> {
    fn end(&self) -> Option<usize> {
        if self.is_line_start && opens_fence(self.body) {
            let line = self.body.split('\n').next().unwrap_or_default();
            if line.len() == self.body.len() && self.tail == Tail::Growing && line.len() < SENTENCE_BYTES_MAX
            {
                return None;
            }
            if line.len() < self.body.len() && fence(line).is_some() {
                return self.fenced_end();
            }
        }
        let is_table_row = self.is_line_start && self.body.starts_with('|');
        let mut skip_until = block_mark(self.body).unwrap_or(0);
        for (at, c) in self.body.char_indices() {
            if at >= SENTENCE_BYTES_MAX {
                return Some(self.cut());
            }
            if at < skip_until {
                continue;
            }
            let (verdict, end) = match c {
                '\n' => (self.line_end(at), at),
                '.' | '!' | '?' | '…' | '。' | '！' | '？' if !is_table_row => {
                    let end = self.after_marks(at);
                    skip_until = end;
                    (self.mark(at, end), end)
                }
                _ => continue,
            };
            match verdict {
                Verdict::Ends => return Some(self.with_citations(end)?.min(self.body.len())),
                Verdict::Unknown => return None,
                Verdict::GoesOn => {}
            }
        }
        self.rest()
    }

    /// All that is there, when nothing follows.
    fn rest(&self) -> Option<usize> {
        match self.tail {
            Tail::Complete => Some(self.body.trim_end().len()),
            Tail::Growing => None,
        }
    }

    /// The end of a fenced block, its closing fence included.
    fn fenced_end(&self) -> Option<usize> {
        let mut at = 0;
        let mut opening: Option<(char, usize)> = None;
        for line in self.body.split_inclusive('\n') {
            let is_whole = line.ends_with('\n') || self.tail == Tail::Complete;
            if at + line.len() > SENTENCE_BYTES_MAX {
                return Some(self.cut());
            }
            if let Some((mark, length, info)) = fence(line).filter(|_| is_whole) {
                match opening {
                    None => opening = Some((mark, length)),
                    Some((opened, at_least)) if opened == mark && length >= at_least && info.is_empty() => {
                        return Some(at + line.trim_end().len());
                    }
                    Some(_) => {}
                }
            }
            at += line.len();
        }
        self.rest()
    }

    /// Where an overlong sentence is cut: at its last blank, or between characters when it has none.
    fn cut(&self) -> usize {
        let mut end = SENTENCE_BYTES_MAX.min(self.body.len());
        while !self.body.is_char_boundary(end) {
            end -= 1;
        }
        let head = &self.body[..end];
        head.rfind(char::is_whitespace).map_or(end, |blank| head[..blank].trim_end().len()).max(1)
    }

    /// Where the run of full stops, closing quotes and brackets that begins at `at` is over.
    fn after_marks(&self, at: usize) -> usize {
        let rest = &self.body[at..];
        let closed = rest.trim_start_matches(['.', '!', '?', '…', '。', '！', '？']);
        let closed = closed.trim_start_matches(['"', '\'', '”', '’', ')', '*', '_', '»', '`']);
        self.body.len() - closed.len()
    }

    /// Adds citation marks (`[1]`, `[2, 3]`, `[^1]`) that stand behind `end`; `None` when one may be on its way.
    fn with_citations(&self, mut end: usize) -> Option<usize> {
        let mut has_citation = false;
        loop {
            let rest = &self.body[end..];
            let mark = rest.trim_start_matches([' ', '\t']);
            if !mark.starts_with('[') {
                let may_go_on = has_citation && mark.is_empty() && self.tail == Tail::Growing;
                return (!may_go_on).then_some(end);
            }
            let inner = mark[1..].find(|c: char| !(c.is_ascii_digit() || ", ^".contains(c)));
            match inner {
                Some(close) if close > 0 && mark[1 + close..].starts_with(']') => {
                    end += rest.len() - mark.len() + close + 2;
                    has_citation = true;
                }
                None if self.tail == Tail::Growing && mark.len() < 12 => return None,
                _ => return Some(end),
            }
        }
    }

    /// Whether the sentence ends with the marks in `at..end`.
    fn mark(&self, at: usize, end: usize) -> Verdict {
        let marks = &self.body[at..end];
        let rest = &self.body[end..];
        if marks.contains(['。', '！', '？']) {
            return Verdict::Ends;
        }
        if rest.is_empty() {
            return self.tail.at_end();
        }
        let next = rest.trim_start();
        if next.len() == rest.len() {
            return if next.starts_with('[') { self.cited(marks, rest) } else { Verdict::GoesOn };
        }
        if has_blank_line(&rest[..rest.len() - next.len()]) {
            return Verdict::Ends;
        }
        if next.is_empty() {
            return self.tail.at_end();
        }
        let opened = next.trim_start_matches(['"', '\'', '“', '‘', '(', '*', '_', '«']);
        let Some(first) = opened.chars().next() else { return self.tail.at_end() };
        let is_asked = marks.starts_with('?') && marks.trim_start_matches(['?', '!', '.']).is_empty();
        if is_asked {
            return Verdict::Ends;
        }
        if first.is_lowercase() {
            return Verdict::GoesOn;
        }
        if marks == "." { self.full_stop(at, opened, first) } else { Verdict::Ends }
    }

    /// A mark with a citation stuck to it, as `insured.[1] The`.
    fn cited(&self, marks: &str, rest: &str) -> Verdict {
        let is_number = rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '^');
        match (is_number, rest.len()) {
            (false, 1) => self.tail.at_end(),
            (true, _) if !marks.is_empty() => Verdict::Ends,
            _ => Verdict::GoesOn,
        }
    }

    /// Whether the sentence ends with the line that ends at `at`.
    fn line_end(&self, at: usize) -> Verdict {
        let next_line = &self.body[at + 1..];
        let next = next_line.trim_start_matches([' ', '\t', '\r']);
        if next.starts_with('\n') {
            return Verdict::Ends;
        }
        if next.is_empty() {
            return self.tail.at_end();
        }
        let line = self.body[..at].trim_end();
        if is_heading(line) || line.starts_with('|') {
            return Verdict::Ends;
        }
        if self.tail == Tail::Growing && may_become_mark(next) {
            return Verdict::Unknown;
        }
        if block_mark(next).is_some() || is_heading(next) || next.starts_with('|') || opens_fence(next) {
            return Verdict::Ends;
        }
        let begins_anew = next.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
        let is_item = block_mark(line).is_some() && next.len() == next_line.len();
        let is_title = self.is_line_start
            && !line.contains('\n')
            && line.chars().count() < HEADING_CHARS_MAX
            && line.ends_with(|c: char| c.is_alphanumeric() || ":*_)".contains(c));
        if begins_anew && (is_item || is_title) { Verdict::Ends } else { Verdict::GoesOn }
    }
}

/// The length of the list mark that `line` begins with, its blank included.
fn block_mark(line: &str) -> Option<usize> {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mark = match digits {
        0 => line.chars().next().filter(|c| "-*+•>".contains(*c))?.len_utf8(),
        1..=3 if line[digits..].starts_with(['.', ')']) => digits + 1,
        _ => return None,
    };
    line[mark..].starts_with([' ', '\t']).then_some(mark + 1)
}

/// Whether more text could still make a block mark, heading or fence of this beginning of a line.
fn may_become_mark(line: &str) -> bool {
    line.len() < 8 && line.chars().all(|c| c.is_ascii_digit() || "-*+•>.)#`~|".contains(c))
}

fn is_heading(line: &str) -> bool {
    let text = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - text.len())) && text.starts_with([' ', '\t'])
}

fn opens_fence(next: &str) -> bool {
    next.starts_with("```") || next.starts_with("~~~")
}

fn has_blank_line(blanks: &str) -> bool {
    blanks.matches('\n').count() > 1
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
