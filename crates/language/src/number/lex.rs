//! From text to tokens: digits, vulgar fractions, words and marks.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Quantity;

/// Digits beyond this many are an identifier whose end says nothing more.
const DIGITS_MAX: usize = 30;

static LEXEME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\b|\d+(?:\.\d+)?|\p{L}+|[\u{bc}-\u{be}\u{2150}-\u{215e}]|\S")
        .expect("a constant pattern")
});

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Digits(Quantity),
    /// A vulgar fraction character.
    Part(Quantity),
    Word(String),
    Mark(char),
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) item: Item,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tokens of `text`; what is `taken` already is a mark that means nothing.
pub(super) fn lex(text: &str, taken: &[Range<usize>]) -> Vec<Token> {
    LEXEME
        .find_iter(text)
        .filter_map(|hit| {
            let is_taken = taken.iter().any(|range| range.start < hit.end() && hit.start() < range.end);
            let item = if is_taken { Item::Mark('\0') } else { item(hit.as_str())? };
            Some(Token { item, start: hit.start(), end: hit.end() })
        })
        .collect()
}

fn item(text: &str) -> Option<Item> {
    let first = text.chars().next()?;
    if first.is_ascii_digit() {
        return Some(Item::Digits(decimal(text)));
    }
    if let Some(part) = vulgar(first) {
        return Some(Item::Part(part));
    }
    Some(if first.is_alphabetic() { Item::Word(text.to_lowercase()) } else { Item::Mark(first) })
}

fn decimal(text: &str) -> Quantity {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut millionths: i128 = 0;
    for digit in whole.bytes().filter(u8::is_ascii_digit).take(DIGITS_MAX) {
        millionths = millionths * 10 + i128::from(digit - b'0');
    }
    let mut places = fraction.bytes().filter(u8::is_ascii_digit);
    for _ in 0..6 {
        millionths = millionths * 10 + places.next().map_or(0, |digit| i128::from(digit - b'0'));
    }
    Quantity(millionths)
}

fn vulgar(c: char) -> Option<Quantity> {
    let (part, of) = match c {
        '½' => (1, 2),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '⅕' => (1, 5),
        '⅖' => (2, 5),
        '⅗' => (3, 5),
        '⅘' => (4, 5),
        '⅙' => (1, 6),
        '⅚' => (5, 6),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        _ => return None,
    };
    Some(Quantity::ratio(part, of))
}
