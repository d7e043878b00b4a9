//! The terms under which texts are indexed and looked for.

/// The terms of `text`: stems of its content words in their order, with `401(k)` as one term, thousands
/// without separators and a fiscal year (`FY2025`) as its year.
#[must_use]
pub(crate) fn terms(text: &str) -> Vec<String> {
    language::word::content_stems(&with_codes_joined(text))
        .into_iter()
        .map(|term| {
            if term.contains(',') {
                return term.replace(',', "");
            }
            let year = term.strip_prefix("fy").filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()));
            year.filter(|year| matches!(year.len(), 2 | 4)).map_or_else(|| term.clone(), str::to_owned)
        })
        .collect()
}

/// The terms of `text`, each once, in the order of their first occurrence.
pub(crate) fn distinct(text: &str) -> Vec<String> {
    let mut distinct = Vec::new();
    for term in terms(text) {
        if !distinct.contains(&term) {
            distinct.push(term);
        }
    }
    distinct
}

/// `401(k)` and `403 (b)` as `401k` and `403b`, which is how people type them.
fn with_codes_joined(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut joined = String::with_capacity(text.len());
    let mut rest = characters.as_slice();
    while let [first, after @ ..] = rest {
        joined.push(*first);
        rest = match (first.is_ascii_digit(), after) {
            (true, ['(', letter, ')', after @ ..] | [' ', '(', letter, ')', after @ ..])
                if letter.is_ascii_alphabetic() =>
            {
                joined.push(*letter);
                after
            }
            _ => after,
        };
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_written_differently_is_the_same_term() {
        for (one, other) in [
            ("my 401(k)", "401k"),
            ("403 (b) plans", "a 403b plan"),
            ("$250,000", "250000"),
            ("in FY2025", "2025"),
            ("the bank's fees", "banks fee"),
        ] {
            assert_eq!(terms(one), terms(other), "{one}");
        }
    }

    #[test]
    fn words_that_only_look_like_fiscal_years_stay() {
        assert_eq!(terms("fyi 1234567"), ["fyi", "1234567"]);
    }

    #[test]
    fn distinct_terms_keep_their_order() {
        assert_eq!(distinct("fee card fees"), ["fee", "card"]);
    }
}
