//! A sentence as stems, each with the sign it is said with.

use std::collections::BTreeSet;

/// Content words that a negation reaches.
const SCOPE: usize = 2;

/// Words that mean much the same in answers about banking; the first of a row stands for all.
const FAMILIES: &[&[&str]] = &[
    &["insure", "insured", "insurance", "cover", "coverage", "covered", "protect", "protected", "protection"],
    &["bank", "institution", "lender", "union"],
    &["limit", "maximum", "max", "cap", "most", "ceiling"],
    &["money", "fund", "funds", "cash", "amount", "sum", "balance"],
    &["fee", "charge", "cost", "price"],
    &["must", "require", "required", "requirement", "need", "needed", "have"],
    &["receive", "get", "obtain"],
    &["owner", "ownership", "hold", "holder"],
    &["pay", "payment", "paid", "repay", "owe"],
    &["loss", "lose", "lost"],
    &["rescind", "cancel", "cancellation", "rescission"],
    &["tell", "notify", "notice", "report", "inform", "contact", "notification"],
    &["fraud", "unauthorized", "fraudulent", "stolen", "theft"],
    &["error", "mistake", "wrong"],
    &["begin", "start"],
    &["end", "stop", "finish"],
    &["buy", "purchase"],
    &["house", "home", "dwelling"],
    &["car", "auto", "vehicle", "automobile"],
    &["allow", "permit", "let", "may", "can", "able"],
    &["liable", "liability", "responsible", "responsibility"],
    &["investigate", "investigation"],
    &["dispute", "disputed", "challenge"],
    &["correct", "fix", "resolve", "resolution"],
    &["withdraw", "withdrawal", "take"],
    &["contribute", "contribution", "put"],
    &["retire", "retirement"],
    &["early", "before"],
    &["penalty", "tax"],
    &["term", "period", "time"],
    &["eligible", "eligibility", "qualify", "qualified"],
    &["use", "usage", "used"],
    &["give", "provide", "offer", "supply"],
    &["show", "disclose", "disclosure", "state"],
    &["person", "people", "consumer", "customer", "depositor", "cardholder", "borrower", "saver"],
    &["account", "deposit"],
    &["letter", "write", "written", "writing"],
    &["each", "every", "per"],
];

/// Words that mean nothing by themselves in an answer.
const EMPTY: &[&str] = &[
    "answer",
    "based",
    "certain",
    "common",
    "different",
    "example",
    "fact",
    "following",
    "general",
    "generally",
    "important",
    "including",
    "information",
    "instance",
    "mean",
    "means",
    "note",
    "passage",
    "question",
    "sure",
    "thing",
    "typically",
    "usually",
    "way",
    "ways",
    "make",
    "made",
    "order",
    "example",
    "regard",
    "regarding",
    "various",
    "well",
    "specific",
    "specifically",
    "simply",
    "actually",
];

const NEGATORS: &[&str] = &["not", "no", "never", "cannot", "without", "neither", "nor", "non", "none"];

/// Words that carry their own "not".
const NEGATED: &[(&str, &str)] = &[
    ("uninsured", "insured"),
    ("ineligible", "eligible"),
    ("nonrefundable", "refundable"),
    ("unable", "able"),
    ("excluded", "insured"),
    ("excludes", "insured"),
    ("unprotected", "insured"),
];

/// What a sentence says: each content stem, and whether "not" reaches it.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    said: Vec<(String, Sign)>,
}

/// How something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Affirmed,
    /// A negation reaches it past another word: "not FDIC insured", but also "not charge for transfers".
    Doubtful,
    /// A negation reaches it first.
    Negated,
}

impl Claim {
    pub(super) fn read(text: &str) -> Self {
        let mut said = Vec::new();
        let mut reach = 0_usize;
        let folded = language::text::fold(text);
        let mut rest = folded.as_str();
        for word in language::words(&folded) {
            // A mark between two words ends what a negation reaches.
            let at = rest.find(word).unwrap_or_default();
            if rest.get(..at).unwrap_or_default().contains([',', '.', ';', ':', '!', '?', '(']) {
                reach = 0;
            }
            rest = rest.get(at + word.len()..).unwrap_or_default();
            if NEGATORS.contains(&word) || word.ends_with("n't") {
                reach = SCOPE;
                continue;
            }
            if matches!(word, "but" | "only" | "unless" | "except" | "until" | "just") {
                reach = 0;
            }
            let (word, own) = NEGATED
                .iter()
                .find(|(negated, _)| *negated == word)
                .map_or((word, Sign::Affirmed), |(_, plain)| (*plain, Sign::Negated));
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                reach = 0;
                continue;
            }
            if language::word::is_stop_word(word) || EMPTY.contains(&word) {
                continue;
            }
            let sign = match reach {
                SCOPE => Sign::Negated,
                0 => own,
                _ => Sign::Doubtful,
            };
            reach = reach.saturating_sub(1);
            said.push((family(word), sign));
        }
        Self { said }
    }

    /// All its stems.
    pub(super) fn words(&self) -> BTreeSet<String> {
        self.said.iter().map(|(word, _)| word.clone()).collect()
    }

    /// Its stems said with `sign`.
    pub(super) fn with(&self, sign: Sign) -> impl Iterator<Item = &String> {
        self.said.iter().filter(move |(_, own)| *own == sign).map(|(word, _)| word)
    }

    /// How it says `word`, if it does; where it says it twice, its negation counts.
    pub(super) fn sign(&self, word: &str) -> Option<Sign> {
        self.said.iter().filter(|(own, _)| own == word).map(|(_, sign)| *sign).max()
    }
}

/// The stem that stands for a word's family, or its own.
fn family(word: &str) -> String {
    let stem = language::word::stem(word);
    let stems = &*FAMILY_STEMS;
    stems.get(&stem).cloned().unwrap_or(stem)
}

static FAMILY_STEMS: std::sync::LazyLock<std::collections::HashMap<String, String>> =
    std::sync::LazyLock::new(|| {
        let mut stems = std::collections::HashMap::new();
        for row in FAMILIES {
            let Some(first) = row.first() else { continue };
            let first = language::word::stem(first);
            for word in *row {
                stems.entry(language::word::stem(word)).or_insert_with(|| first.clone());
            }
        }
        stems
    });
