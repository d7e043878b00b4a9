//! A bounded store of vectors by the hash of their text: two generations, the older dropped when the younger is full.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// SHA-256 of a text.
pub(super) type Key = [u8; 32];

/// The key of `text`.
pub(super) fn key(text: &str) -> Key {
    Sha256::digest(text.as_bytes()).into()
}

/// Recently used vectors; holds between half of `entries_max` and all of it once it is full.
#[derive(Debug)]
pub(super) struct Cache {
    young: HashMap<Key, Arc<[f32]>>,
    old: HashMap<Key, Arc<[f32]>>,
    generation_max: usize,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: entries_max / 2 }
    }

    /// The vector of `key`, which counts as used now.
    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<[f32]>> {
        if let Some(vector) = self.young.get(key) {
            return Some(Arc::clone(vector));
        }
        let vector = self.old.remove(key)?;
        self.put(*key, Arc::clone(&vector));
        Some(vector)
    }

    pub(super) fn put(&mut self, key: Key, vector: Arc<[f32]>) {
        if self.generation_max == 0 {
            return;
        }
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(value: f32) -> Arc<[f32]> {
        Arc::from([value])
    }

    #[test]
    fn the_least_used_go_first_and_the_size_is_bounded() {
        let mut cache = Cache::new(8);
        let kept = key("kept");
        cache.put(kept, vector(1.0));
        for index in 0..100_u8 {
            cache.put(key(&index.to_string()), vector(f32::from(index)));
            assert_eq!(cache.get(&kept), Some(vector(1.0)), "used in between, after {index}");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&key("3")), None, "not used for long");
        assert_eq!(cache.get(&key("99")), Some(vector(99.0)));
    }

    #[test]
    fn a_cache_of_nothing_holds_nothing() {
        let mut cache = Cache::new(0);
        cache.put(key("a"), vector(1.0));
        assert_eq!(cache.get(&key("a")), None);
    }
}
