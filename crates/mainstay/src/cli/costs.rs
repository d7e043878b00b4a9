//! `mainstay costs`: what calls of models cost, by model, agent, key, tenant or day.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::reach::Reach;
use crate::cli::{Found, terminal};
use crate::clock::SystemClock;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// First day (2026-11-21, in UTC) or time [default: 30 days ago].
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day or time [default: now].
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What is summed: model, target, agent, tenant, key, day, prices, or several of them with commas [default: model;
    /// with --csv, every call by itself].
    #[arg(long, value_name = "GROUPS")]
    group_by: Option<String>,
    /// Of this tenant only.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Which prices make the amounts: those of the call, or those that the catalogue has now for its day.
    #[arg(long, value_name = "recorded|current", default_value = "recorded")]
    prices: String,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let server = options.reach.server(Arc::new(SystemClock::new()))?;
    let path = path(&options);
    if options.csv {
        server.costs_csv(&path, terminal::part).await?;
        return Ok(Found::Good);
    }
    let body = server.costs(&path).await?;
    if options.json {
        terminal::line(body);
        return Ok(Found::Good);
    }
    let report: Report<'_> = serde_json::from_str(&body)?;
    for line in table(&report) {
        terminal::line(line);
    }
    Ok(Found::Good)
}

fn path(options: &Options) -> String {
    let group_by = match (&options.group_by, options.csv) {
        (Some(group_by), _) => Some(group_by.as_str()),
        (None, true) => None,
        (None, false) => Some("model"),
    };
    let parameters = [
        ("from", options.from.as_deref()),
        ("to", options.to.as_deref()),
        ("group_by", group_by),
        ("tenant", options.tenant.as_deref()),
        ("prices", Some(options.prices.as_str())),
    ];
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let written =
        given.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    format!("/admin/v1/costs?{}", written.collect::<Vec<_>>().join("&"))
}

/// A report as it came, its amounts still text.
#[derive(Deserialize)]
struct Report<'a> {
    from: Option<String>,
    to: Option<String>,
    group_by: Vec<String>,
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
    #[serde(borrow)]
    total: Line<'a>,
}

/// Each value as it was written.
type Line<'a> = BTreeMap<&'a str, &'a RawValue>;

fn number(line: &Line<'_>, name: &str) -> String {
    match line.get(name).map(|value| value.get()) {
        Some("null") => "-".to_owned(),
        value => value.unwrap_or("?").to_owned(),
    }
}

fn name(line: &Line<'_>, group: &str) -> String {
    let text = line.get(group).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    text.unwrap_or_else(|| "?".to_owned())
}

fn table(report: &Report<'_>) -> Vec<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut head = report.group_by.clone();
    head.extend(["calls", "input", "output", "USD", ""].map(str::to_owned));
    rows.push(head);
    let cells = |line: &Line<'_>, names: Vec<String>| {
        let mut cells = names;
        cells.extend(["calls", "input_tokens", "output_tokens", "cost_usd"].map(|name| number(line, name)));
        cells.push(remark(line));
        cells
    };
    for line in &report.lines {
        let names = report.group_by.iter().map(|group| name(line, group));
        rows.push(cells(line, names.collect()));
    }
    let total = report.group_by.iter().enumerate().map(|(n, _)| if n == 0 { "all" } else { "" }.to_owned());
    rows.push(cells(&report.total, total.collect()));
    let n_names = report.group_by.len();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..n_names + 5).map(width).collect();
    let shown = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            // Names begin left, numbers end right; a remark stands as it is.
            match column {
                column if column < n_names => format!("{cell:width$}"),
                column if column < n_names + 4 => format!("{cell:>width$}"),
                _ => cell.clone(),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let day = |time: &Option<String>| {
        time.as_deref().map_or_else(|| "now".to_owned(), |time| time.chars().take(16).collect())
    };
    let mut lines = vec![format!("{} to {} (UTC)", day(&report.from), day(&report.to))];
    lines.extend(rows.iter().map(shown));
    lines
}

/// What an amount does not hold, or holds only about.
fn remark(line: &Line<'_>) -> String {
    let told = [("estimated_calls", "estimated"), ("unpriced_calls", "unpriced")].map(|(name, word)| {
        let count = number(line, name);
        (count != "0").then(|| format!("{count} {word}"))
    });
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table() {
        let line = |name: &str, cost: &str, unpriced: u64| {
            format!(
                r#"{{{name}"calls":12,"estimated_calls":1,"unpriced_calls":{unpriced},"input_tokens":3400,"output_tokens":560,"cost_usd":{cost}}}"#
            )
        };
        let json = format!(
            r#"{{"from":"2026-11-01T00:00:00.000000Z","to":null,"group_by":["model"],"lines":[{},{}],"total":{}}}"#,
            line(r#""model":"p/a","#, "0.000000000000001", 0),
            line(r#""model":"longer/name","#, "123456.789012345678901", 3),
            line("", "123456.789012345678902", 3),
        );
        let report: Report<'_> = serde_json::from_str(&json).expect("a report");
        assert_eq!(
            table(&report),
            [
                "2026-11-01T00:00 to now (UTC)",
                "model        calls  input  output                     USD",
                "p/a             12   3400     560       0.000000000000001  1 estimated",
                "longer/name     12   3400     560  123456.789012345678901  1 estimated, 3 unpriced",
                "all             12   3400     560  123456.789012345678902  1 estimated, 3 unpriced",
            ]
        );
    }
}
