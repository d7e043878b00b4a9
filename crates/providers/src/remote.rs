//! A model provider over the network, whatever its format: one call, and exactly what came of it.
//!
//! Reading order: this file (the call and its refusal), `outgoing` (its request), `attempt` (the state machine of an
//! accepted call), `intake` (what is made of its bytes), `embed` (embeddings), `count` (tokens), `failure` (what errors
//! say).

mod attempt;
mod count;
mod embed;
mod failure;
mod intake;
mod outgoing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::chat::{ChatCall, ConverseCall, Delivery, Dialect, Done, RelayCall, RelayedPortion};
use domain::conversation::{Answer, Conversation, Part};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::hex;
use domain::id::{ModelId, ProviderName};
use domain::meter::{Meter, Stated};
use domain::model::Overrides;
use domain::ports::{
    BoxFuture, CallError, ChatModel, ChatStream, Clock, Ids, ModelError, RelayedStream, SayingStream,
};
use domain::time::Moment;
use domain::token::Usage;
use futures_util::stream;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use outbound::{BodyStream, Request, Response};
use wire::bedrock::invoke::others::counted;
use wire::between::Between;
use wire::counting::CountProtocol;
use wire::embedding::EmbeddingProtocol;
use wire::face::About;
use wire::protocol::{Call, OwnDialect, Protocol, Reply};
use wire::stream::{Before, StreamError};
use wire::{faces, retry_after, single, texts};

use attempt::{Attempt, Timing};
use failure::{broken, failed, refusal};
pub(crate) use failure::{foreign, unreadable, untranslatable};
use intake::{Passed, Retold, Unstreamed, chunks, heard};
use outgoing::{Outgoing, aside};

/// How long a provider may be silent. Each wait also ends at the call's own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// From the request to the first event of the answer.
    pub first: Duration,
    /// From one event to the next; comments are no events.
    pub silence: Duration,
    /// From the finish reason to the usage and the end marker; the answer is complete without them.
    trailer: Duration,
}

/// How long the end of a finished answer is waited for at most.
const TRAILER_MAX: Duration = Duration::from_secs(2);

impl Waits {
    /// Limits of `first` and `silence`. The end is waited for only half a silence where that is less than two seconds:
    /// whoever reads the answer shall not give it up meanwhile.
    #[must_use]
    pub fn new(first: Duration, silence: Duration) -> Self {
        Self { first, silence, trailer: TRAILER_MAX.min(silence / 2) }
    }
}

impl Default for Waits {
    fn default() -> Self {
        let limit = Duration::from_secs(15);
        Self::new(limit, limit)
    }
}

/// Most bytes of an answer that comes in one piece.
const WHOLE_BYTES_MAX: usize = 32 << 20;
/// Most bytes read of an error's body, and the time for them.
const ERROR_BYTES_MAX: usize = 64 << 10;
const ERROR_TIME_MAX: Duration = Duration::from_secs(2);
/// A larger request is translated where it holds up no other.
const RETOLD_HERE_BYTES_MAX: usize = 256 << 10;
/// The limit of an answer in formats that demand one, where nobody named any.
const MAX_TOKENS: u32 = 4_096;

/// Proves who calls, where a fixed header field is not enough.
pub trait Signer: Send + Sync {
    /// Adds its fields to `request`, which goes to `origin`. `until` bounds the time to find credentials.
    ///
    /// # Errors
    /// [`ModelError`] when there are none.
    fn sign<'a>(
        &'a self,
        origin: &'a outbound::Origin,
        request: &'a mut Request,
        until: Moment,
    ) -> BoxFuture<'a, Result<(), ModelError>>;
}

/// What a client is made of.
pub struct Parts {
    /// Its name.
    pub provider: ProviderName,
    /// Where it is.
    pub origin: outbound::Origin,
    /// What it speaks.
    pub protocol: Arc<dyn Protocol>,
    /// Signs requests; `None` where the origin's secret is enough.
    pub signer: Option<Arc<dyn Signer>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of answers that are translated.
    pub ids: Arc<dyn Ids>,
}

/// A provider over the network. Our own calls always stream; relayed ones as their caller wants.
pub struct Remote {
    parts: Parts,
    waits: Waits,
    embeddings: Option<Arc<dyn EmbeddingProtocol>>,
    counts: Option<Arc<dyn CountProtocol>>,
}

/// An accepted call.
struct Accepted {
    body: BodyStream,
    /// What its header fields say that it used.
    counted: Option<Usage>,
    timing: Timing,
    /// Where what it states of its usage is told.
    meter: Meter,
}

impl Remote {
    /// A client.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, waits: Waits::default(), embeddings: None, counts: None }
    }

    /// The same with other limits of waiting.
    #[must_use]
    pub fn with_waits(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    async fn start(&self, call: ChatCall) -> Result<ChatStream, CallError> {
        let conversation = texts::conversation(&call.request);
        let shape = shape(&call.model, Delivery::Streamed, Overrides::default());
        let body = self.parts.protocol.request(&conversation, shape);
        let body = body.map_err(|error| self.cannot(&error.to_string()))?;
        let place = self.parts.protocol.place(shape);
        let outgoing = Outgoing::new(place, body, (Delivery::Streamed, call.trace));
        let accepted = self.send(outgoing, (call.deadline, &call.meter)).await?;
        let chunks = chunks(self.parts.protocol.reader());
        Ok(Attempt::new(self.parts.provider.clone(), accepted, chunks).stream())
    }

    async fn pass(&self, call: RelayCall) -> Result<RelayedStream, CallError> {
        let model = call.model.name_at_provider();
        match self.parts.protocol.own_dialect(&call.relayed, model) {
            Some(own) => self.pass_on(&call, own).await,
            None if call.relayed.dialect == Dialect::OpenAiEmbeddings => self.embed(&call).await,
            None if call.relayed.dialect == Dialect::AnthropicCountTokens => self.count(&call).await,
            None => self.translate(&call).await,
        }
    }

    /// The caller's own bytes, and the provider's back.
    async fn pass_on(&self, call: &RelayCall, own: &dyn OwnDialect) -> Result<RelayedStream, CallError> {
        let delivery = call.relayed.delivery;
        let shape = shape(&call.model, delivery, call.overrides);
        let body = own.patch(&call.relayed, shape);
        let plain = Outgoing::new(own.place(shape), body, (delivery, call.trace.clone()));
        let outgoing = Outgoing { headers: call.relayed.headers.clone(), aside: aside(call), ..plain };
        let accepted = self.send(outgoing, (call.deadline, &call.meter)).await?;
        match delivery {
            Delivery::Streamed => {
                let passed = Passed::new(own.portions(&call.relayed), self.unstreamed(call));
                let provider = self.parts.provider.clone();
                Ok(Attempt::new(provider, accepted, passed).stream())
            }
            Delivery::Whole => {
                let (protocol, relayed) = (Arc::clone(&self.parts.protocol), Arc::clone(&call.relayed));
                let (model, counted) = (call.model.clone(), accepted.counted);
                Ok(self.whole((accepted, call.deadline), move |bytes| {
                    let own = protocol.own_dialect(&relayed, model.name_at_provider());
                    let own = own.ok_or(StreamError::Malformed)?;
                    let done = own.whole(&bytes)?;
                    let done = Done { usage: done.usage.or(counted), ..done };
                    // What is estimated of an answer that does not say what it used.
                    let said = match done.usage {
                        Some(_) => 0,
                        None => own
                            .said(&bytes)
                            .unwrap_or_else(|| protocol.answer(&bytes).map_or(0, |answer| said(&answer))),
                    };
                    Ok(RelayedPortion { bytes, said, done: Some(done) })
                }))
            }
        }
    }

    /// The same request in the provider's format, and its answer in the caller's.
    async fn translate(&self, call: &RelayCall) -> Result<RelayedStream, CallError> {
        let (relayed, protocol) = (&call.relayed, &self.parts.protocol);
        let (delivery, overrides) = (relayed.delivery, call.overrides);
        let face = faces::of(relayed.dialect).ok_or_else(|| foreign(&call.model, relayed.dialect))?;
        let (asks, speaks, model) = (Arc::clone(relayed), Arc::clone(protocol), call.model.clone());
        let retell = move || -> Result<_, CallError> {
            let conversation = face.conversation(&asks).map_err(|error| unreadable(&model, &error))?;
            let conversation = with_overrides(conversation, overrides);
            let body = speaks.request(&conversation, shape(&model, delivery, overrides));
            Ok((body.map_err(|error| untranslatable(&model, &error))?, conversation.choice))
        };
        let (body, choice) = match relayed.body.len() > RETOLD_HERE_BYTES_MAX {
            false => retell(),
            true => {
                let retold = tokio::task::spawn_blocking(retell).await;
                retold.unwrap_or_else(|_| Err(self.cannot("the request could not be translated").into()))
            }
        }?;
        let place = protocol.place(shape(&call.model, delivery, overrides));
        let outgoing = Outgoing::new(place, body, (delivery, call.trace.clone()));
        let asked = self.parts.clock.now();
        let accepted = self.send(outgoing, (call.deadline, &call.meter)).await?;
        let about = about(&relayed.model, &*self.parts.clock, &*self.parts.ids);
        match delivery {
            Delivery::Streamed => {
                let reader = single::reader(protocol.reader(), &choice);
                let between = Between::new(reader, face.writer(about, relayed));
                let (provider, retold) = (self.parts.provider.clone(), Retold::new(between, asked));
                Ok(Attempt::new(provider, accepted, retold).stream())
            }
            Delivery::Whole => {
                let (protocol, relayed) = (Arc::clone(protocol), Arc::clone(relayed));
                let clock = Arc::clone(&self.parts.clock);
                Ok(self.whole((accepted, call.deadline), move |bytes| {
                    let answer = single::answer(protocol.answer(&bytes)?, &choice);
                    let about = About { took: clock.now().since(asked), ..about };
                    let bytes = face.answer(&about, &answer, &relayed);
                    Ok(RelayedPortion { bytes, said: said(&answer), done: Some(answer.ending.done()) })
                }))
            }
        }
    }

    /// A conversation in the provider's format, and its answer piece by piece.
    async fn hear(&self, call: ConverseCall) -> Result<SayingStream, CallError> {
        let protocol = &self.parts.protocol;
        let shape = shape(&call.model, Delivery::Streamed, call.overrides);
        let conversation = with_overrides((*call.conversation).clone(), call.overrides);
        let body = protocol.request(&conversation, shape);
        let body = body.map_err(|error| untranslatable(&call.model, &error))?;
        let outgoing = Outgoing::new(protocol.place(shape), body, (Delivery::Streamed, call.trace));
        let accepted = self.send(outgoing, (call.deadline, &call.meter)).await?;
        let heard = heard(single::reader(protocol.reader(), &conversation.choice));
        Ok(Attempt::new(self.parts.provider.clone(), accepted, heard).stream())
    }

    /// Sends a request, and reads why it was refused when it was.
    async fn send(
        &self,
        outgoing: Outgoing,
        (deadline, meter): (Moment, &Meter),
    ) -> Result<Accepted, CallError> {
        let Parts { provider, origin, signer, clock, .. } = &self.parts;
        // An answer in one piece begins when it is whole: only the deadline limits that.
        let first = match outgoing.delivery {
            Delivery::Streamed => clock.now().after(self.waits.first).min(deadline),
            Delivery::Whole => deadline,
        };
        let aside = outgoing.aside.clone();
        let mut request = outgoing.request()?;
        if let Some(signer) = signer {
            signer.sign(origin, &mut request, first).await?;
        }
        let response = origin.send(request, first).await.map_err(|error| failed(provider, &error))?;
        if response.status.as_u16() != 200 {
            return Err(self.refused(response, first, aside).await);
        }
        self.plain(&response.headers)?;
        let timing = Timing {
            clock: Arc::clone(clock),
            waits: self.waits,
            deadline,
            quiet_until: first,
            heard: clock.now(),
        };
        let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
        let counted = counted(header);
        counted.into_iter().for_each(|usage| meter.set(Stated::Finally(usage)));
        Ok(Accepted { counted, body: response.body, timing, meter: meter.clone() })
    }

    fn unstreamed(&self, call: &RelayCall) -> Unstreamed {
        Unstreamed {
            protocol: Arc::clone(&self.parts.protocol),
            model: call.model.clone(),
            relayed: Arc::clone(&call.relayed),
            clock: Arc::clone(&self.parts.clock),
            ids: Arc::clone(&self.parts.ids),
        }
    }

    /// An answer that comes in one piece, read by `understand`.
    fn whole(
        &self,
        (accepted, deadline): (Accepted, Moment),
        understand: impl FnOnce(Bytes) -> Result<RelayedPortion, StreamError> + Send + 'static,
    ) -> RelayedStream {
        let provider = self.parts.provider.clone();
        Box::pin(stream::once(async move {
            let read = accepted.body.whole(WHOLE_BYTES_MAX, deadline).await;
            let bytes = read.map_err(|error| failed(&provider, &error))?;
            understand(bytes).map_err(|error| broken(&provider, error, Before::Nothing))
        }))
    }

    /// Another provider may well be able to.
    fn cannot(&self, what: &str) -> ModelError {
        let fault = Fault { origin: Origin::Mainstay, kind: Kind::RouteFatal, retry: Retry::Elsewhere };
        ModelError { fault, detail: format!("`{}`: {what}", self.parts.provider) }
    }

    /// A body in a coding that nobody asked for cannot be read, and must not be passed on as if it could.
    fn plain(&self, headers: &HeaderMap) -> Result<(), ModelError> {
        match headers.get(CONTENT_ENCODING) {
            Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let provider = &self.parts.provider;
                let detail = format!("`{provider}` sent a compressed answer, which nobody asked for");
                Err(ModelError { fault: Fault::provider(Kind::Transient), detail })
            }
            _ => Ok(()),
        }
    }

    /// What a status other than 200 means. Of the body only its codes count, and its words for a caller.
    async fn refused(
        &self,
        response: Response,
        until: Moment,
        aside: Option<(ModelId, Dialect)>,
    ) -> CallError {
        let Parts { provider, origin, protocol, clock, .. } = &self.parts;
        let status = response.status.as_u16();
        // A model that has no embeddings, say, is none the worse at what it is for: nothing is shut for that.
        if let (Some((model, dialect)), 403..=405) = (aside, status) {
            let dialect = dialect.name();
            let message = format!("the provider of `{model}` has no {dialect} for it (status {status})");
            return refusal(&model, message, Some("model"));
        }
        let until = until.min(clock.now().after(ERROR_TIME_MAX));
        let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
        let (retry_after, error_type) = (retry_after::told(header), header("x-amzn-errortype"));
        let body = response.body.whole(ERROR_BYTES_MAX, until).await.unwrap_or_default();
        let reply = Reply { status, retry_after, error_type, body: &body, now: clock.wall() };
        let fault = protocol.classify(reply);
        let detail = format!("`{provider}` answered with status {status} ({})", fault.kind.name());
        let reply = protocol.words(reply, &|text| origin.conceal(text)).map(Box::new);
        CallError { error: ModelError { fault, detail }, reply, usage: None }
    }
}

/// What is told of every call.
fn shape(model: &ModelId, delivery: Delivery, overrides: Overrides) -> Call<'_> {
    Call { model: model.name_at_provider(), delivery, overrides, max_tokens: MAX_TOKENS }
}

/// Bytes of what a whole answer says, as they are counted of a streamed one.
fn said(answer: &Answer) -> u32 {
    let bytes = |part: &Part| match part {
        Part::Text(text)
        | Part::Refusal(text)
        | Part::Call { arguments: text, .. }
        | Part::Thought { text, .. } => text.len(),
        _ => 0,
    };
    let all = answer.parts.iter().map(bytes).fold(0, usize::saturating_add);
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// What every part of one answer repeats.
pub(crate) fn about(model: &str, clock: &dyn Clock, ids: &dyn Ids) -> About {
    let created = clock.wall().0.div_euclid(1_000_000);
    About {
        id: hex::of(&ids.next_id().to_be_bytes()),
        created,
        model: model.to_owned(),
        took: Duration::ZERO,
    }
}

/// A tier's parameters: each an upper bound or a replacement.
pub(crate) fn with_overrides(mut conversation: Conversation, overrides: Overrides) -> Conversation {
    let sampling = &mut conversation.sampling;
    if let Some(most) = overrides.max_tokens {
        sampling.max_tokens = Some(sampling.max_tokens.map_or(most, |asked| asked.min(most)));
    }
    if let Some(temperature) = overrides.temperature {
        sampling.temperature = Some(texts::widened(temperature));
    }
    conversation
}

impl ChatModel for Remote {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        Box::pin(self.start(call))
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, CallError>> {
        Box::pin(self.pass(call))
    }

    fn converse(&self, call: ConverseCall) -> BoxFuture<'_, Result<SayingStream, CallError>> {
        Box::pin(self.hear(call))
    }
}
