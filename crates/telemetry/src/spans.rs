//! The spans of a request, made from its record: the request, the agent's turn, its steps, and each call of a model.

use std::time::Duration;

use domain::chat::{Delivery, Finish};
use domain::interaction::{Attempt, AttemptResult, Interaction, StepRecord};
use domain::model::Tier;
use domain::signal::step;
use domain::time::Timestamp;
use domain::token::Usage;
use domain::trace_context::SpanId;
use guardrails::secret::{self, Detector};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::json;

use crate::attribute::{
    AGENT_NAME, ERROR_TYPE, OPERATION, PROVIDER, REQUEST_MODEL, SERVER_ADDRESS, SERVER_PORT, nanos, number,
    real, streams, text, texts,
};
use crate::config::Content;
use crate::hub::{Placed, Providers};
use crate::measured::{error_type, of_calls, turn_error};
use crate::watched::{Operation, Told, Watched};

/// The number of the agent's span below the request's; calls have the numbers of their attempts, from 1.
const AGENT: u32 = 0;
/// Steps are numbered from here: no turn has so many calls.
const STEPS: u32 = 1 << 16;

/// What the request's own span says of its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    attributes: Vec<KeyValue>,
    error: Option<&'static str>,
}

impl Turn {
    pub(crate) fn of(interaction: &Interaction) -> Self {
        let attributes = vec![
            text("mainstay.interaction.id", interaction.id.as_str()),
            text("mainstay.tenant", interaction.asker.tenant.as_str()),
            text("mainstay.key", interaction.asker.key.as_str()),
            text("mainstay.snapshot", interaction.snapshot.as_str()),
            text("mainstay.outcome", interaction.outcome.name()),
        ];
        // A static answer is an answer: its calls say what failed.
        let error = turn_error(interaction).filter(|_| interaction.is_failed());
        Self { attributes, error }
    }
}

/// What all spans of a request share.
struct Frame<'a> {
    placed: &'a Placed,
    began: Timestamp,
}

impl Frame<'_> {
    fn span(
        &self,
        (name, kind): (String, SpanKind),
        (id, parent): (SpanId, Option<SpanId>),
        (start, took): (Duration, Duration),
    ) -> Span {
        /// Bits of the parent in a span's flags: whether it is known to be remote, and whether it is.
        const KNOWN: u32 = 0x100;
        const REMOTE: u32 = 0x200;
        let is_remote = parent.is_some() && parent == self.placed.caller.map(|caller| caller.span);
        let start_time_unix_nano = nanos(self.began, start);
        Span {
            trace_id: self.placed.own.trace.bytes().to_vec(),
            span_id: id.bytes().to_vec(),
            parent_span_id: parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
            trace_state: self
                .placed
                .state
                .as_ref()
                .map(|state| state.as_str().to_owned())
                .unwrap_or_default(),
            flags: u32::from(self.placed.own.flags()) | KNOWN | if is_remote { REMOTE } else { 0 },
            name,
            kind: kind.into(),
            start_time_unix_nano,
            end_time_unix_nano: nanos(self.began, start.saturating_add(took)),
            ..Span::default()
        }
    }
}

fn failed(message: &str) -> Option<Status> {
    Some(Status { code: StatusCode::Error.into(), message: message.to_owned() })
}

/// The request's own span, as its caller sees it.
pub(crate) fn request(watched: &Watched, told: &Told) -> Span {
    let (began, wall) = watched.began;
    let frame = Frame { placed: &watched.placed, began: wall };
    let took = watched.hub.clock.now().since(began);
    let name = format!("{} {}", watched.method, watched.route);
    let parent = watched.placed.caller.map(|caller| caller.span);
    let own = watched.placed.own.span;
    let mut span = frame.span((name, SpanKind::Server), (own, parent), (Duration::ZERO, took));
    span.attributes = vec![
        text("http.request.method", watched.method.as_str()),
        text("http.route", watched.route.as_str()),
    ];
    if let Some((operation, delivery)) = told.asked {
        span.attributes.extend([text(OPERATION, operation.name()), streams(delivery)]);
    }
    span.attributes.extend(told.turn.iter().flat_map(|turn| turn.attributes.iter().cloned()));
    let status = told.status.inspect(|status| {
        span.attributes.push(number("http.response.status_code", *status));
    });
    let refused = status.filter(|status| *status >= 500).map(|status| status.to_string());
    let broken = || told.turn.as_ref().and_then(|turn| turn.error);
    let left = || told.status.is_none().then_some("cancelled");
    if let Some(error) = refused.or_else(|| broken().or_else(left).map(str::to_owned)) {
        span.status = failed(&error);
        span.attributes.push(text(ERROR_TYPE, error));
    }
    span
}

/// The spans within a request's; the agent's comes first, where one answered.
pub(crate) struct Within(pub(crate) Vec<Span>);

pub(crate) fn within(
    placed: &Placed,
    interaction: &Interaction,
    (asked, providers): ((Operation, Delivery), &Providers),
) -> Within {
    let frame = Frame { placed, began: interaction.created };
    let own = placed.own.span;
    let mut spans = Vec::with_capacity(1 + interaction.steps.len() + interaction.attempts.len());
    let mut above = own;
    if !interaction.is_relayed() {
        above = own.child(AGENT);
        spans.push(agent(&frame, interaction, (above, own)));
    }
    let steps = (STEPS..).zip(&interaction.steps);
    spans.extend(steps.map(|(n, record)| step_span(&frame, record, (own.child(n), above))));
    let calls = of_calls(interaction, asked);
    for attempt in interaction.attempts.iter().filter(|attempt| attempt.is_call()) {
        let parent = generation(interaction, attempt).map_or(above, |n| own.child(n));
        let ids = (own.child(attempt.n), parent);
        spans.push(call(&frame, attempt, (ids, calls, providers)));
    }
    Within(spans)
}

/// The number of the step that made a call.
fn generation(interaction: &Interaction, attempt: &Attempt) -> Option<u32> {
    let contains = |record: &StepRecord| {
        record.name == step::GENERATE
            && record.started <= attempt.started
            && attempt.started <= record.started.saturating_add(record.took)
    };
    (STEPS..).zip(&interaction.steps).find(|(_, record)| contains(record)).map(|(n, _)| n)
}

fn agent(frame: &Frame<'_>, interaction: &Interaction, (id, parent): (SpanId, SpanId)) -> Span {
    let name = interaction.agent.name.as_str();
    let title = format!("{} {name}", Operation::InvokeAgent.name());
    // The record is written after the turn's own end.
    let ends = interaction.steps.iter().map(|record| record.started.saturating_add(record.took));
    let times = (Duration::ZERO, ends.fold(interaction.latency, Duration::max));
    let mut span = frame.span((title, SpanKind::Internal), (id, Some(parent)), times);
    span.attributes = vec![
        text(OPERATION, Operation::InvokeAgent.name()),
        text(AGENT_NAME, name),
        text("gen_ai.agent.version", interaction.agent.version.as_str()),
        text("mainstay.outcome", interaction.outcome.name()),
        text("mainstay.guardrail.action", interaction.guardrail.action.name()),
    ];
    span.attributes.extend(interaction.tier.map(|tier| text("mainstay.tier", tier.name())));
    span.attributes
        .extend(interaction.intent.as_ref().map(|intent| text("mainstay.intent", intent.name.as_str())));
    if let Some(quality) = &interaction.quality {
        span.attributes.push(number("mainstay.quality.score", quality.score));
        span.attributes.push(number("mainstay.regenerations", quality.regenerations));
    }
    span.attributes.extend(used(interaction.usage));
    if let Some(error) = turn_error(interaction) {
        span.status = failed(error);
        span.attributes.push(text(ERROR_TYPE, error));
    }
    span
}

fn step_span(frame: &Frame<'_>, record: &StepRecord, (id, parent): (SpanId, SpanId)) -> Span {
    let times = (record.started, record.took);
    let mut span = frame.span((record.name.to_owned(), SpanKind::Internal), (id, Some(parent)), times);
    span.attributes = vec![text("mainstay.step.outcome", record.outcome.as_str())];
    if record.name == step::RETRIEVE {
        span.attributes.push(text(OPERATION, "retrieval"));
    }
    span
}

/// Where a call stands, what it is, and who is called.
type Called<'a> = ((SpanId, SpanId), (Operation, Delivery), &'a Providers);

fn call(
    frame: &Frame<'_>,
    attempt: &Attempt,
    ((id, parent), (operation, delivery), providers): Called<'_>,
) -> Span {
    let model = attempt.model.name_at_provider();
    let kind = if attempt.tier == Tier::Embedded { SpanKind::Internal } else { SpanKind::Client };
    let times = (attempt.started, attempt.latency);
    let title = format!("{} {model}", operation.name());
    let mut span = frame.span((title, kind), (id, Some(parent)), times);
    let provider = providers.of(attempt.model.provider());
    let attributes = &mut span.attributes;
    attributes.extend([
        text(OPERATION, operation.name()),
        text(PROVIDER, &*provider.system),
        text(REQUEST_MODEL, model),
        streams(delivery),
        text("mainstay.target", attempt.target.as_str()),
        text("mainstay.tier", attempt.tier.name()),
        number("mainstay.attempt", attempt.n),
        text("mainstay.cost.basis", attempt.cost.basis()),
    ]);
    if let Some((address, port)) = &provider.server {
        attributes.extend([text(SERVER_ADDRESS, &**address), number(SERVER_PORT, *port)]);
    }
    attributes.extend(attempt.chosen.map(|chosen| text("mainstay.chosen", chosen.name())));
    attributes.extend(attempt.cost.amount().map(|amount| text("mainstay.cost_usd", amount.usd())));
    if let Some(first) = attempt.first_token.filter(|_| delivery == Delivery::Streamed) {
        attributes.push(real("gen_ai.response.time_to_first_chunk", first.as_secs_f64()));
    }
    attributes.extend(attempt.usage.into_iter().flat_map(used));
    attributes.extend(attempt.finish.map(|finish| texts("gen_ai.response.finish_reasons", [word(finish)])));
    if let Some(error) = error_type(attempt.result) {
        attributes.push(text(ERROR_TYPE, error));
        // One that nobody waited for any more has not failed.
        span.status = failed(error).filter(|_| attempt.result != AttemptResult::Cancelled);
    }
    span
}

/// Why a model stopped, as the conventions' examples say it.
fn word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopText => "stop",
        Finish::ToolUse => "tool_calls",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
    }
}

fn used(usage: Usage) -> impl Iterator<Item = KeyValue> {
    let always = [("input_tokens", usage.input), ("output_tokens", usage.output)];
    let some = [
        ("cache_read.input_tokens", usage.cached_input),
        ("cache_creation.input_tokens", usage.cache_write_input),
        ("reasoning.output_tokens", usage.reasoning_output),
    ];
    let some = some.into_iter().filter(|(_, tokens)| tokens.0 > 0);
    always.into_iter().chain(some).map(|(kind, tokens)| number(&format!("gen_ai.usage.{kind}"), tokens.0))
}

/// Most bytes of a text.
const TEXT_BYTES_MAX: usize = 8 << 10;

impl Within {
    /// The same with what was asked and answered, as far as the record keeps it: the guardrails have seen both.
    pub(crate) fn with_content(mut self, content: Content, interaction: &Interaction) -> Self {
        let Some(agent) =
            self.0.first_mut().filter(|_| content == Content::Kept && !interaction.is_relayed())
        else {
            return self;
        };
        let texts = [
            ("gen_ai.input.messages", "user", interaction.question.as_deref()),
            ("gen_ai.output.messages", "assistant", interaction.response.as_deref()),
        ];
        for (key, role, said) in texts {
            let Some(said) = said else { continue };
            let part = json!({ "type": "text", "content": masked(said) });
            agent.attributes.push(text(key, json!([{ "role": role, "parts": [part] }]).to_string()));
        }
        self
    }
}

/// `said` without secrets, and not longer than anyone reads.
fn masked(said: &str) -> String {
    let mut end = said.len().min(TEXT_BYTES_MAX);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    let mut hits = secret::find(said, &Detector::ALL);
    hits.sort_by_key(|hit| hit.range.start);
    let (mut masked, mut from) = (String::new(), 0);
    for hit in hits.iter().take_while(|hit| hit.range.start < end) {
        if let Some(before) = said.get(from..hit.range.start) {
            masked.push_str(before);
            masked.push_str("***");
        }
        from = from.max(hit.range.end);
    }
    masked.push_str(said.get(from..end).unwrap_or_default());
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_sent_without_secrets_and_not_whole() {
        let key = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD";
        let masked_key = masked(&format!("My key is {key}, thanks."));
        assert!(!masked_key.contains("abcdefgh") && masked_key.ends_with("thanks."), "{masked_key}");
        assert_eq!(masked("Is it insured?"), "Is it insured?");
        // No letter is cut in two.
        let long = "ü".repeat(TEXT_BYTES_MAX);
        assert_eq!(masked(&long).len(), TEXT_BYTES_MAX);
        assert_eq!(masked(&format!("a{long}")).len(), TEXT_BYTES_MAX - 1);
    }
}
