//! What the programs of `bench/` share: serving, sending, watching a process, writing figures down.
//!
//! Reading order: [`server`] and [`connection`] (either end of HTTP/1.1), [`mock`] (the model provider that is none),
//! [`plan`] (what a measurement is asked to do), [`closed`], [`open`], [`stream`] (the three kinds of load), [`soak`] (a mix for a long time),
//! [`crowd`] (many connections at once),
//! [`process`] (CPU and memory), [`start`] (cold start), [`disk`] (fsync), [`measurement`] (the figures),
//! [`report`] (medians and ratios).

pub mod closed;
pub mod connection;
pub mod crowd;
pub mod disk;
pub mod measurement;
pub mod mock;
pub mod open;
pub mod plan;
pub mod process;
pub mod report;
pub mod server;
pub mod soak;
pub mod start;
pub mod stream;
