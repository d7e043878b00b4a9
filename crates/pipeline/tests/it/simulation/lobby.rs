//! What visitors share: their sessions, and what was acknowledged to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::id::SessionId;
use domain::interaction::Interaction;
use domain::time::Moment;
use parking_lot::Mutex;
use pipeline::parts::Durability;

use super::disk::{Disk, DiskWas};
use super::world::World;

/// What visitors share, over all restarts.
pub(crate) struct Lobby {
    world: Arc<World>,
    last_turn: Mutex<u64>,
    /// Sessions that someone has begun.
    pub(super) sessions: Mutex<BTreeMap<u64, SessionId>>,
    /// Interactions that were acknowledged, with the text that their customer has.
    pub(super) acknowledged: Mutex<BTreeMap<String, Acknowledged>>,
    pub(super) feedback: Mutex<Vec<String>>,
}

pub(super) struct Acknowledged {
    /// The hash of what was replied.
    pub(super) response: String,
    /// Whether it was only said to be on its way.
    pub(super) is_late: bool,
}

impl Lobby {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            last_turn: Mutex::new(0),
            sessions: Mutex::default(),
            acknowledged: Mutex::default(),
            feedback: Mutex::default(),
        }
    }

    pub(super) fn next_turn(&self) -> u64 {
        let mut last = self.last_turn.lock();
        *last += 1;
        *last
    }

    pub(crate) fn n_turns(&self) -> u64 {
        *self.last_turn.lock()
    }

    pub(super) fn acknowledge(&self, interaction: &Interaction) {
        let is_late =
            self.world.options.records.durability == Durability::Async && interaction.case.is_none();
        let response = interaction.response_hash.as_str().to_owned();
        let acknowledged = Acknowledged { response, is_late };
        self.acknowledged.lock().insert(interaction.id.as_str().to_owned(), acknowledged);
    }

    /// The process was killed: what was on its way may be lost.
    pub(crate) fn crashed(&self) {
        self.acknowledged.lock().retain(|_, acknowledged| !acknowledged.is_late);
        for seen in self.world.turns.all().values_mut().filter(|seen| seen.n_records == 0) {
            seen.wants_records = None;
        }
    }

    /// What was acknowledged is on disk once, and nothing is there twice.
    pub(crate) fn check(&self, disk: &Disk) {
        let world = &self.world;
        let counts = disk.counts();
        for (id, n) in &counts {
            world.promise(*n == 1, || format!("{id} is on disk {n} times"));
        }
        // A late record may have met a disk that was ill.
        let was_ill = disk.was(Moment::default()) == DiskWas::Ill;
        for (id, acknowledged) in self.acknowledged.lock().iter() {
            let is_kept = counts.contains_key(id);
            world.promise(is_kept || (acknowledged.is_late && was_ill), || {
                format!("{id} was acknowledged and is lost")
            });
            if let Some(record) = disk.records(id).first() {
                let kept = record.interaction.response_hash.as_str();
                world.promise(kept == acknowledged.response, || format!("{id} is kept with another answer"));
            }
        }
        for id in self.feedback.lock().iter() {
            let n = disk.n_feedback(id);
            world.promise(n == 1, || format!("feedback {id} was acknowledged and is on disk {n} times"));
        }
    }
}
