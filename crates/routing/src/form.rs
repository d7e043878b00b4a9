//! The forms of a request (texts, a caller's own bytes, a caller's conversation): what differs between them on the
//! same walk.

use std::pin::Pin;
use std::sync::Arc;

use domain::chat::{
    ChatCall, ChatChunk, ChatRequest, ConverseCall, Delivery, Done, RelayCall, Relayed, RelayedPortion,
    Saying, Tools,
};
use domain::conversation::{Conversation, Delta};
use domain::id::{ModelId, RegionName};
use domain::meter::Meter;
use domain::model::{Difficulty, Overrides};
use domain::ports::{BoxFuture, CallError, ChatModel};
use domain::spending::{Input, Weight};
use domain::time::Moment;
use domain::trace_context::CallTrace;
use futures_util::stream::Stream;
use resilience::breakers::Answer;
use resilience::policy::{self, Limits, Place};

use crate::ask::{Conversing, Passing};
use crate::estimate::{self, Prompt};
use crate::strategy::{Demand, Question, difficulty};

/// What a piece of an answer is to the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing that anyone could use.
    Nothing,
    /// A part of the answer.
    Text,
    /// The end, without text of its own.
    End(Done),
    /// The last part of the answer, and its end.
    TextAndEnd(Done),
}

/// A piece of an answer.
pub(crate) trait Piece: Send + 'static {
    fn read(&self) -> Read;
    /// Bytes of what the model says in it.
    fn said(&self) -> u32;
    /// Bytes that it takes to hold it.
    fn size(&self) -> usize;
}

impl Piece for ChatChunk {
    fn read(&self) -> Read {
        match self {
            Self::Delta(text) if text.is_empty() => Read::Nothing,
            Self::Delta(_) => Read::Text,
            Self::Done { finish, usage } => Read::End(Done { finish: *finish, usage: *usage }),
        }
    }

    fn said(&self) -> u32 {
        match self {
            Self::Delta(text) => u32::try_from(text.len()).unwrap_or(u32::MAX),
            Self::Done { .. } => 0,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Delta(text) => text.len(),
            Self::Done { .. } => 0,
        }
    }
}

impl Piece for RelayedPortion {
    fn read(&self) -> Read {
        self.done.map_or(Read::Text, Read::TextAndEnd)
    }

    fn said(&self) -> u32 {
        self.said
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// An answer on its way.
pub(crate) type Pieces<P> = Pin<Box<dyn Stream<Item = Result<P, CallError>> + Send>>;

/// A call of one target.
pub(crate) struct Placed {
    pub(crate) model: ModelId,
    pub(crate) region: Option<RegionName>,
    pub(crate) deadline: Moment,
    pub(crate) trace: Option<CallTrace>,
    pub(crate) meter: Meter,
}

/// A form of request.
pub(crate) trait Form: Sync {
    type Piece: Piece;
    /// The request as a tier asks it, made once for the tier.
    type Tier: Send + Sync;

    fn for_tier(&self, overrides: Overrides) -> Self::Tier;
    /// How much the request may use, and the most tokens of an answer where its tier sets them.
    fn weight(tier: &Self::Tier) -> (Weight, Option<u32>);
    fn start<'m>(
        tier: &Self::Tier,
        model: &'m dyn ChatModel,
        placed: Placed,
    ) -> BoxFuture<'m, Result<Pieces<Self::Piece>, CallError>>;

    /// What the tier asks, for estimates.
    fn prompt(tier: &Self::Tier) -> Prompt;

    /// What the first text of its answer is.
    fn awaits(&self) -> Answer;

    /// How many tokens it may take with these overrides.
    fn demand(&self, overrides: Overrides) -> Demand;

    /// How much it asks of a model; `question` is what the person asked, where it holds more than that.
    fn difficulty(&self, question: Option<&str>) -> Difficulty;

    /// Whether asking twice does no more than asking once, but for its cost.
    fn leaves_nothing_behind(&self) -> bool;

    /// Where the call counts as running, for the limits of waiting.
    fn place(&self, place: Place) -> Place {
        place
    }

    /// When the answer must be over, once it has begun.
    fn end(&self, limits: &Limits, _began: Moment, _policy: &policy::Config) -> Moment {
        limits.end
    }
}

impl Form for ChatRequest {
    type Piece = ChatChunk;
    type Tier = Arc<ChatRequest>;

    fn for_tier(&self, overrides: Overrides) -> Arc<Self> {
        let mut request = self.clone();
        let parameters = &mut request.parameters;
        if let Some(max_tokens) = overrides.max_tokens {
            parameters.max_tokens = parameters.max_tokens.min(max_tokens);
        }
        parameters.temperature = overrides.temperature.unwrap_or(parameters.temperature);
        Arc::new(request)
    }

    fn weight(tier: &Arc<Self>) -> (Weight, Option<u32>) {
        // Names of roles and what templates put around each message.
        const AROUND_BYTES: usize = 32;
        let messages: usize = tier.messages.iter().map(|message| message.text.len() + AROUND_BYTES).sum();
        let bytes = messages + AROUND_BYTES + tier.schema.as_ref().map_or(0, |schema| schema.len());
        let input = Input::AtMost(u32::try_from(bytes).unwrap_or(u32::MAX));
        (Weight { input, output_max: Some(tier.parameters.max_tokens), answers: 1 }, None)
    }

    fn start<'m>(
        tier: &Arc<Self>,
        model: &'m dyn ChatModel,
        placed: Placed,
    ) -> BoxFuture<'m, Result<Pieces<ChatChunk>, CallError>> {
        let Placed { model: id, region, deadline, trace, meter } = placed;
        model.chat(ChatCall { model: id, region, request: Arc::clone(tier), deadline, trace, meter })
    }

    fn prompt(tier: &Arc<Self>) -> Prompt {
        Prompt::Texts(Arc::clone(tier))
    }

    fn awaits(&self) -> Answer {
        Answer::Begun
    }

    fn demand(&self, overrides: Overrides) -> Demand {
        let asked = self.parameters.max_tokens;
        Demand::of(estimate::texts(self), Some(overrides.max_tokens.map_or(asked, |most| most.min(asked))))
    }

    fn difficulty(&self, question: Option<&str>) -> Difficulty {
        difficulty(&Question::of_chat(self, question))
    }

    fn leaves_nothing_behind(&self) -> bool {
        true
    }
}

impl Piece for Saying {
    fn read(&self) -> Read {
        match self {
            Self::Said { .. } => Read::Text,
            Self::Ended(ending) => Read::End(ending.done()),
        }
    }

    fn said(&self) -> u32 {
        u32::try_from(self.size()).unwrap_or(u32::MAX)
    }

    fn size(&self) -> usize {
        match self {
            Self::Said { delta: Delta::Text(text) | Delta::Arguments(text) | Delta::Proof(text), .. } => {
                text.len()
            }
            Self::Ended(_) => 0,
        }
    }
}

/// A caller's conversation as a tier asks it.
pub(crate) struct ConversingTier {
    passing: PassingTier,
    conversation: Arc<Conversation>,
}

/// What is the same as for the caller's own bytes is asked of them.
impl Form for Conversing {
    type Piece = Saying;
    type Tier = ConversingTier;

    fn for_tier(&self, overrides: Overrides) -> ConversingTier {
        let conversation = Arc::clone(&self.conversation);
        ConversingTier { passing: self.passing.for_tier(overrides), conversation }
    }

    fn weight(tier: &ConversingTier) -> (Weight, Option<u32>) {
        Passing::weight(&tier.passing)
    }

    fn start<'m>(
        tier: &ConversingTier,
        model: &'m dyn ChatModel,
        placed: Placed,
    ) -> BoxFuture<'m, Result<Pieces<Saying>, CallError>> {
        let Placed { model: id, region, deadline, trace, meter } = placed;
        let (conversation, overrides) = (Arc::clone(&tier.conversation), tier.passing.overrides);
        model.converse(ConverseCall { model: id, region, conversation, overrides, deadline, trace, meter })
    }

    fn prompt(tier: &ConversingTier) -> Prompt {
        Passing::prompt(&tier.passing)
    }

    fn awaits(&self) -> Answer {
        self.passing.awaits()
    }

    fn demand(&self, overrides: Overrides) -> Demand {
        self.passing.demand(overrides)
    }

    fn difficulty(&self, question: Option<&str>) -> Difficulty {
        self.passing.difficulty(question)
    }

    fn leaves_nothing_behind(&self) -> bool {
        self.passing.leaves_nothing_behind()
    }

    fn place(&self, place: Place) -> Place {
        self.passing.place(place)
    }

    fn end(&self, limits: &Limits, began: Moment, policy: &policy::Config) -> Moment {
        self.passing.end(limits, began, policy)
    }
}

/// Where dialects say how long an answer may be.
const LIMIT_FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// A caller's request as a tier passes it on.
pub(crate) struct PassingTier {
    passing: Passing,
    overrides: Overrides,
}

impl Form for Passing {
    type Piece = RelayedPortion;
    type Tier = PassingTier;

    fn for_tier(&self, overrides: Overrides) -> PassingTier {
        PassingTier { passing: self.clone(), overrides }
    }

    fn weight(tier: &PassingTier) -> (Weight, Option<u32>) {
        (tier.passing.weight, tier.overrides.max_tokens)
    }

    fn start<'m>(
        tier: &PassingTier,
        model: &'m dyn ChatModel,
        placed: Placed,
    ) -> BoxFuture<'m, Result<Pieces<RelayedPortion>, CallError>> {
        let Placed { model: id, region, deadline, trace, meter } = placed;
        let relayed = Arc::clone(&tier.passing.relayed);
        model.relay(RelayCall {
            model: id,
            region,
            relayed,
            overrides: tier.overrides,
            deadline,
            trace,
            meter,
        })
    }

    fn prompt(tier: &PassingTier) -> Prompt {
        Prompt::Body(Arc::clone(&tier.passing.relayed))
    }

    fn awaits(&self) -> Answer {
        match self.relayed.delivery {
            Delivery::Streamed => Answer::Begun,
            Delivery::Whole => Answer::Whole,
        }
    }

    fn demand(&self, overrides: Overrides) -> Demand {
        let Relayed { body, fields, .. } = &*self.relayed;
        let limit = fields
            .iter()
            .filter(|field| LIMIT_FIELDS.contains(&field.name))
            .find_map(|field| std::str::from_utf8(body.get(field.value.clone())?).ok()?.trim().parse().ok());
        let most = [limit, overrides.max_tokens].into_iter().flatten().min();
        Demand::of(estimate::body(&self.relayed), most)
    }

    fn difficulty(&self, _: Option<&str>) -> Difficulty {
        difficulty(&Question::of_relayed(&self.relayed))
    }

    fn leaves_nothing_behind(&self) -> bool {
        self.relayed.tools == Tools::None
    }

    /// A provider that sends its answer in one piece is silent until it is whole.
    fn place(&self, place: Place) -> Place {
        match self.relayed.delivery {
            Delivery::Streamed => place,
            Delivery::Whole => Place::Here,
        }
    }

    fn end(&self, limits: &Limits, began: Moment, policy: &policy::Config) -> Moment {
        match (self.relayed.delivery, self.streams_until) {
            (Delivery::Whole, _) => limits.end,
            (Delivery::Streamed, until) => began.after(policy.call_max).min(until.unwrap_or(Moment::MAX)),
        }
    }
}
