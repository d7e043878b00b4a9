//! `bench-proxy`: the least that a gateway on hyper can do. It passes requests and replies through, looks into neither,
//! and keeps connections to the upstream: what anything costs above it is the gateway's own.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bench::server;
use bytes::Bytes;
use clap::Parser;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// Passes everything through.
#[derive(Parser)]
struct Options {
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:9102")]
    listen: String,
    /// Address and port of the upstream.
    #[arg(long, default_value = "127.0.0.1:9101")]
    upstream: SocketAddr,
}

struct Upstream {
    address: SocketAddr,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let upstream = Arc::new(Upstream { address: options.upstream, idle: Mutex::default() });
    let service = service_fn(move |request| pass(Arc::clone(&upstream), request));
    server::runtime()?.block_on(async { server::run(server::listen(&options.listen).await?, service).await })
}

async fn pass(upstream: Arc<Upstream>, request: Request<Incoming>) -> anyhow::Result<Response<Passed>> {
    let mut sender = upstream.sender().await?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Passed { body, back: Some((sender, upstream)) }))
}

impl Upstream {
    async fn sender(&self) -> anyhow::Result<SendRequest<Incoming>> {
        loop {
            let Some(mut sender) = self.idle.lock().pop() else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Errors reach the request that waits.
        tokio::spawn(async move { _ = driver.await });
        Ok(sender)
    }
}

/// A body on its way through; at its end the connection it came over may be used again.
struct Passed {
    body: Incoming,
    back: Option<(SendRequest<Incoming>, Arc<Upstream>)>,
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some((sender, upstream)) = self.back.take()
            && self.body.is_end_stream()
        {
            upstream.idle.lock().push(sender);
        }
    }
}
