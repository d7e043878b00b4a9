//! Lines for stderr, written by a thread of their own: whoever logs never waits for whoever reads, and a reader that
//! went away is no failure. What does not fit into the queue is dropped, counted, and told once there is room again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Most bytes that wait: some thousand lines, as many as a burst makes while a disk is slow for a moment.
const BYTES_MAX: usize = 1 << 20;
/// How long an end waits for the lines before it; who does not read by then will not.
const FLUSH_MAX: Duration = Duration::from_secs(1);

static STDERR: OnceLock<Arc<Queue>> = OnceLock::new();

/// Starts the thread that writes to stderr.
pub(super) fn start() {
    let queue = Arc::new(Queue::default());
    if STDERR.set(Arc::clone(&queue)).is_err() {
        return;
    }
    let written = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        queue.write_to(io::stderr(), |n_dropped| {
            tracing::warn!(
                n_dropped,
                "{n_dropped} log lines were dropped: they came faster than they were read"
            );
        });
    });
    // No thread more: a line that is never written is better than none of the answers.
    drop(written);
}

/// Writes a remark after the lines before it.
pub(crate) fn remark(text: &str) {
    match STDERR.get() {
        Some(queue) => queue.push(format!("{text}\n").into_bytes()),
        // A reader that went away does not want it.
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Waits until all lines are written, for a second at most: before the process ends.
pub(crate) fn flush() {
    if let Some(queue) = STDERR.get() {
        queue.flush(FLUSH_MAX);
    }
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    n_dropped: u64,
    is_writing: bool,
}

impl Queue {
    /// A writer whose line goes to stderr; without a queue it goes nowhere.
    pub(super) fn of_stderr() -> Line {
        Line { queue: STDERR.get().cloned() }
    }

    /// Adds a line, or counts it as dropped. Never waits for a reader.
    fn push(&self, line: Vec<u8>) {
        let mut waiting = self.waiting.lock();
        if waiting.bytes + line.len() > BYTES_MAX {
            waiting.n_dropped += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        self.filled.notify_one();
    }

    /// Writes line after line, whatever becomes of it; `tell` is told of lines that were dropped once a line was
    /// written again. Never ends.
    fn write_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        loop {
            let line = self.next();
            let written = out.write_all(&line).and_then(|()| out.flush());
            let mut waiting = self.waiting.lock();
            waiting.is_writing = false;
            // Counted as waiting until it was written, so that the bound holds for all.
            waiting.bytes -= line.len();
            let n_dropped = if written.is_ok() { std::mem::take(&mut waiting.n_dropped) } else { 0 };
            drop(waiting);
            if n_dropped > 0 {
                tell(n_dropped);
            }
            if self.waiting.lock().lines.is_empty() {
                self.emptied.notify_all();
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.is_writing = true;
                return line;
            }
            self.filled.wait(&mut waiting);
        }
    }

    fn flush(&self, limit: Duration) {
        let mut waiting = self.waiting.lock();
        let is_full = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        // What is left when the time is over is lost: nobody reads it.
        let _ = self.emptied.wait_while_for(&mut waiting, is_full, limit);
    }
}

/// What makes up one line: `tracing` formats it whole before it writes it.
pub(super) struct Line {
    queue: Option<Arc<Queue>>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(queue) = &self.queue {
            queue.push(bytes.to_vec());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes a line when it is allowed to, and fails where it is told so.
    struct Slow {
        allowed: Receiver<io::Result<()>>,
        taken: Arc<Mutex<Vec<String>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test is over when nobody allows anything any more.
            self.allowed.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            self.taken.lock().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Taken = Arc<Mutex<Vec<String>>>;

    fn started() -> (Arc<Queue>, SyncSender<io::Result<()>>, Taken) {
        let (allow, allowed) = sync_channel(20_000);
        let (queue, taken) = (Arc::new(Queue::default()), Taken::default());
        let (writing, slow) = (Arc::clone(&queue), Slow { allowed, taken: Arc::clone(&taken) });
        let telling = Arc::clone(&queue);
        std::thread::spawn(move || {
            writing.write_to(slow, |n| telling.push(format!("{n} dropped").into_bytes()));
        });
        (queue, allow, taken)
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (queue, allow, taken) = started();
        let line = || vec![b'x'; 1_000];
        for _ in 0..2_000 {
            queue.push(line());
        }
        queue.flush(Duration::from_millis(1));
        assert!(taken.lock().is_empty(), "nobody read");
        let fit = BYTES_MAX / 1_000;
        for _ in 0..=fit {
            allow.send(Ok(())).expect("it writes");
        }
        queue.flush(Duration::from_secs(60));
        let taken = taken.lock();
        assert_eq!(taken.len(), fit + 1);
        assert_eq!(taken.last().map(String::as_str), Some(format!("{} dropped", 2_000 - fit).as_str()));
    }

    #[test]
    fn a_write_that_fails_loses_its_line_and_no_other() {
        let (queue, allow, taken) = started();
        for text in ["one", "two", "three"] {
            queue.push(text.as_bytes().to_vec());
        }
        for result in [Ok(()), Err(io::ErrorKind::BrokenPipe.into()), Ok(())] {
            allow.send(result).expect("it writes");
        }
        queue.flush(Duration::from_secs(60));
        assert_eq!(*taken.lock(), ["one", "three"]);
    }
}
