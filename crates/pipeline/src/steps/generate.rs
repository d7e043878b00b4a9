//! `generate_response` with `check_output`: asks a model and lets through only sentences that hold.

use domain::chat::{ChatChunk, ChatRequest, Finish, Message, Role};
use domain::document::Passage;
use domain::interaction::{GuardrailAction, GuardrailVerdict};
use domain::model::Tier;
use futures_util::StreamExt;
use guardrails::GuardStream;
use language::SentenceStream;
use registry::prompt::Inputs;
use registry::snapshot::{Serving, Snapshot};
use routing::{Answering, Ask, AttemptLog, Skip, Unanswered};

use crate::listener::Listener;
use crate::parts::Pipeline;
use crate::run::closing::Spoken;
use crate::steps::retrieve::Retrieval;
use crate::trace::{Trace, Word};
use crate::turn::Turn;

/// What is asked of a model.
pub(crate) struct Asked<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) serving: &'a Serving,
    pub(crate) question: &'a str,
    pub(crate) earlier: &'a [&'a str],
    pub(crate) intent: Option<&'a str>,
    pub(crate) retrieval: &'a Retrieval,
}

impl<'a> Asked<'a> {
    pub(crate) fn passages(&self) -> &'a [Passage] {
        self.retrieval.answerable().map_or(&[], |found| &found.passages)
    }

    pub(crate) fn passage_texts(&self) -> Vec<&'a str> {
        self.passages().iter().map(|passage| passage.text.as_str()).collect()
    }

    /// Texts whose numbers an answer may use beside the passages': the person's own, contact and disclaimers.
    pub(crate) fn allowed_texts(&self) -> Vec<&'a str> {
        let contact = &self.snapshot.contact;
        let mut texts = vec![self.question, contact.phone.as_str(), contact.hours.as_str(), contact.web.as_str()];
        texts.extend(self.earlier);
        texts.extend(self.serving.loaded.disclaimers.iter().map(String::as_str));
        texts.extend(self.passages().iter().map(|passage| passage.title.as_str()));
        texts
    }
}

/// What the answers before were missing, and where attempts are noted.
pub(crate) struct Again<'a> {
    pub(crate) reasons: &'a [String],
    pub(crate) attempts: &'a AttemptLog,
}

/// What a model wrote, as far as it holds.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The sentences that hold, joined.
    pub(crate) text: String,
    /// Which rung spoke.
    pub(crate) tier: Tier,
    /// As reported.
    pub(crate) model_used: String,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// Why the model stopped; `None` when it was stopped at a sentence that does not hold, or its stream broke.
    pub(crate) finish: Option<Finish>,
    /// Why the first sentence that does not hold does not.
    pub(crate) refused: Option<String>,
    /// Whether the client already has text.
    pub(crate) released: Released,
    /// The model says that it cannot know.
    pub(crate) is_refusal: bool,
    /// What the output guardrails found.
    pub(crate) guardrail: GuardrailVerdict,
    /// What the guardrail says instead.
    pub(crate) blocked_reply: Option<String>,
}

/// Whether a waiting client already has text of this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    Nothing,
    Some,
}

impl Draft {
    pub(crate) fn spoken(&self) -> Spoken {
        Spoken { tier: self.tier, model_used: self.model_used.clone(), attempt: self.attempt }
    }
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Generated {
    Draft(Draft),
    /// Nobody answered; `None` when nobody could even be asked.
    NoModel(Option<Box<Unanswered>>),
}

impl Word for Generated {
    fn word(&self) -> &'static str {
        match self {
            Self::Draft(draft) => draft.tier.name(),
            Self::NoModel(_) => "no_model",
        }
    }
}

pub(crate) async fn run(
    pipeline: &Pipeline,
    asked: &Asked<'_>,
    again: Again<'_>,
    (listener, trace): (&Listener, &Trace),
) -> Generated {
    let request = match request(asked, again.reasons) {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(agent = %asked.serving.loaded.agent.version, %error, "the prompt could not be rendered");
            return Generated::NoModel(None);
        }
    };
    let ask = Ask {
        route: &asked.serving.route,
        request: &request,
        deadline: asked.turn.deadline,
        prices: &asked.snapshot.models,
        started: trace.started(),
        skip: Skip::NONE,
        log: again.attempts,
    };
    match pipeline.parts.router.ask(ask).await {
        Ok(answering) => Generated::Draft(read(asked, answering, listener).await),
        Err(missing) => Generated::NoModel(Some(missing)),
    }
}

fn request(asked: &Asked<'_>, reasons: &[String]) -> Result<ChatRequest, registry::prompt::RenderError> {
    let loaded = &asked.serving.loaded;
    let prompt = loaded.prompts.for_intent(asked.intent);
    let user = prompt.user(&Inputs {
        question: asked.question,
        passages: &asked.passage_texts(),
        earlier: asked.earlier,
        intent: asked.intent.unwrap_or_default(),
        reasons,
    })?;
    let mut parameters = loaded.agent.parameters.clone();
    if let Some(max_tokens) = asked.turn.max_tokens {
        parameters.max_tokens = max_tokens;
    }
    if let Some(temperature) = asked.turn.temperature {
        parameters.temperature = temperature;
    }
    let messages = vec![Message::new(Role::System, prompt.system()), Message::new(Role::User, user)];
    Ok(ChatRequest { messages, parameters })
}

/// Reads the answer sentence by sentence, as far as it holds.
async fn read(asked: &Asked<'_>, answering: Answering, listener: &Listener) -> Draft {
    let mut draft = Draft {
        text: String::new(),
        tier: answering.tier,
        model_used: match answering.tier {
            Tier::Fallback => format!("FALLBACK:{}", answering.model),
            Tier::Primary | Tier::Embedded | Tier::Degraded => answering.model.to_string(),
        },
        attempt: answering.attempt,
        finish: None,
        refused: None,
        released: Released::Nothing,
        is_refusal: false,
        guardrail: GuardrailVerdict::default(),
        blocked_reply: None,
    };
    let mut sentences = SentenceStream::default();
    let mut guard = asked.serving.guard.stream();
    let mut stream = answering.stream;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(ChatChunk::Delta(text)) => {
                for sentence in sentences.push(&text) {
                    if take(asked, &mut draft, (&mut guard, listener), &sentence).await == Taken::Stop {
                        return draft;
                    }
                }
            }
            Ok(ChatChunk::Done { finish, .. }) => draft.finish = Some(finish),
            Err(error) => draft.refused = Some(format!("the answer broke off: {error}")),
        }
    }
    match draft.finish {
        Some(Finish::Stop) => {
            for sentence in sentences.finish() {
                if take(asked, &mut draft, (&mut guard, listener), &sentence).await == Taken::Stop {
                    break;
                }
            }
        }
        // Cut at the token limit, it ends at its last whole sentence.
        Some(Finish::Length) if !draft.text.is_empty() => draft.finish = Some(Finish::Stop),
        _ => {}
    }
    draft
}

#[derive(PartialEq)]
enum Taken {
    GoOn,
    Stop,
}

/// Checks one sentence and, when it holds, keeps and releases it.
async fn take(
    asked: &Asked<'_>,
    draft: &mut Draft,
    (guard, listener): (&mut GuardStream, &Listener),
    sentence: &str,
) -> Taken {
    let checked = guard.push(sentence);
    draft.guardrail.action = draft.guardrail.action.max(checked.verdict.action);
    draft.guardrail.findings.extend(checked.verdict.findings);
    if checked.verdict.action == GuardrailAction::Blocked {
        draft.blocked_reply = checked.message;
        return Taken::Stop;
    }
    if draft.text.is_empty() && quality::is_refusal(&checked.text) {
        draft.is_refusal = true;
        return Taken::Stop;
    }
    let held = quality::check_sentence(&checked.text, &asked.passage_texts(), &asked.allowed_texts());
    if let Err(reason) = held {
        draft.refused = Some(reason.text);
        return Taken::Stop;
    }
    let text = if draft.text.is_empty() { checked.text.trim_start() } else { checked.text.as_str() };
    draft.text.push_str(text);
    if listener.is_live() {
        draft.released = Released::Some;
        listener.text(text.to_owned()).await;
    }
    Taken::GoOn
}
