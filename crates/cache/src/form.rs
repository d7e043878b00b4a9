//! The form in which two questions are compared that encoders hold for the same.
//!
//! Encoders of sentences see hardly anything of what decides: "can I" and "can I not", 30 days and 60 days, "from checking to savings"
//! and the way back are near to one another (a cosine of 0.999 for the last). So every word counts here, in its order, but for those
//! that say nothing ("please", "the", "could you tell me"), and with a few ways to say one thing brought into one: "is insured by the
//! bank" is "the bank insures", "the limit of an account" and "an account's limit" are "account limit", "if it fails, am I insured"
//! is "am I insured if it fails", "how can I" is "how do I". What has another form may mean the same, but a model is asked then: a call
//! costs less than a wrong answer.

use std::collections::BTreeSet;

use language::number::{Kind, Quantity};
use language::text::fold;
use language::word::{is_stop_word, stem};
use language::{numbers, words};
use sha2::{Digest as _, Sha256};

/// Of how a question says what it says; its words are kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Of its words in their order.
    words: [u8; 32],
    /// How it joins two of them that could be one, each once: "for" of "a fee for wires".
    joined: BTreeSet<&'static str>,
    /// Numbers with what they count, each once.
    numbers: BTreeSet<(u8, Quantity)>,
    /// Whether it says enough, and not too much, to be compared.
    is_comparable: bool,
}

/// A question with fewer words of content says too little.
const CONTENT_MIN: usize = 2;
/// One with more words says too much: encoders leave out what comes after some 200.
const WORDS_MAX: usize = 100;

impl Form {
    /// Of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let quantities = numbers(text).iter().map(|number| (kind(number.kind), number.value)).collect();
        if words(text).len() > WORDS_MAX {
            let (words, joined) = ([0; 32], BTreeSet::new());
            return Self { words, joined, numbers: quantities, is_comparable: false };
        }
        let mut order = Order::default();
        said(text).iter().for_each(|word| order.add(word));
        let signs = text.chars().filter(|sign| SIGNS.contains(*sign));
        let words = order.finish();
        let digest = words.iter().fold(Sha256::new(), |hash, word| hash.chain_update(word).chain_update([0]));
        let digest = signs.fold(digest, |hash, sign| hash.chain_update(sign.to_string()));
        Self {
            words: digest.finalize().into(),
            joined: order.joined,
            numbers: quantities,
            is_comparable: order.n_content >= CONTENT_MIN,
        }
    }

    /// Whether the two say the same, as far as can be told.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        // "A card charge" may be a charge on, of or for it; but none of these is another.
        let is_joined = self.joined.is_empty() || other.joined.is_empty() || self.joined == other.joined;
        let is_comparable = self.is_comparable && other.is_comparable;
        is_comparable && is_joined && self.words == other.words && self.numbers == other.numbers
    }
}

/// Signs that say something, and are no part of a word.
const SIGNS: &str = "$€£¥%+&/<>=#@*";

/// Words that say nothing, or nothing that the others do not.
const SILENT: [&str; 17] = [
    "a", "am", "an", "are", "be", "been", "being", "do", "does", "hello", "hey", "hi", "is", "kindly",
    "please", "thanks", "the",
];
/// Whose something is. "My" says nothing where nobody else is spoken of.
const OTHERS: [&str; 10] = ["he", "her", "his", "our", "she", "their", "they", "we", "you", "your"];

/// Beginnings that ask for an answer and say nothing of which, in the words of [`parts`].
const ASKING: [&[&str]; 10] = [
    &["can", "you", "tell", "i"],
    &["could", "you", "tell", "i"],
    &["would", "you", "tell", "i"],
    &["i", "would", "like", "to", "know"],
    &["i", "want", "to", "know"],
    &["i", "need", "to", "know"],
    &["i", "was", "wondering"],
    &["let", "i", "know"],
    &["you", "know"],
    &["tell", "i"],
];
/// Beginnings that say what another one says.
const SAYING: [(&[&str], &[&str]); 11] = [
    (&["how", "to"], &["how", "i"]),
    (&["how", "i", "can"], &["how", "i"]),
    (&["how", "can"], &["how"]),
    (&["how", "could"], &["how"]),
    (&["how", "would"], &["how"]),
    (&["for", "how", "long"], &["how", "long"]),
    (&["could", "i"], &["can", "i"]),
    (&["i", "allowed", "to"], &["can", "i"]),
    (&["i", "able", "to"], &["can", "i"]),
    (&["it", "possible", "to"], &["can", "i"]),
    (&["which"], &["what"]),
];

/// The words of `text` that say something, each in one form.
fn said(text: &str) -> Vec<String> {
    let turned = trailing(text);
    let mut said: Vec<String> = Vec::new();
    let is_shouted = !text.chars().any(char::is_lowercase);
    for word in words(turned.as_deref().unwrap_or(text)) {
        let folded = fold(word);
        // "US" is not "us", where not all is written so.
        let is_short =
            !is_shouted && word.len() > 1 && word.chars().all(char::is_uppercase) && is_stop_word(&folded);
        if is_short { said.push(word.to_owned()) } else { parts(&folded, &mut said) }
    }
    said.retain(|word| !SILENT.contains(&word.as_str()));
    // The month has its day or year behind it.
    let n_said = said.len();
    for at in 0..n_said {
        let is_month = said.get(at + 1).is_none_or(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(word) = said.get_mut(at).filter(|word| *word == "may" && !is_month) {
            "can".clone_into(word);
        }
    }
    while let Some(asking) = ASKING.iter().find(|asking| begins(&said, asking)) {
        said.drain(..asking.len());
    }
    for (one, other) in SAYING {
        if begins(&said, one) {
            said.splice(..one.len(), other.iter().map(|&word| word.to_owned()));
        }
    }
    let is_others = said.iter().any(|word| OTHERS.contains(&word.as_str()));
    said.retain(|word| is_others || word != "my");
    said
}

fn begins(said: &[String], with: &[&str]) -> bool {
    said.len() >= with.len() && said.iter().zip(with).all(|(word, other)| word == other)
}

/// After these words `'s` is an "is".
const BEFORE_IS: [&str; 11] =
    ["he", "here", "how", "it", "she", "that", "there", "what", "when", "where", "who"];

/// The words that one stands for: "can't" is "can not".
fn parts(folded: &str, said: &mut Vec<String>) {
    let mut add = |parts: &[&str]| said.extend(parts.iter().map(|&part| part.to_owned()));
    match folded {
        "cannot" | "can't" | "cant" => add(&["can", "not"]),
        "won't" => add(&["will", "not"]),
        "dont" => add(&["not"]),
        "whats" => add(&["what"]),
        "me" | "myself" => add(&["i"]),
        "us" => add(&["we"]),
        "were" => add(&["was"]),
        "has" => add(&["have"]),
        _ => {
            let ends = [("n't", "not"), ("'ve", "have"), ("'ll", "will"), ("'d", "would")];
            let found = ends.iter().find_map(|(end, word)| Some((folded.strip_suffix(end)?, *word)));
            let is = ["'s", "'re", "'m"].iter().find_map(|end| folded.strip_suffix(end));
            match (found, is) {
                (Some((bare, word)), _) => add(&[bare, word]),
                (None, Some(bare)) if !folded.ends_with("'s") || BEFORE_IS.contains(&bare) => add(&[bare]),
                _ => add(&[folded]),
            }
        }
    }
}

/// With which a clause begins that may as well stand at the end.
const LEADING: [&str; 18] = [
    "after", "although", "as", "at", "because", "before", "during", "for", "if", "in", "on", "once", "since",
    "unless", "until", "when", "while", "without",
];

/// `text` with a clause that stands before the first comma at its end.
fn trailing(text: &str) -> Option<String> {
    let (first, rest) = text.split_once(", ")?;
    let begins = words(first).first().is_some_and(|word| LEADING.contains(&fold(word).as_str()));
    begins.then(|| format!("{rest} {first}"))
}

/// Between two words that could be one: a fee for wires, a charge on the card.
const JOINING: [&str; 4] = ["for", "in", "of", "on"];

/// How the next word is put into the order.
#[derive(Debug, Clone, Copy, Default)]
enum Next {
    /// At its end.
    #[default]
    Last,
    /// A word of content before the one that stands there, as "card" of "charge on a card".
    Before(usize, &'static str),
    /// A word that follows such a one, before the same.
    Still(usize),
    /// A word of content beside the one that stands there, in the order of the alphabet, as both of "a buyer and a seller".
    Beside(usize),
    /// A word of content before all, with the word that stands there behind it, as "bank" of "deposits insured by a bank".
    Agent(usize),
}

/// Words in the order in which they are compared.
#[derive(Debug, Default)]
struct Order {
    words: Vec<String>,
    next: Next,
    /// Where the word before stands, if that was one of content or whoever asks.
    before: Option<usize>,
    n_content: usize,
    joined: BTreeSet<&'static str>,
}

impl Order {
    fn add(&mut self, word: &str) {
        if is_content(word) || word == "i" {
            self.put(word);
            return;
        }
        self.settle();
        let joining = JOINING.iter().find(|joining| **joining == word);
        match (word, self.before.take(), joining) {
            ("by", Some(at), _) => self.next = Next::Agent(at),
            (_, Some(at), Some(joining)) => self.next = Next::Before(at, joining),
            ("and" | "or", Some(at), _) => {
                self.words.push(word.to_owned());
                self.next = Next::Beside(at);
            }
            _ => self.words.push(word.to_owned()),
        }
    }

    fn put(&mut self, word: &str) {
        let is_content = is_content(word);
        let stem = match numbers(word).as_slice() {
            // 30 is thirty.
            [number] => format!("{:?}", number.value),
            _ if is_content => stem(word),
            _ => word.to_owned(),
        };
        let mut next = Next::Last;
        let at = match self.next {
            Next::Last => self.words.len(),
            Next::Before(at, joining) => {
                self.joined.insert(joining);
                next = Next::Still(at + 1);
                at
            }
            Next::Still(at) => {
                next = Next::Still(at + 1);
                at
            }
            Next::Beside(at) if self.words.get(at).is_some_and(|other| *other > stem) => at,
            Next::Beside(at) => at + 1,
            Next::Agent(verb) => {
                let verb = self.words.remove(verb);
                self.words.insert(0, verb);
                next = Next::Still(1);
                0
            }
        };
        self.words.insert(at, stem);
        self.n_content += usize::from(is_content);
        self.before = Some(at);
        self.next = next;
    }

    /// What was to be joined to a word that did not come is said as it stands.
    fn settle(&mut self) {
        match std::mem::take(&mut self.next) {
            Next::Before(_, joining) => self.words.push(joining.to_owned()),
            Next::Agent(_) => self.words.push("by".to_owned()),
            Next::Last | Next::Still(_) | Next::Beside(_) => {}
        }
    }

    fn finish(&mut self) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.words)
    }
}

/// Whether a word of [`said`] carries content. "US" is one of those that do not, written as a name.
fn is_content(word: &str) -> bool {
    !is_stop_word(word) && !word.chars().all(char::is_uppercase)
}

fn kind(kind: Kind) -> u8 {
    match kind {
        // What is counted is in the words.
        Kind::Plain | Kind::Count => 0,
        Kind::Money => 1,
        Kind::Percent => 2,
        Kind::Ordinal => 3,
        Kind::Fraction => 4,
        Kind::Day => 5,
        Kind::Time => 6,
        Kind::Phone => 7,
    }
}

#[cfg(test)]
mod tests;
