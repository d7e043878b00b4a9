//! Ends a connection on which nothing was read or written for too long.
//! HTTP timers begin with the first byte; this one also sees a peer that connects and says nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A connection with an idle timer.
pub(super) struct IdleTimeout {
    stream: TcpStream,
    tick: Duration,
    timer: Pin<Box<Sleep>>,
    /// Ticks since something was read or written.
    n_silent: u32,
}

/// Setting a timer with each read would cost more than the read: it ticks on by itself, and a connection ends after at
/// least the limit and at most half as much more.
const TICKS: u32 = 2;

impl IdleTimeout {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        let tick = limit / TICKS;
        Self { stream, tick, timer: Box::pin(sleep(tick)), n_silent: 0 }
    }

    fn touch(&mut self) {
        self.n_silent = 0;
    }

    /// Whether nothing was read or written for too long; wakes the task at the next tick.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(context).is_ready() {
            self.n_silent += 1;
            if self.n_silent > TICKS {
                return true;
            }
            self.timer.as_mut().reset(Instant::now() + self.tick);
        }
        false
    }
}

impl AsyncRead for IdleTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                self.touch();
                Poll::Ready(result)
            }
            Poll::Pending if self.is_over(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for IdleTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.touch();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if written.is_ready() {
            self.touch();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_ends_and_one_that_says_something_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its port")).await;
        let mut client = client.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let limit = Duration::from_millis(400);
        let mut stream = IdleTimeout::new(stream, limit);
        let began = Instant::now();
        for _ in 0..6 {
            tokio::time::sleep(limit / 4).await;
            client.write_all(b"x").await.expect("sent");
            assert_eq!(stream.read_u8().await.expect("not idle"), b'x');
        }
        let heard = Instant::now();
        assert!(heard - began > limit);
        let error = stream.read_u8().await.expect_err("idle");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(heard.elapsed() > limit - Duration::from_millis(20), "{:?}", heard.elapsed());
    }
}
