//! What tells two questions apart whose vectors are near: numbers, negations, opposites, who does what to whom.
//!
//! Encoders of sentences put "can I cancel" and "can I not cancel", 30 days and 60 days, close together. Whatever is
//! found here in one question and not in the other keeps them apart, however near they are.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use language::number::{Kind, Quantity};
use language::text::fold;
use language::word::{content_words, is_stop_word, stem};
use language::{numbers, words};

use crate::order::{DETERMINERS, order};

/// Words that turn what is said around.
const NEGATIONS: [&str; 15] = [
    "not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot", "cant",
    "except", "unless", "instead", "stop",
];

/// Words of which one does not stand for the other; each with the number of its group and its side.
const OPPOSITES: &[(&[&str], &[&str])] = &[
    (&["open", "opening", "opened"], &["close", "closing", "closed", "cancel", "cancelling"]),
    (
        &["deposit", "deposits", "deposited", "depositing"],
        &["withdraw", "withdrawal", "withdrawals", "withdrawing"],
    ),
    (
        &["send", "sending", "sent", "outgoing", "pay", "paying"],
        &["receive", "receiving", "received", "incoming"],
    ),
    (&["debit"], &["credit"]),
    (&["checking"], &["savings", "saving"]),
    (
        &["increase", "raise", "higher", "more", "above", "over"],
        &["decrease", "reduce", "lower", "less", "below", "under"],
    ),
    (&["maximum", "max", "most", "latest"], &["minimum", "min", "least", "earliest"]),
    (&["before"], &["after"]),
    (
        &["start", "begin", "activate", "enable", "unblock", "unfreeze"],
        &["end", "deactivate", "disable", "block", "freeze"],
    ),
    (&["domestic", "home"], &["international", "foreign", "abroad", "overseas"]),
    (&["personal", "consumer"], &["business", "commercial"]),
    (&["physical"], &["virtual"]),
    (&["buy", "buying", "bought"], &["sell", "selling", "sold"]),
    (&["buyer"], &["seller"]),
    (&["lend", "lender"], &["borrow", "borrower"]),
    (&["fixed"], &["variable", "adjustable"]),
    (&["federal"], &["private", "state"]),
    (&["traditional"], &["roth"]),
    (&["first"], &["second", "last"]),
    (&["single", "individual", "alone"], &["joint", "jointly"]),
    (&["lost", "lose"], &["stolen", "steal"]),
    (&["approved", "accepted"], &["declined", "rejected", "denied"]),
    (&["add", "added", "adding"], &["remove", "removed", "removing", "delete"]),
    (&["bank"], &["brokerage", "broker"]),
    (&["early"], &["late"]),
    (&["weekly"], &["monthly"]),
    (&["online", "app"], &["branch", "person"]),
    (&["once"], &["twice"]),
];

/// Words that say of how much something holds, by what they say.
const REACHES: &[&[&str]] = &[
    &["all", "every", "each", "always", "both"],
    &["some", "sometimes", "several", "partly", "partially"],
    &["only", "solely", "exclusively"],
    &["even"],
    &["should", "ought", "advisable"],
];

/// Words of what has been, and of what will be. Between the two, and what is, questions need not tell: "how long does it take".
const TENSES: [&[&str]; 2] = [&["did", "was", "were", "had", "has", "already"], &["will", "shall"]];

/// Common words that are of the matter all the same: "a car I own", "a gift I got".
const MATTER: [&str; 5] = ["get", "gets", "getting", "got", "own"];

/// Words of what must be. "I need to" and "I have to" of who asks for help are none.
pub(crate) const DUTIES: [&str; 11] = [
    "must",
    "need",
    "needs",
    "needed",
    "necessary",
    "required",
    "require",
    "requires",
    "mandatory",
    "obliged",
    "obligated",
];

/// Words that hold nothing of the matter: "I want to", "I need to", "a form is required".
const SAID_OTHERWISE: [&str; 9] =
    ["need", "needed", "needs", "required", "require", "requires", "want", "wants", "wish"];

/// With which a word begins that says the opposite of the rest of it.
const TURNING: [&str; 7] = ["un", "in", "il", "im", "ir", "non", "dis"];

/// What is asked about a matter, by the words that ask it.
const ASKED: &[&[&str]] = &[
    &["why", "reason"],
    &["where"],
    &["who", "whom"],
    &["when", "long", "soon", "deadline", "days", "time"],
    &["much", "many", "cost", "costs", "fee", "fees", "charge", "price", "amount", "limit"],
    &["how"],
];

/// What tells a question apart. Words are kept as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// Numbers with what they count, each once.
    numbers: BTreeSet<(i8, Quantity)>,
    /// How many words turn it around.
    negations: usize,
    /// A bit for each side of a pair of opposites.
    opposites: u64,
    /// A bit for each thing asked about it.
    asked: u8,
    /// A bit for each way to say of how much it holds.
    reaches: u8,
    /// A bit for what has been, one for what will be.
    tense: u8,
    /// Whether it is about what must be.
    is_duty: bool,
    /// Names in the middle of sentences, and what looks like a code.
    names: BTreeSet<u64>,
    /// What carries its content.
    content: BTreeSet<u64>,
    /// The same in its [`order`].
    order: Vec<u64>,
    /// Who has something: "spouse" of "my spouse's debt".
    owners: BTreeSet<u64>,
    /// The same, or a part of something: "spouse" of "the debt of my spouse".
    whole: BTreeSet<u64>,
    /// Of words as "ineligible" what is left without the beginning that turns them around.
    turned: BTreeSet<u64>,
}

// Each has its bits.
const _: () = assert!(OPPOSITES.len() <= 32 && ASKED.len() <= 8 && REACHES.len() <= 8);

/// A question with fewer words of content says too little to be compared.
const CONTENT_MIN: usize = 2;
/// One with more words says too much: encoders leave out what comes after some 200, and comparing would take long.
const WORDS_MAX: usize = 100;

impl Traits {
    /// Of `text`. Those of a long one agree with nothing.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if words(text).len() > WORDS_MAX {
            return Self::default();
        }
        let mut traits = Self { content: content(text), ..Self::default() };
        traits.numbers = numbers(text).iter().map(|number| (kind(number.kind), number.value)).collect();
        traits.order = order(&fold(text)).iter().map(|stem| hashed(stem)).collect();
        // The three words before.
        let mut before = ["", "", ""].map(str::to_owned);
        for (n, word) in words(text).into_iter().enumerate() {
            let folded = word.to_lowercase().replace('’', "'");
            traits.is_duty |= is_duty(&before, &folded);
            if n > 0 && is_name(word) {
                traits.names.insert(hashed(&folded));
            }
            traits.read(&folded);
            traits.read_owner(&before, &folded);
            let [_, second, last] = before;
            before = [second, last, folded];
        }
        traits
    }

    /// What a word says by itself.
    fn read(&mut self, folded: &str) {
        self.negations += usize::from(is_negation(folded));
        for (bit, (one, other)) in (0_u32..).zip(OPPOSITES) {
            let sides = [one.contains(&folded), other.contains(&folded)];
            self.opposites |= (u64::from(sides[0]) | u64::from(sides[1]) << 1) << (2 * bit);
        }
        self.asked |= bits(ASKED, folded);
        self.reaches |= bits(REACHES, folded);
        self.tense |= bits(&TENSES, folded);
        let bare = TURNING.iter().filter_map(|turning| folded.strip_prefix(turning));
        self.turned.extend(bare.filter(|bare| bare.len() > 2).map(|bare| hashed(&stem(bare))));
    }

    /// Whose something is, after these three words.
    fn read_owner(&mut self, before: &[String; 3], folded: &str) {
        if is_stop_word(folded) {
            return;
        }
        if folded.ends_with("'s") {
            self.owners.insert(hashed(&stem(folded)));
        }
        let last = before.iter().rev().find(|word| !DETERMINERS.contains(&word.as_str()));
        if last.is_some_and(|word| word == "of") {
            self.whole.insert(hashed(&stem(folded)));
        }
    }

    /// Whether nothing here keeps the two apart.
    #[must_use]
    pub fn agree(&self, other: &Self) -> bool {
        let is_the_same = self.numbers == other.numbers
            && self.negations == other.negations
            && self.opposites == other.opposites
            && self.asked == other.asked
            && self.reaches == other.reaches
            && self.is_duty == other.is_duty
            && (self.tense == 0 || other.tense == 0 || self.tense == other.tense)
            && self.names == other.names
            && !self.turns(other)
            && !other.turns(self)
            && !self.owns(other)
            && !other.owns(self)
            && !self.replaces(other)
            && self.in_order(other) == other.in_order(self);
        let says_enough = self.content.len().min(other.content.len()) >= CONTENT_MIN;
        is_the_same && says_enough
    }

    /// Whether it has a word as "ineligible" where the other has "eligible".
    fn turns(&self, other: &Self) -> bool {
        self.turned.iter().any(|bare| other.content.contains(bare) && !self.content.contains(bare))
    }

    /// Whether something is said to be somebody's who has nothing in the other.
    fn owns(&self, other: &Self) -> bool {
        let is_without = |owner| !other.owners.contains(owner) && !other.whole.contains(owner);
        self.owners.iter().any(|owner| other.content.contains(owner) && is_without(owner))
    }

    /// Whether each has a word of content that the other has not: one may stand in place of the other.
    fn replaces(&self, other: &Self) -> bool {
        !self.content.is_subset(&other.content) && !other.content.is_subset(&self.content)
    }

    /// What both name once, in this one's order.
    fn in_order(&self, other: &Self) -> Vec<u64> {
        let once = |order: &[u64], stem: u64| order.iter().filter(|other| **other == stem).count() == 1;
        let stems = self.order.iter().copied();
        stems.filter(|stem| once(&self.order, *stem) && once(&other.order, *stem)).collect()
    }
}

/// What carries the content of `text`. Numbers are compared by what they are: 30 is thirty.
fn content(text: &str) -> BTreeSet<u64> {
    let mut content = content_words(text);
    content.retain(|word| numbers(word).is_empty() && !SAID_OTHERWISE.contains(&word.as_str()));
    let folded = fold(text);
    let matter = words(&folded).into_iter().filter(|word| MATTER.contains(word)).map(str::to_owned);
    content.into_iter().chain(matter).map(|word| hashed(&stem(&word))).collect()
}

/// A bit for each list that has `folded` in it.
fn bits(lists: &[&[&str]], folded: &str) -> u8 {
    (0_u32..).zip(lists).map(|(bit, words)| u8::from(words.contains(&folded)) << bit).sum()
}

fn is_negation(folded: &str) -> bool {
    folded.ends_with("n't") || NEGATIONS.contains(&folded)
}

/// Whether `folded` speaks of a duty, after these three words.
fn is_duty(before: &[String; 3], folded: &str) -> bool {
    let [third, second, last] = before.each_ref().map(String::as_str);
    let (has_to, needs) = (folded == "to" && ["have", "has"].contains(&last), folded == "need");
    // "Do I need to" asks for a duty, "I need to" for help.
    let (asks, who) = if has_to { (third, second) } else { (second, last) };
    let is_told =
        (has_to || needs) && ["i", "we"].contains(&who) && !["do", "did", "would", "will"].contains(&asks);
    (has_to || DUTIES.contains(&folded)) && !is_told
}

/// Whether a word that does not begin a text names something: with a capital letter in it, or letters and digits.
fn is_name(word: &str) -> bool {
    let has = |test: fn(char) -> bool| word.chars().any(test);
    word != "I" && !word.starts_with("I'") && !word.starts_with("I’") && has(char::is_uppercase)
        || has(char::is_alphabetic) && has(|c| c.is_ascii_digit())
}

fn kind(kind: Kind) -> i8 {
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

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_in_one_word_is_kept_apart() {
        for (one, other) in [
            ("Can I dispute a card charge after 30 days?", "Can I dispute a card charge after 60 days?"),
            ("Can I cancel my loan payment transfer?", "Can't I cancel my loan payment transfer?"),
            ("Do I pay a fee for incoming wire transfers?", "Do I pay a fee for outgoing wire transfers?"),
            ("What is the maximum deposit by mobile check?", "What is the minimum deposit by mobile check?"),
            ("Is my savings account insured by the FDIC?", "Is my checking account insured by the FDIC?"),
            ("Is my account money insured by the FDIC?", "Is my account money insured by the NCUA?"),
            ("Is a bank transfer to Mary free of charge?", "Is a bank transfer to Paul free of charge?"),
            ("How long does a wire transfer abroad take?", "How much does a wire transfer abroad cost?"),
            ("Why was my card payment declined abroad?", "Where was my card payment declined abroad?"),
            ("Do I owe $500 on the stolen card?", "Do I owe 500 % on the stolen card?"),
            ("Can I move money from checking to savings?", "Can I move money from savings to checking?"),
            ("Can my wife use my debit card?", "Can I use my wife's debit card?"),
            ("Can the tenant sue the landlord?", "Can the tenant be sued by the landlord?"),
            ("Must I report a lost card?", "May I report a lost card?"),
            ("Do I have to sign the loan contract?", "Can I sign the loan contract?"),
            ("Are all my deposits at the bank insured?", "Are some of my deposits at the bank insured?"),
            ("Can I only open one account online?", "Can I open one account online?"),
            ("Is my account eligible for a loan?", "Is my account ineligible for a loan?"),
            ("What happens when a check is paid twice?", "What happens when a check is paid once?"),
            ("Does renters insurance cover my bicycle?", "Does homeowners insurance cover my bicycle?"),
            (
                "Is a spouse responsible for my medical debt?",
                "Am I responsible for my spouse's medical debt?",
            ),
            ("Has my mortgage been approved by the lender?", "Will my mortgage be approved by the lender?"),
            ("Can only the holder drive the insured car?", "Can the holder drive only the insured car?"),
            ("Can I insure a car that I don't own?", "Can I insure a car that I don't drive?"),
            ("my card", "my card"), // too little to go by
        ] {
            let (one_traits, other_traits) = (Traits::of(one), Traits::of(other));
            assert!(!one_traits.agree(&other_traits), "{one} / {other}");
            assert!(!other_traits.agree(&one_traits), "{other} / {one}");
        }
    }

    #[test]
    fn long_questions_are_like_no_other() {
        let text = |n| format!("Is my deposit insured {}", "by the bank ".repeat(n));
        assert!(Traits::of(&text(32)).agree(&Traits::of(&text(32))));
        assert!(!Traits::of(&text(33)).agree(&Traits::of(&text(33))));
    }

    #[test]
    fn the_same_in_other_words_is_not() {
        for (one, other) in [
            ("Is my deposit insured by the FDIC?", "Are my deposits insured by the FDIC?"),
            ("How do I dispute a charge on my card?", "how can i dispute a charge on my card"),
            ("Can I dispute a card charge after 30 days?", "After thirty days, can I dispute a card charge?"),
            ("Is my deposit insured by the FDIC?", "Does the FDIC insure my deposit?"),
            ("I need to dispute a charge on my card", "I want to dispute a card charge"),
            ("I have to dispute a charge on my card", "I want to dispute a card charge"),
            ("What is the spouse's share of the debt?", "What is the share of the debt of the spouse?"),
            ("Do I need a co-signer for the loan?", "Is a co-signer required for the loan?"),
        ] {
            assert!(Traits::of(one).agree(&Traits::of(other)), "{one} / {other}");
        }
    }
}
