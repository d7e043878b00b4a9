//! The closed loop: each connection sends its next request when it has the reply to the last.

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::Target;
use crate::measurement::{Measurement, Waits};
use crate::plan::{Plan, Window};

/// Errors in a row after which a connection is given up: the server is not there.
const ERRORS_MAX: u64 = 1_000;

/// Runs it.
///
/// # Errors
/// When nobody answers at all.
pub async fn run(plan: &Plan) -> anyhow::Result<Measurement> {
    let target = plan.target()?;
    let window = plan.window();
    let mut loops = JoinSet::new();
    for _ in 0..plan.connections {
        loops.spawn(ask_again_and_again(target.clone(), window));
    }
    let spent = plan.watch(window).await?;
    let (mut waits, mut n_errors) = (Waits::default(), 0);
    while let Some(ended) = loops.join_next().await {
        let (more_waits, more_errors) = ended??;
        waits.add_all(&more_waits);
        n_errors += more_errors;
    }
    let mut measurement = Measurement::new("closed", &plan.name, plan.round);
    measurement.add("requests", waits.count() as f64);
    measurement.add("errors", n_errors as f64);
    measurement.add("requests_per_second", waits.count() as f64 / plan.seconds);
    measurement.add_waits("", &waits);
    measurement.add_spent(spent, waits.count());
    Ok(measurement)
}

async fn ask_again_and_again(target: Target, window: Window) -> anyhow::Result<(Waits, u64)> {
    let (mut waits, mut n_errors, mut n_in_a_row) = (Waits::default(), 0, 0);
    let mut connection = target.connect().await.context("could not connect")?;
    loop {
        let began = Instant::now();
        if began >= window.to {
            return Ok((waits, n_errors));
        }
        match connection.exchange(&target).await {
            Ok(()) => {
                let ended = Instant::now();
                if window.holds(ended) {
                    waits.add(ended - began);
                }
                n_in_a_row = 0;
            }
            Err(error) => {
                n_errors += u64::from(window.holds(began));
                n_in_a_row += 1;
                if n_in_a_row >= ERRORS_MAX {
                    return Err(error.context("nothing but errors"));
                }
                connection = target.connect().await.context("could not connect again")?;
            }
        }
    }
}
