//! What a secret looks like when its maker left no mark: random, filled in, and in the right company.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// How many bytes before a value tell what it is.
const CONTEXT_BYTES: usize = 60;

/// A value and what stands around it.
pub(super) struct Candidate<'a> {
    before: &'a str,
    value: &'a str,
    after: &'a str,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(text: &'a str, range: Range<usize>) -> Self {
        let mut from = range.start.saturating_sub(CONTEXT_BYTES);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        Self {
            before: text.get(from..range.start).unwrap_or_default(),
            value: text.get(range.clone()).unwrap_or_default(),
            after: text.get(range.end..).unwrap_or_default(),
        }
    }
}

/// Values that stand where a secret will be, or name where it comes from.
static STAND_IN: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)^[\[({<$%*#.•x_-]*$|\$\{|\{\{|(?-i:^\$(?:\(|[A-Z_][A-Z0-9_]*$|[a-z_][a-z0-9_]*$))|^%[a-z_]+%$|^<|^\[|x{4,}|\*{3,}|•{3,}|\.{3,}",
        r"|^(?:os\.|process\.env|env[.\[:(]|env::|getenv|system\.|config[.\[]|settings[.\[]|secrets?[.\[]|vault[.:]|self\.|this\.|request\.|args\.|options\.|input\()",
        r"|^(?:your|my|the|some|insert|enter|change)[_-]|^(?:changeme|redacted|placeholder|hidden|masked|undefined|none|null|nil|true|false)\W*$",
    ))
});

/// What stands before a hash or an identifier.
static CONTEXT_OF_HASH: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)sha-?\d|md5|etag|commit|digest|checksum|integrity|traceparent|fingerprint|base64,|ssh-(?:rsa|ed25519|dss)|ecdsa-|public[ _-]key|certificate|tracking|order|invoice|reference|https?://|uuid|guid|request[ _-]id|revision|hash",
    )
});
/// What stands before a key.
static CONTEXT_OF_KEY: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r#"(?i)(?:\b|_)(?:api[ _-]?keys?|keys?|tokens?|secrets?|credentials?|auth(?:orization)?|passwords?)\b[^\n]{0,24}$"#,
    )
});
static UUID: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?i)^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$"));
static LENGTH: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)^\d+[-+]?(?:digits?|chars?|characters?|letters?|days?|minutes?|hours?|weeks?|months?|years?|times?|th|st|nd|rd|am|pm)?$",
    )
});

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// Not a row of the same character, as in `AKIAXXXXXXXXXXXXXXXX`: the value was filled in.
pub(super) fn is_filled(candidate: &Candidate<'_>) -> bool {
    is_body_filled(candidate.value)
}

fn is_body_filled(value: &str) -> bool {
    let mut longest = 0;
    let mut run = 0;
    let mut last = None;
    for c in value.chars().map(|c| c.to_ascii_lowercase()) {
        run = if last == Some(c) { run + 1 } else { 1 };
        last = Some(c);
        longest = longest.max(run);
    }
    let filled: std::collections::HashSet<char> = value.chars().collect();
    longest < 6 && filled.len() >= 6 && !value.to_ascii_lowercase().contains("xxxx")
}

/// Random over a large alphabet.
pub(super) fn is_random(candidate: &Candidate<'_>) -> bool {
    is_body_filled(candidate.value) && has_random_mix(candidate.value)
}

/// Letters of both cases and digits, or hexadecimal; no long row of lower-case letters as words have.
fn has_random_mix(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let upper = value.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = value.bytes().filter(u8::is_ascii_lowercase).count();
    if is_hex(value) {
        return value.len() >= 32 && digits >= 4 && upper + lower >= 4 && entropy(value) > 3.0;
    }
    let longest_word = value.split(|c: char| !c.is_ascii_lowercase()).map(str::len).max().unwrap_or_default();
    digits >= 2 && upper >= 2 && lower >= 2 && longest_word < 9 && entropy(value) > 3.5
}

fn is_hex(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Shannon entropy in bits a character (Shannon 1948).
fn entropy(value: &str) -> f64 {
    let mut counts: HashMap<u8, u32> = HashMap::new();
    for byte in value.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let length = value.len() as f64;
    counts
        .values()
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// Exactly 40 characters of both cases and digits, standing alone: an AWS secret access key. SHA-1 sums have
/// one case, paths have words, and what is part of something longer is not one.
pub(super) fn is_aws_secret(candidate: &Candidate<'_>) -> bool {
    let value = candidate.value;
    let is_part = candidate.before.ends_with(['-', '_', '.', '%', '@', '&', '?'])
        || candidate.after.starts_with(['-', '_', '%', '@', '&'])
        || candidate
            .after
            .strip_prefix(['.', '=', ':'])
            .is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    value.len() == 40
        && !is_part
        && value.bytes().filter(|byte| *byte == b'/').count() <= 4
        && has_random_mix(value)
        && entropy(value) > 4.0
        && !CONTEXT_OF_HASH.is_match(candidate.before)
}

/// A password in an address, unless it stands for one.
pub(super) fn is_url_password(candidate: &Candidate<'_>) -> bool {
    let stands_for_one = ["password", "pass", "passwd", "pwd", "secret"];
    !STAND_IN.is_match(candidate.value)
        && !stands_for_one.contains(&candidate.value.to_ascii_lowercase().as_str())
        && !candidate.value.contains("//")
}

/// The right side of `password = …`.
pub(super) fn is_assigned(candidate: &Candidate<'_>) -> bool {
    let value = candidate.value.trim_end_matches(['.', ',', ')', ']', '}', '!', '?', ':', '\\']);
    if value.len() < 4 || STAND_IN.is_match(value) || value.contains("://") && !value.contains('@') {
        return false;
    }
    let is_call = value.contains(['(', '[', '{']) && value.bytes().all(|b| !b.is_ascii_digit());
    let is_tight = candidate.before.ends_with('=') && !candidate.before.ends_with("==");
    let is_quoted = candidate.before.ends_with(['"', '\'', '`']);
    let has_letter = value.contains(char::is_alphabetic);
    let is_plain_word = value.chars().all(|c| c.is_alphabetic() || "-_./".contains(c));
    if is_plain_word {
        // A bare word is one where nothing but a value can stand.
        return (is_tight || is_quoted) && value.len() >= 6 && is_unlike_code(value);
    }
    !is_call && (has_letter || value.len() >= 6) && !LENGTH.is_match(value)
}

fn is_unlike_code(value: &str) -> bool {
    let folded = value.to_ascii_lowercase();
    let words = [
        "password",
        "passwd",
        "secret",
        "required",
        "optional",
        "string",
        "forgot",
        "forgotten",
        "reset",
        "disabled",
        "enabled",
        "example",
        "unknown",
        "default",
        "expired",
        "invalid",
        "incorrect",
        "private",
        "public",
    ];
    !words.contains(&folded.as_str()) && !value.contains(['_', '.', '/'])
}

/// What someone says their password is: a value by its shape, since words like "wrong" follow as often.
pub(super) fn is_told(candidate: &Candidate<'_>) -> bool {
    let value = candidate.value.trim_end_matches(['.', ',', '!', '?', ')', ';', ':', '*']);
    let quotes = ['"', '\'', '“', '‘', '`'];
    if value.len() < 4 || STAND_IN.is_match(value) || LENGTH.is_match(value) && value.len() < 5 {
        return false;
    }
    let has_letter = value.contains(char::is_alphabetic);
    let has_digit = value.contains(|c: char| c.is_ascii_digit());
    let has_symbol = value.contains(|c: char| "!@#$%^&*+=~?_|\\".contains(c));
    let has_inner_upper = value.chars().skip(1).any(char::is_uppercase) && value.contains(char::is_lowercase);
    let is_told = has_letter && (has_digit || has_symbol || has_inner_upper) || has_digit && value.len() >= 5;
    let is_quoted =
        candidate.before.ends_with(quotes) && candidate.after.starts_with(['"', '\'', '”', '’', '`']);
    !LENGTH.is_match(value) && is_told
        || has_digit && !has_letter && value.len() >= 5
        || is_quoted && has_letter
}

/// Digits behind "my PIN is", unless they say how long one is.
pub(super) fn is_pin(candidate: &Candidate<'_>) -> bool {
    let after = candidate.after.trim_start_matches([' ', '-']).to_ascii_lowercase();
    let units = ["digit", "char", "day", "hour", "minute", "week", "month", "number", "time", "year", "%"];
    !units.iter().any(|unit| after.starts_with(unit)) && !candidate.after.starts_with('/')
}

/// A random string behind a word such as "key", unless something says that it is a hash.
pub(super) fn is_key_by_context(candidate: &Candidate<'_>) -> bool {
    let value = candidate.value.trim_end_matches('=');
    !UUID.is_match(value)
        && is_body_filled(value)
        && has_random_mix(value)
        && CONTEXT_OF_KEY.is_match(candidate.before)
        && !CONTEXT_OF_HASH.is_match(candidate.before)
}
