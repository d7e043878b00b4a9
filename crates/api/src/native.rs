//! Our own doors: `/generate`, `/query`, `/feedback`.

pub(crate) mod feedback;
pub(crate) mod generate;
pub(crate) mod query;
pub(crate) mod reply;
pub(crate) mod text;
