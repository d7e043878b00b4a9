//! Relayed requests for a model that takes texts only, as the one that runs here: read as texts, answered in the
//! caller's dialect.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use domain::chat::{
    ChatCall, ChatChunk, ChatRequest, ConverseCall, Delivery, Done, ErrorReply, Finish, RelayCall, Relayed,
    RelayedPortion, Saying,
};
use domain::conversation::{Answer, Block, Delta, Ending, Event, Part};
use domain::fault::{Fault, Kind};
use domain::ports::{
    BoxFuture, CallError, ChatModel, ChatStream, Clock, Ids, ModelError, RelayedStream, SayingStream,
};
use domain::time::Moment;
use futures_util::{StreamExt, stream};
use wire::blocks::Blocks;
use wire::face::{About, Face};
use wire::stream::{EventWriter, Took};
use wire::{faces, texts};

use crate::remote::{about, foreign, unreadable, untranslatable, with_overrides};

/// A model that speaks the dialects of relayed requests although it takes texts only.
pub struct Translated {
    model: Arc<dyn ChatModel>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Translated {
    /// `model`, with its answers' times and ids from `clock` and `ids`.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { model, clock, ids }
    }

    /// The texts of a conversation, and its answer piece by piece.
    async fn hear(&self, call: ConverseCall) -> Result<SayingStream, CallError> {
        let conversation = with_overrides((*call.conversation).clone(), call.overrides);
        let request = texts::request(&conversation).map_err(|error| untranslatable(&call.model, &error))?;
        let ConverseCall { model, region, deadline, trace, meter, .. } = call;
        let asked = ChatCall { model, region, request: Arc::new(request), deadline, trace, meter };
        let answer = self.model.chat(asked).await.map_err(told)?;
        Ok(Box::pin(answer.map(|chunk| match chunk {
            Ok(ChatChunk::Delta(text)) => Ok(Saying::Said { block: Block::Text, delta: Delta::Text(text) }),
            Ok(ChatChunk::Done { finish, usage }) => Ok(Saying::Ended(Ending { finish, stop: None, usage })),
            Err(error) => Err(told(error)),
        })))
    }

    async fn start(&self, call: RelayCall) -> Result<RelayedStream, CallError> {
        let RelayCall { model, region, relayed, deadline, trace, meter, .. } = &call;
        let face = faces::of(relayed.dialect).ok_or_else(|| foreign(model, relayed.dialect))?;
        let request = request(&call, face)?;
        let about = about(&relayed.model, &*self.clock, &*self.ids);
        let asked = ChatCall {
            model: model.clone(),
            region: region.clone(),
            request: Arc::new(request),
            deadline: *deadline,
            trace: trace.clone(),
            meter: meter.clone(),
        };
        let watch = Watch { clock: Arc::clone(&self.clock), asked: self.clock.now() };
        let answer = self.model.chat(asked).await.map_err(told)?;
        Ok(match relayed.delivery {
            Delivery::Whole => {
                Box::pin(stream::once(whole((answer, watch), (face, about, Arc::clone(relayed)))))
            }
            Delivery::Streamed => streamed((answer, watch), face.writer(about, relayed)),
        })
    }
}

impl ChatModel for Translated {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        self.model.chat(call)
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, CallError>> {
        Box::pin(self.start(call))
    }

    fn converse(&self, call: ConverseCall) -> BoxFuture<'_, Result<SayingStream, CallError>> {
        Box::pin(self.hear(call))
    }
}

/// The request as texts, with the tier's parameters.
fn request(call: &RelayCall, face: &dyn Face) -> Result<ChatRequest, CallError> {
    let conversation = face.conversation(&call.relayed).map_err(|error| unreadable(&call.model, &error))?;
    let conversation = with_overrides(conversation, call.overrides);
    texts::request(&conversation).map_err(|error| untranslatable(&call.model, &error))
}

/// `error`, with its words where the request itself is the reason: the model is ours, so nothing in them is a
/// stranger's.
fn told(failed: CallError) -> CallError {
    let error = &failed.error;
    let reply = (error.fault.kind == Kind::Caller).then(|| {
        Box::new(ErrorReply {
            status: 400,
            message: error.detail.clone(),
            kind: None,
            parameter: Some("messages".to_owned()),
            code: Some("invalid_request".to_owned()),
        })
    });
    CallError { reply, ..failed }
}

/// How long an answer takes.
struct Watch {
    clock: Arc<dyn Clock>,
    asked: Moment,
}

impl Watch {
    fn took(&self) -> Duration {
        self.clock.now().since(self.asked)
    }
}

async fn whole(
    (mut answer, watch): (ChatStream, Watch),
    (face, about, relayed): (&'static dyn Face, About, Arc<Relayed>),
) -> Result<RelayedPortion, CallError> {
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        match chunk.map_err(told)? {
            ChatChunk::Delta(delta) => text.push_str(&delta),
            ChatChunk::Done { finish: Finish::Stop, .. } if text.is_empty() => return Err(empty().into()),
            ChatChunk::Done { finish, usage } => {
                let said = size(&text);
                let parts = if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] };
                let ending = Ending { finish, stop: None, usage };
                let answer = Answer { id: String::new(), model: String::new(), parts, ending };
                let about = About { took: watch.took(), ..about };
                let bytes = face.answer(&about, &answer, &relayed);
                return Ok(RelayedPortion { bytes, said, done: Some(Done { finish, usage }) });
            }
        }
    }
    Err(cut().into())
}

fn size(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// A model that stops by itself before its first word has not answered.
fn empty() -> ModelError {
    ModelError { fault: Fault::provider(Kind::Transient), detail: "the answer is empty".to_owned() }
}

fn cut() -> ModelError {
    let detail = "the stream ended before the answer was whole".to_owned();
    ModelError { fault: Fault::provider(Kind::Truncated), detail }
}

/// A streamed answer on its way through.
struct Speaking {
    /// Until the end of the answer.
    answer: Option<ChatStream>,
    writer: Box<dyn EventWriter>,
    blocks: Blocks,
    events: Vec<Event>,
    watch: Watch,
    /// When the first words came.
    first: Option<Duration>,
}

fn streamed((answer, watch): (ChatStream, Watch), writer: Box<dyn EventWriter>) -> RelayedStream {
    let begun = Event::Begun { id: String::new(), model: String::new(), usage: None };
    let (answer, blocks, events) = (Some(answer), Blocks::default(), vec![begun]);
    let speaking = Speaking { answer, writer, blocks, events, watch, first: None };
    Box::pin(stream::unfold(speaking, |mut speaking| async move {
        let item = speaking.next().await?;
        if item.is_err() {
            speaking.answer = None;
        }
        Some((item, speaking))
    }))
}

impl Speaking {
    async fn next(&mut self) -> Option<Result<RelayedPortion, CallError>> {
        loop {
            let answer = self.answer.as_mut()?;
            match answer.next().await {
                Some(Ok(ChatChunk::Delta(text))) if text.is_empty() => {}
                Some(Ok(ChatChunk::Delta(text))) => {
                    self.first.get_or_insert_with(|| self.watch.took());
                    let said = size(&text);
                    self.blocks.add(Block::Text, Delta::Text(text), &mut self.events);
                    return Some(Ok(self.portion(said, None)));
                }
                Some(Ok(ChatChunk::Done { finish: Finish::Stop, .. })) if self.blocks.count() == 0 => {
                    return Some(Err(empty().into()));
                }
                Some(Ok(ChatChunk::Done { finish, usage })) => {
                    self.answer = None;
                    let whole = self.watch.took();
                    self.writer.took(Took { first: self.first.unwrap_or(whole), whole });
                    self.blocks.close(&mut self.events);
                    self.events.push(Event::Ended(Ending { finish, stop: None, usage }));
                    return Some(Ok(self.portion(0, Some(Done { finish, usage }))));
                }
                Some(Err(error)) => return Some(Err(told(error))),
                None => return Some(Err(cut().into())),
            }
        }
    }

    fn portion(&mut self, said: u32, done: Option<Done>) -> RelayedPortion {
        let mut frames = BytesMut::new();
        for event in self.events.drain(..) {
            self.writer.write(&event, &mut frames);
        }
        RelayedPortion { bytes: frames.freeze(), said, done }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::fault::Retry;
    use domain::id::ModelId;
    use domain::model::Overrides;
    use serde_json::Value;
    use testkit::{CountingIds, ManualClock, Reply, ScriptedModel, Step};

    use super::*;

    async fn relay(body: &str, reply: Reply) -> (Result<String, CallError>, Vec<ChatCall>) {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
        let model = Arc::new(ScriptedModel::new(Arc::clone(&clock), vec![reply]));
        let translated = Translated::new(Arc::clone(&model) as _, clock, Arc::new(CountingIds::default()));
        let relayed = wire::openai::relay::read(Bytes::copy_from_slice(body.as_bytes())).expect("valid");
        let overrides = Overrides { max_tokens: Some(20), temperature: None };
        let call = RelayCall {
            model: ModelId::from("embedded/default"),
            region: None,
            relayed: Arc::new(relayed),
            overrides,
            deadline: Moment(std::time::Duration::from_secs(60)),
            trace: None,
            meter: domain::meter::Meter::default(),
        };
        let passed = async {
            let mut passed = Vec::new();
            let mut stream = translated.relay(call).await?;
            while let Some(portion) = stream.next().await {
                passed.extend_from_slice(&portion?.bytes);
            }
            Ok(String::from_utf8(passed).expect("text"))
        };
        (passed.await, model.calls())
    }

    const WHOLE: &str = r#"{"model":"x","messages":[{"role":"user","content":"Hi"}],"max_tokens":50}"#;

    #[tokio::test]
    async fn a_text_model_answers_in_the_callers_dialect() {
        let (body, calls) = relay(WHOLE, Reply::text("Yes, it is.")).await;
        let body: Value = serde_json::from_str(&body.expect("an answer")).expect("JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "Yes, it is.");
        assert_eq!(
            (&body["object"], &body["usage"]["prompt_tokens"]),
            (&"chat.completion".into(), &10.into())
        );
        assert_eq!(
            (calls[0].request.messages[0].text.as_str(), calls[0].request.parameters.max_tokens),
            ("Hi", 20)
        );

        for (options, has_usage) in [("", false), (r#","stream_options":{"include_usage":true}"#, true)] {
            let streamed = WHOLE.replace("\"max_tokens\":50", &format!("\"stream\":true{options}"));
            let (body, _) = relay(&streamed, Reply::text("Yes, it is.")).await;
            let body = body.expect("an answer");
            assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
            assert_eq!(body.matches("\"role\":\"assistant\"").count(), 1, "{body}");
            assert_eq!(body.contains("prompt_tokens"), has_usage, "{body}");
        }
    }

    #[tokio::test]
    async fn how_long_it_took_is_told_to_those_whose_dialect_says_it() {
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            let clock = ManualClock::new();
            let port: Arc<dyn Clock> = Arc::new(clock.clone());
            let wait = Step::Wait(Duration::from_millis(400));
            let steps =
                vec![wait.clone(), Step::Delta("Yes".to_owned()), wait, Step::Done(Finish::Stop, None)];
            let model = ScriptedModel::new(Arc::clone(&port), vec![Reply::Steps(steps)]);
            let translated = Translated::new(Arc::new(model), port, Arc::new(CountingIds::default()));
            let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}"#);
            let relayed =
                wire::bedrock::converse::relay::read(body, ("m".to_owned(), delivery)).expect("valid");
            let call = RelayCall {
                model: ModelId::from("embedded/default"),
                region: None,
                relayed: Arc::new(relayed),
                overrides: Overrides::default(),
                deadline: Moment(Duration::from_secs(60)),
                trace: None,
                meter: domain::meter::Meter::default(),
            };
            let asking = async {
                let portions: Vec<_> = translated.relay(call).await.expect("accepted").collect().await;
                portions
                    .into_iter()
                    .map(|portion| portion.expect("an answer").bytes)
                    .collect::<Vec<_>>()
                    .concat()
            };
            let mut asking = std::pin::pin!(asking);
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = &mut asking => break answer,
                    () = tokio::task::yield_now() => clock.advance(Duration::from_millis(400)),
                }
            };
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains(r#""metrics":{"latencyMs":800}"#), "{delivery:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn what_is_the_requests_own_fault_is_told_in_words() {
        let fault = Fault::caller(Retry::Never);
        for reply in [Reply::Refuse(fault), Reply::Steps(vec![Step::Fail(fault)])] {
            let (refused, _) = relay(WHOLE, reply).await;
            let refused = refused.expect_err("too long");
            assert_eq!(refused.reply.expect("words for the caller").message, refused.error.detail);
        }
    }

    #[tokio::test]
    async fn what_it_cannot_do_is_for_another_model() {
        let image = WHOLE
            .replace("\"Hi\"", r#"[{"type":"image_url","image_url":{"url":"https://a.example/i.png"}}]"#);
        let (refused, calls) = relay(&image, Reply::text("x")).await;
        let refused = refused.expect_err("an image");
        let words = refused.reply.expect("words for the caller");
        assert_eq!((words.status, words.parameter.as_deref()), (400, Some("an image, document or sound")));
        assert!(words.message.contains("only text"), "{}", words.message);
        let fault = refused.error.fault;
        assert_eq!((fault.kind, fault.retry, calls.len()), (Kind::Caller, Retry::Elsewhere, 0));
        for (steps, want) in [
            (vec![Step::Done(Finish::Stop, None)], Kind::Transient),
            (vec![Step::Delta("Yes".to_owned())], Kind::Truncated),
            (vec![Step::Fail(Fault::provider(Kind::Transient))], Kind::Transient),
        ] {
            for body in [WHOLE.to_owned(), WHOLE.replace("\"max_tokens\":50", "\"stream\":true")] {
                let (failed, _) = relay(&body, Reply::Steps(steps.clone())).await;
                assert_eq!(failed.expect_err("no answer").error.fault.kind, want, "{steps:?}");
            }
        }
    }
}
