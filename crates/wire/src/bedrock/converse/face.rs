//! Converse as callers speak it.

use bytes::Bytes;
use domain::chat::Relayed;
use domain::conversation::{Answer, Conversation};

use super::{answer, inbound, writer};
use crate::face::{About, Face};
use crate::stream::EventWriter;
use crate::translation::ReadError;

/// For callers of Converse and ConverseStream.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConverseFace;

impl Face for ConverseFace {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        inbound::conversation(&relayed.body)
    }

    fn answer(&self, about: &About, answer: &Answer, _relayed: &Relayed) -> Bytes {
        answer::write(answer, about.took)
    }

    fn writer(&self, _about: About, _relayed: &Relayed) -> Box<dyn EventWriter> {
        Box::new(writer::Writer::default())
    }
}
