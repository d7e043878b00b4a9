//! Mainstay: keeps an AI assistant answering. The binary: command line, configuration, composition.
//!
//! Reading order: [`cli`] (one file for each command), [`compose`] (what is joined to what), [`provider_clients`], [`assembly`] (the running
//! whole), [`models`] (fetching and starting embedded models), [`trying`] (until it is done), [`config`] and [`files`] (the configuration folder),
//! [`watch`] (following its changes), [`certificates`] (following those of TLS), [`keeper`] (who is let in), [`checkup`]
//! and [`store_health`] (health), [`observing`] (what collectors are told), [`clock`], [`descriptors`], [`logging`].

mod assembly;
mod certificates;
mod checkup;
mod cli;
mod clock;
mod compose;
mod config;
mod data;
mod descriptors;
mod embedded_slot;
mod embedder_slot;
mod fetching;
mod files;
mod keeper;
mod lifetimes;
mod logging;
mod memory;
mod models;
mod observing;
mod provider_clients;
mod store_health;
mod trying;
mod watch;

use std::process::ExitCode;

/// Gives memory back when a start, a search or a burst is over; glibc's arenas keep it. Tuned in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
