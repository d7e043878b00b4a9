//! Converse and ConverseStream.
//!
//! Reading order: `body` (requests as they are on the wire), [`inbound`] (a caller's request), [`outbound`] (a request to
//! AWS), [`answer`] (whole answers, both ways), [`stream`] and [`writer`] (streamed ones), [`relay`] (passing on),
//! [`face`] (what doors use).

pub mod answer;
pub(super) mod body;
pub mod face;
pub mod inbound;
mod media;
pub mod outbound;
pub mod relay;
pub mod stream;
pub mod writer;

#[cfg(test)]
mod tests;
