//! What tests stand on: clocks, chance and ids that do as they are told, a model that follows a script,
//! and an upstream that fails on purpose.
//!
//! Reading order: [`clock`], [`chance`], [`keys`], [`script`] (a `ChatModel` without a network),
//! [`upstream`] (an OpenAI-compatible server on loopback with every fault a gateway must survive).
#![deny(missing_docs)]

pub mod chance;
pub mod clock;
pub mod keys;
pub mod script;
pub mod upstream;

pub use chance::{ConstantRng, CountingIds, SeededRng};
pub use clock::{ManualClock, TokioClock};
pub use keys::MemoryKeys;
pub use script::{Reply, ScriptedModel, Step};
pub use upstream::{Behaviour, Upstream};
