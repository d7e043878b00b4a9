//! The ways a turn can end.

use domain::cache::Told;
use domain::chat::Finish;
use domain::document::{Citation, Passage};
use domain::fault::{Kind, Origin, Retry};
use domain::id::CaseId;
use domain::interaction::{Interaction, Outcome, QualityVerdict};
use domain::model::Tier;
use language::word::content_stems;
use registry::snapshot::Serving;
use registry::texts::Contact;
use routing::{Answering, Reason, Unanswered};

use crate::run::known::content_hash;
use crate::steps::generate::Asked;
use crate::steps::generate::reading::{Draft, End};
use crate::turn::{Recorded, Reply};
use crate::wording;

/// How a turn ends.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) response: String,
    pub(super) spoken: Option<Spoken>,
    pub(super) citations: Vec<Citation>,
    pub(super) quality: Option<QualityVerdict>,
    pub(super) case: Option<CaseId>,
    /// Clarifying questions asked in a row, this one included.
    pub(super) clarifications: u32,
    /// Whether it is whole, of the route's first tier, and every check holds: then it may be given again.
    pub(super) is_sound: bool,
    /// What came of looking for an earlier one, where the agent allows that.
    pub(super) cache: Option<Told>,
}

/// Which rung spoke.
#[derive(Debug, Clone)]
pub(crate) struct Spoken {
    pub(crate) tier: Tier,
    /// As reported.
    pub(crate) model_used: String,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
}

impl Spoken {
    /// Whoever gives `answering`.
    pub(crate) fn of<Stream>(answering: &Answering<Stream>) -> Self {
        let model_used = match answering.tier {
            Tier::Fallback => format!("FALLBACK:{}", answering.model),
            Tier::Primary | Tier::Embedded | Tier::Degraded => answering.model.to_string(),
        };
        Self { tier: answering.tier, model_used, attempt: answering.attempt }
    }
}

const QUOTED_PASSAGE: &str = "QUOTED_PASSAGE";
const DEGRADED_SERVICE: &str = "DEGRADED_SERVICE";

impl Ending {
    /// A reply that needed no rung.
    pub(super) fn said(outcome: Outcome, response: String) -> Self {
        Self {
            outcome,
            response,
            spoken: None,
            citations: Vec::new(),
            quality: None,
            case: None,
            clarifications: 0,
            is_sound: false,
            cache: None,
        }
    }

    /// Whether a model was called and did its part.
    pub(super) fn is_generated(&self) -> bool {
        self.spoken.as_ref().is_some_and(|spoken| spoken.attempt > 0 && spoken.tier != Tier::Degraded)
    }

    fn spoken(outcome: Outcome, response: String, spoken: Spoken) -> Self {
        Self { spoken: Some(spoken), ..Self::said(outcome, response) }
    }
}

/// The answer given to the same message before.
pub(super) fn repeated(interaction: Interaction) -> Reply {
    let response = interaction.response.clone().unwrap_or_default();
    Reply { interaction, response, recorded: Recorded::Yes, retry_after: None, cache: None }
}

pub(super) fn clarify(choices: &[String], asked_before: u32) -> Ending {
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    let response = wording::clarify(&choices, asked_before);
    Ending { clarifications: asked_before + 1, ..Ending::said(Outcome::Clarify, response) }
}

pub(super) fn escalated(case: CaseId, contact: &Contact, passages: &[Passage]) -> Ending {
    let quoted = best(passages);
    let response = wording::escalated(&case, contact, &quoted);
    Ending { citations: cite_all(&quoted), case: Some(case), ..Ending::said(Outcome::Escalated, response) }
}

/// Takes a case number back that nobody knows of but the customer: it could not be written.
pub(super) fn without_case(reply: &mut Reply, contact: &Contact) {
    let interaction = &mut reply.interaction;
    let quoted: Vec<&Passage> = interaction.citations.iter().map(|citation| &citation.passage).collect();
    reply.response = wording::escalated_without_case(contact, &quoted);
    interaction.case = None;
    interaction.response_hash = content_hash(&reply.response);
    interaction.response = interaction.response.is_some().then(|| reply.response.clone());
}

pub(super) fn declined(contact: &Contact) -> Ending {
    Ending::said(Outcome::Declined, wording::declined(contact))
}

/// A generated answer that holds.
pub(super) fn answered(asked: &Asked<'_>, draft: Draft, verdict: QualityVerdict) -> Ending {
    let citations = supporting(&draft.text, asked.passages);
    let is_whole = matches!(draft.end, End::Finished(Finish::Stop | Finish::StopText)) && !draft.is_cut;
    let is_sound = is_whole && draft.tier_index == 0 && verdict.checks.iter().all(|check| check.passed);
    Ending {
        citations,
        is_sound,
        quality: Some(verdict),
        ..Ending::spoken(Outcome::Answered, draft.text, draft.spoken)
    }
}

/// The model itself said that the passages do not hold the answer.
pub(super) fn model_declined(asked: &Asked<'_>, draft: Draft, verdict: QualityVerdict) -> Ending {
    let response = wording::declined(&asked.snapshot.contact);
    Ending { quality: Some(verdict), ..Ending::spoken(Outcome::Declined, response, draft.spoken) }
}

/// An output guardrail stopped the answer: `instead` is said, after what was already released.
pub(super) async fn output_blocked(asked: &Asked<'_>, draft: Draft, instead: &str) -> Ending {
    if !draft.is_released() {
        return Ending::spoken(Outcome::Blocked, instead.to_owned(), draft.spoken);
    }
    let citations = supporting(&draft.text, asked.passages);
    let response = continued(asked, draft.text, &format!("\n\n{instead}")).await;
    Ending { citations, ..Ending::spoken(Outcome::Blocked, response, draft.spoken) }
}

/// No generated answer held: the best passage itself, after what was already released. Without a passage, the
/// static answer.
pub(super) async fn quoted(asked: &Asked<'_>, draft: Draft, verdict: QualityVerdict) -> Ending {
    let ending = match (asked.passages.first(), draft.is_released()) {
        (Some(passage), true) => {
            let citations = supporting(&format!("{} {}", draft.text, passage.text), asked.passages);
            let response = continued(asked, draft.text, &wording::closing_quote(passage)).await;
            Ending { citations, ..Ending::spoken(Outcome::Answered, response, draft.spoken) }
        }
        (Some(_), false) => quote(asked.passages, draft.spoken),
        (None, true) => {
            let degraded = degraded(asked);
            let response = continued(asked, draft.text, &format!("\n\n{}", degraded.response)).await;
            Ending { response, ..degraded }
        }
        (None, false) => degraded(asked),
    };
    Ending { quality: Some(verdict), ..ending }
}

/// No model answered. After a draft that did not hold, and where our own model is there but not yet, too slowly or
/// just no longer, the passage is quoted; else the static answer is given.
pub(super) fn without_model(
    asked: &Asked<'_>,
    missing: Option<&Unanswered>,
    spoke_before: Option<Spoken>,
) -> Ending {
    let reason = missing.map_or_else(|| "the prompt could not be rendered".to_owned(), ToString::to_string);
    tracing::warn!(interaction.id = %asked.turn.interaction, reason, "no model answered");
    let starting = missing.is_some_and(|missing| is_own_and_coming(asked, missing)).then(|| Spoken {
        tier: Tier::Embedded,
        model_used: QUOTED_PASSAGE.to_owned(),
        attempt: asked.attempts.n_begun(),
    });
    match spoke_before.or(starting) {
        Some(spoken) if !asked.passages.is_empty() => quote(asked.passages, spoken),
        _ => degraded(asked),
    }
}

/// Whether our own model is there but not yet, too slow for the deadline, or crashed and being started again. One that
/// is switched off or cannot be loaded says `Elsewhere`.
fn is_own_and_coming(asked: &Asked<'_>, missing: &Unanswered) -> bool {
    let has_own = asked.serving.route.tiers.iter().any(|tier| tier.tier == Tier::Embedded);
    match (&missing.last, missing.last_tier) {
        // Time ran out before another try: what went before was too slow.
        (None, _) => has_own && missing.reason == Reason::OutOfTime,
        (Some(error), Some(Tier::Embedded)) => {
            let is_on_its_way =
                error.fault.origin == Origin::Mainstay && matches!(error.fault.retry, Retry::After(_));
            is_on_its_way || matches!(error.fault.kind, Kind::Timeout | Kind::Transient | Kind::Truncated)
        }
        (Some(_), _) => false,
    }
}

/// The static answer of the agent: contact and disclaimers, and no claim.
pub(super) fn degraded(asked: &Asked<'_>) -> Ending {
    static_answer(asked.serving, asked.attempts.n_begun())
}

/// The static answer after `attempt` calls.
pub(super) fn static_answer(serving: &Serving, attempt: u32) -> Ending {
    let response = serving.loaded.degraded.clone();
    let spoken = Spoken { tier: Tier::Degraded, model_used: DEGRADED_SERVICE.to_owned(), attempt };
    Ending::spoken(Outcome::Degraded, response, spoken)
}

/// Passages whose scores are within this share of the best one's are quoted with it: which of them answers is for the
/// customer to see. Of 265 questions the best passage alone holds the answer for 76 %, with these for 87 %.
const CLOSE_SHARE: f32 = 0.07;

/// The passage that fits best, with those that fit about as well.
fn best(passages: &[Passage]) -> Vec<&Passage> {
    let best = passages.first().map_or(0.0, |passage| passage.score);
    passages.iter().filter(|passage| passage.score >= best * (1.0 - CLOSE_SHARE)).collect()
}

/// Passages as the answer; the rung that was to speak stays.
fn quote(passages: &[Passage], spoken: Spoken) -> Ending {
    let quoted = best(passages);
    let spoken = Spoken { model_used: QUOTED_PASSAGE.to_owned(), ..spoken };
    let ending = Ending::spoken(Outcome::Answered, wording::quoted(&quoted), spoken);
    Ending { citations: cite_all(&quoted), ..ending }
}

/// What was released stays as it is; `rest` is released after it.
async fn continued(asked: &Asked<'_>, released: String, rest: &str) -> String {
    asked.listener.text(rest.to_owned()).await;
    released + rest
}

/// Passages that at least one sentence of the answer rests on; the best one when none stands out.
fn supporting(text: &str, passages: &[Passage]) -> Vec<Citation> {
    let stems: Vec<Vec<String>> = passages.iter().map(|passage| content_stems(&passage.text)).collect();
    let mut used = vec![false; passages.len()];
    for range in language::sentences(text) {
        let sentence = content_stems(text.get(range).unwrap_or_default());
        if sentence.is_empty() {
            continue;
        }
        let scores = stems.iter().map(|stems| language::similarity::recall(&sentence, stems)).enumerate();
        // The first of equals: passages stand best first.
        let best = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
        if let Some(flag) = best.filter(|(_, score)| *score > 0.0).and_then(|(index, _)| used.get_mut(index))
        {
            *flag = true;
        }
    }
    let mut chosen: Vec<&Passage> =
        passages.iter().zip(&used).filter(|(_, used)| **used).map(|(passage, _)| passage).collect();
    if chosen.is_empty() {
        chosen.extend(passages.first());
    }
    cite_all(&chosen)
}

fn cite_all(passages: &[&Passage]) -> Vec<Citation> {
    (1..).zip(passages).map(|(n, passage)| cite(n, passage)).collect()
}

fn cite(n: u32, passage: &Passage) -> Citation {
    Citation { n, passage: Passage { sentences: Vec::new(), ..passage.clone() } }
}
