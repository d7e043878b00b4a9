//! A provider's own words on their way to a caller: bounded, and without what looks like a key.

/// Most characters of a provider's message that are passed on.
pub const MESSAGE_MAX: usize = 1_000;
/// Most characters of the other fields of its error.
pub const FIELD_MAX: usize = 200;

/// At most `chars_max` characters of `text`, control characters as spaces, words that look like keys as `***`.
#[must_use]
pub fn clean(text: &str, chars_max: usize) -> String {
    let text: String = text.chars().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let is_part_of_word = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let word = rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(word);
        cleaned.push_str(if looks_like_key(head) { "***" } else { head });
        let between = tail.find(is_part_of_word).unwrap_or(tail.len());
        let (gap, next) = tail.split_at(between);
        cleaned.push_str(gap);
        rest = next;
    }
    cleaned
}

/// A known prefix of keys, or 40 and more characters with letters and digits mixed, as no word has.
fn looks_like_key(word: &str) -> bool {
    let has_prefix =
        ["sk-", "sk_", "gsk_", "xai-", "AIza", "eyJ"].iter().any(|prefix| word.starts_with(prefix));
    let is_mixed = word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !word.contains('/');
    has_prefix || (word.len() >= 40 && is_mixed)
}
