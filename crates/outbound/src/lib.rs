//! The one HTTP client of Mainstay: every call out goes through here.
//!
//! What it holds to: no redirects, no private addresses unless configured, a secret only to its own origin,
//! every wait ends at a deadline, everything read has a limit, and dropping a response closes its connection.
//!
//! Reading order: [`client`] (settings and sending), [`origin`] (where to, and with which secret), [`body`]
//! (reading the answer), [`error`], [`download`] (large public files), then `connection`, `pool`, `tls`, [`address`].
#![deny(missing_docs)]

pub mod address;
pub mod body;
pub mod client;
mod connection;
pub mod download;
pub mod error;
pub mod origin;
mod pool;
#[cfg(test)]
mod tests;
mod tls;

pub use body::BodyStream;
pub use client::{Client, Config, Request, Response};
pub use download::{Arriving, Download, Kept};
pub use error::OutboundError;
pub use origin::{Origin, OriginConfig, OriginError, SecretForm};
pub use pool::PoolStats;
