//! Which addresses are public. All others are refused unless an origin is configured to reach them, so that
//! neither a configured name nor its DNS answer leads into the machine, its network or a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges of IPv4 that are not public: IANA IPv4 Special-Purpose Address Registry (read 2026-11), multicast and
/// reserved space, as network and prefix length.
const V4_REFUSED: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10), // carrier-grade NAT; Alibaba's metadata is 100.100.100.200
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32), // Azure's wire server, in public space
    ([169, 254, 0, 0], 16),   // link-local, with the metadata service of most clouds
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24), // with Oracle's metadata 192.0.0.192
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Ranges inside global unicast IPv6 that are not public, or that carry an IPv4 address.
const V6_REFUSED: &[([u16; 8], u32)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // IETF protocols, Teredo among them
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// Whether `address` is on the public internet.
///
/// IPv6 is public only within 2000::/3, which leaves out loopback, link-local, ULA, multicast, NAT64 and
/// IPv4-mapped addresses.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            !V4_REFUSED.iter().any(|(network, length)| {
                let network = u32::from(Ipv4Addr::from(*network));
                (bits ^ network).leading_zeros() >= *length
            })
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            bits >> 125 == 1
                && !V6_REFUSED.iter().any(|(network, length)| {
                    let network = u128::from(Ipv6Addr::from(*network));
                    (bits ^ network).leading_zeros() >= *length
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for (text, want) in [
            ("8.8.8.8", true),
            ("104.18.7.192", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("2606:4700::6812:7c0", true),
            ("2a00:1450:4001:80b::200e", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:8.8.8.8", false), // mapped, even of a public one
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false), // NAT64
            ("64:ff9b:1::7f00:1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false), // AWS metadata
            ("fe80::1", false),
            ("ff02::1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(is_public(text.parse().expect("an address")), want, "{text}");
        }
    }
}
