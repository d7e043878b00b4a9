//! A turn whose caller leaves: it is cancelled, and recorded as far as it came.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::parts::Pipeline;
use crate::run::known::Known;
use crate::trace::Trace;

/// A turn that has not ended. Dropped so, its caller left, and what is known of it is recorded.
pub(super) struct Open<'a> {
    /// `None` once it was ended.
    known: Option<Known<'a>>,
    trace: &'a Trace,
    pipeline: &'a Pipeline,
}

const NOT_ENDED: &str = "only `end` and `drop` take it, and nothing comes after them";

impl<'a> Open<'a> {
    pub(super) fn new(known: Known<'a>, trace: &'a Trace, pipeline: &'a Pipeline) -> Self {
        Self { known: Some(known), trace, pipeline }
    }

    /// It ends in one of the ways a turn can end.
    pub(super) fn end(mut self) -> Known<'a> {
        self.known.take().expect(NOT_ENDED)
    }
}

impl<'a> Deref for Open<'a> {
    type Target = Known<'a>;

    fn deref(&self) -> &Known<'a> {
        self.known.as_ref().expect(NOT_ENDED)
    }
}

impl<'a> DerefMut for Open<'a> {
    fn deref_mut(&mut self) -> &mut Known<'a> {
        self.known.as_mut().expect(NOT_ENDED)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let Some(known) = self.known.take() else { return };
        // Without a runtime the process is ending, and its store is closed.
        let Ok(runtime) = Handle::try_current() else { return };
        let turn = known.turn;
        let finished = known.left(self.trace);
        if let Some(watcher) = &turn.watcher {
            watcher.finished(&finished.interaction);
        }
        let parts = &self.pipeline.parts;
        let (records, clock) = (Arc::clone(&parts.records), Arc::clone(&parts.clock));
        let later = Arc::clone(&self.pipeline.later);
        let writing = async move {
            let id = finished.interaction.id.clone();
            match records.record(finished).await {
                Ok(()) => later.losses().kept(clock.now()),
                Err(error) => later.losses().lost(clock.now(), &id, &error),
            }
        };
        parts.tasks.spawn_on(writing, &runtime);
    }
}
