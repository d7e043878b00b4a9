//! Costs as comma-separated values (RFC 4180).

use std::borrow::Cow;

use domain::ledger::{Entry, Group, Report};
use domain::price::PriceVersion;

use super::{amounts, counts};

/// The first line of a listing of calls.
pub(super) const HEAD: &str = "at,interaction_id,n,tenant,key,agent,model,target,tier,result,input_tokens,\
output_tokens,cached_input_tokens,cache_write_input_tokens,cache_write_hour_input_tokens,reasoning_output_tokens,\
price_version,cost_usd,cost_basis,saved_usd\r\n";

/// A call.
pub(super) fn row(entry: &Entry) -> String {
    let attempt = &entry.attempt;
    let agent = match entry.agent.as_str() {
        "-" => "",
        agent => agent,
    };
    let used = entry.used();
    let count = |of: fn(&domain::token::Usage) -> u32| {
        used.as_ref().map(of).map_or_else(String::new, |n| n.to_string())
    };
    line(&[
        &entry.at.rfc3339(),
        entry.interaction.as_str(),
        &attempt.n.to_string(),
        entry.asker.tenant.as_str(),
        entry.asker.key.as_str(),
        agent,
        attempt.model.as_str(),
        attempt.target.as_str(),
        attempt.tier.name(),
        attempt.result.name(),
        &count(|used| used.input.0),
        &count(|used| used.output.0),
        &count(|used| used.cached_input.0),
        &count(|used| used.cache_write_input.0),
        &count(|used| used.cache_write_hour_input.0),
        &count(|used| used.reasoning_output.0),
        attempt.prices.as_ref().map_or("", PriceVersion::as_str),
        &attempt.cost.amount().map_or_else(String::new, |amount| amount.usd()),
        attempt.cost.basis(),
        &attempt.saved.usd(),
    ])
}

/// A report, without its total: a spreadsheet adds up by itself.
pub(super) fn report(report: &Report) -> String {
    let names: Vec<&str> = report.by().iter().map(|group| Group::name(*group)).collect();
    let mut csv = String::new();
    for (n, (key, sums)) in report.lines().enumerate() {
        let numbers = counts(sums).map(|(name, count)| (name, count.to_string()));
        let money = amounts(sums)
            .map(|(name, amount)| (name, amount.map_or_else(String::new, |amount| amount.usd())));
        let columns = || numbers.iter().chain(&money);
        if n == 0 {
            let head: Vec<&str> = names.iter().copied().chain(columns().map(|(name, _)| *name)).collect();
            csv.push_str(&line(&head));
        }
        let cells = key.iter().map(String::as_str).chain(columns().map(|(_, cell)| cell.as_str()));
        csv.push_str(&line(&cells.collect::<Vec<_>>()));
    }
    csv
}

fn line(cells: &[&str]) -> String {
    cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A cell that cannot be mistaken for more cells, nor, in a spreadsheet, for a formula.
fn quoted(cell: &str) -> Cow<'_, str> {
    let is_number = cell.parse::<f64>().is_ok();
    let is_formula = !is_number && cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    match (is_formula, cell.contains([',', '"', '\r', '\n'])) {
        (false, false) => Cow::Borrowed(cell),
        (false, true) => Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))),
        (true, _) => Cow::Owned(format!("\"'{}\"", cell.replace('"', "\"\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells() {
        for (cell, want) in [
            ("openai/gpt", "openai/gpt"),
            ("0.00015", "0.00015"),
            ("-0.5", "-0.5"),
            ("a,b", "\"a,b\""),
            ("a\"b\nc", "\"a\"\"b\nc\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("@x,y", "\"'@x,y\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), want);
        }
    }

    #[test]
    fn the_head_names_every_cell_of_a_row() {
        let entry = Entry {
            at: domain::time::Timestamp(0),
            interaction: "int_1".into(),
            asker: domain::principal::Asker::default(),
            agent: "-".into(),
            attempt: domain::interaction::Attempt {
                n: 1,
                chosen: None,
                tier: domain::model::Tier::Primary,
                target: "p/m".into(),
                model: "p/m".into(),
                started: std::time::Duration::ZERO,
                latency: std::time::Duration::ZERO,
                first_token: None,
                usage: None,
                estimate: None,
                prices: None,
                cost: domain::price::Cost::Unpriced,
                saved: domain::money::Amount::ZERO,
                result: domain::interaction::AttemptResult::Cancelled,
                finish: None,
            },
        };
        let row = row(&entry);
        assert_eq!(row.matches(',').count(), HEAD.matches(',').count());
        assert_eq!(
            row,
            "1970-01-01T00:00:00.000000Z,int_1,1,default,open,,p/m,p/m,primary,cancelled,,,,,,,,,unpriced,0\r\n"
        );
    }
}
