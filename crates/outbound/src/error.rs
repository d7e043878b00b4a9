//! What can go wrong on the way out and back. No text here comes from the other side, and none is a secret.

use std::net::IpAddr;

use domain::fault::{Fault, Kind, Origin, Retry};

use crate::origin::OriginError;

/// A call could not be made, or its response could not be read. `origin` is scheme, host and port.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// The name has no address.
    #[error("could not find the address of `{origin}`")]
    Resolve {
        /// Where to.
        origin: String,
    },
    /// An address is not public and the origin is not configured to reach it.
    #[error("`{origin}` is at {address}, which is not public; set `allow_private = true` if that is meant")]
    PrivateAddress {
        /// Where to.
        origin: String,
        /// The address refused.
        address: IpAddr,
    },
    /// Nobody accepts connections there.
    #[error("could not connect to `{origin}`")]
    Connect {
        /// Where to.
        origin: String,
    },
    /// Connecting took too long.
    #[error("could not connect to `{origin}` in time")]
    ConnectTimeout {
        /// Where to.
        origin: String,
    },
    /// TLS failed for a reason that may pass.
    #[error("could not set up TLS with `{origin}`")]
    Tls {
        /// Where to.
        origin: String,
    },
    /// The certificate is not one we trust for this name.
    #[error("the certificate of `{origin}` is not trusted")]
    Certificate {
        /// Where to.
        origin: String,
    },
    /// The connection broke before the response was whole.
    #[error("`{origin}` closed the connection")]
    Closed {
        /// Where to.
        origin: String,
    },
    /// What came is no HTTP response, or its head is too large.
    #[error("`{origin}` sent an unreadable response")]
    Unreadable {
        /// Where to.
        origin: String,
    },
    /// The whole body is larger than the caller reads.
    #[error("`{origin}` sent more than {bytes_max} bytes")]
    TooLarge {
        /// Where to.
        origin: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The deadline came first.
    #[error("`{origin}` did not answer in time")]
    Deadline {
        /// Where to.
        origin: String,
    },
    /// It redirects, which is never followed.
    #[error("`{origin}` redirects (status {status}), which is not followed")]
    Redirected {
        /// Where to.
        origin: String,
        /// The status.
        status: u16,
    },
    /// All connections that may be open to it are busy.
    #[error("too many calls to `{origin}` are under way")]
    Busy {
        /// Where to.
        origin: String,
    },
    /// The request itself is not one that can be sent.
    #[error("the request to `{origin}` is malformed")]
    Request {
        /// Where to.
        origin: String,
    },
    /// A download was answered with this status.
    #[error("`{origin}` answered with status {status}")]
    Status {
        /// Where to.
        origin: String,
        /// The status.
        status: u16,
    },
    /// A download's address is not one that may be fetched.
    #[error("could not download")]
    Address(#[from] OriginError),
}

impl OutboundError {
    /// The class of the failure.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Closed { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Status { .. } => Fault::provider(Kind::Transient),
            Self::ConnectTimeout { .. } | Self::Deadline { .. } => Fault::provider(Kind::Timeout),
            Self::PrivateAddress { .. } | Self::Certificate { .. } | Self::Redirected { .. } => {
                Fault::provider(Kind::RouteFatal)
            }
            Self::Busy { .. } => Fault::unavailable(),
            Self::Request { .. } | Self::Address(_) => {
                Fault { origin: Origin::Mainstay, kind: Kind::RouteFatal, retry: Retry::Elsewhere }
            }
        }
    }
}
