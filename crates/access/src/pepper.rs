//! The server's pepper: the secret under which keys are hashed. Without it what the database holds is of no use.

use domain::hex;
use domain::id::KeyId;
use domain::ports::Rng;
use domain::secret::Secret;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a pepper that is made here.
const BYTES: usize = 32;
/// A shorter one could be guessed.
const BYTES_MIN: usize = 32;

/// The secret is too short for a pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pepper has {BYTES_MIN} bytes at least, as `openssl rand -hex 32` makes them")]
pub struct TooShort;

/// The pepper, ready for use: one state for each purpose, so that what is made for one is of no use for another.
#[derive(Clone)]
pub struct Pepper {
    keys: Hmac<Sha256>,
    signing: Hmac<Sha256>,
}

impl Pepper {
    /// Of a secret.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new(secret: &Secret) -> Result<Self, TooShort> {
        let secret = secret.expose().as_bytes();
        if secret.len() < BYTES_MIN {
            return Err(TooShort);
        }
        let whole = mac(secret);
        let purpose = |name: &str| mac(&sum(whole.clone(), name.as_bytes()));
        Ok(Self { keys: purpose("mainstay keys"), signing: purpose("mainstay request signing") })
    }

    /// The text of a new pepper.
    #[must_use]
    pub fn make(rng: &dyn Rng) -> Secret {
        let words = (0..BYTES / 8).map(|_| format!("{:016x}", rng.next_u64()));
        Secret::new(words.collect())
    }

    /// What is kept of a key.
    #[must_use]
    pub fn hash(&self, key: &str) -> [u8; 32] {
        sum(self.keys.clone(), key.as_bytes())
    }

    /// The secret with which the holder of a key signs requests in the manner of AWS. It is derived each time from the
    /// key's public part and the pepper: neither it nor the key is kept anywhere.
    #[must_use]
    pub fn signing_secret(&self, key: &KeyId) -> Secret {
        let sum = sum(self.signing.clone(), key.as_str().as_bytes());
        Secret::new(hex::of(sum.get(..20).unwrap_or_default()))
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn sum(mac: Hmac<Sha256>, text: &[u8]) -> [u8; 32] {
    mac.chain_update(text).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;

    fn pepper(text: &str) -> Pepper {
        Pepper::new(&Secret::new(text.to_owned())).expect("long enough")
    }

    #[test]
    fn hashes_hang_on_key_and_pepper() {
        let (one, other) = (pepper(&"a".repeat(32)), pepper(&"b".repeat(32)));
        assert_eq!(one.hash("sk-ms-x"), one.clone().hash("sk-ms-x"));
        assert_ne!(one.hash("sk-ms-x"), one.hash("sk-ms-y"));
        assert_ne!(one.hash("sk-ms-x"), other.hash("sk-ms-x"));
        let id = KeyId::from("x");
        assert_ne!(one.signing_secret(&id), other.signing_secret(&id));
        let hash: String = one.hash("x").iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!hash.starts_with(one.signing_secret(&id).expose()), "one purpose gives nothing to another");
        assert_eq!(one.signing_secret(&id).expose().len(), 40, "as long as those of AWS");
    }

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_hmac_sha256() {
        let sum: String = sum(mac(b"Jefe"), b"what do ya want for nothing?")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sum, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_short_pepper_is_refused_and_a_made_one_is_not() {
        assert_eq!(Pepper::new(&Secret::new("x".repeat(31))).err(), Some(TooShort));
        let made = Pepper::make(&SeededRng::new(1));
        assert_eq!(made.expose().len(), 64);
        assert!(Pepper::new(&made).is_ok());
    }
}
