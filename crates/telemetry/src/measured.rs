//! What a finished turn adds to the histograms.

use domain::chat::Delivery;
use domain::interaction::{Attempt, AttemptResult, Interaction, Outcome};

use crate::histogram::{Histograms, Instrument, Labels};
use crate::hub::Providers;
use crate::watched::Operation;

/// The class of a call's failure; `None` where it answered.
pub(crate) fn error_type(result: AttemptResult) -> Option<&'static str> {
    match result {
        AttemptResult::Answered | AttemptResult::Cached => None,
        AttemptResult::Failed(_) | AttemptResult::Cancelled => Some(result.name()),
    }
}

/// The class of a turn's failure: that of its last call, or what became of it.
pub(crate) fn turn_error(interaction: &Interaction) -> Option<&'static str> {
    let last = interaction.attempts.last().and_then(|attempt| error_type(attempt.result));
    match interaction.outcome {
        Outcome::Failed => Some(last.unwrap_or("cancelled")),
        Outcome::Degraded => Some(last.unwrap_or("degraded")),
        _ => None,
    }
}

/// Calls of agents are chats that stream, whatever their caller asked for.
pub(crate) fn of_calls(interaction: &Interaction, asked: (Operation, Delivery)) -> (Operation, Delivery) {
    match interaction.is_relayed() {
        true => asked,
        false => (Operation::Chat, Delivery::Streamed),
    }
}

pub(crate) fn count(
    histograms: &Histograms,
    interaction: &Interaction,
    (asked, providers): ((Operation, Delivery), &Providers),
) {
    let (operation, delivery) = of_calls(interaction, asked);
    for attempt in interaction.attempts.iter().filter(|attempt| attempt.is_call()) {
        count_call(histograms, attempt, ((operation, delivery), providers));
    }
    if interaction.is_relayed() {
        count_relayed(histograms, interaction, ((operation, delivery), providers));
        return;
    }
    let labels = Labels {
        operation: Operation::InvokeAgent.name(),
        agent: Some(interaction.agent.name.as_str().into()),
        error: turn_error(interaction),
        ..Labels::default()
    };
    histograms.time(Instrument::AgentDuration, &labels, interaction.latency);
}

fn labels_of(attempt: &Attempt, operation: Operation, providers: &Providers) -> Labels {
    Labels {
        operation: operation.name(),
        provider: Some(providers.of(attempt.model.provider())),
        model: Some(attempt.model.name_at_provider().into()),
        ..Labels::default()
    }
}

fn count_call(
    histograms: &Histograms,
    attempt: &Attempt,
    ((operation, delivery), providers): ((Operation, Delivery), &Providers),
) {
    let labels = labels_of(attempt, operation, providers);
    if let Some(usage) = attempt.usage {
        for (token, tokens) in [("input", usage.input), ("output", usage.output)] {
            let labels = Labels { token: Some(token), ..labels.clone() };
            histograms.add(Instrument::TokenUsage, &labels, f64::from(tokens.0));
        }
    }
    let labels = Labels { error: error_type(attempt.result), ..labels };
    histograms.time(Instrument::OperationDuration, &labels, attempt.latency);
    if let Some(first) = attempt.first_token.filter(|_| delivery == Delivery::Streamed) {
        histograms.time(Instrument::TimeToFirstChunk, &labels, first);
    }
}

/// A relayed request as its caller sees it: Mainstay is the server of the model then.
fn count_relayed(
    histograms: &Histograms,
    interaction: &Interaction,
    ((operation, delivery), providers): ((Operation, Delivery), &Providers),
) {
    let Some(last) = interaction.attempts.last() else { return };
    let labels = Labels { error: turn_error(interaction), ..labels_of(last, operation, providers) };
    histograms.time(Instrument::RequestDuration, &labels, interaction.latency);
    let first = last.first_token.filter(|_| delivery == Delivery::Streamed && labels.error.is_none());
    let Some(first) = first.map(|first| last.started.saturating_add(first)) else { return };
    histograms.time(Instrument::TimeToFirstToken, &labels, first);
    let further = last.usage.map_or(0, |usage| usage.output.0.saturating_sub(1));
    if further > 0 {
        let each = interaction.latency.saturating_sub(first) / further;
        histograms.time(Instrument::TimePerOutputToken, &labels, each);
    }
}
