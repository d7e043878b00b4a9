//! The steps of a turn, one file each; none calls another. Their order and branches are in [`crate::run`].

pub(crate) mod capture;
pub(crate) mod clarity;
pub(crate) mod generate;
pub(crate) mod guard_input;
pub(crate) mod intent;
pub(crate) mod quality;
pub(crate) mod record;
pub(crate) mod retrieve;
