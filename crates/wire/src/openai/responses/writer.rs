//! A streamed answer, written: each step an event of its own, numbered from 0.

use bytes::BytesMut;
use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event, Part};
use serde_json::{Value, json};

use super::items::{self, Status, with};
use crate::face::About;
use crate::stream::EventWriter;

/// Writes events.
pub(super) struct Writer {
    about: About,
    n_events: u64,
    /// The items that are complete.
    output: Vec<Value>,
    /// The item under way, as far as it came.
    part: Option<Part>,
}

impl Writer {
    pub(super) fn new(about: About) -> Self {
        Self { about, n_events: 0, output: Vec::new(), part: None }
    }

    fn send(&mut self, kind: &'static str, event: Value, frames: &mut BytesMut) {
        let event = with(with(event, "type", json!(kind)), "sequence_number", json!(self.n_events));
        self.n_events += 1;
        frames.extend_from_slice(format!("event: {kind}\ndata: {event}\n\n").as_bytes());
    }

    fn response(&mut self, kind: &'static str, ending: Option<&Ending>, frames: &mut BytesMut) {
        let response = items::response(&self.about, &self.output, ending);
        self.send(kind, json!({ "response": response }), frames);
    }

    fn item(&self, part: &Part, status: Status) -> Value {
        items::item(part, (&self.about, self.output.len()), status).unwrap_or_default()
    }

    /// An event about the item under way, with the fields that all of them have.
    fn about_item(&mut self, (kind, part): (&'static str, &Part), more: Value, frames: &mut BytesMut) {
        let index = self.output.len();
        let mut event = with(more, "item_id", json!(items::id(part, (&self.about, index))));
        event = with(event, "output_index", json!(index));
        event = match part {
            Part::Thought { .. } => with(event, "summary_index", json!(0)),
            Part::Call { .. } => event,
            _ => with(event, "content_index", json!(0)),
        };
        self.send(kind, event, frames);
    }

    fn open(&mut self, block: &Block, frames: &mut BytesMut) {
        let part = match block {
            Block::Text => Part::Text(String::new()),
            Block::Refusal => Part::Refusal(String::new()),
            Block::Thought => Part::Thought { text: String::new(), proof: None },
            Block::SealedThought(data) => Part::SealedThought(data.clone()),
            Block::Call { id, name } => {
                Part::Call { id: id.clone(), name: name.clone(), arguments: String::new() }
            }
        };
        let item = self.item(&part, Status::InProgress);
        let event = json!({ "output_index": self.output.len(), "item": item });
        self.send("response.output_item.added", event, frames);
        let begun = match &part {
            Part::Text(_) => Some(("response.content_part.added", items::output_text(""))),
            Part::Refusal(_) => Some(("response.content_part.added", items::refusal(""))),
            Part::Thought { .. } => Some(("response.reasoning_summary_part.added", items::summary(""))),
            _ => None,
        };
        if let Some((kind, begun)) = begun {
            self.about_item((kind, &part), json!({ "part": begun }), frames);
        }
        self.part = Some(part);
    }

    fn add(&mut self, delta: &Delta, frames: &mut BytesMut) {
        let Some(mut part) = self.part.take() else { return };
        let (kind, added) = match (&mut part, delta) {
            (Part::Text(text), Delta::Text(more)) => {
                text.push_str(more);
                ("response.output_text.delta", more)
            }
            (Part::Refusal(text), Delta::Text(more)) => {
                text.push_str(more);
                ("response.refusal.delta", more)
            }
            (Part::Thought { text, .. }, Delta::Text(more)) => {
                text.push_str(more);
                ("response.reasoning_summary_text.delta", more)
            }
            (Part::Call { arguments, .. }, Delta::Arguments(more)) => {
                arguments.push_str(more);
                ("response.function_call_arguments.delta", more)
            }
            (Part::Thought { proof, .. }, Delta::Proof(more)) => {
                proof.get_or_insert_default().push_str(more);
                self.part = Some(part);
                return;
            }
            _ => {
                self.part = Some(part);
                return;
            }
        };
        let mut event = json!({ "delta": added });
        if matches!(part, Part::Text(_)) {
            event = with(event, "logprobs", json!([]));
        }
        self.about_item((kind, &part), event, frames);
        self.part = Some(part);
    }

    fn close(&mut self, frames: &mut BytesMut) {
        let Some(part) = self.part.take() else { return };
        match &part {
            Part::Text(text) => {
                let done = json!({ "text": text, "logprobs": [] });
                self.about_item(("response.output_text.done", &part), done, frames);
                let done = json!({ "part": items::output_text(text) });
                self.about_item(("response.content_part.done", &part), done, frames);
            }
            Part::Refusal(text) => {
                self.about_item(("response.refusal.done", &part), json!({ "refusal": text }), frames);
                let done = json!({ "part": items::refusal(text) });
                self.about_item(("response.content_part.done", &part), done, frames);
            }
            Part::Thought { text, .. } => {
                let done = json!({ "text": text });
                self.about_item(("response.reasoning_summary_text.done", &part), done, frames);
                let done = json!({ "part": items::summary(text) });
                self.about_item(("response.reasoning_summary_part.done", &part), done, frames);
            }
            Part::Call { name, arguments, .. } => {
                let done = json!({ "name": name, "arguments": arguments });
                self.about_item(("response.function_call_arguments.done", &part), done, frames);
            }
            _ => {}
        }
        let item = self.item(&part, Status::Completed);
        let event = json!({ "output_index": self.output.len(), "item": item });
        self.send("response.output_item.done", event, frames);
        self.output.push(item);
    }
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        match event {
            Event::Begun { .. } => {
                self.response("response.created", None, frames);
                self.response("response.in_progress", None, frames);
            }
            Event::Opened { block, .. } => self.open(block, frames),
            Event::Delta { delta, .. } => self.add(delta, frames),
            Event::Closed { .. } => self.close(frames),
            Event::Ended(ending) => {
                let kind = match ending.finish {
                    Finish::Length | Finish::ContentFilter => "response.incomplete",
                    Finish::Stop | Finish::StopText | Finish::ToolUse => "response.completed",
                };
                self.response(kind, Some(ending), frames);
            }
        }
    }
}
