//! What is left of a request's body when it has been answered. HTTP/1 cannot go on before that is read: hyper closes the
//! connection then without having said so, and whoever asks again on it is told nothing. So it is read and thrown away
//! before the answer goes out, or the answer says that the connection ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// How much is read and thrown away.
const BYTES_MAX: usize = 1 << 20;
/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Where the body of a connection's request is, once nobody reads it any more: one at a time, as HTTP/1 has it.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<Mutex<Option<Unread>>>);

struct Unread {
    body: Incoming,
    /// Whether its sender asked before sending (`expect: 100-continue`).
    is_expected: bool,
}

impl Left {
    /// `request`, whose body comes back here unless it is read to its end.
    pub(super) fn lend(&self, request: Request<Incoming>) -> Request<Lent> {
        // In HTTP/2 each request has its own stream.
        let is_lent = request.version() < Version::HTTP_2;
        let is_expected = request.headers().contains_key(header::EXPECT);
        let unread = |body| Some(Unread { body, is_expected });
        request.map(|body| Lent { unread: unread(body), left: is_lent.then(|| self.clone()) })
    }

    /// Makes `response` true for a connection that goes on.
    pub(super) async fn settle<B>(&self, response: &mut Response<B>) {
        let Some(Unread { body, is_expected }) = self.0.lock().take() else { return };
        // Who asks before sending is not told to send what nobody wants.
        if is_expected || !Box::pin(is_read_away(body)).await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whether `body` came to its end.
async fn is_read_away(mut body: Incoming) -> bool {
    let reading = async {
        let mut n_read = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            n_read = n_read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if n_read > BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(TIME_MAX, reading).await.unwrap_or(false)
}

/// A request's body.
pub(super) struct Lent {
    /// Until its end.
    unread: Option<Unread>,
    left: Option<Left>,
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(Unread { body, .. }) = &mut self.unread else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        // A broken one cannot be read any further.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.unread = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.unread.as_ref().is_none_or(|unread| unread.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.unread.as_ref().map_or_else(|| SizeHint::with_exact(0), |unread| unread.body.size_hint())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.unread.take().filter(|unread| !unread.body.is_end_stream());
        if let (Some(unread), Some(left)) = (unread, &self.left) {
            *left.0.lock() = Some(unread);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use crate::serve::{Answer, Config, Listener, Peer, Serving};

    use super::*;

    /// Answers without a look at the body.
    struct Hasty;

    impl Answer for Hasty {
        async fn answer(self: Arc<Self>, _: axum::extract::Request, _: Peer) -> axum::response::Response {
            axum::response::Response::new(axum::body::Body::from("no"))
        }
    }

    /// All that comes back for what is sent, with a pause after each piece, until the server ends it or says no more.
    async fn replies(sent: &[&[u8]]) -> (String, bool) {
        let listener = Listener::plain(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let serving = Serving::new(Arc::new(Hasty), &Config::default(), 1);
        let address = listener.tcp.local_addr().expect("its port");
        let talking = async {
            let mut client = TcpStream::connect(address).await.expect("connected");
            for piece in sent {
                client.write_all(piece).await.expect("sent");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let mut said = Vec::new();
            let reading = client.read_to_end(&mut said);
            let is_over = tokio::time::timeout(Duration::from_millis(300), reading).await.is_ok();
            (String::from_utf8(said).expect("text"), is_over)
        };
        tokio::select! {
            () = serving.accept(&listener) => unreachable!("it accepts for ever"),
            said = talking => said,
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_after_its_answer_does_not_end_the_connection() {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n";
        let chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        for (head, body) in [(&head[..], &b"{}"[..]), (chunked, b"2\r\n{}\r\n0\r\n\r\n")] {
            let (said, is_over) = replies(&[head, body, head, body]).await;
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
            assert!(!is_over && !said.contains("connection: close"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_what_is_not_read_says_that_the_connection_ends() {
        let large = vec![b' '; BYTES_MAX + 1];
        let announced = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n";
        let expecting = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
        for sent in [&[&announced[..], &large[..]][..], &[&expecting[..]]] {
            let (said, is_over) = replies(sent).await;
            assert!(said.starts_with("HTTP/1.1 200 OK") && said.contains("connection: close"), "{said}");
            assert!(is_over && !said.contains("100 Continue"), "{said}");
        }
    }
}
