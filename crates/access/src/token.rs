//! The text of a key: `sk-ms-<public 12>-<secret 48>`.
//!
//! The last five letters of the secret are a checksum: a key that was cut or mistyped is told from a wrong one, and
//! scanners of leaked keys can tell a key from a look-alike.

use domain::id::KeyId;
use domain::ports::Rng;
use domain::secret::Secret;
use resilience::chance;
use sha2::{Digest, Sha256};

const PREFIX: &str = "sk-ms-";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters of the public part.
const PUBLIC: usize = 12;
/// Random letters of the secret: 62^43 is a little more than 2^256.
const RANDOM: usize = 43;
/// Letters of the checksum.
const CHECKSUM: usize = 5;
/// No key, and no bootstrap key, is longer.
pub(crate) const BYTES_MAX: usize = 512;

/// A new key, and its public part.
pub(crate) fn mint(rng: &dyn Rng) -> (KeyId, Secret) {
    let public = letters(rng, PUBLIC);
    let unchecked = format!("{PREFIX}{public}-{}", letters(rng, RANDOM));
    let checksum = checksum(&unchecked);
    (KeyId::from(public), Secret::new(unchecked + &checksum))
}

fn letters(rng: &dyn Rng, n: usize) -> String {
    (0..n).map(|_| letter(chance::below(rng, 62))).collect()
}

/// The digit of base 62.
fn letter(digit: u64) -> char {
    let letter = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
    letter.copied().map_or('0', char::from)
}

fn checksum(unchecked: &str) -> String {
    let digest = Sha256::new().chain_update(b"mainstay key checksum\0").chain_update(unchecked).finalize();
    let first: [u8; 8] = digest.first_chunk().copied().unwrap_or_default();
    let mut number = u64::from_be_bytes(first);
    let mut digits = String::with_capacity(CHECKSUM);
    for _ in 0..CHECKSUM {
        digits.push(letter(number % 62));
        number /= 62;
    }
    digits
}

/// The public part of a text in the form of a key; its checksum is not looked at.
pub(crate) fn public_part(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(PREFIX)?;
    let (public, secret) = rest.split_once('-')?;
    let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (public.len() == PUBLIC && secret.len() == RANDOM + CHECKSUM && is_text(public) && is_text(secret))
        .then_some(public)
}

/// Whether `text` was meant as a key of ours, and is none that was ever minted: its form or its checksum is wrong.
pub(crate) fn is_mistyped(text: &str) -> bool {
    let sum = text.len().checked_sub(CHECKSUM).and_then(|at| text.split_at_checked(at));
    match (public_part(text), sum) {
        (Some(_), Some((unchecked, sum))) => checksum(unchecked) != sum,
        _ => text.starts_with(PREFIX),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use testkit::SeededRng;

    use super::*;

    #[test]
    fn keys_differ_and_carry_their_public_part() {
        let rng = SeededRng::new(1);
        let keys: Vec<(KeyId, Secret)> = (0..1_000).map(|_| mint(&rng)).collect();
        let texts: HashSet<&str> = keys.iter().map(|(_, key)| key.expose()).collect();
        assert_eq!(texts.len(), keys.len());
        for (id, key) in &keys {
            assert_eq!(key.expose().len(), 67);
            assert_eq!(public_part(key.expose()), Some(id.as_str()));
            assert!(!is_mistyped(key.expose()));
        }
        let used: HashSet<char> = texts.iter().flat_map(|text| text.chars()).collect();
        assert_eq!(used.len(), 63, "all letters and digits, and the hyphen");
    }

    #[test]
    fn any_changed_letter_is_noticed() {
        let (_, key) = mint(&SeededRng::new(2));
        let key = key.expose();
        for at in PREFIX.len()..key.len() {
            for other in ['0', 'z', '!'] {
                let mut changed: Vec<char> = key.chars().collect();
                if std::mem::replace(&mut changed[at], other) != other {
                    let changed: String = changed.into_iter().collect();
                    assert!(is_mistyped(&changed), "letter {at} as `{other}`");
                }
            }
        }
        for cut in PREFIX.len()..key.len() {
            assert!(is_mistyped(&key[..cut]) && public_part(&key[..cut]).is_none(), "{cut}");
        }
        for foreign in ["", "sk-proj-abc", "eyJhbGciOi", "sk-m"] {
            assert!(!is_mistyped(foreign), "{foreign}");
        }
    }
}
