//! The pipeline with its real router, breakers, budgets and records, under every fault that a provider, a disk or a
//! clock can have.
//!
//! Reading order: [`bank`] (whose assistant is asked), [`house`] (the configuration that turns run in), [`upstream`] (each fault of a real connection),
//! [`simulation`] (thousands of seeded outages on simulated time).

#[cfg(test)]
mod bank;
#[cfg(test)]
mod house;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod upstream;
