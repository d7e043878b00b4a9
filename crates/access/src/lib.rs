//! Who may ask what: keys, roles, tenants, limits.
//!
//! Reading order: [`permission`] (what each role may do).

pub mod permission;
