//! `generate_response`: asks the route's models until one sends an answer.

use std::sync::Arc;

use domain::chat::{ChatRequest, Message, Role};
use domain::document::Passage;
use domain::id::TargetId;
use domain::model::{Assured, Route};
use quality::source::Source;
use registry::prompt::{Inputs, PassageInput, RenderError};
use registry::snapshot::{Serving, Snapshot};
use routing::{Affinity, Ask, AttemptLog, Router, Skip, Unanswered, Want};

use crate::listener::Listener;
use crate::run::closing::Spoken;
use crate::seam::GO_ON;
use crate::steps::retrieve::Certainty;
use crate::trace::{Trace, Word};
use crate::turn::Turn;

pub(crate) mod reading;

use reading::{Draft, End};

/// What is asked of a model, and what the answer is judged by.
pub(crate) struct Asked<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) serving: &'a Serving,
    pub(crate) question: &'a str,
    /// The person's earlier questions that this one refers to.
    pub(crate) earlier: &'a [&'a str],
    pub(crate) intent: Option<&'a str>,
    /// What the answer must rest on; empty for an agent without knowledge.
    pub(crate) passages: &'a [Passage],
    pub(crate) certainty: Certainty,
    /// What keeps the turns of a conversation with one target.
    pub(crate) affinity: Option<Affinity>,
    pub(crate) attempts: AttemptLog,
    pub(crate) listener: &'a Listener,
    pub(crate) trace: &'a Trace,
}

/// Words in which an answer may point to the contact.
const SPEAKING_OF_CONTACT: &str =
    "You can call, phone, contact, reach, visit, write or email us and our team.";

impl<'a> Asked<'a> {
    /// Whether a sentence is released as soon as it holds: someone waits for it, and the route does not hold it back.
    pub(crate) fn releases(&self) -> bool {
        self.listener.is_live() && self.serving.route.assured != Assured::HoldBack
    }

    pub(crate) fn passage_texts(&self) -> Vec<&'a str> {
        self.passages.iter().map(|passage| passage.text.as_str()).collect()
    }

    /// The passages' sentences.
    pub(crate) fn sources(&self) -> Vec<Source<'_>> {
        let mut sources = Vec::new();
        for passage in self.passages {
            let sentences = passage.sentences.iter().filter_map(|sentence| {
                let text = passage.text.get(sentence.start..sentence.end)?;
                Some(Source { text, nearness: sentence.nearness })
            });
            sources.extend(sentences);
            if passage.sentences.is_empty() {
                let ranges = language::sentences(&passage.text).into_iter();
                let texts = ranges.filter_map(|range| passage.text.get(range));
                sources.extend(texts.map(|text| Source { text, nearness: 0.0 }));
            }
        }
        sources
    }

    /// Texts whose numbers an answer may use beside the passages': the person's own, contact and disclaimers.
    pub(crate) fn allowed_texts(&self) -> Vec<&'a str> {
        let contact = &self.snapshot.contact;
        let mut texts = vec![
            self.question,
            SPEAKING_OF_CONTACT,
            contact.name.as_str(),
            contact.phone.as_str(),
            contact.hours.as_str(),
            contact.web.as_str(),
            contact.email.as_str(),
        ];
        texts.extend(self.earlier);
        texts.extend(self.serving.loaded.disclaimers.iter().map(String::as_str));
        texts.extend(self.passages.iter().map(|passage| passage.title.as_str()));
        texts
    }
}

/// What the answers before teach the next one.
#[derive(Default)]
pub(crate) struct Again {
    /// Why they were not accepted, each reason once.
    pub(crate) reasons: Vec<String>,
    /// Tiers that could not answer: another try does not wait for them again.
    pub(crate) skip: Skip,
    /// How often the answer was generated again.
    pub(crate) regenerations: u32,
    /// Which rung spoke last.
    pub(crate) spoken: Option<Spoken>,
}

impl Again {
    /// After `draft` was refused for `reasons`.
    pub(crate) fn after(mut self, draft: Draft, reasons: Vec<String>) -> Self {
        for reason in reasons {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        let regenerations = self.regenerations + 1;
        Self { skip: Skip::before(draft.tier_index), regenerations, spoken: Some(draft.spoken), ..self }
    }
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Generated {
    Draft(Box<Draft>),
    /// Nobody answered; `None` when nobody could even be asked.
    NoModel(Option<Box<Unanswered>>),
}

impl Word for Generated {
    fn word(&self) -> &'static str {
        match self {
            Self::Draft(draft) => draft.spoken.tier.name(),
            Self::NoModel(_) => "no_model",
        }
    }
}

/// Asks until a model's answer is read: an answer that breaks off before anybody saw a word of it is asked for
/// again, like any other failed attempt.
pub(crate) async fn run(router: &Arc<Router>, asked: &Asked<'_>, again: &Again) -> Generated {
    let request = match request(asked, &again.reasons) {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(agent = %asked.serving.loaded.agent.version, %error, "the prompt could not be rendered");
            return Generated::NoModel(None);
        }
    };
    let route = &asked.serving.route;
    let agent = &asked.serving.loaded.agent;
    let allowed = asked.turn.principal.grant.residency.narrowed(&agent.residency);
    let residency = allowed.narrowed(&asked.turn.residency);
    let mut skip = again.skip;
    let mut broken_in = None;
    // What a client has of an answer that broke off, and where.
    let mut begun: Option<(Draft, TargetId)> = None;
    loop {
        let rest = begun.as_ref().map(|(draft, _)| rest_of(&request, &draft.text));
        let ask = Ask {
            route,
            request: rest.as_ref().unwrap_or(&request),
            deadline: asked.turn.deadline,
            prices: &asked.snapshot.models,
            scores: &asked.snapshot.models,
            residency: &residency,
            affinity: asked.affinity,
            question: Some(asked.question),
            started: asked.trace.started(),
            skip,
            want: begun.as_ref().map_or(Want::Begun, |(_, broken)| Want::Rest { broken }),
            log: &asked.attempts,
            watcher: asked.turn.watcher.as_deref(),
        };
        let answering = match (router.ask(ask).await, begun.take()) {
            (Ok(answering), begun) => (answering, begun.map(|(draft, _)| draft)),
            // What was released stands, and is closed like any answer that broke off.
            (Err(_), Some((draft, _))) => return Generated::Draft(Box::new(draft)),
            (Err(missing), None) => return Generated::NoModel(Some(missing)),
        };
        let (answering, begun_draft) = answering;
        let (tier_index, target) = (answering.tier_index, answering.target.clone());
        let draft = match begun_draft {
            None => reading::read(asked, answering).await,
            Some(draft) => reading::go_on(asked, answering, draft).await,
        };
        match &draft.end {
            End::BrokenOff(reason) if draft.is_released() && route.assured == Assured::Continue => {
                tracing::warn!(interaction.id = %asked.turn.interaction, reason, "an answer broke off, another model is asked to go on");
                begun = Some((draft, target));
                continue;
            }
            End::BrokenOff(reason) if !draft.is_released() => {
                tracing::warn!(interaction.id = %asked.turn.interaction, reason, "an answer broke off, asking again");
            }
            _ => return Generated::Draft(Box::new(draft)),
        }
        skip = after_break(route, tier_index, broken_in);
        broken_in = Some(tier_index);
    }
}

/// What is asked of whoever goes on after `said`.
fn rest_of(request: &ChatRequest, said: &str) -> ChatRequest {
    let mut request = request.clone();
    request.messages.push(Message::new(Role::Assistant, said.trim_end()));
    request.messages.push(Message::new(Role::User, GO_ON));
    request
}

/// Where to ask after an answer broke off in the tier at `tier_index`: once more in this tier when it has another
/// target or nothing stands below it, else further down.
fn after_break(route: &Route, tier_index: usize, broken_in: Option<usize>) -> Skip {
    let has_siblings = route.tiers.get(tier_index).is_some_and(|tier| tier.targets.len() > 1);
    let is_last = tier_index + 1 >= route.tiers.len();
    if broken_in != Some(tier_index) && (has_siblings || is_last) {
        Skip::before(tier_index)
    } else {
        Skip::through(tier_index)
    }
}

/// The prompt: what never changes first, the reasons last, so that engines find its beginning in their cache.
fn request(asked: &Asked<'_>, reasons: &[String]) -> Result<ChatRequest, RenderError> {
    let loaded = &asked.serving.loaded;
    let prompt = loaded.prompts.for_intent(asked.intent);
    let passages =
        asked.passages.iter().map(|passage| PassageInput { title: &passage.title, text: &passage.text });
    let user = prompt.user(&Inputs {
        question: asked.question,
        passages: &passages.collect::<Vec<_>>(),
        earlier: asked.earlier,
        intent: asked.intent.unwrap_or_default(),
        reasons,
    })?;
    let mut parameters = loaded.agent.parameters.clone();
    parameters.max_tokens = asked.turn.max_tokens.unwrap_or(parameters.max_tokens);
    parameters.temperature = asked.turn.temperature.unwrap_or(parameters.temperature);
    let messages = vec![Message::new(Role::System, prompt.system()), Message::new(Role::User, user)];
    Ok(ChatRequest { messages, parameters, schema: None })
}
