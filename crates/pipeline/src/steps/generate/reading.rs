//! Reads an answer sentence by sentence, checks each (`check_output`, numbers, groundedness) and releases those
//! that hold.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::chat::{ChatChunk, Finish};
use domain::fault::Kind;
use domain::interaction::{GuardrailAction, GuardrailVerdict};
use domain::ports::{CallError, ChatStream};
use domain::time::Moment;
use futures_util::StreamExt;
use guardrails::GuardStream;
use language::SentenceStream;
use quality::Reason;
use quality::form::is_stock;
use quality::sentence::dimension;
use quality::source::{fuller, is_echo};
use routing::Answering;

use crate::run::closing::Spoken;
use crate::seam::Seam;
use crate::steps::generate::Asked;

/// What a model wrote, as far as it holds.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The sentences that hold, joined.
    pub(crate) text: String,
    /// Which rung spoke.
    pub(crate) spoken: Spoken,
    /// The place of its tier in the route.
    pub(crate) tier_index: usize,
    /// Why there is no more of it.
    pub(crate) end: End,
    /// What the output guardrails found.
    pub(crate) guardrail: GuardrailVerdict,
    /// When the first sentence was there to be checked, and how long all checks took.
    pub(crate) checked: Option<(Moment, Duration)>,
    /// Whether a sentence says something of the matter: a stock opening does not.
    pub(crate) has_substance: bool,
    /// Whether it was cut at the token limit, at the end of its last whole sentence.
    pub(crate) is_cut: bool,
    /// Bytes of `text` that a waiting client has.
    released: usize,
}

/// Why there is no more of a draft.
#[derive(Debug)]
pub(crate) enum End {
    /// The model finished.
    Finished(Finish),
    /// The model says that it cannot know.
    Refusal {
        /// How it says so.
        sentence: String,
    },
    /// An output guardrail stopped it; this is said instead.
    Blocked(String),
    /// This sentence does not hold; what follows it is not read.
    Dropped {
        /// It, or what there was of it.
        sentence: String,
        /// Why not.
        reason: Reason,
    },
    /// Its stream broke.
    BrokenOff(String),
}

impl Draft {
    /// Whether a waiting client already has text of it.
    pub(crate) fn is_released(&self) -> bool {
        self.released > 0
    }
}

/// Reads `answering` as far as it holds.
pub(crate) async fn read(asked: &Asked<'_>, answering: Answering) -> Draft {
    let draft = Draft {
        text: String::new(),
        spoken: Spoken::of(&answering),
        tier_index: answering.tier_index,
        end: End::BrokenOff("the stream ended before the answer was whole".to_owned()),
        guardrail: GuardrailVerdict::default(),
        checked: None,
        has_substance: false,
        is_cut: false,
        released: 0,
    };
    read_on(Reading::of(asked, draft), answering.stream).await
}

/// Reads `answering` as the rest of `draft`, which broke off after its client had some of it.
pub(crate) async fn go_on(asked: &Asked<'_>, answering: Answering, draft: Draft) -> Draft {
    let seam = Some(Seam::after(&draft.text));
    let draft = Draft { spoken: Spoken::of(&answering), tier_index: answering.tier_index, ..draft };
    read_on(Reading { seam, ..Reading::of(asked, draft) }, answering.stream).await
}

async fn read_on(mut reading: Reading<'_>, mut stream: ChatStream) -> Draft {
    while let Some(chunk) = stream.next().await {
        let flow = match chunk {
            Ok(ChatChunk::Delta(text)) => reading.delta(&text).await,
            Ok(ChatChunk::Done { finish, .. }) => reading.done(finish).await,
            Err(CallError { error, .. }) if error.fault.kind == Kind::Content => {
                reading.done(Finish::ContentFilter).await
            }
            Err(CallError { error, .. }) => reading.stop(End::BrokenOff(error.detail)),
        };
        if flow.is_break() {
            break;
        }
    }
    reading.draft
}

struct Reading<'a> {
    asked: &'a Asked<'a>,
    draft: Draft,
    guard: GuardStream,
    sentences: SentenceStream,
    /// Where the answer goes on in another model's words.
    seam: Option<Seam>,
}

impl<'a> Reading<'a> {
    fn of(asked: &'a Asked<'a>, draft: Draft) -> Self {
        let guard = asked.serving.guard.stream();
        Self { asked, draft, guard, sentences: SentenceStream::default(), seam: None }
    }

    async fn delta(&mut self, text: &str) -> ControlFlow<()> {
        let joined = self.seam.as_mut().map(|seam| seam.push(text));
        for sentence in self.sentences.push(joined.as_deref().unwrap_or(text)) {
            self.take(&sentence).await?;
        }
        ControlFlow::Continue(())
    }

    async fn done(&mut self, finish: Finish) -> ControlFlow<()> {
        match finish {
            // Agents name no tools: a call that comes all the same ends what was said.
            Finish::Stop | Finish::StopText | Finish::ToolUse => {
                let rest = self.seam.as_mut().map(Seam::finish).unwrap_or_default();
                for sentence in self.sentences.push(&rest) {
                    self.take(&sentence).await?;
                }
                for sentence in self.sentences.finish() {
                    self.take(&sentence).await?;
                }
            }
            // Cut at the token limit, it ends at its last whole sentence.
            Finish::Length if self.draft.has_substance => {
                self.draft.is_cut = true;
                return self.stop(End::Finished(Finish::Stop));
            }
            Finish::Length => {
                let sentence = self.sentences.finish().concat();
                let text = "The answer was cut off; answer in one short sentence.".to_owned();
                let reason = Reason { check: dimension::COMPLETENESS, text };
                return self.stop(End::Dropped { sentence, reason });
            }
            Finish::ContentFilter => {}
        }
        self.stop(End::Finished(finish))
    }

    fn stop(&mut self, end: End) -> ControlFlow<()> {
        self.draft.end = end;
        ControlFlow::Break(())
    }

    /// Checks one sentence and, when it holds, keeps and releases it.
    async fn take(&mut self, sentence: &str) -> ControlFlow<()> {
        let began = self.asked.trace.now();
        let judged = self.judge(sentence);
        let took = self.asked.trace.now().since(began);
        let (first, so_far) = self.draft.checked.unwrap_or((began, Duration::ZERO));
        self.draft.checked = Some((first, so_far + took));
        match judged {
            Ok(text) => self.keep(&text).await,
            Err(end) => return self.stop(end),
        }
        ControlFlow::Continue(())
    }

    /// The sentence as it may be said, or why the draft ends before it.
    fn judge(&mut self, sentence: &str) -> Result<String, End> {
        let checked = self.guard.push(sentence);
        let verdict = &mut self.draft.guardrail;
        verdict.action = verdict.action.max(checked.verdict.action);
        verdict.findings.extend(checked.verdict.findings);
        if checked.verdict.action == GuardrailAction::Blocked {
            return Err(End::Blocked(checked.message.unwrap_or_default()));
        }
        // After something of substance it only limits what was said.
        if !self.draft.has_substance && quality::is_refusal(&checked.text) {
            return Err(End::Refusal { sentence: checked.text });
        }
        let allowed = self.asked.allowed_texts();
        match quality::check_sentence(&checked.text, &self.asked.passage_texts(), &allowed) {
            Ok(()) => Ok(self.fuller(checked.text)),
            Err(reason) => Err(End::Dropped { sentence: checked.text, reason }),
        }
    }

    /// `sentence`, or what the passages say where it says too little of that; nothing twice.
    fn fuller(&self, sentence: String) -> String {
        // Where an answer has begun as it should, its later sentences need not be what was asked for.
        let mut sources = self.asked.sources();
        if self.draft.has_substance {
            sources.iter_mut().for_each(|source| source.nearness = 0.0);
        }
        let instead = fuller(&sentence, self.asked.question, &sources);
        if instead.is_empty() {
            return sentence;
        }
        let unsaid: Vec<&str> =
            instead.into_iter().map(str::trim).filter(|source| !self.draft.text.contains(source)).collect();
        let (before, after) = margins(&sentence);
        [before, &unsaid.join(" "), after].concat()
    }

    /// A stock opening waits for the first sentence of substance, so that nobody is told "Sure!" and then nothing. A bare
    /// "Yes" is left out: no passage can back it, and beside what they say it may be wrong.
    async fn keep(&mut self, sentence: &str) {
        // Without passages nothing can be checked, and an echo is as good as any other words.
        if !self.asked.passages.is_empty() && is_echo(sentence, self.asked.question) {
            return;
        }
        let draft = &mut self.draft;
        let sentence = if draft.text.is_empty() { sentence.trim_start() } else { sentence };
        draft.text.push_str(sentence);
        draft.has_substance |= !is_stock(sentence.trim());
        if draft.has_substance && self.asked.releases() {
            let text = draft.text.get(draft.released..).unwrap_or_default().to_owned();
            draft.released = draft.text.len();
            self.asked.listener.text(text).await;
        }
    }
}

/// The white space around `sentence`.
fn margins(sentence: &str) -> (&str, &str) {
    let start = sentence.len() - sentence.trim_start().len();
    let end = sentence.trim_end().len().max(start);
    (sentence.get(..start).unwrap_or_default(), sentence.get(end..).unwrap_or_default())
}
