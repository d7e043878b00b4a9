//! Pure text analysis: no I/O, no clock, no chance, the same result on every machine.
//!
//! Reading order: [`text`] (normalising), [`sentence`], [`word`], [`similarity`], [`number`] (what may be
//! compared with a source), [`markup`] (fences and placeholders), [`intent`] (a small trained classifier).
#![deny(missing_docs)]

pub mod intent;
pub mod markup;
pub mod number;
pub mod sentence;
pub mod similarity;
pub mod text;
pub mod word;

pub use markup::{placeholders, unclosed_fence};
pub use number::{Number, allowed, numbers};
pub use sentence::{SentenceStream, sentences};
pub use word::{content_words, is_vague, words};
