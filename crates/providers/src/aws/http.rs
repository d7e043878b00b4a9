//! The way out for AWS's crates: our own client. The services that give credentials may be at private addresses (the
//! instance's or container's metadata, an endpoint within a network); nobody but the operator says where they are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use domain::ports::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use outbound::{Client, OriginConfig, OutboundError, Request};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long is waited for an answer where AWS's crates do not say.
const WAIT: Duration = Duration::from_secs(5);

/// Our client and our clock, for AWS's crates.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Http {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl TimeSource for Http {
    fn now(&self) -> SystemTime {
        super::system_time(self.clock.wall())
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let wait =
            settings.read_timeout().unwrap_or(WAIT).max(settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Connector { http: self.clone(), wait })
    }
}

#[derive(Debug, Clone)]
struct Connector {
    http: Http,
    wait: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.send(request).await })
    }
}

impl Connector {
    async fn send(&self, asked: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let uri: Uri = asked.uri().parse().map_err(user)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(user("an address without a host"));
        };
        let origin =
            OriginConfig { base_url: format!("{scheme}://{authority}"), allow_private: true, secret: None };
        let origin = self.http.client.origin(&origin).map_err(user)?;
        let mut headers = HeaderMap::new();
        for (name, value) in asked.headers() {
            let name = HeaderName::try_from(name).map_err(user)?;
            headers.append(name, HeaderValue::from_str(value).map_err(user)?);
        }
        let body = asked.body().bytes().map(Bytes::copy_from_slice).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let method = Method::from_bytes(asked.method().as_bytes()).map_err(user)?;
        let until = self.http.clock.now().after(self.wait);
        let response = origin.send(Request { method, path, headers, body }, until).await.map_err(failed)?;
        let (status, headers) = (response.status.as_u16(), response.headers);
        let body = response.body.whole(ANSWER_BYTES_MAX, until).await.map_err(failed)?;
        let mut answer = HttpResponse::new(status.try_into().map_err(user)?, SdkBody::from(body));
        for (name, value) in &headers {
            if let Ok(value) = value.to_str() {
                answer.headers_mut().append(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }
}

fn user(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectorError {
    ConnectorError::user(error.into())
}

fn failed(error: OutboundError) -> ConnectorError {
    ConnectorError::io(error.into())
}
