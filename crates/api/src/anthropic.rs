//! The door that Anthropic's SDKs know.
//!
//! Reading order: [`messages`] and [`count`] (who asks what), [`models`] (what there is), [`manner`] (how replies look),
//! [`headers`] (which of the caller's go on to a provider).

pub(crate) mod count;
pub(crate) mod headers;
pub(crate) mod manner;
pub(crate) mod messages;
pub(crate) mod models;
