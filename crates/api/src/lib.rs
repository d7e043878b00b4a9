//! HTTP in and out; the only place that knows axum.
//!
//! Reading order: [`router`] (which path does what), `entry` (checks before any handler), `caller` (who asks), `limits` (what limits say), `body` (JSON in), `parameters`
//! (the query string), `native` (our own doors), `dialect` (what the doors of vendors' SDKs have in common), `openai` and `anthropic` (those doors), `openapi` (what there is),
//! `admin`, `stream` (event streams), [`problem`] (errors out), [`health`], [`metrics`],
//! [`serve`] (connections), [`stopping`] (how they end).

mod admin;
mod anthropic;
mod body;
mod caller;
mod dialect;
mod entry;
pub mod health;
mod limits;
pub mod metrics;
mod native;
mod openai;
mod openapi;
mod parameters;

pub use native::reply::body as reply_body;
pub mod problem;
pub mod router;
pub mod serve;
pub mod stopping;
mod stream;
