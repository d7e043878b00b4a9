//! `bench-soak`: a steady mix of requests for a long time; prints what became of memory, open files and waits, and
//! ends with 3 where a goal is missed.

use std::process::ExitCode;

use bench::server;
use bench::soak::{self, Look, Plan, Seen};
use clap::Parser;

/// A steady mix of requests for a long time.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    plan: Plan,
}

/// Exit code of a measurement that shows a goal missed.
const MISSED: u8 = 3;
/// MB for each 100,000 requests.
const GROWTH_MAX_MB: f64 = 1.0;
/// Open files that may come or go.
const FILES_MAX: usize = 10;
/// The last minutes beside the first ones.
const SLOWER_MAX: f64 = 1.2;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let seen = server::runtime()?.block_on(soak::run(&options.plan))?;
    let is_met = goals(&seen);
    minutes(&seen);
    looks(&seen);
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

fn goals(seen: &Seen) -> bool {
    let growth = seen.growth_mb(|look| look.resident_mb);
    let (fewest, most) = seen.files();
    let (first, last) = seen.p99_ms();
    let rows = [
        ("requests answered", format!("{}", seen.requests()), seen.requests() > 0),
        (
            "errors",
            format!("{} {}", seen.errors, seen.first_error.as_deref().unwrap_or_default()),
            seen.errors == 0,
        ),
        ("RSS, MB for 100,000 requests, at most 1", format!("{growth:.2}"), growth <= GROWTH_MAX_MB),
        ("open files, ± 10", format!("{fewest} to {most}"), most - fewest <= 2 * FILES_MAX),
        (
            "p99 of the last 5 minutes, at most 1.2 × that of minutes 5 to 10",
            format!("{last:.2} ms, {first:.2} ms: {:.2} ×", last / first),
            last <= first * SLOWER_MAX,
        ),
    ];
    println!("\n| goal | found | met |\n|---|---|---|");
    for (goal, found, is_met) in &rows {
        println!("| {goal} | {found} | {} |", if *is_met { "yes" } else { "**no**" });
    }
    rows.iter().all(|(.., is_met)| *is_met)
}

fn minutes(seen: &Seen) {
    println!("\n| minute | requests | p50 ms | p99 ms | worst ms |\n|---|---|---|---|---|");
    for (n, waits) in seen.minutes.iter().enumerate() {
        let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| waits.quantile_us(share) / 1_000.0);
        println!("| {n} | {} | {p50:.2} | {p99:.2} | {worst:.1} |", waits.count());
    }
}

fn looks(seen: &Seen) {
    println!("\n| s | requests | RSS MB | without pages of files, MB | open files |\n|---|---|---|---|---|");
    for Look { at, requests, resident_mb, own_mb, files } in &seen.looks {
        println!("| {} | {requests} | {resident_mb:.1} | {own_mb:.1} | {files} |", at.as_secs());
    }
}
