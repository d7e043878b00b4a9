//! Responses, as callers speak them (platform.openai.com/docs/api-reference/responses, read 2026-11), and passed on to
//! providers that have them, too.
//!
//! Reading order: this file (both sides), `inbound` (a request, read), `items` (what an answer is made of), `answer` (a
//! whole one, written), `writer` (a streamed one, written), `relay` (a caller's own bytes).

mod answer;
mod inbound;
mod items;
pub mod relay;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Relayed};
use domain::conversation::{Answer, Conversation};

use crate::face::{About, Face};
use crate::protocol::{Call, OwnDialect, Place};
use crate::relay::Relay;
use crate::stream::{EventWriter, Portions, StreamError};
use crate::translation::ReadError;

/// Responses as callers speak them.
#[derive(Debug, Clone, Copy)]
pub struct ResponsesFace;

impl Face for ResponsesFace {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        inbound::read(&relayed.body)
    }

    fn answer(&self, about: &About, answer: &Answer, _relayed: &Relayed) -> Bytes {
        answer::write(about, answer)
    }

    fn writer(&self, about: About, _relayed: &Relayed) -> Box<dyn EventWriter> {
        Box::new(writer::Writer::new(about))
    }
}

/// Responses passed on.
#[derive(Debug, Clone, Copy)]
pub struct Responses;

impl OwnDialect for Responses {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiResponses
    }

    fn place(&self, call: Call<'_>) -> Place {
        let accept = match call.delivery {
            Delivery::Streamed => "text/event-stream",
            Delivery::Whole => "application/json",
        };
        Place { path: "/responses".to_owned(), headers: Vec::new(), accept }
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        relay::patch(relayed, call)
    }

    fn portions(&self, _relayed: &Relayed) -> Box<dyn Portions> {
        Box::new(Relay::<relay::stream::Events>::default())
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        relay::whole(body)
    }
}
