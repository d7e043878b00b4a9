//! Where a request comes from: the other end of its connection, or what a proxy that is trusted says.

use std::net::IpAddr;

use domain::grant::Network;
use http::HeaderMap;

/// Proxies whose `x-forwarded-for` is believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<Network>);

/// Addresses of the header that are looked at, from its end.
const HOPS_MAX: usize = 16;

impl Proxies {
    /// Of checked settings: what is no network is not trusted.
    pub(crate) fn new(trusted: &[String]) -> Self {
        Self(trusted.iter().filter_map(|text| Network::parse(text).ok()).collect())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The last address that no trusted proxy stands at; what stands before it anyone may have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer;
        if self.0.is_empty() || !self.trusts(address) {
            return address.to_canonical();
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            // A hop that cannot be read hides who asked: the proxy that wrote it is all that is known.
            let Some(hop) = parse(hop) else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        address.to_canonical()
    }
}

/// An address, maybe with a port, as some proxies write it.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(hop, |(bare, _)| bare);
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".to_owned(), "::1".to_owned()];
        for (trusted, peer, headers, want) in [
            (&trusted[..], "192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            (&[], "10.0.0.1", &["198.51.100.7"], "10.0.0.1"),
            (&trusted, "10.0.0.1", &[], "10.0.0.1"),
            (&trusted, "10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            (&trusted, "::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // What the client itself wrote stands before what the proxy added.
            (&trusted, "10.0.0.1", &["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
            (&trusted, "10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            (&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&trusted, "10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            (&trusted, "10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            (&trusted, "::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
        ] {
            let mut map = HeaderMap::new();
            for value in headers {
                map.append("x-forwarded-for", value.parse().expect("a value"));
            }
            let found = Proxies::new(trusted).client(peer.parse().expect("an address"), &map);
            assert_eq!(Ok(found), want.parse(), "{peer} {headers:?}");
        }
    }
}
