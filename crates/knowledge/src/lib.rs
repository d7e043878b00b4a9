//! Knowledge: from files to passages that an answer may rest on, or to the insight that there are none.
//!
//! Reading order: [`extract`] (file to document), [`chunk`] (document to chunks), `term`, `words` and
//! `dense` (what is indexed and how it is found), `question` and `precedent` (what is asked), `corpus` (the texts of a collection and the search in
//! them), `passage` (the best sentences of a chunk), [`calibration`] with `experience` and `regression`
//! (when to abstain), `generation` (all of it, immutable), [`library`] (loading, embedding, serving),
//! [`evaluation`] (how well it works).
#![deny(missing_docs)]

pub mod calibration;
pub mod chunk;
mod corpus;
mod dense;
pub mod evaluation;
mod experience;
pub mod extract;
mod generation;
pub mod library;
mod markdown;
mod passage;
mod precedent;
mod question;
mod regression;
mod term;
mod words;

pub use extract::{ExtractError, SourceFile};
pub use library::{Library, LoadError, Loaded, Progress};

use domain::id::ContentHash;
use sha2::Digest;

/// SHA-256 of `bytes` as 64 hex digits.
fn hash(bytes: &[u8]) -> ContentHash {
    let digest = sha2::Sha256::digest(bytes);
    let mut digits = String::with_capacity(64);
    for byte in digest {
        for half in [byte >> 4, byte & 15] {
            digits.push(char::from_digit(u32::from(half), 16).expect("four bits are one hex digit"));
        }
    }
    ContentHash::new(digits)
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_the_published_sha_256_vectors() {
        assert_eq!(
            super::hash(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
