//! What of a turn is stored as JSON, and the rule of what is not kept.

use std::borrow::Cow;

use domain::agent::Retention;
use domain::document::Citation;
use domain::interaction::{Finding, Interaction, StepRecord};

use super::parts::{StoredCitation, StoredFinding, StoredIntent, StoredQuality, StoredStep, to_json};

/// The JSON columns of a turn, made where it was answered: the writer thread only writes.
#[derive(Debug)]
pub(crate) struct JsonColumns {
    pub(crate) intent: Option<String>,
    pub(crate) findings: Cow<'static, str>,
    pub(crate) quality: Option<String>,
    pub(crate) quality_reasons: Option<String>,
    pub(crate) citations: Cow<'static, str>,
    pub(crate) citation_texts: Option<String>,
    pub(crate) steps: Cow<'static, str>,
}

impl From<&Interaction> for JsonColumns {
    fn from(interaction: &Interaction) -> Self {
        let keeps = keeps_texts(interaction);
        let citation_texts = keeps.then(|| {
            let texts = interaction.citations.iter().map(|citation| citation.passage.text.as_str());
            to_json(&texts.collect::<Vec<_>>())
        });
        let quality = interaction.quality.as_ref();
        let quality_reasons = quality.filter(|_| keeps).map(|quality| {
            to_json(&quality.checks.iter().map(|check| check.reason.as_str()).collect::<Vec<_>>())
        });
        Self {
            intent: interaction.intent.as_ref().map(|intent| to_json(&StoredIntent::from(intent))),
            findings: list::<Finding, StoredFinding>(&interaction.guardrail.findings),
            quality: quality.map(|quality| to_json(&StoredQuality::from(quality))),
            quality_reasons,
            citations: list::<Citation, StoredCitation>(&interaction.citations),
            citation_texts,
            steps: list::<StepRecord, StoredStep>(&interaction.steps),
        }
    }
}

/// Whether a turn's texts may be kept: none at all under [`Retention::None`], whatever the caller left in.
pub(crate) fn keeps_texts(interaction: &Interaction) -> bool {
    interaction.retention != Retention::None
}

fn list<'a, D, S>(values: &'a [D]) -> Cow<'static, str>
where
    S: From<&'a D> + serde::Serialize,
{
    match values {
        // Most turns have none.
        [] => Cow::Borrowed("[]"),
        values => Cow::Owned(to_json(&values.iter().map(S::from).collect::<Vec<S>>())),
    }
}
