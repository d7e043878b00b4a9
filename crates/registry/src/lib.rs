//! What a replica serves from: agents, prompts, routes and texts, read from a folder into one immutable snapshot.
//!
//! Reading order: [`folder`] (the files of a release), [`problem`] (what is wrong with them, and where),
//! [`routes`], [`texts`], [`prompt`], [`agents`], [`intents`] (one kind of file each),
//! [`snapshot`] (all of them together, swapped atomically), [`clients`] (what clients write as `model`).

pub mod agents;
pub mod caching;
pub mod catalogue;
pub mod clients;
pub mod folder;
pub mod intents;
mod pattern;
pub mod problem;
pub mod prompt;
pub mod routes;
pub mod snapshot;
pub mod texts;
