//! `bench-crowd`: memory of a server with many connections at once, idle ones of each kind and streams, as a table with
//! its goals. Ends with 3 when one is missed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::crowd::{GIVEN_BACK, Kind, Server};
use bench::measurement::Waits;
use bench::process::Process;
use bytes::Bytes;
use clap::Parser;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Whom to measure, and what is wanted.
#[derive(Parser)]
struct Options {
    /// Its plain port.
    #[arg(long)]
    plain: SocketAddr,
    /// Its port with TLS.
    #[arg(long)]
    tls: SocketAddr,
    /// Its certificate (PEM).
    #[arg(long)]
    certificate: PathBuf,
    /// Its process.
    #[arg(long)]
    pid: u32,
    /// What is asked for one reply.
    #[arg(long)]
    body: String,
    /// What is asked for a stream.
    #[arg(long)]
    stream_body: String,
    /// Idle connections.
    #[arg(long, default_value_t = 5_000)]
    connections: usize,
    /// Streams at once.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Bytes that an idle connection may take.
    #[arg(long, default_value_t = 20_000)]
    idle_bytes_max: u64,
    /// Megabytes that the process may take with all streams open.
    #[arg(long, default_value_t = 150.0)]
    streams_mb_max: f64,
    /// Milliseconds that one more request may take beside the idle ones.
    #[arg(long, default_value_t = 50.0)]
    request_ms_max: f64,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let all_met = bench::server::runtime()?.block_on(run(&options))?;
    Ok(if all_met { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

async fn run(options: &Options) -> anyhow::Result<bool> {
    let certificate = std::fs::read(&options.certificate)?;
    let of =
        |body: &str| Server::new(options.plain, options.tls, (&certificate, Bytes::from(body.to_owned())));
    let (server, streaming) = (of(&options.body)?, of(&options.stream_body)?);
    println!(
        "| {} connections that | KB each | goal | one more request p99 ms | goal | |",
        options.connections
    );
    println!("|---|---:|---:|---:|---:|---|");
    let mut all_met = true;
    for kind in Kind::ALL {
        all_met &= idle(options, &server, kind).await?;
    }
    println!("\n| {} streams at once | process MB | goal | MB before | |", options.streams);
    println!("|---|---:|---:|---:|---|");
    for kind in [Kind::Http1, Kind::Tls2] {
        all_met &= streams(options, &streaming, kind).await?;
    }
    Ok(all_met)
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT met" }
}

async fn idle(options: &Options, server: &Server, kind: Kind) -> anyhow::Result<bool> {
    // What a few connections make the server keep for all is no part of each one's share.
    drop(server.crowd(kind, 100).await?);
    sleep(GIVEN_BACK).await;
    let before = Process::read(options.pid)?.resident_kib;
    let crowd = server.crowd(kind, options.connections).await?;
    sleep(GIVEN_BACK).await;
    let taken = Process::read(options.pid)?.resident_kib.saturating_sub(before) * 1_024;
    let each = taken / u64::try_from(options.connections.max(1))?;
    let mut waits = Waits::default();
    for _ in 0..200 {
        let began = Instant::now();
        drop(server.crowd(Kind::Http1, 1).await?);
        waits.add(began.elapsed());
    }
    let request_ms = waits.quantile_us(0.99) / 1e3;
    drop(crowd);
    let is_met = each <= options.idle_bytes_max && request_ms <= options.request_ms_max;
    println!(
        "| {} | {:.1} | {:.1} | {request_ms:.1} | {:.0} | {} |",
        kind.name(),
        each as f64 / 1e3,
        options.idle_bytes_max as f64 / 1e3,
        options.request_ms_max,
        verdict(is_met)
    );
    Ok(is_met)
}

async fn streams(options: &Options, server: &Server, kind: Kind) -> anyhow::Result<bool> {
    sleep(GIVEN_BACK).await;
    let mb = |process: Process| process.resident_kib as f64 * 1_024.0 / 1e6;
    let before = mb(Process::read(options.pid)?);
    let mut reading = JoinSet::new();
    for _ in 0..options.streams {
        let server = server.clone();
        reading.spawn(async move {
            let mut connection = server.connect(kind).await?;
            let body = server.send(&mut connection).await?.into_body().collect().await?.to_bytes();
            anyhow::ensure!(body.ends_with(b"data: [DONE]\n\n"), "a stream broke off");
            Ok(())
        });
    }
    let mut most = before;
    let mut n_done = 0;
    while n_done < options.streams {
        tokio::select! {
            ended = reading.join_next() => {
                if let Some(ended) = ended { ended?? }
                n_done += 1;
            }
            () = sleep(Duration::from_millis(100)) => most = most.max(mb(Process::read(options.pid)?)),
        }
    }
    let is_met = most <= options.streams_mb_max;
    println!(
        "| {} | {most:.1} | {:.0} | {before:.1} | {} |",
        kind.name(),
        options.streams_mb_max,
        verdict(is_met)
    );
    Ok(is_met)
}
