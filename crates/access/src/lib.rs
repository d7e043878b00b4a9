//! Who may ask what: keys, roles, tenants, limits.
//!
//! Reading order: [`permission`] (what each role may do), `token` (the text of a key), [`pepper`] (what is kept of it),
//! `keyring` (all keys in memory), [`gatekeeper`] (who is let in), [`jwt`] (signed tokens), [`denied`] (why not), [`minting`] (making, rotating
//! and revoking keys), `given` (what they may be given), [`limits`] (how much each may use), `limiting` (giving a key limits of its own),
//! [`sigv4`] (requests signed as for AWS), [`config`].

pub mod config;
pub mod denied;
#[cfg(test)]
mod doubles;
pub mod gatekeeper;
mod given;
pub mod jwt;
mod keyring;
mod limiting;
pub mod limits;
pub mod minting;
pub mod pepper;
pub mod permission;
pub mod sigv4;
mod token;

pub use config::Config;
