//! Event streams: each connection asks for its next stream when the last one ended; every frame is counted.

use std::time::Duration;

use anyhow::Context;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, Target};
use crate::measurement::{Measurement, Waits};
use crate::plan::{Plan, Window};

/// What a stream must be.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Expected {
    /// Frames that every stream must have, the last one `data: [DONE]`.
    #[arg(long)]
    pub frames: usize,
}

/// Runs it; `load` names it in the report.
///
/// # Errors
/// When nobody answers.
pub async fn run(plan: &Plan, load: &str, expected: Expected) -> anyhow::Result<Measurement> {
    let target = plan.target()?;
    let window = plan.window();
    let mut loops = JoinSet::new();
    // Not all at once: streams that begin together stay together, and no crowd of people does that.
    let connections = u32::try_from(plan.connections).context("too many connections")?;
    let apart = Duration::from_secs_f64(plan.warmup) / connections.max(1);
    for n in 0..connections {
        let (target, begin) = (target.clone(), Instant::now() + apart * n);
        loops.spawn(async move {
            tokio::time::sleep_until(begin).await;
            listen_again_and_again(target, window, expected.frames).await
        });
    }
    let spent = plan.watch(window).await?;
    let mut seen = Seen::default();
    while let Some(ended) = loops.join_next().await {
        let more = ended??;
        seen.first.add_all(&more.first);
        seen.gaps.add_all(&more.gaps);
        seen.n_frames += more.n_frames;
        seen.n_streams += more.n_streams;
        seen.n_broken += more.n_broken;
    }
    let mut measurement = Measurement::new(load, &plan.name, plan.round);
    measurement.add("streams", seen.n_streams as f64);
    measurement.add("errors", seen.n_broken as f64);
    measurement.add("frames", seen.n_frames as f64);
    measurement.add("tokens_per_second", seen.n_frames as f64 / plan.seconds);
    measurement.add_waits("first_", &seen.first);
    measurement.add_waits("gap_", &seen.gaps);
    measurement.add_spent(spent, seen.n_frames);
    Ok(measurement)
}

#[derive(Default)]
struct Seen {
    /// From asking to the first byte of a body.
    first: Waits,
    /// Between two pieces of a body.
    gaps: Waits,
    /// Frames that came within the window.
    n_frames: u64,
    n_streams: u64,
    n_broken: u64,
}

async fn listen_again_and_again(target: Target, window: Window, n_expected: usize) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut connection = target.connect().await.context("could not connect")?;
    let mut text = Vec::new();
    while Instant::now() < window.to {
        text.clear();
        let heard = listen(&mut connection, &target, window, (&mut seen, &mut text)).await;
        let is_whole = heard.is_ok() && n_frames(&text) == Some(n_expected);
        seen.n_streams += 1;
        seen.n_broken += u64::from(!is_whole);
        if heard.is_err() {
            // A server that answers nothing must not be asked in a tight loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
            connection = target.connect().await.context("could not connect again")?;
        }
    }
    Ok(seen)
}

async fn listen(
    connection: &mut Connection,
    target: &Target,
    window: Window,
    (seen, text): (&mut Seen, &mut Vec<u8>),
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut body = connection.send(target).await?.into_body();
    let mut last = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = Instant::now();
        text.extend_from_slice(&data);
        if window.holds(now) {
            let waits = if last.is_none() { &mut seen.first } else { &mut seen.gaps };
            waits.add(now - last.unwrap_or(began));
            seen.n_frames += data.windows(2).filter(|window| *window == b"\n\n").count() as u64;
        }
        last = Some(now);
    }
    Ok(())
}

/// Frames of a whole stream; `None` when one is not understood or the end is missing. Comments are no frames.
fn n_frames(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix("\n\n")?;
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.starts_with(':')).collect();
    let are_data = frames.iter().all(|frame| frame.starts_with("data: "));
    (are_data && frames.last() == Some(&"data: [DONE]")).then_some(frames.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_streams_have_frames() {
        for (text, want) in [
            ("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", Some(3)),
            ("data: {}\n\n: recorded\n\ndata: [DONE]\n\n", Some(2)),
            ("data: {}\n\ndata: [DONE]\n", None),         // cut off
            ("data: {}\n\ndata: {}\n\n", None),           // no end
            ("data: {}\n\n{}\n\ndata: [DONE]\n\n", None), // not understood
            ("", None),
        ] {
            assert_eq!(n_frames(text.as_bytes()), want, "{text:?}");
        }
    }
}
