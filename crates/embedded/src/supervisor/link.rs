//! Starting a worker process and the pipes to it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bytes::BytesMut;
use domain::ports::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program. Production uses `/proc/self/exe`: the path on disk may hold a newer one after an upgrade.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A started worker.
pub(super) struct Link {
    pub(super) input: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) output: Box<dyn AsyncRead + Send + Unpin>,
    /// What the worker and its native code say to people.
    pub(super) log: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) process: Box<dyn Process>,
}

/// The process behind a link.
pub(super) trait Process: Send {
    /// Ends when the process has; says how. Cancel-safe.
    fn ended(&mut self) -> BoxFuture<'_, String>;
    /// Kills it, without waiting.
    fn kill(&mut self);
}

/// Starts workers.
pub(super) trait Launch: Send + Sync {
    fn launch(&self) -> io::Result<Link>;
}

impl Launch for WorkerCommand {
    fn launch(&self) -> io::Result<Link> {
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            // The worker needs nothing from it, and keys in it are not its business.
            .env_clear()
            // Ctrl-C in a terminal goes to the server's group: it drains, and the worker must live until then.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe to the worker is missing");
        Ok(Link {
            input: Box::new(child.stdin.take().ok_or_else(missing)?),
            output: Box::new(child.stdout.take().ok_or_else(missing)?),
            log: Box::new(child.stderr.take().ok_or_else(missing)?),
            process: Box::new(child),
        })
    }
}

impl Process for tokio::process::Child {
    fn ended(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async move {
            match self.wait().await {
                Ok(status) => describe(status),
                Err(error) => format!("its end could not be seen: {error}"),
            }
        })
    }

    fn kill(&mut self) {
        // Fails only when it has already ended, which is what is wanted.
        _ = self.start_kill();
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(6), _) => "aborted (signal 6)".to_owned(),
        (Some(9), _) => "killed (signal 9; the kernel does this when memory is short)".to_owned(),
        (Some(11), _) => "crashed (signal 11)".to_owned(),
        (Some(signal), _) => format!("ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Lines from a reader, each cut at a limit. Cancel-safe.
pub(super) struct Lines {
    from: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    is_at_end: bool,
}

/// Longer lines are split here.
const LINE_BYTES_MAX: usize = 4_096;

impl Lines {
    pub(super) fn new(from: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Self { from, buffer: BytesMut::new(), is_at_end: false }
    }

    /// The next line; never ends after the last one.
    pub(super) async fn next(&mut self) -> String {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            let is_last = self.is_at_end && !self.buffer.is_empty();
            if end.is_some() || is_last || self.buffer.len() >= LINE_BYTES_MAX {
                let taken = self.buffer.split_to(end.map_or(self.buffer.len(), |end| end + 1));
                return String::from_utf8_lossy(&taken).trim_end().to_owned();
            }
            if self.is_at_end {
                return std::future::pending().await;
            }
            match self.from.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => self.is_at_end = true,
                Ok(_) => {}
            }
        }
    }
}
