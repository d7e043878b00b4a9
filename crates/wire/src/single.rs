//! One call of a tool at a time, where a caller wants that and a model cannot be told: the first call of an answer stays, of
//! what comes after it only words do. The model makes its other calls when it knows what the first one gave.

use domain::conversation::{Answer, Block, Event, Part, ToolChoice};
use domain::meter::Stated;

use crate::stream::{Before, EventReader, Progress, StreamError};

fn is_wanted(choice: &ToolChoice) -> bool {
    choice.parallel == Some(false)
}

/// `answer`, as `choice` wants it.
#[must_use]
pub fn answer(mut answer: Answer, choice: &ToolChoice) -> Answer {
    if is_wanted(choice) {
        let mut has_called = false;
        answer.parts.retain(|part| {
            let stays = !has_called || matches!(part, Part::Text(_) | Part::Refusal(_));
            has_called |= matches!(part, Part::Call { .. });
            stays
        });
    }
    answer
}

/// `reader`, whose answers are as `choice` wants them.
#[must_use]
pub fn reader(reader: Box<dyn EventReader>, choice: &ToolChoice) -> Box<dyn EventReader> {
    if is_wanted(choice) {
        return Box::new(Single { reader, has_called: false, left_out: Vec::new() });
    }
    reader
}

struct Single {
    reader: Box<dyn EventReader>,
    has_called: bool,
    /// The numbers of the blocks that do not stay.
    left_out: Vec<u32>,
}

impl Single {
    /// Leaves out what does not stay of the events since the first `n_before`.
    fn sift(&mut self, events: &mut Vec<Event>, n_before: usize) {
        let came = events.split_off(n_before);
        events.extend(came.into_iter().filter_map(|event| self.sifted(event)));
    }

    fn sifted(&mut self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Opened { index, block } => {
                if self.has_called && !matches!(block, Block::Text | Block::Refusal) {
                    self.left_out.push(index);
                }
                self.has_called |= matches!(block, Block::Call { .. });
                Event::Opened { index: self.number(index)?, block }
            }
            Event::Delta { index, delta } => Event::Delta { index: self.number(index)?, delta },
            Event::Closed { index } => Event::Closed { index: self.number(index)? },
            Event::Begun { .. } | Event::Ended(_) => event,
        })
    }

    /// The number of a block among those that stay.
    fn number(&self, index: u32) -> Option<u32> {
        if self.left_out.contains(&index) {
            return None;
        }
        Some(self.left_out.iter().filter(|out| **out < index).fold(index, |index, _| index.saturating_sub(1)))
    }
}

impl EventReader for Single {
    fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        let n_before = events.len();
        let read = self.reader.push(portion, events);
        self.sift(events, n_before);
        read
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let n_before = events.len();
        let read = self.reader.end(events);
        self.sift(events, n_before);
        read
    }

    fn before(&self) -> Before {
        self.reader.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.reader.stated()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::chat::{Delivery, Dialect, Finish};
    use domain::model::Overrides;

    use super::*;
    use crate::bedrock::protocol::Bedrock;
    use crate::gemini::Gemini;
    use crate::protocol::{Call, Protocol};
    use crate::{faces, sampled};

    const ONE: ToolChoice = ToolChoice { which: domain::conversation::Which::Auto, parallel: Some(false) };
    const MANY: ToolChoice = ToolChoice { which: domain::conversation::Which::Auto, parallel: None };
    /// Words, two calls, and words.
    const PARTS: [&str; 4] = [
        r#"{"text":"I look."}"#,
        r#"{"functionCall":{"id":"a","name":"f","args":{"x":1}},"thoughtSignature":"YQ=="}"#,
        r#"{"functionCall":{"id":"b","name":"f","args":{"x":2}},"thoughtSignature":"Yg=="}"#,
        r#"{"text":"Soon."}"#,
    ];

    fn body(parts: &str, finish: &str) -> String {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}}{finish}}}]}}"#)
    }

    /// What is said, a word for each part.
    fn names(parts: &[Part]) -> Vec<&str> {
        let mut names = Vec::new();
        for part in parts {
            names.push(match part {
                Part::Text(text) => text.as_str(),
                Part::Call { id, .. } => id,
                Part::Thought { proof, .. } => proof.as_deref().unwrap_or_default(),
                other => panic!("{other:?}"),
            });
        }
        names
    }

    #[test]
    fn only_the_first_call_of_an_answer_stays() {
        let whole = Gemini.answer(body(&PARTS.join(","), r#","finishReason":"STOP""#).as_bytes());
        let whole = whole.expect("an answer");
        let all = ["I look.", "gemini:YQ==", "a", "gemini:Yg==", "b", "Soon."];
        assert_eq!(names(&answer(whole.clone(), &MANY).parts), all);
        let single = answer(whole, &ONE);
        assert_eq!(names(&single.parts), ["I look.", "gemini:YQ==", "a", "Soon."]);
        assert_eq!(single.ending.finish, Finish::ToolUse);
    }

    #[test]
    fn only_the_first_call_of_a_stream_stays() {
        let read = |choice| {
            let (mut reader, mut events) = (reader(Gemini.reader(), choice), Vec::new());
            for (index, part) in PARTS.iter().enumerate() {
                let finish = if index + 1 == PARTS.len() { r#","finishReason":"STOP""# } else { "" };
                reader
                    .push(format!("data: {}\n\n", body(part, finish)).as_bytes(), &mut events)
                    .expect("good");
            }
            reader.end(&mut events).expect("whole");
            events
        };
        let opened = |events: &[Event]| -> Vec<(u32, bool)> {
            let each = events.iter().filter_map(|event| match event {
                Event::Opened { index, block } => Some((*index, matches!(block, Block::Call { .. }))),
                _ => None,
            });
            each.collect()
        };
        let all = [(0, false), (1, false), (2, true), (3, false), (4, true), (5, false)];
        assert_eq!(opened(&read(&MANY)), all);
        let single = read(&ONE);
        assert_eq!(opened(&single), [(0, false), (1, false), (2, true), (3, false)], "numbered anew");
        let numbers =
            |wanted: fn(&Event) -> Option<u32>| single.iter().filter_map(wanted).collect::<Vec<_>>();
        let deltas = numbers(|event| match event {
            Event::Delta { index, .. } => Some(*index),
            _ => None,
        });
        let closed = numbers(|event| match event {
            Event::Closed { index } => Some(*index),
            _ => None,
        });
        assert_eq!((deltas, closed), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
        assert!(matches!(single.last(), Some(Event::Ended(ending)) if ending.finish == Finish::ToolUse));
    }

    /// They were refused, and with them all that the AI SDK and LangChain ask for structured output by a tool.
    #[test]
    fn models_that_cannot_be_told_are_asked_all_the_same() {
        let conversation = sampled::relayed(
            Dialect::OpenAiChat,
            Bytes::from_static(
                br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"parallel_tool_calls":false,
                    "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#,
            ),
        );
        let face = faces::of(Dialect::OpenAiChat).expect("a face");
        let conversation = face.conversation(&conversation).expect("valid");
        assert_eq!(conversation.choice.parallel, Some(false));
        let protocols: [(&dyn Protocol, &str); 3] = [
            (&Gemini, "gemini-2.5-flash"),
            (&Gemini, "gemini-3-flash-preview"),
            (&Bedrock, "amazon.nova-lite-v1:0"),
        ];
        for (protocol, model) in protocols {
            let call =
                Call { model, delivery: Delivery::Whole, overrides: Overrides::default(), max_tokens: 5 };
            let body = protocol.request(&conversation, call).expect("asked");
            assert!(!String::from_utf8_lossy(&body).contains("parallel"), "{model}: {body:?}");
        }
    }
}
