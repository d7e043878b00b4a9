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

/// Whether `word` is a key: by how it begins, as AWS makes them, or because a part of it is long and random. Paths of fields,
/// addresses and names of models are long words, too, of short or readable parts.
fn looks_like_key(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    let has_prefix =
        ["sk-", "sk_", "gsk_", "xai-", "AIza", "eyJ"].iter().any(|prefix| word.starts_with(prefix));
    has_prefix || is_aws_id(word) || is_aws_secret(word) || word.split(['.', '/']).any(is_random)
}

/// 40 and more characters, most of them in parts that mix letters and digits, as no words do.
fn is_random(part: &str) -> bool {
    let n_mixed = part.split(['-', '_']).filter(|piece| piece.len() > 3 && is_mixed(piece)).map(str::len);
    part.len() >= 40 && n_mixed.sum::<usize>() >= 24
}

fn is_mixed(piece: &str) -> bool {
    piece.bytes().any(|byte| byte.is_ascii_digit()) && piece.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The id of an access key, of a user or of a session.
fn is_aws_id(word: &str) -> bool {
    let is_id = word.starts_with("AKIA") || word.starts_with("ASIA");
    is_id && word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A secret access key: 40 characters of base64.
fn is_aws_secret(word: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    word.len() == 40
        && word.bytes().all(is_base64)
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
        && is_mixed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_masked_and_what_says_where_the_mistake_is_is_not() {
        for key in [
            "sk-ant-api03-short",
            "AKIAIOSFODNN7EXAMPLE",
            "ASIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "3f9a1c2b4d5e6f708192a3b4c5d6e7f8091a2b3c",
            "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQDx/wEaCXVz",
            "Qm9n4a7-xK2mP9vLq0w_Zt8RyB3nHs5fUe6jCd1iAo4",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln",
        ] {
            assert_eq!(
                clean(&format!("no such key {key}."), MESSAGE_MAX).trim_end_matches('.'),
                "no such key ***"
            );
        }
        for words in [
            "messages.2.content.0.tool_result.content.0.image.source.base64.media_type: Input should be image/png",
            "tools.0.custom.input_schema.properties.address2.line1: invalid",
            "The model us.anthropic.claude-sonnet-4-5-20250929-v1:0 is not there",
            "mcp__github2__create_pull_request_review_comment_2 is no tool",
            "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123def456",
            "https://docs.example.com/en/api/errors-and-limits-of-version-2024-10-01/index.html",
            "request 7f2c9e1a-33b4-4c8d-9a7e-5b1f0c2d3e4f failed",
        ] {
            assert_eq!(clean(words, MESSAGE_MAX), words);
        }
    }
}
