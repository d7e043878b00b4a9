//! What a text also says when it is decoded: characters without width left out, look-alikes folded, `%41`
//! and base64 read. Each view knows where its bytes come from, so that findings point into the text itself.

use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// Encoded pieces looked into at most, and their length at most: views cost no more than the text.
const ENCODED_PIECES_MAX: usize = 32;
const ENCODED_BYTES_MAX: usize = 16 * 1024;

static ENCODED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{24,}={0,2}").expect("a constant pattern"));

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
static STANDARD: LazyLock<GeneralPurpose> =
    LazyLock::new(|| GeneralPurpose::new(&alphabet::STANDARD, LENIENT));
static URL_SAFE: LazyLock<GeneralPurpose> =
    LazyLock::new(|| GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT));

/// One reading of a text.
pub(crate) struct View {
    pub(crate) text: String,
    origin: Origin,
}

enum Origin {
    /// Byte `n` of the view stands at `starts[n]` of the text.
    Bytes(Vec<usize>),
    /// All of it stands there.
    Piece(Range<usize>),
}

impl View {
    /// Where in the text `start..end` of this view stands.
    pub(crate) fn locate(&self, start: usize, end: usize) -> Range<usize> {
        match &self.origin {
            Origin::Piece(range) => range.clone(),
            Origin::Bytes(starts) => {
                let at =
                    |index: usize| starts.get(index).or_else(|| starts.last()).copied().unwrap_or_default();
                at(start)..at(end)
            }
        }
    }
}

/// All readings of `text` that differ from it.
pub(crate) fn views(text: &str) -> Vec<View> {
    let mut views = Vec::new();
    if !text.is_ascii() {
        views.push(folded(text));
    }
    views.extend(unescaped(text));
    views.extend(decoded(text));
    views
}

fn folded(text: &str) -> View {
    let mut view = Builder::default();
    for (at, c) in text.char_indices() {
        if language::text::is_zero_width(c) {
            continue;
        }
        for plain in c.nfkc() {
            view.push(look_alike(plain), at);
        }
    }
    view.finish(text.len())
}

/// Letters of other scripts and dashes and quotes that look like ASCII.
fn look_alike(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{201b}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        'а' => 'a',
        'е' => 'e',
        'о' => 'o',
        'р' => 'p',
        'с' => 'c',
        'у' => 'y',
        'х' => 'x',
        'і' => 'i',
        'ѕ' => 's',
        'А' => 'A',
        'В' => 'B',
        'Е' => 'E',
        'І' => 'I',
        'К' => 'K',
        'М' => 'M',
        'Н' => 'H',
        'О' => 'O',
        'Р' => 'P',
        'С' => 'C',
        'Т' => 'T',
        'Х' => 'X',
        other => other,
    }
}

/// The text with its `%41` read; `None` when it has none or they make no text.
fn unescaped(text: &str) -> Option<View> {
    text.contains('%').then_some(())?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut starts = Vec::with_capacity(text.len() + 1);
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        starts.push(text.len() - rest.len());
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    if bytes.len() == text.len() {
        return None;
    }
    starts.push(text.len());
    String::from_utf8(bytes).ok().map(|text| View { text, origin: Origin::Bytes(starts) })
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.to_ascii_uppercase().saturating_sub(b'A') + 10,
    }
}

fn decoded(text: &str) -> Vec<View> {
    let pieces = ENCODED.find_iter(text).filter(|piece| piece.len() <= ENCODED_BYTES_MAX);
    let read = |piece: regex::Match<'_>| {
        let encoded = piece.as_str();
        let engine = if encoded.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let text = String::from_utf8(engine.decode(encoded).ok()?).ok()?;
        let is_text = !text.chars().any(|c| c.is_control() && !c.is_whitespace());
        is_text.then(|| View { text, origin: Origin::Piece(piece.range()) })
    };
    pieces.take(ENCODED_PIECES_MAX).filter_map(read).collect()
}

#[derive(Default)]
struct Builder {
    text: String,
    starts: Vec<usize>,
}

impl Builder {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.starts.resize(self.text.len(), at);
    }

    fn finish(mut self, end: usize) -> View {
        self.starts.push(end);
        View { text: self.text, origin: Origin::Bytes(self.starts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_texts_are_read_and_located() {
        for (text, want, place) in [
            ("my pass\u{200b}word", "password", "pass\u{200b}word"),
            ("ｐａｓｓ", "pass", "ｐａｓｓ"),
            ("а password", "a password", "а password"),
            ("q=pass%77ord", "password", "pass%77ord"),
            ("see cGFzc3dvcmQgaXMgaHVudGVyMg== now", "password is hunter2", "cGFzc3dvcmQgaXMgaHVudGVyMg=="),
        ] {
            let views = views(text);
            let view = views.iter().find(|view| view.text.contains(want)).expect(text);
            let start = view.text.find(want).unwrap_or_default();
            assert_eq!(&text[view.locate(start, start + want.len())], place, "{text}");
        }
    }

    #[test]
    fn plain_text_has_no_other_reading() {
        for text in ["What is the fee?", "100 % of it", "sha1 20bbed72aff71a96dd1453424a63a4fa7f8cc019"] {
            assert!(views(text).is_empty(), "{text}");
        }
    }
}
