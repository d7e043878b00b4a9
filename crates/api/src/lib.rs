//! HTTP in and out; the only place that knows axum.
//!
//! Reading order: [`server`] (settings, and what handlers need), `doors` (which path does what, and who may), [`entry`]
//! (what comes before any handler), `finding` (which door a request is for), `admission` (who is let in: `local`,
//! `credential`, `client_address`, [`cors`]), `caller` (who asks), `head` (a request without its body), `allowed` (what it
//! may use), `limits` (what limits say), `body` (JSON in), `path` and `parameters` (what else a request says), `native`
//! (our own doors), `dialect` (what the doors of vendors' SDKs have in common), `openai`, `anthropic` and `bedrock` (those
//! doors), `openapi` (what there is), `admin`, `stream` (event streams), [`problem`] (errors out), [`health`], [`metrics`],
//! [`serve`] (connections), [`stopping`] (how they end).

mod admin;
mod admission;
mod allowed;
mod anthropic;
mod bedrock;
mod body;
mod cached;
mod caller;
mod client_address;
pub mod cors;
mod credential;
mod dialect;
mod doors;
pub mod entry;
mod finding;
mod head;
pub mod health;
mod keep_alive;
mod limits;
mod local;
pub mod metrics;
mod native;
mod openai;
mod openapi;
mod parameters;
mod path;

pub use native::reply::body as reply_body;
pub mod problem;
pub mod serve;
pub mod server;
pub mod stopping;
mod stream;
