//! How many tokens a request has, where the model's provider counts in another dialect than the caller's.

use std::sync::Arc;

use domain::chat::{Delivery, Done, Finish, RelayCall, RelayedPortion};
use domain::ports::{CallError, RelayedStream};
use domain::token::Usage;
use wire::anthropic::count;
use wire::counting::CountProtocol;

use super::{Outgoing, Remote, aside, foreign, unreadable, untranslatable};

impl Remote {
    /// The same for a provider that counts in `format`.
    #[must_use]
    pub fn with_counts(self, format: Arc<dyn CountProtocol>) -> Self {
        Self { counts: Some(format), ..self }
    }

    pub(super) async fn count(&self, call: &RelayCall) -> Result<RelayedStream, CallError> {
        let format = self.counts.as_ref().ok_or_else(|| foreign(&call.model, call.relayed.dialect))?;
        let conversation = count::conversation(&call.relayed);
        let conversation = conversation.map_err(|error| unreadable(&call.model, &error))?;
        let model = call.model.name_at_provider();
        let body = format.request(&conversation, model);
        let body = body.map_err(|error| untranslatable(&call.model, &error))?;
        let plain = Outgoing::new(format.place(model), body, (Delivery::Whole, call.trace.clone()));
        let accepted =
            self.send(Outgoing { aside: aside(call), ..plain }, (call.deadline, &call.meter)).await?;
        let format = Arc::clone(format);
        Ok(self.whole((accepted, call.deadline), move |bytes| {
            let bytes = count::answer(format.answer(&bytes)?);
            // Counting is free.
            let done = Done { finish: Finish::Stop, usage: Some(Usage::NONE) };
            Ok(RelayedPortion { bytes, said: 0, done: Some(done) })
        }))
    }
}
