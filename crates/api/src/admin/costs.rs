//! `GET /admin/v1/costs`: what calls of models cost, summed by group, as JSON or CSV; and every call as CSV.
//!
//! Reading order: this file (what is asked), `csv` (the form of a spreadsheet).

mod csv;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::id::{ModelId, TenantId};
use domain::ledger::{Entry, Group, Page, Place, Report, Sums};
use domain::model::Model;
use domain::money::Amount;
use domain::time::{Day, Moment, Timestamp};
use futures_util::stream::try_unfold;
use http::{HeaderMap, HeaderValue, header};
use pipeline::parts::Pipeline;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::head::Head;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::server::Api;

/// Entries read from the store at once: as many as are summed in well under a millisecond.
const PAGE: usize = 1_000;

/// How far back a report goes that does not say.
const DAYS_DEFAULT: i64 = 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CostParameters {
    from: Option<String>,
    to: Option<String>,
    group_by: Option<String>,
    tenant: Option<String>,
    prices: Option<String>,
}

/// Which prices make the amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PricesOf {
    /// Those of the call.
    Recorded,
    /// Those that the catalogue has now for the day of the call.
    Current,
}

/// What is asked for, checked.
struct Asked {
    page: Page,
    groups: Vec<Group>,
    prices: PricesOf,
}

pub(crate) async fn show(
    head: Head,
    Parameters(parameters): Parameters<CostParameters>,
) -> Result<Response, Problem> {
    let asked = asked(parameters, (head.caller.scope(), head.api.clock.wall()))?;
    let deadline = head.deadline()?;
    let pipeline = head.api.pipeline(deadline).await?;
    let catalogue = match asked.prices {
        PricesOf::Recorded => None,
        PricesOf::Current => Some(pipeline.current().pin().models.clone()),
    };
    let ledger = Ledger { pipeline, page: asked.page, catalogue };
    let wants_csv = wants_csv(&head.headers);
    if wants_csv && asked.groups.is_empty() {
        return Ok(csv_response(Body::from_stream(ledger.rows())));
    }
    let range = (ledger.page.from, ledger.page.until);
    let report = ledger.report(asked.groups, (&head.api, deadline)).await?;
    if wants_csv {
        return Ok(csv_response(Body::from(csv::report(&report))));
    }
    let body = Body::from(Document { report: &report, range, prices: asked.prices }.to_json()?);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

fn csv_response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"costs.csv\"")),
    ];
    (headers, body).into_response()
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

fn asked(parameters: CostParameters, (scope, now): (Option<&TenantId>, Timestamp)) -> Result<Asked, Problem> {
    let until = parameters.to.map(|to| moment("to", &to, Edge::End)).transpose()?;
    let from = match parameters.from {
        Some(from) => moment("from", &from, Edge::Start)?,
        None => Day(until.unwrap_or(now).day().0 - DAYS_DEFAULT).start(),
    };
    if until.is_some_and(|until| until <= from) {
        return Err(Problem::bad_parameter("parameter `to`: it must be after `from`"));
    }
    let tenant = match (scope, parameters.tenant.map(TenantId::from)) {
        (Some(own), Some(asked)) if *own != asked => {
            return Err(Problem::bad_parameter("parameter `tenant`: this key sees its own tenant only"));
        }
        (Some(own), _) => Some(own.clone()),
        (None, asked) => asked,
    };
    let prices = match parameters.prices.as_deref() {
        None | Some("recorded") => PricesOf::Recorded,
        Some("current") => PricesOf::Current,
        Some(_) => return Err(Problem::bad_parameter("parameter `prices`: write recorded or current")),
    };
    let groups = parameters.group_by.as_deref().map(groups).transpose()?.unwrap_or_default();
    let page = Page { tenant, from: Some(from), until, after: None, limit: PAGE };
    Ok(Asked { page, groups, prices })
}

fn groups(names: &str) -> Result<Vec<Group>, Problem> {
    let mut groups = Vec::new();
    for name in names.split(',').map(str::trim) {
        let group = Group::ALL.into_iter().find(|group| group.name() == name);
        match group {
            Some(group) if !groups.contains(&group) => groups.push(group),
            Some(_) => {}
            None => {
                let known = Group::ALL.map(Group::name).join(", ");
                return Err(Problem::bad_parameter(format!("parameter `group_by`: one or more of {known}")));
            }
        }
    }
    Ok(groups)
}

/// Which end of a day a date means.
#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

fn moment(name: &str, text: &str, edge: Edge) -> Result<Timestamp, Problem> {
    let day = Day::parse(text).map(|day| match edge {
        Edge::Start => day.start(),
        // A last day is part of what is asked for.
        Edge::End => Day(day.0 + 1).start(),
    });
    day.or_else(|| Timestamp::parse_rfc3339(text)).ok_or_else(|| {
        Problem::bad_parameter(format!(
            "parameter `{name}`: write a day as 2026-11-21 (in UTC), or a time as 2026-11-21T09:06:00Z"
        ))
    })
}

/// The ledger, read page by page.
struct Ledger {
    pipeline: Arc<Pipeline>,
    page: Page,
    /// Set when entries are priced anew.
    catalogue: Option<BTreeMap<ModelId, Model>>,
}

impl Ledger {
    /// The next page; empty at the end.
    async fn next(&mut self) -> Result<Vec<Entry>, domain::ports::StoreError> {
        let mut entries = self.pipeline.records().entries(self.page.clone()).await?;
        if let Some(last) = entries.last() {
            self.page.after = Some(Place::from(last));
        }
        if let Some(models) = &self.catalogue {
            entries.iter_mut().for_each(|entry| entry.reprice(models));
        }
        Ok(entries)
    }

    async fn report(mut self, groups: Vec<Group>, (api, due): (&Api, Moment)) -> Result<Report, Problem> {
        let mut report = Report::new(groups);
        loop {
            let entries = self.next().await?;
            if entries.is_empty() {
                return Ok(report);
            }
            entries.iter().for_each(|entry| report.add(entry));
            if api.clock.now() > due {
                return Err(Problem::bad_parameter(
                    "parameter `from`: so many calls cannot be summed in time; ask for fewer days",
                ));
            }
        }
    }

    /// Every entry as a line of CSV. A page that cannot be read breaks the body off, so that nobody takes a part for the
    /// whole.
    fn rows(self) -> impl futures_util::Stream<Item = Result<Bytes, domain::ports::StoreError>> {
        let head = Some(Bytes::from_static(csv::HEAD.as_bytes()));
        try_unfold((self, head), |(mut ledger, head)| async move {
            if let Some(head) = head {
                return Ok(Some((head, (ledger, None))));
            }
            let entries = ledger.next().await?;
            let rows: String = entries.iter().map(csv::row).collect();
            Ok((!rows.is_empty()).then(|| (Bytes::from(rows), (ledger, None))))
        })
    }
}

/// A report as JSON, its amounts exact decimals.
struct Document<'a> {
    report: &'a Report,
    range: (Option<Timestamp>, Option<Timestamp>),
    prices: PricesOf,
}

impl Document<'_> {
    fn to_json(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|_| Problem::internal("the costs could not be written"))
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by = self.report.by();
        let lines: Vec<Line<'_>> = self.report.lines().map(|(key, sums)| Line { by, key, sums }).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &self.range.0.map(Timestamp::rfc3339))?;
        map.serialize_entry("to", &self.range.1.map(Timestamp::rfc3339))?;
        map.serialize_entry("group_by", &by.iter().map(|group| group.name()).collect::<Vec<_>>())?;
        map.serialize_entry("prices", if self.prices == PricesOf::Current { "current" } else { "recorded" })?;
        map.serialize_entry("lines", &lines)?;
        map.serialize_entry("total", &Line { by: &[], key: &[], sums: self.report.total() })?;
        map.end()
    }
}

struct Line<'a> {
    by: &'a [Group],
    key: &'a [String],
    sums: &'a Sums,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (group, value) in self.by.iter().zip(self.key) {
            map.serialize_entry(group.name(), value)?;
        }
        for (name, count) in counts(self.sums) {
            map.serialize_entry(name, &count)?;
        }
        for (name, amount) in amounts(self.sums) {
            let decimal = amount.map(|amount| RawValue::from_string(amount.usd())).transpose();
            map.serialize_entry(name, &decimal.map_err(serde::ser::Error::custom)?)?;
        }
        map.end()
    }
}

/// The counts of a line, in their order.
fn counts(sums: &Sums) -> [(&'static str, u64); 10] {
    let tokens = &sums.tokens;
    [
        ("calls", sums.calls),
        ("cached_answers", sums.cached_answers),
        ("estimated_calls", sums.estimated_calls),
        ("unpriced_calls", sums.unpriced_calls),
        ("input_tokens", tokens.input),
        ("output_tokens", tokens.output),
        ("cached_input_tokens", tokens.cached_input),
        ("cache_write_input_tokens", tokens.cache_write_input),
        ("cache_write_hour_input_tokens", tokens.cache_write_hour_input),
        ("reasoning_output_tokens", tokens.reasoning_output),
    ]
}

/// The amounts of a line, in their order; none where no call has a price, since that is not free.
fn amounts(sums: &Sums) -> [(&'static str, Option<Amount>); 4] {
    let is_known = sums.calls == 0 || sums.unpriced_calls < sums.calls;
    let known = |amount: Amount| is_known.then_some(amount);
    [
        ("cost_usd", known(sums.amount())),
        ("exact_usd", known(sums.exact)),
        ("estimated_usd", known(sums.estimated)),
        ("saved_usd", Some(sums.saved)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(from: Option<&str>, to: Option<&str>, group_by: Option<&str>) -> CostParameters {
        let text = |text: Option<&str>| text.map(str::to_owned);
        CostParameters {
            from: text(from),
            to: text(to),
            group_by: text(group_by),
            tenant: None,
            prices: None,
        }
    }

    const NOW: Timestamp = Timestamp(1_795_251_960_000_000); // 2026-11-21T09:06:00Z

    #[test]
    fn days_are_whole_and_the_last_thirty_when_nothing_is_said() {
        for (from, to, want) in [
            (None, None, ("2026-10-22T00:00:00.000000Z", None)),
            (None, Some("2026-11-01"), ("2026-10-03T00:00:00.000000Z", Some("2026-11-02T00:00:00.000000Z"))),
            (
                Some("2026-11-21"),
                Some("2026-11-21"),
                ("2026-11-21T00:00:00.000000Z", Some("2026-11-22T00:00:00.000000Z")),
            ),
            (Some("2026-11-21T10:00:00+01:00"), None, ("2026-11-21T09:00:00.000000Z", None)),
        ] {
            let page = asked(parameters(from, to, None), (None, NOW)).expect("good").page;
            let read = (page.from.expect("a start").rfc3339(), page.until.map(Timestamp::rfc3339));
            assert_eq!((read.0.as_str(), read.1.as_deref()), want, "{from:?} {to:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (from, to, group_by, want) in [
            (Some("yesterday"), None, None, "parameter `from`"),
            (Some("2026-11-22"), Some("2026-11-21"), None, "after `from`"),
            (None, None, Some("model,colour"), "one or more of day, model"),
        ] {
            let problem = asked(parameters(from, to, group_by), (None, NOW)).err().expect("refused");
            assert!(problem.detail().contains(want), "{}", problem.detail());
        }
        let own = TenantId::from("own");
        let other = CostParameters { tenant: Some("other".to_owned()), ..parameters(None, None, None) };
        assert!(asked(other, (Some(&own), NOW)).is_err());
        let page = asked(parameters(None, None, None), (Some(&own), NOW)).expect("good").page;
        assert_eq!(page.tenant, Some(own));
    }

    #[test]
    fn amounts_are_exact_decimals() {
        let sums = Sums { calls: 1, exact: Amount(123_456_789_012_345_678_901), ..Sums::default() };
        let json = serde_json::to_string(&Line { by: &[], key: &[], sums: &sums }).expect("JSON");
        assert!(json.contains(r#""cost_usd":123456.789012345678901,"exact_usd""#), "{json}");
        let unpriced = Sums { calls: 2, unpriced_calls: 2, ..Sums::default() };
        let json = serde_json::to_string(&Line { by: &[], key: &[], sums: &unpriced }).expect("JSON");
        assert!(json.contains(r#""cost_usd":null,"#), "{json}");
    }
}
