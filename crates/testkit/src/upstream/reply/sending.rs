//! How bytes go out: heads, and bodies in chunks, at a pace and up to a cut.

use std::time::Duration;

use tokio::io::AsyncWrite;

use super::{Ending, JSON, Reply, Sent};
use crate::upstream::server::write;

/// How bytes of the body go out.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    AtOnce,
    ByteByByte(Duration),
}

impl<W: AsyncWrite + Unpin> Reply<'_, W> {
    pub(super) async fn whole(&mut self, status: u16, extra: &str, body: &str) -> Sent {
        let head = format!(
            "HTTP/1.1 {status} Mock\r\ncontent-type: {JSON}\r\n{extra}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        write(self.writer, head.as_bytes()).await
    }

    pub(super) async fn head(&mut self, content_type: &str) -> Sent {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
        write(self.writer, head.as_bytes()).await
    }

    pub(super) async fn chunk(&mut self, bytes: &[u8]) -> Sent {
        let (bytes, is_cut) = match bytes.split_at_checked(self.left) {
            Some((kept, _)) => (kept, true),
            None => (bytes, false),
        };
        self.left -= bytes.len();
        match self.pace {
            Pace::AtOnce => self.framed(bytes).await?,
            Pace::ByteByByte(gap) => {
                for byte in bytes.chunks(1) {
                    if !gap.is_zero() {
                        tokio::time::sleep(gap).await;
                    }
                    self.framed(byte).await?;
                    tokio::task::yield_now().await;
                }
            }
        }
        if is_cut { Err(Ending::Close) } else { Ok(()) }
    }

    async fn framed(&mut self, bytes: &[u8]) -> Sent {
        if bytes.is_empty() {
            return Ok(()); // an empty chunk would end the body
        }
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        write(self.writer, &framed).await
    }

    pub(super) async fn end(&mut self) -> Sent {
        write(self.writer, b"0\r\n\r\n").await
    }
}
