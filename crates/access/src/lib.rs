//! Who may ask what: keys, roles, tenants, limits.
//!
//! Reading order: [`permission`] (what each role may do), [`limits`] (how much each may use).

pub mod limits;
pub mod permission;
