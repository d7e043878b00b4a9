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
#[derive(Debug, Clone, clap::Args)]
pub struct Expected {
    /// Frames that every stream must have.
    #[arg(long)]
    pub frames: usize,
    /// Frames before the one with the first word.
    #[arg(long, default_value_t = 1)]
    pub head_frames: usize,
    /// How the last frame begins.
    #[arg(long, default_value = "data: [DONE]")]
    pub end: String,
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
        let expected = expected.clone();
        loops.spawn(async move {
            tokio::time::sleep_until(begin).await;
            listen_again_and_again(target, window, expected).await
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
    /// From asking to the first word: what comes before it says nothing, and a gateway may hold it back until then.
    first: Waits,
    /// Between two pieces of a body after that.
    gaps: Waits,
    /// Frames that came within the window.
    n_frames: u64,
    n_streams: u64,
    n_broken: u64,
}

async fn listen_again_and_again(target: Target, window: Window, expected: Expected) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut connection = target.connect().await.context("could not connect")?;
    let mut text = Vec::new();
    while Instant::now() < window.to {
        text.clear();
        let heard =
            listen(&mut connection, &target, (window, expected.head_frames), (&mut seen, &mut text)).await;
        let is_whole = heard.is_ok() && n_frames(&text, &expected.end) == Some(expected.frames);
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
    (window, n_head_frames): (Window, usize),
    (seen, text): (&mut Seen, &mut Vec<u8>),
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut body = connection.send(target).await?.into_body();
    let (mut last, mut n_frames) = (None, 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = Instant::now();
        text.extend_from_slice(&data);
        let n_more = data.windows(2).filter(|window| *window == b"\n\n").count();
        n_frames += n_more;
        if window.holds(now) {
            seen.n_frames += n_more as u64;
            match last {
                Some(last) => seen.gaps.add(now - last),
                None if n_frames > n_head_frames => seen.first.add(now - began),
                None => {}
            }
        }
        if n_frames > n_head_frames {
            last = Some(now);
        }
    }
    Ok(())
}

/// Frames of a whole stream whose last one begins with `end`; `None` when one is not understood or the end is missing.
/// Comments are no frames.
fn n_frames(text: &[u8], end: &str) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix("\n\n")?;
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.starts_with(':')).collect();
    let are_frames = frames.iter().all(|frame| frame.starts_with("data: ") || frame.starts_with("event: "));
    let has_ended = frames.last().is_some_and(|last| last.starts_with(end));
    (are_frames && has_ended).then_some(frames.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_streams_have_frames() {
        let end = "data: [DONE]";
        for (text, want) in [
            ("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", Some(3)),
            ("data: {}\n\n: recorded\n\ndata: [DONE]\n\n", Some(2)),
            ("data: {}\n\ndata: [DONE]\n", None),         // cut off
            ("data: {}\n\ndata: {}\n\n", None),           // no end
            ("data: {}\n\n{}\n\ndata: [DONE]\n\n", None), // not understood
            ("", None),
        ] {
            assert_eq!(n_frames(text.as_bytes(), end), want, "{text:?}");
        }
        let typed = b"event: a\ndata: {}\n\nevent: message_stop\ndata: {}\n\n";
        assert_eq!(n_frames(typed, "event: message_stop"), Some(2));
        assert_eq!(n_frames(typed, end), None, "another end");
    }
}
