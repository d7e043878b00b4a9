//! One request as it is seen from outside, from its head to the last byte of its answer.

use std::sync::Arc;

use domain::chat::{Delivery, Dialect};
use domain::interaction::Interaction;
use domain::ports::Watcher;
use domain::time::{Moment, Timestamp};
use domain::trace_context::{CallTrace, Sampled};
use http::{HeaderMap, Method};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;

use crate::config::Providers;
use crate::hub::{Hub, Placed};
use crate::{measured, spans};

/// What is done for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A conversation goes on.
    Chat,
    /// A text goes on.
    TextCompletion,
    /// Texts become vectors.
    Embeddings,
    /// Tokens are counted.
    CountTokens,
    /// An agent answers.
    InvokeAgent,
}

impl Operation {
    /// What a relayed request is.
    #[must_use]
    pub fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAiCompletions => Self::TextCompletion,
            Dialect::OpenAiEmbeddings => Self::Embeddings,
            Dialect::AnthropicCountTokens => Self::CountTokens,
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::AnthropicMessages
            | Dialect::BedrockConverse
            | Dialect::BedrockInvoke => Self::Chat,
        }
    }

    /// `gen_ai.operation.name`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "count_tokens",
            Self::InvokeAgent => "invoke_agent",
        }
    }
}

/// What is known of it so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) asked: Option<(Operation, Delivery)>,
    pub(crate) status: Option<u16>,
    pub(crate) turn: Option<spans::Turn>,
    /// Of its steps and calls.
    pub(crate) within: Vec<Span>,
}

/// A request that is watched. What is known of it is sent when the last clone of its pointer is dropped: when it has its
/// answer, or its caller left.
#[derive(Debug)]
pub struct Watched {
    pub(crate) hub: Arc<Hub>,
    pub(crate) placed: Placed,
    pub(crate) began: (Moment, Timestamp),
    pub(crate) method: Method,
    pub(crate) route: String,
    told: Mutex<Told>,
}

impl Watched {
    /// Watches a request at `route`, a path of the table of doors.
    #[must_use]
    pub fn begin(hub: &Arc<Hub>, (method, route): (&Method, &str), headers: &HeaderMap) -> Arc<Self> {
        Arc::new(Self {
            hub: Arc::clone(hub),
            placed: hub.place(headers),
            began: (hub.clock.now(), hub.clock.wall()),
            method: method.clone(),
            route: route.to_owned(),
            told: Mutex::default(),
        })
    }

    /// `traceparent` of its reply: where it is found. Without spans of ours, that is where the caller's is.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let own = self.hub.traces().then_some(self.placed.own);
        own.or(self.placed.caller).map(|parent| parent.to_string())
    }

    /// It asks for this.
    pub fn asks(&self, operation: Operation, delivery: Delivery) {
        self.told.lock().asked = Some((operation, delivery));
    }

    /// The head of its reply went out.
    pub fn replied(&self, status: u16) {
        self.told.lock().status = Some(status);
    }

    fn is_kept(&self) -> bool {
        self.placed.own.sampled() == Sampled::Yes
    }
}

impl Watcher for Watched {
    fn call(&self, attempt: u32) -> Option<CallTrace> {
        let (hub, placed) = (&self.hub, &self.placed);
        if hub.settings.providers == Providers::Untold {
            return None;
        }
        let parent = match hub.traces() {
            true => placed.own.at(placed.own.span.child(attempt)),
            // No span of ours is sent: providers are told of the caller's.
            false => placed.caller?,
        };
        Some(CallTrace { parent, state: placed.state.clone() })
    }

    fn finished(&self, interaction: &Interaction) {
        let asked = self.told.lock().asked.unwrap_or((Operation::InvokeAgent, Delivery::Whole));
        let providers = self.hub.providers();
        if let Some(histograms) = &self.hub.histograms {
            measured::count(histograms, interaction, (asked, &providers));
        }
        if !self.is_kept() {
            return;
        }
        let within = spans::within(&self.placed, interaction, (asked, &providers));
        let within = within.with_content(self.hub.settings.content, interaction);
        let mut told = self.told.lock();
        told.turn = Some(spans::Turn::of(interaction));
        told.within = within.0;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_kept() {
            return;
        }
        let mut told = std::mem::take(self.told.get_mut());
        let mut all = std::mem::take(&mut told.within);
        all.push(spans::request(self, &told));
        self.hub.queue.push(all);
    }
}
