//! What a reader of streams tells, for the tests of all of them: its events, and the answer that they make.

use domain::chat::Finish;
use domain::conversation::{Answer, Block, Delta, Ending, Event, Part};

use crate::stream::{Before, EventReader, StreamError};

/// What `reader` tells of a body that comes in `portions`, and how the stream ended.
pub(crate) fn read(
    mut reader: Box<dyn EventReader>,
    portions: &[&[u8]],
) -> (Vec<Event>, Result<(), (StreamError, Before)>) {
    let mut events = Vec::new();
    let mut outcome = Ok(());
    for portion in portions {
        outcome = outcome.and_then(|()| reader.push(portion, &mut events).map(|_| ()));
    }
    let outcome = outcome.and_then(|()| reader.end(&mut events));
    (events, outcome.map_err(|error| (error, reader.before())))
}

/// The answer that `events` make, by the rules of [`Event`].
pub(crate) fn answer(events: &[Event]) -> Answer {
    let ending = Ending { finish: Finish::Stop, stop: None, usage: None };
    let mut answer = Answer { id: String::new(), model: String::new(), parts: Vec::new(), ending };
    let (mut open, mut n_blocks) = (None, 0);
    for event in events {
        match event.clone() {
            Event::Begun { id, model, .. } => {
                assert!(answer.parts.is_empty() && open.is_none());
                (answer.id, answer.model) = (id, model);
            }
            Event::Opened { index, block } => {
                assert_eq!((index, &open), (n_blocks, &None), "one block at a time, numbered from 0");
                open = Some(match block {
                    Block::Text => Part::Text(String::new()),
                    Block::Refusal => Part::Refusal(String::new()),
                    Block::Thought => Part::Thought { text: String::new(), proof: None },
                    Block::SealedThought(data) => Part::SealedThought(data),
                    Block::Call { id, name } => Part::Call { id, name, arguments: String::new() },
                });
            }
            Event::Delta { index, delta } => {
                assert_eq!(index, n_blocks);
                match (open.as_mut().expect("an open block"), delta) {
                    (
                        Part::Text(text) | Part::Refusal(text) | Part::Thought { text, .. },
                        Delta::Text(more),
                    ) => text.push_str(&more),
                    (Part::Call { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(&more),
                    (Part::Thought { proof, .. }, Delta::Proof(more)) => {
                        proof.get_or_insert_default().push_str(&more);
                    }
                    (part, delta) => panic!("{delta:?} to {part:?}"),
                }
            }
            Event::Closed { index } => {
                assert_eq!(index, n_blocks);
                answer.parts.push(open.take().expect("an open block"));
                n_blocks += 1;
            }
            Event::Ended(ending) => {
                assert_eq!(open, None);
                answer.ending = ending;
            }
        }
    }
    answer
}
