//! TLS settings, read when the first `https` origin is configured: the trusted certificates take memory that a
//! machine without cloud providers never needs.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

/// Settings with the machine's own trusted certificates, HTTP/1.1 only, TLS 1.2 and 1.3.
pub(crate) fn connector() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (n_usable, n_unusable) = roots.add_parsable_certificates(found.certs);
    if n_usable == 0 {
        let reason = found.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
        return Err(reason);
    }
    tracing::debug!(n_usable, n_unusable, "read the machine's trusted certificates");
    connector_trusting(roots)
}

pub(crate) fn connector_trusting(roots: RootCertStore) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Why a handshake failed.
pub(crate) enum Failure {
    Certificate,
    Other,
}

pub(crate) async fn handshake(
    connector: &TlsConnector,
    host: &Host,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Failure::Other)?,
        Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::V4(*ip)),
        Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::V6(*ip)),
    };
    connector.connect(name, stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => Failure::Certificate,
            _ => Failure::Other,
        }
    })
}

#[cfg(test)]
mod tests {
    use domain::fault::Kind;
    use domain::time::Moment;
    use rustls::ServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::time::Duration;
    use testkit::{Behaviour, TokioClock, Upstream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::client::{Client, Config, Request};
    use crate::error::OutboundError;
    use crate::origin::OriginConfig;

    const LATER: Moment = Moment(Duration::from_secs(30));

    /// A listener and the certificate for `localhost` that it will show.
    async fn server() -> (TcpListener, TlsAcceptor, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
            .expect("a server's settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        (listener, TlsAcceptor::from(Arc::new(config)), certificate)
    }

    async fn answer_once(listener: &TcpListener, acceptor: &TlsAcceptor) {
        let (stream, _) = listener.accept().await.expect("a client");
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut request = [0; 1024];
        let n_read = stream.read(&mut request).await.expect("a request");
        assert!(request[..n_read].ends_with(b"\r\n\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.expect("written");
        let _ = stream.read(&mut request).await;
    }

    async fn get(url: String, trusted: &CertificateDer<'static>) -> Result<bytes::Bytes, OutboundError> {
        let client = Client::new(Arc::new(TokioClock::new()), Config::default());
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        client.shared().trust(connector_trusting(roots).expect("settings"));
        let config = OriginConfig { base_url: url, allow_private: true, secret: None };
        let response = client.origin(&config).expect("an origin").send(Request::get("/"), LATER).await?;
        response.body.whole(100, LATER).await
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_for_the_name_is_talked_to() {
        let (listener, acceptor, own) = server().await;
        let (_, _, other) = server().await;
        let port = listener.local_addr().expect("bound").port();
        let fatal = Err(Kind::RouteFatal);
        for (host, trusted, want) in [
            ("localhost", &own, Ok("hi".into())),
            ("localhost", &other, fatal.clone()),
            ("127.0.0.1", &own, fatal),
        ] {
            let url = format!("https://{host}:{port}");
            let (found, ()) = tokio::join!(get(url, trusted), answer_once(&listener, &acceptor));
            assert_eq!(found.map_err(|error| error.fault().kind), want, "{host}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_a_passing_failure() {
        let (_, _, own) = server().await;
        let upstream = Upstream::start(Behaviour::default());
        let found = get(format!("https://localhost:{}", upstream.address().port()), &own).await;
        let error = found.expect_err("no TLS there");
        // It waits for the end of a head that never comes, or closes at once.
        assert!(matches!(error, OutboundError::Tls { .. } | OutboundError::ConnectTimeout { .. }), "{error}");
    }
}
