//! Finding secrets: a keyword search over the whole text, linear-time patterns where a keyword stands, and
//! a look at the shape of what they caught. Formats are the public ones of their makers (read 2026-11); no
//! value is let pass because it says "example".
//!
//! Reading order: this file, `secret/rule.rs` (the patterns), `secret/shape.rs` (what random looks like).

mod rule;
mod shape;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::Input;
use regex_automata::meta::Regex;

use rule::RULES;
use shape::Candidate;

/// A refused value up to this long is looked into again.
const INNER_BYTES_MAX: usize = 256;

/// A family of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// PEM and PuTTY private keys of all kinds; the header alone counts.
    PrivateKey,
    /// AWS access key ids and secret access keys.
    AwsKey,
    /// Keys and tokens with a maker's mark: model providers, source hosts, payment, chat, mail.
    ProviderKey,
    /// JSON web tokens and `Authorization` headers.
    Token,
    /// Addresses and connection strings with a password in them.
    ConnectionString,
    /// Passwords and PINs, assigned or told in a sentence.
    Password,
    /// Random strings beside a word such as "key" or "token".
    HighEntropy,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::PrivateKey,
        Self::AwsKey,
        Self::ProviderKey,
        Self::Token,
        Self::ConnectionString,
        Self::Password,
        Self::HighEntropy,
    ];

    /// Its name in policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::AwsKey => "aws_key",
            Self::ProviderKey => "provider_key",
            Self::Token => "token",
            Self::ConnectionString => "connection_string",
            Self::Password => "password",
            Self::HighEntropy => "high_entropy",
        }
    }
}

/// A secret found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What found it.
    pub detector: Detector,
    /// Where, in bytes.
    pub range: Range<usize>,
}

struct Catalogue {
    /// Keyword → the rules it wakes.
    keywords: AhoCorasick,
    wakes: Vec<usize>,
    patterns: Vec<Regex>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let pairs = || {
        RULES.iter().enumerate().flat_map(|(index, rule)| rule.keywords.iter().map(move |word| (word, index)))
    };
    Catalogue {
        keywords: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(pairs().map(|(word, _)| word))
            .expect("constant keywords"),
        wakes: pairs().map(|(_, index)| index).collect(),
        patterns: RULES.iter().map(|rule| compile(rule.pattern)).collect(),
    }
});

/// Without automata that find groups in one pass: a third of what patterns take, and few texts wake one.
fn compile(pattern: &str) -> Regex {
    let config = Regex::config().onepass(false);
    Regex::builder().configure(config).build(pattern).expect("a constant pattern")
}

/// Compiles the patterns now rather than with the first text.
pub fn prepare() {
    LazyLock::force(&CATALOGUE);
}

/// The secrets in `text` that one of `detectors` knows, by place. Time is linear in the text.
#[must_use]
pub fn find(text: &str, detectors: &[Detector]) -> Vec<Hit> {
    let catalogue = &*CATALOGUE;
    let mut awake: BTreeSet<usize> = RULES
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.keywords.is_empty())
        .map(|(index, _)| index)
        .collect();
    let woken = catalogue.keywords.find_overlapping_iter(text);
    awake.extend(woken.filter_map(|hit| catalogue.wakes.get(hit.pattern().as_usize())));
    let mut hits = Vec::new();
    for (rule, pattern) in awake.into_iter().filter_map(|at| RULES.get(at).zip(catalogue.patterns.get(at))) {
        if detectors.contains(&rule.detector) {
            look(text, rule, pattern, &mut hits);
        }
    }
    hits.sort_by_key(|hit| (hit.range.start, hit.range.end, hit.detector));
    hits
}

/// All that `rule` finds. A refused value is looked into once more, since a secret may stand inside it
/// (`token: password=…`); not a long one, which keeps the time linear.
fn look(text: &str, rule: &rule::Rule, pattern: &Regex, hits: &mut Vec<Hit>) {
    let mut found = pattern.create_captures();
    let mut from = 0;
    loop {
        pattern.search_captures(&Input::new(text).range(from..), &mut found);
        let Some(whole) = found.get_match() else { break };
        let value = found.get_group_by_name("value").unwrap_or_else(|| whole.span());
        from = whole.end();
        if (rule.accept)(&Candidate::new(text, value.range())) {
            let caught = text.get(value.range()).unwrap_or_default();
            let bare = caught.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
            hits.push(Hit { detector: rule.detector, range: value.start..value.start + bare.len() });
        } else if value.start > whole.start() && value.len() <= INNER_BYTES_MAX {
            from = value.start;
        }
        if from >= text.len() {
            break;
        }
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
