//! The nouns of Mainstay and the ports through which it touches the world. No I/O, no clock.
//!
//! Reading order: [`id`], [`time`], [`money`] and [`token`] (values), [`fault`] (what can go wrong),
//! [`chat`], [`model`] and [`price`] (asking a model), [`residency`] (where that may be), [`conversation`] and [`embedding`] (what dialects are translated through),
//! [`document`] (knowledge), [`agent`] (what answers),
//! [`principal`], [`grant`] and [`key`] (who asks, and what it may),
//! [`limit`] and [`spending`] (how much it may use), [`cache`] (answers that are given again),
//! [`interaction`], [`ledger`], [`session`] and [`feedback`] (what is kept), [`signal`] (names for telemetry), [`trace_context`] (traces over many services),
//! [`ports`] (traits that outer crates implement), [`alarm`] (many waits on one timer of the `Clock`).
#![deny(missing_docs)]

pub mod agent;
pub mod alarm;
pub mod cache;
pub mod chat;
pub mod conversation;
pub mod document;
pub mod embedding;
pub mod fault;
pub mod feedback;
pub mod grant;
pub mod hex;
pub mod id;
pub mod interaction;
pub mod key;
pub mod ledger;
pub mod limit;
pub mod meter;
pub mod model;
pub mod money;
pub mod ports;
pub mod price;
pub mod principal;
pub mod residency;
pub mod secret;
pub mod session;
pub mod signal;
pub mod spending;
pub mod time;
pub mod token;
pub mod trace_context;
