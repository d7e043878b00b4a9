//! The real binary under test: started on a free port with a data folder of its own, asked over HTTP, and broken.
//!
//! Reading order: [`client`] (HTTP by hand, so that nothing smooths over what the server does), [`server`] (starting
//! and stopping the binary), [`folder`] (configurations), [`doors`] (a request at each door, and its end), [`dialects`] (the same for each dialect's streams), [`database`]
//! (what was recorded), [`certificates`] (those of TLS), [`collector`] (of OpenTelemetry), [`small_disk`] (one that is soon full), [`preload`] (other clocks and disks), [`figures`] (short and long forms); then the tests: [`access`], [`http`], [`openai`], [`anthropic`], [`bedrock`], [`refusals`],
//! [`hostile`], [`tls`], [`tokens`], [`ladder`], [`model`], [`crash`], [`loss`], [`drain`], [`store_faults`], [`descriptors`], [`clock`], [`soak`], [`configuration`], [`cli`], [`output`],
//! [`footprint`], [`aws`], [`telemetry`], [`prometheus`], [`streams`], [`assured`], [`cache`], [`bulkhead`].
#![expect(
    clippy::disallowed_methods,
    reason = "these tests watch real processes from outside, in real time; no port stands in between"
)]

#[cfg(test)]
mod access;
#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod assured;
#[cfg(test)]
mod aws;
#[cfg(test)]
mod bedrock;
#[cfg(test)]
mod bulkhead;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod client;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod collector;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod database;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod footprint;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod ladder;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod model;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod output;
#[cfg(test)]
mod preload;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod server;
#[cfg(test)]
mod small_disk;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
