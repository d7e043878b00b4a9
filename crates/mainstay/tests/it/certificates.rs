//! Certificates of tests: an authority, what it vouches for, and clients that trust it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::client::Request;

/// The beginning of that year, in seconds since that of 1970.
pub(crate) const YEAR_3000: u64 = 32_503_680_000;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as files hold them.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// One for this machine.
    pub(crate) fn issue(&self, common_name: &str) -> Issued {
        self.issue_until(common_name, YEAR_3000)
    }

    /// One for this machine that ends `until_s` seconds after the beginning of 1970.
    pub(crate) fn issue_until(&self, common_name: &str, until_s: u64) -> Issued {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(until_s);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }
}

impl Issued {
    /// Writes both into `folder`; where they are.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let paths = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&paths.0, &self.certificate).expect("a writable folder");
        std::fs::write(&paths.1, &self.key).expect("a writable folder");
        paths
    }
}

/// How a client of TLS behaves.
pub(crate) struct Client {
    pub(crate) trusts: String,
    pub(crate) shows: Option<Issued>,
    pub(crate) alpn: &'static [&'static str],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
}

impl Client {
    pub(crate) fn of(authority: &Authority) -> Self {
        Self { trusts: authority.pem(), shows: None, alpn: &["http/1.1"], versions: rustls::ALL_VERSIONS }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(self.trusts.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a certificate");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain =
                    CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).collect::<Result<_, _>>();
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain.expect("PEM"), key).expect("a pair")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Shakes hands.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Encrypted> {
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = "localhost".try_into().expect("a name");
        let mut connection = ClientConnection::new(self.config(), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Encrypted(StreamOwned::new(connection, tcp)))
    }

    /// The reply to `request`, as it came.
    pub(crate) fn ask(&self, address: SocketAddr, request: &Request) -> io::Result<String> {
        self.connect(address)?.ask(&request.bytes(address))
    }
}

/// A connection by TLS.
pub(crate) struct Encrypted(StreamOwned<ClientConnection, TcpStream>);

impl Encrypted {
    /// The protocol that both agreed on.
    pub(crate) fn protocol(&self) -> String {
        String::from_utf8_lossy(self.0.conn.alpn_protocol().unwrap_or_default()).into_owned()
    }

    /// The server's certificate.
    pub(crate) fn shown(&self) -> String {
        let chain = self.0.conn.peer_certificates().expect("a certificate");
        pem("CERTIFICATE", chain.first().expect("one"))
    }

    /// Sends `bytes` and reads to the end.
    pub(crate) fn ask(mut self, bytes: &[u8]) -> io::Result<String> {
        self.0.write_all(bytes)?;
        let mut text = String::new();
        self.0.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Sends `bytes` and reads until `last` has come.
    pub(crate) fn ask_until(&mut self, bytes: &[u8], last: &str) -> io::Result<String> {
        self.0.write_all(bytes)?;
        let mut got = Vec::new();
        let mut buffer = [0; 4_096];
        while !String::from_utf8_lossy(&got).contains(last) {
            match self.0.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(String::from_utf8_lossy(&got).into_owned())
    }
}
