//! `detect_intent`: what the person wants.

use registry::intents::{Detected, Intents};

use crate::trace::Word;

impl Word for Detected {
    fn word(&self) -> &'static str {
        match (&self.escalate, self.best.confidence) {
            (Some(_), _) => "escalate",
            (None, confidence) if confidence >= 0.7 => "confident",
            (None, confidence) if confidence >= 0.5 => "likely",
            (None, _) => "unsure",
        }
    }
}

pub(crate) fn run(intents: &Intents, text: &str) -> Detected {
    intents.detect(text)
}
