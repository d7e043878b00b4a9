//! What a principal may use: agents, models, routes, and the addresses it may come from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::Route;
use crate::residency::Residency;

/// Names that may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allowed {
    /// Every name.
    #[default]
    All,
    /// These; one that ends in `*` stands for all that begin so.
    Only(Arc<[String]>),
}

impl Allowed {
    /// Whether `name` may be used.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| covers(pattern, name)),
        }
    }

    /// Whether nothing may be used that `other` forbids.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Only(_)) => other.allows_all(),
            (Self::Only(own), Self::Only(theirs)) => {
                own.iter().all(|own| theirs.iter().any(|theirs| covers(theirs, own)))
            }
        }
    }

    fn allows_all(&self) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern == "*"),
        }
    }
}

/// Whether all that `other` (a name, or a pattern itself) stands for is within `pattern`.
fn covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => other.starts_with(prefix),
        None => pattern == other,
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// IPv4 addresses stand as IPv6 ones (`::ffff:a.b.c.d`), as they arrive at a socket that takes both.
    bits: u128,
    /// Of 128.
    length: u8,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address, or a network by its first one in CIDR form, as `10.0.0.0/8` or `2001:db8::/32`")]
pub struct NotANetwork;

/// Bits before those of an IPv4 address.
const MAPPED: u8 = 96;

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address. Bits after the length must be zero: else it was meant
    /// otherwise.
    ///
    /// # Errors
    /// [`NotANetwork`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (before, most) = if address.is_ipv4() { (MAPPED, 32) } else { (0, 128) };
        let length = match length {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
            None => most,
        };
        if length > most {
            return Err(NotANetwork);
        }
        let network = Self { bits: bits_of(address), length: before + length };
        if network.bits & !mask(network.length) == 0 { Ok(network) } else { Err(NotANetwork) }
    }

    /// Whether `address` is one of it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        bits_of(address) & mask(self.length) == self.bits
    }

    fn is_within(self, other: Self) -> bool {
        self.length >= other.length && self.bits & mask(other.length) == other.bits
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped().filter(|_| self.length >= MAPPED) {
            Some(address) => write!(f, "{address}/{}", self.length - MAPPED),
            None => write!(f, "{address}/{}", self.length),
        }
    }
}

/// What may be used. Left out means everything; an empty list means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// Agents by name.
    pub agents: Allowed,
    /// Models as `<provider>/<model>`: every model that a request for a bare model or an alias may reach.
    pub models: Allowed,
    /// Routes by name: those that aliases lead to.
    pub routes: Allowed,
    /// Where requests may come from; `None` for anywhere.
    pub addresses: Option<Arc<[Network]>>,
    /// Where requests may be processed.
    pub residency: Residency,
}

impl Grant {
    /// Whether requests may come from `address`.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let networks = self.addresses.as_ref();
        networks.is_none_or(|networks| networks.iter().any(|network| network.contains(address)))
    }

    /// Whether a route may be taken: all its models must be among the allowed ones, and the route itself, unless it is
    /// one bare model.
    #[must_use]
    pub fn allows_route(&self, route: &Route) -> bool {
        if (&self.models, &self.routes) == (&Allowed::All, &Allowed::All) {
            return true;
        }
        let mut models =
            route.tiers.iter().flat_map(|tier| &tier.targets).map(|target| target.model.as_str());
        let is_bare = models.clone().all(|model| model == route.name.as_str());
        (is_bare || self.routes.allows(route.name.as_str())) && models.all(|model| self.models.allows(model))
    }

    /// Whether nothing may be used that `other` forbids.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let addresses = match (&self.addresses, &other.addresses) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => {
                own.iter().all(|own| theirs.iter().any(|theirs| own.is_within(*theirs)))
            }
        };
        addresses
            && self.agents.is_within(&other.agents)
            && self.residency.is_within(&other.residency)
            && self.models.is_within(&other.models)
            && self.routes.is_within(&other.routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Option<Arc<[Network]>> {
        Some(texts.iter().map(|text| Network::parse(text).expect("a network")).collect())
    }

    fn only(names: &[&str]) -> Allowed {
        Allowed::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_list_allows_its_names_and_what_begins_as_its_patterns() {
        for (list, name, want) in [
            (Allowed::All, "openai/gpt", true),
            (only(&[]), "openai/gpt", false),
            (only(&["openai/gpt"]), "openai/gpt", true),
            (only(&["openai/gpt"]), "openai/gpt-4", false),
            (only(&["openai/*"]), "openai/gpt-4", true),
            (only(&["openai/*"]), "openai2/gpt-4", false),
            (only(&["*"]), "x", true),
        ] {
            assert_eq!(list.allows(name), want, "{list:?} {name}");
        }
    }

    #[test]
    fn a_list_is_within_another_when_it_allows_no_more() {
        for (own, other, want) in [
            (Allowed::All, Allowed::All, true),
            (Allowed::All, only(&["a"]), false),
            (Allowed::All, only(&["*"]), true),
            (only(&["a"]), Allowed::All, true),
            (only(&[]), only(&[]), true),
            (only(&["a", "b"]), only(&["a"]), false),
            (only(&["ab*"]), only(&["a*"]), true),
            (only(&["a*"]), only(&["ab*"]), false),
            (only(&["a*"]), only(&["a"]), false),
            (only(&["*"]), only(&["a*"]), false),
        ] {
            assert_eq!(own.is_within(&other), want, "{own:?} {other:?}");
        }
    }

    #[test]
    fn networks_are_read_and_told_apart() {
        for (text, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true), // as a socket for both families shows it
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "8.8.8.8", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let network = Network::parse(text).expect(text);
            assert_eq!(network.contains(address.parse().expect(address)), want, "{text} {address}");
            assert_eq!(Network::parse(&network.to_string()), Ok(network), "{text} {network}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/", "10.0.0.0/+8", "host", "1.2.3"] {
            assert_eq!(Network::parse(text), Err(NotANetwork), "{text}");
        }
    }

    #[test]
    fn a_grant_is_within_another_only_in_every_part() {
        let wide = Grant {
            agents: only(&["general"]),
            models: only(&["openai/*"]),
            routes: Allowed::All,
            addresses: nets(&["10.0.0.0/8"]),
            residency: Residency::parse(Some(["eu", "ch"])).expect("places"),
        };
        assert!(wide.is_within(&Grant::default()) && wide.is_within(&wide));
        assert!(!Grant::default().is_within(&wide));
        for (part, want) in [
            (Grant { addresses: nets(&["10.1.0.0/16"]), ..wide.clone() }, true),
            (Grant { addresses: nets(&["0.0.0.0/0"]), ..wide.clone() }, false),
            (Grant { addresses: None, ..wide.clone() }, false),
            (Grant { agents: Allowed::All, ..wide.clone() }, false),
            (Grant { models: only(&["openai/gpt", "x/y"]), ..wide.clone() }, false),
            (Grant { routes: only(&["standard"]), ..wide.clone() }, true),
            (Grant { residency: Residency::parse(Some(["eu"])).expect("places"), ..wide.clone() }, true),
            (Grant { residency: Residency::Anywhere, ..wide.clone() }, false),
        ] {
            assert_eq!(part.is_within(&wide), want, "{part:?}");
        }
    }

    #[test]
    fn only_listed_addresses_are_allowed_where_any_are_listed() {
        let listed = |networks: &[&str]| Grant { addresses: nets(networks), ..Grant::default() };
        for (grant, want) in [
            (Grant::default(), true),
            (listed(&[]), false),
            (listed(&["10.0.0.0/8"]), true),
            (listed(&["192.0.2.0/24"]), false),
        ] {
            let address = "10.1.2.3".parse().expect("an address");
            assert_eq!(grant.allows_address(address), want, "{grant:?}");
        }
    }
}
