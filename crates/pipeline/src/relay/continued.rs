//! A streamed answer that another target goes on with where its model breaks off (`assured = "continue"`).
//!
//! Every piece is understood and written anew in the caller's dialect, so that nobody sees where one model's words end
//! and the other's begin. What cannot be cut in two without harm (calls of tools, JSON) is not taken here.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::chat::Saying;
use domain::conversation::{Block, Conversation, Delta, Ending, Event, Format, Part, Speaker, Turn, Which};
use domain::fault::Kind;
use domain::id::TargetId;
use domain::ports::{ModelError, SayingStream};
use domain::time::Moment;
use futures_util::StreamExt;
use routing::{Conversing, Passing, Want};
use wire::blocks::Blocks;
use wire::face::{About, Face};
use wire::faces;
use wire::stream::{EventWriter, Took};

use super::answer::{Broken, Passed, State, ended, finished, given};
use super::ledger::Ledger;
use super::{Begun, Refused, Source};
use crate::run::closing::Spoken;
use crate::seam::{GO_ON, Seam};

/// Bytes of a token, to take what was said from the limit of the rest.
const BYTES_A_TOKEN: usize = 4;

/// A request whose answer another model may go on with.
pub(super) struct Continued {
    conversing: Conversing,
    face: &'static dyn Face,
}

impl Continued {
    /// `passing`, if it asks for text; else it comes back.
    pub(super) fn of(passing: Passing) -> Result<Self, Passing> {
        let Some(face) = faces::of(passing.relayed.dialect) else { return Err(passing) };
        let Ok(conversation) = face.conversation(&passing.relayed) else { return Err(passing) };
        let has_tools = !conversation.tools.is_empty() && conversation.choice.which != Which::Never;
        if has_tools || conversation.format != Format::Text {
            return Err(passing);
        }
        Ok(Self { conversing: Conversing { passing, conversation: Arc::new(conversation) }, face })
    }

    /// Has it answered, up to the first words.
    pub(super) async fn begin(self, mut ledger: Box<Ledger>) -> Result<Begun, Refused> {
        let Self { conversing, face } = self;
        let pipeline = Arc::clone(&ledger.pipeline);
        let ask = ledger.ask(&conversing, Want::Begun, ledger.turn.deadline);
        let answering = match pipeline.parts.router.converse(ask).await {
            Ok(answering) => answering,
            Err(unanswered) => {
                ledger.fail().await;
                return Err(Refused::Unanswered(unanswered));
            }
        };
        let (spoken, until) = (Spoken::of(&answering), answering.until);
        ledger.spoken = Some(spoken.clone());
        // What several models may have said is not given again.
        ledger.keep_nothing();
        let id = ledger.turn.interaction.as_str();
        let about = About {
            id: id.strip_prefix("int_").unwrap_or(id).to_owned(),
            created: ledger.created.0.div_euclid(1_000_000),
            model: conversing.passing.relayed.model.clone(),
            took: Duration::ZERO,
        };
        let continuing = Continuing {
            stream: answering.stream,
            writer: face.writer(about, &conversing.passing.relayed),
            blocks: Blocks::default(),
            events: vec![Event::Begun { id: String::new(), model: String::new(), usage: None }],
            seam: Seam::default(),
            conversing,
            target: answering.target,
            until,
            breaks: Breaks::None,
            first: ledger.took(),
            ledger,
        };
        Ok(Begun { spoken, until, source: Source::Frames(given(continuing, next)) })
    }
}

/// An answer on its way; the fields are dropped in this order, so that a cut call is in the record.
struct Continuing {
    stream: SayingStream,
    writer: Box<dyn EventWriter>,
    blocks: Blocks,
    events: Vec<Event>,
    seam: Seam,
    conversing: Conversing,
    /// Who speaks.
    target: TargetId,
    until: Moment,
    breaks: Breaks,
    /// When the first words came.
    first: Duration,
    ledger: Box<Ledger>,
}

/// Whether the answer broke off before, and whether it may again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    None,
    Some,
    /// The model declines: nobody goes on with that.
    Declined,
}

async fn next(mut it: Box<Continuing>) -> (Passed, State<Continuing>) {
    loop {
        let broken = match it.stream.next().await {
            Some(Ok(Saying::Said { block, delta })) => match it.say(block, delta) {
                Some(bytes) => {
                    it.ledger.passes(&bytes);
                    return (Passed::Bytes(bytes), State::Open(it));
                }
                None => continue,
            },
            Some(Ok(Saying::Ended(ending))) => {
                let bytes = it.end(ending);
                let (passed, last) = finished(&mut it.ledger, bytes, None).await;
                return (passed, last.map_or(State::End, State::Last));
            }
            Some(Err(error)) => error.error,
            None => ended(),
        };
        match it.go_on(&broken).await {
            Some(model) => return (Passed::Continued(model), State::Open(it)),
            None => {
                it.ledger.fail().await;
                return (Passed::Broken(Broken::Incomplete(broken)), State::End);
            }
        }
    }
}

impl Continuing {
    /// Says a piece, as far as it is known to be new.
    fn say(&mut self, block: Block, delta: Delta) -> Option<Bytes> {
        match (block, delta) {
            (Block::Text, Delta::Text(text)) => {
                let text = self.seam.push(&text);
                self.blocks.add(Block::Text, Delta::Text(text), &mut self.events);
            }
            // The answer has begun: what another model thinks before it goes on is nobody's.
            (Block::Thought | Block::SealedThought(_), _) if self.breaks != Breaks::None => {}
            (block, delta) => {
                if block == Block::Refusal {
                    self.breaks = Breaks::Declined;
                }
                self.blocks.add(block, delta, &mut self.events);
            }
        }
        // What only begins is said with the first words.
        if self.blocks.count() == 0 {
            return None;
        }
        let bytes = self.written();
        (!bytes.is_empty()).then_some(bytes)
    }

    fn end(&mut self, ending: Ending) -> Bytes {
        let rest = self.seam.finish();
        self.blocks.add(Block::Text, Delta::Text(rest), &mut self.events);
        self.blocks.close(&mut self.events);
        let usage = match self.breaks {
            Breaks::Some => Some(self.ledger.attempts.used()),
            Breaks::None | Breaks::Declined => ending.usage,
        };
        self.events.push(Event::Ended(Ending { usage, ..ending }));
        self.writer.took(Took { first: self.first, whole: self.ledger.took() });
        self.written()
    }

    fn written(&mut self) -> Bytes {
        let mut frames = BytesMut::new();
        for event in self.events.drain(..) {
            self.writer.write(&event, &mut frames);
        }
        frames.freeze()
    }

    /// Has another target go on after `broken`: who does, if anyone.
    async fn go_on(&mut self, broken: &ModelError) -> Option<String> {
        if broken.fault.kind == Kind::Content || self.breaks == Breaks::Declined || !self.seam.can_go_on() {
            return None;
        }
        self.seam.broke();
        self.breaks = Breaks::Some;
        let mut conversing = self.conversing.clone();
        conversing.conversation = Arc::new(rest_of(&self.conversing.conversation, self.seam.said()));
        conversing.passing.streams_until = Some(self.until);
        let want = Want::Rest { broken: &self.target };
        let router = Arc::clone(&self.ledger.pipeline.parts.router);
        let answering = router.converse(self.ledger.ask(&conversing, want, self.until)).await;
        let answering = match answering {
            Ok(answering) => answering,
            Err(error) => {
                tracing::warn!(interaction.id = %self.ledger.turn.interaction, %error, "an answer broke off, and nobody can go on with it");
                return None;
            }
        };
        let spoken = Spoken::of(&answering);
        let model = spoken.model_used.clone();
        tracing::warn!(interaction.id = %self.ledger.turn.interaction, target.id = %answering.target, "an answer broke off, `{}` goes on with it", answering.target);
        self.ledger.spoken = Some(spoken);
        self.target = answering.target;
        self.stream = answering.stream;
        Some(model)
    }
}

/// What is asked of whoever goes on after `said`.
fn rest_of(asked: &Conversation, said: &str) -> Conversation {
    let mut conversation = asked.clone();
    let said = said.trim_end();
    if said.is_empty() {
        return conversation;
    }
    let turn = |by, text: &str| Turn { by, parts: vec![Part::Text(text.to_owned())] };
    conversation.turns.extend([turn(Speaker::Assistant, said), turn(Speaker::User, GO_ON)]);
    let n_said = u32::try_from(said.len() / BYTES_A_TOKEN).unwrap_or(u32::MAX);
    let limit = &mut conversation.sampling.max_tokens;
    *limit = limit.map(|most| most.saturating_sub(n_said).max(1));
    conversation
}
