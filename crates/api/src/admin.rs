//! `/admin/v1/…`: what operators look at and change.

pub(crate) mod interactions;
