//! Is this answer good: complete, well-formed, without placeholders, with its sources' numbers and claims.
//! Deterministic and without a model; a check costs well under a millisecond a sentence.
//!
//! Reading order: [`mod@validate`] (a whole answer), [`sentence`] (one sentence of a stream), [`grounding`] (is it
//! said in a passage, and not its opposite), [`source`] (where its figures come from), [`form`] (how an answer looks).
#![deny(missing_docs)]

pub mod form;
pub mod grounding;
pub mod sentence;
pub mod source;
pub mod validate;

pub use form::is_refusal;
pub use sentence::{Reason, check_sentence};
pub use validate::{Answer, Validation, validate};
