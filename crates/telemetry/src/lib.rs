//! What is told of requests to those who run Mainstay: spans and histograms by OpenTelemetry's GenAI conventions (read
//! 22 Nov 2026, open-telemetry/semantic-conventions-genai), sent over OTLP (HTTP, protobuf).
//!
//! A request's spans are made when it is over, from its record: while it runs there is nothing but their ids, which calls
//! of providers carry. Sending is a task of its own behind a bounded queue: a request never waits for a collector.
//!
//! Reading order: [`config`] and [`standard`] (settings), [`hub`] (what requests meet), [`watched`] (one request),
//! `spans` and `measured` (what its record says), `histogram` and `queue` (what waits), [`export`] and `delivery` (sending),
//! `attribute` (how it is written).
#![deny(missing_docs)]

mod attribute;
pub mod config;
mod delivery;
pub mod export;
mod histogram;
pub mod hub;
mod measured;
mod queue;
mod spans;
pub mod standard;
#[cfg(test)]
mod tests;
pub mod watched;

pub use config::Config;
pub use export::Exporter;
pub use hub::{Hub, Provider, Reading};
pub use standard::Settings;
pub use watched::{Operation, Watched};
