//! `/admin/v1/…`: what operators look at and change.

pub(crate) mod breakers;
pub(crate) mod budgets;
pub(crate) mod costs;
pub(crate) mod interactions;
pub(crate) mod keys;
