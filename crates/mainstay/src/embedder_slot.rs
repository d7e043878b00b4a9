//! The place of the sentence encoder, which comes after the server has started.

use std::sync::Arc;

use domain::ports::Embedder;
use parking_lot::Mutex;
use providers::Sentences;

/// Empty until the encoder is there.
pub(crate) struct EmbedderSlot {
    name: Option<Arc<str>>,
    occupant: Mutex<Option<Arc<dyn Embedder>>>,
}

impl EmbedderSlot {
    /// For the encoder that the catalogue calls `name`.
    pub(crate) fn new(name: Option<&str>) -> Arc<Self> {
        Arc::new(Self { name: name.map(Arc::from), occupant: Mutex::new(None) })
    }

    /// It is there.
    pub(crate) fn put(&self, embedder: Arc<dyn Embedder>) {
        *self.occupant.lock() = Some(embedder);
    }
}

impl Sentences for EmbedderSlot {
    fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.occupant.lock().clone()
    }
}
