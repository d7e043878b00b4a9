//! Spans that wait to be sent: bounded, and nobody waits for a place in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;

/// Most bytes that wait, however many spans that is.
const BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    bytes: usize,
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    spans_max: usize,
    /// So many are worth sending at once.
    batch: usize,
    dropped: AtomicU64,
    came: Notify,
    enough: Notify,
}

impl Queue {
    pub(crate) fn new(spans_max: usize, batch: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            spans_max,
            batch,
            dropped: AtomicU64::new(0),
            came: Notify::new(),
            enough: Notify::new(),
        }
    }

    /// Takes all spans of a request, or none of them.
    pub(crate) fn push(&self, spans: Vec<Span>) {
        let bytes: usize = spans.iter().map(Message::encoded_len).sum();
        let mut waiting = self.waiting.lock();
        if waiting.spans.len() + spans.len() > self.spans_max || waiting.bytes + bytes > BYTES_MAX {
            drop(waiting);
            self.lost(spans.len());
            return;
        }
        waiting.bytes += bytes;
        waiting.spans.extend(spans);
        let n_waiting = waiting.spans.len();
        drop(waiting);
        self.came.notify_one();
        if n_waiting >= self.batch {
            self.enough.notify_one();
        }
    }

    /// The oldest spans, as many as one export takes.
    pub(crate) fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock();
        let n_taken = waiting.spans.len().min(self.batch);
        let taken: Vec<Span> = waiting.spans.drain(..n_taken).collect();
        if waiting.spans.is_empty() {
            // A rush's memory goes back.
            *waiting = Waiting::default();
        } else {
            let bytes: usize = taken.iter().map(Message::encoded_len).sum();
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
        }
        taken
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().spans.is_empty()
    }

    /// Ends when there is something to take. Cancel-safe.
    pub(crate) async fn some(&self) {
        while self.is_empty() {
            self.came.notified().await;
        }
    }

    /// Ends when there is a whole batch. Cancel-safe.
    pub(crate) async fn enough(&self) {
        while self.waiting.lock().spans.len() < self.batch {
            self.enough.notified().await;
        }
    }

    /// Counts spans that will not be sent.
    pub(crate) fn lost(&self, n_spans: usize) {
        self.dropped.fetch_add(u64::try_from(n_spans).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn n_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(n_spans: usize, name: &str) -> Vec<Span> {
        vec![Span { name: name.to_owned(), ..Span::default() }; n_spans]
    }

    #[test]
    fn a_full_queue_drops_whole_requests_and_counts_their_spans() {
        let queue = Queue::new(10, 4);
        queue.push(spans(8, "a"));
        queue.push(spans(3, "b"));
        assert_eq!(queue.n_dropped(), 3);
        queue.push(spans(2, "c"));
        let taken: Vec<String> =
            std::iter::repeat_with(|| queue.take()).take(4).flatten().map(|span| span.name).collect();
        assert_eq!(taken.concat(), "aaaaaaaacc");
        assert!(queue.is_empty());
    }

    #[test]
    fn large_spans_fill_it_by_their_bytes() {
        let queue = Queue::new(1_000, 2);
        let large = "x".repeat(1 << 20);
        for _ in 0..20 {
            queue.push(spans(1, &large));
        }
        assert_eq!(queue.n_dropped(), 5, "15 of them and their tags fill 16 MiB");
        queue.take();
        queue.push(spans(2, &large));
        assert_eq!(queue.n_dropped(), 5, "there is room again");
    }
}
