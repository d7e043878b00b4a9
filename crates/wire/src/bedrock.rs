//! Bedrock's runtime (docs.aws.amazon.com/bedrock/latest/APIReference, and the model that botocore 1.44 ships; read
//! 2026-11): Converse and InvokeModel, as callers speak them and as AWS does.
//!
//! Reading order: [`frame`] (event streams), [`model`] (whose model an id names), `relay` (passing frames on), [`converse`] (requests, answers,
//! streams, passing on), [`invoke`] (the makers' own bodies), [`call_id`] (how calls may be named), [`failure`] (what AWS's errors mean), [`exception`] (what
//! our callers are told), [`protocol`] (what providers use), [`counting`].

pub mod call_id;
pub mod converse;
pub mod counting;
pub mod exception;
pub mod failure;
pub mod frame;
pub mod invoke;
pub mod model;
pub mod protocol;
mod relay;
