//! From lines of measurements to tables: the median of the rounds, compared round by round with the bare proxy.

use std::fmt::Write;

use crate::measurement::Measurement;

/// What everything is compared with: the least that a gateway can cost.
const BASE: &str = "proxy";
/// What is held to goals: all of it on, one dialect from end to end.
const HELD: &str = "mainstay";
/// The same where the caller speaks another dialect than the provider; it is compared with [`HELD`].
const TRANSLATED: &str = "mainstay-translated";

/// How figures stand to those of [`BASE`] in the same round.
#[derive(Debug, Clone, Copy)]
enum Compared {
    Ratio,
    Difference,
}

/// How one kind of load is shown.
struct Table {
    load: &'static str,
    title: &'static str,
    /// Figure, heading, decimals.
    columns: &'static [(&'static str, &'static str, usize)],
    /// Figure, heading, how it is compared.
    compared: &'static [(&'static str, &'static str, Compared)],
}

const TABLES: [Table; 6] = [
    Table {
        load: "start",
        title: "Cold start: from the program's start to its first 200 on /health/live; memory 2 s later",
        columns: &[("start_ms", "ms", 0), ("rss_mb", "RSS MB", 1)],
        compared: &[],
    },
    Table {
        load: "closed",
        title: "Closed loop: each connection asks again when it was answered",
        columns: &[
            ("requests_per_second", "requests/s", 0),
            ("p50_us", "p50 µs", 0),
            ("p99_us", "p99 µs", 0),
            ("cpu_us", "CPU µs/request", 1),
            ("cpu_user_us", "of it user", 1),
            ("rss_mb", "RSS MB", 1),
            ("errors", "errors", 0),
        ],
        compared: &[
            ("requests_per_second", "requests/s × proxy", Compared::Ratio),
            ("cpu_us", "CPU × proxy", Compared::Ratio),
        ],
    },
    Table {
        load: "open",
        title: "Open loop at a steady rate, timed from when each request was due",
        columns: &[
            ("requests_per_second", "requests/s", 0),
            ("p50_us", "p50 µs", 0),
            ("p99_us", "p99 µs", 0),
            ("p999_us", "p99.9 µs", 0),
            ("cpu_us", "CPU µs/request", 1),
            ("sent_late_p99_us", "sent late p99 µs", 0),
            ("errors", "errors", 0),
        ],
        compared: &[
            ("p50_us", "p50 − proxy µs", Compared::Difference),
            ("p99_us", "p99 − proxy µs", Compared::Difference),
            ("cpu_us", "CPU × proxy", Compared::Ratio),
        ],
    },
    Table {
        load: "stream",
        title: "Event streams without pauses: every frame counted, broken ones are errors",
        columns: &STREAM_COLUMNS,
        compared: &[
            ("tokens_per_second", "tokens/s × proxy", Compared::Ratio),
            ("cpu_us", "CPU × proxy", Compared::Ratio),
        ],
    },
    Table {
        load: "paced",
        title: "Event streams with a pause between tokens, as models write",
        columns: &STREAM_COLUMNS,
        compared: &[
            ("first_p50_us", "first word p50 − proxy µs", Compared::Difference),
            ("first_p99_us", "first word p99 − proxy µs", Compared::Difference),
            ("gap_p99_us", "gap p99 − proxy µs", Compared::Difference),
            ("cpu_us", "CPU × proxy", Compared::Ratio),
        ],
    },
    Table {
        load: "fsync",
        title: "The disk itself: 4 KiB written and made safe",
        columns: &[("p50_us", "p50 µs", 0), ("p99_us", "p99 µs", 0)],
        compared: &[],
    },
];

const STREAM_COLUMNS: [(&str, &str, usize); 8] = [
    ("tokens_per_second", "tokens/s", 0),
    ("streams", "streams", 0),
    ("first_p50_us", "first word p50 µs", 0),
    ("first_p99_us", "first word p99 µs", 0),
    ("gap_p50_us", "gap p50 µs", 0),
    ("gap_p99_us", "gap p99 µs", 0),
    ("cpu_us", "CPU µs/token", 2),
    ("errors", "errors", 0),
];

/// What is to be reached, and in comparison to what.
struct Goal {
    name: &'static str,
    beside: &'static str,
    load: &'static str,
    figure: &'static str,
    compared: Compared,
    limit: Limit,
}

const fn goal(load: &'static str, figure: &'static str, compared: Compared, limit: Limit) -> Goal {
    Goal { name: HELD, beside: BASE, load, figure, compared, limit }
}

const fn translated(load: &'static str, figure: &'static str, limit: Limit) -> Goal {
    Goal { name: TRANSLATED, beside: HELD, load, figure, compared: Compared::Ratio, limit }
}

const GOALS: [Goal; 10] = [
    goal("closed", "cpu_us", Compared::Ratio, Limit::Most(2.5)),
    goal("closed", "requests_per_second", Compared::Ratio, Limit::Least(0.4)),
    goal("open", "p50_us", Compared::Difference, Limit::Most(80.0)),
    goal("open", "p99_us", Compared::Difference, Limit::Most(500.0)),
    goal("stream", "tokens_per_second", Compared::Ratio, Limit::Least(0.9)),
    goal("paced", "first_p99_us", Compared::Difference, Limit::Most(500.0)),
    translated("closed", "cpu_us", Limit::Most(1.5)),
    translated("open", "p50_us", Limit::Most(1.5)),
    translated("open", "p99_us", Limit::Most(1.5)),
    translated("stream", "cpu_us", Limit::Most(1.5)),
];

#[derive(Debug, Clone, Copy)]
enum Limit {
    Most(f64),
    Least(f64),
}

/// The measurements of one run.
pub struct Report(Vec<Measurement>);

impl Report {
    /// Reads lines of JSON.
    ///
    /// # Errors
    /// When a line is no measurement.
    pub fn read(lines: &str) -> serde_json::Result<Self> {
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().map(Self)
    }

    /// The tables as Markdown, and which goals are met.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for table in &TABLES {
            let names = self.names(table.load);
            if !names.is_empty() {
                self.write_table(&mut text, table, &names);
            }
        }
        self.write_goals(&mut text);
        text
    }

    fn write_table(&self, text: &mut String, table: &Table, names: &[&str]) {
        let has_base = names.contains(&BASE);
        let compared = if has_base { table.compared } else { &[] };
        let headings = table.columns.iter().map(|(_, heading, _)| *heading);
        let headings: Vec<&str> = headings.chain(compared.iter().map(|(_, heading, _)| *heading)).collect();
        _ = writeln!(text, "\n### {}\n", table.title);
        _ = writeln!(text, "| | {} | spread |", headings.join(" | "));
        _ = writeln!(text, "|---|{}---:|", "---:|".repeat(headings.len()));
        for name in names {
            let of = |figure: &str| median(self.values(table.load, name, figure));
            let plain = table.columns.iter().map(|(figure, _, decimals)| shown(of(figure), *decimals));
            let compared = compared.iter().map(|(figure, _, compared)| {
                let decimals = if matches!(compared, Compared::Ratio) { 2 } else { 0 };
                shown(self.compared((table.load, figure), (name, BASE), *compared), decimals)
            });
            let cells: Vec<String> = plain.chain(compared).collect();
            // Of what is compared first; an open loop's rate, the first column, never moves.
            let first_column = table.columns.first().map_or("", |(figure, _, _)| figure);
            let main = table.compared.first().map_or(first_column, |(figure, _, _)| figure);
            let spread = spread(&self.values(table.load, name, main));
            _ = writeln!(text, "| {name} | {} | {spread} |", cells.join(" | "));
        }
    }

    fn write_goals(&self, text: &mut String) {
        let mut lines = String::new();
        for Goal { name, beside, load, figure, compared, limit } in &GOALS {
            let Some(value) = self.compared((load, figure), (name, beside), *compared) else { continue };
            let (is_met, wanted) = match limit {
                Limit::Most(most) => (value <= *most, format!("at most {most}")),
                Limit::Least(least) => (value >= *least, format!("at least {least}")),
            };
            let how = match compared {
                Compared::Ratio => "×",
                Compared::Difference => "−",
            };
            let verdict = if is_met { "met" } else { "NOT met" };
            _ = writeln!(
                lines,
                "| {name}, {load}: {figure} {how} {beside} | {wanted} | {value:.2} | {verdict} |"
            );
        }
        let of_held =
            self.0.iter().filter(|measurement| [HELD, TRANSLATED].contains(&measurement.name.as_str()));
        let errors: Vec<f64> =
            of_held.filter_map(|measurement| measurement.figures.get("errors").copied()).collect();
        if !errors.is_empty() {
            let n_errors: f64 = errors.iter().sum();
            let verdict = if n_errors > 0.0 { "NOT met" } else { "met" };
            _ = writeln!(
                lines,
                "| errors and broken streams, all rounds | none | {n_errors:.0} | {verdict} |"
            );
        }
        if !lines.is_empty() {
            _ = write!(text, "\n### Goals\n\n| figure | wanted | found | |\n|---|---|---:|---|\n{lines}");
        }
    }

    /// Names measured under `load`, in the order in which they came.
    fn names(&self, load: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for measurement in self.0.iter().filter(|measurement| measurement.load == load) {
            if !names.contains(&measurement.name.as_str()) {
                names.push(measurement.name.as_str());
            }
        }
        names
    }

    fn of<'a>(&'a self, load: &'a str, name: &'a str) -> impl Iterator<Item = &'a Measurement> {
        self.0.iter().filter(move |measurement| measurement.load == load && measurement.name == name)
    }

    fn values(&self, load: &str, name: &str, figure: &str) -> Vec<f64> {
        self.of(load, name).filter_map(|measurement| measurement.figures.get(figure).copied()).collect()
    }

    /// The median over the rounds of `name`'s figure beside that of `beside` in the same round.
    fn compared(
        &self,
        (load, figure): (&str, &str),
        (name, beside): (&str, &str),
        compared: Compared,
    ) -> Option<f64> {
        let values = self.of(load, name).filter_map(|measurement| {
            let base = self.of(load, beside).find(|base| base.round == measurement.round)?;
            let (value, base) = (measurement.figures.get(figure)?, base.figures.get(figure)?);
            match compared {
                Compared::Ratio => (*base > 0.0).then(|| value / base),
                Compared::Difference => Some(value - base),
            }
        });
        median(values.collect())
    }
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// How far the rounds lie apart, beside their median.
fn spread(values: &[f64]) -> String {
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    match median(values.to_vec()) {
        Some(median) if median > 0.0 && values.len() > 1 => format!("{:.0} %", (high - low) / median * 100.0),
        _ => "–".to_owned(),
    }
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// One measurement for the terminal.
#[must_use]
pub fn lines(measurement: &Measurement) -> String {
    let mut text = format!("{} · {} · round {}\n", measurement.name, measurement.load, measurement.round);
    for (name, value) in &measurement.figures {
        _ = writeln!(text, "  {name:<24} {value:>14.1}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, round: u32, figures: &[(&str, f64)]) -> Measurement {
        let mut measurement = Measurement::new("open", name, round);
        for (figure, value) in figures {
            measurement.add(figure, *value);
        }
        measurement
    }

    #[test]
    fn the_median_is_the_middle() {
        for (values, want) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ] {
            assert_eq!(median(values.clone()), want, "{values:?}");
        }
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        // A machine that is slow in round 2 is slow for both: the difference stays.
        let report = Report(vec![
            measured(BASE, 1, &[("p50_us", 100.0), ("cpu_us", 10.0)]),
            measured("mainstay", 1, &[("p50_us", 150.0), ("cpu_us", 30.0)]),
            measured(BASE, 2, &[("p50_us", 900.0), ("cpu_us", 20.0)]),
            measured("mainstay", 2, &[("p50_us", 950.0), ("cpu_us", 60.0)]),
        ]);
        assert_eq!(report.compared(("open", "p50_us"), (HELD, BASE), Compared::Difference), Some(50.0));
        assert_eq!(report.compared(("open", "cpu_us"), (HELD, BASE), Compared::Ratio), Some(3.0));
        let text = report.markdown();
        assert!(text.contains("| mainstay, open: p50_us − proxy | at most 80 | 50.00 | met |"), "{text}");
        assert!(!text.contains("Closed loop"), "what was not measured has no table: {text}");
    }

    #[test]
    fn a_goal_missed_is_said() {
        let report = Report(vec![
            measured(BASE, 1, &[("p50_us", 100.0)]),
            measured("mainstay", 1, &[("p50_us", 300.0)]),
        ]);
        assert!(report.markdown().contains("| 200.00 | NOT met |"));
    }
}
