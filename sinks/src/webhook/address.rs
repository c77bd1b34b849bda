//! Which addresses are called: a webhook is no way into the network that the server stands in.
//!
//! The address that is connected to is what is judged, not the name: names answer what they like, and
//! another thing the second time. An address of IPv6 that carries one of IPv4 is judged by that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the internet.
    Public,
    /// On this machine or in its network.
    Private,
    /// Nowhere that is ever called: links, groups, what is reserved, what clouds tell their machines.
    Never,
}

/// What an endpoint may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// `https`: on the internet alone.
    Public,
    /// `https` with `allow_private`: in the machine's network too.
    Any,
    /// `http`, which needs `allow_private`: in the machine's network alone.
    Private,
}

impl Policy {
    /// Whether an address is called.
    pub(super) fn admits(self, address: IpAddr) -> bool {
        match (self, place_of(address)) {
            (Self::Public | Self::Any, Place::Public)
            | (Self::Any | Self::Private, Place::Private) => true,
            (_, Place::Never) | (Self::Public, Place::Private) | (Self::Private, Place::Public) => {
                false
            }
        }
    }
}

/// Addresses by which clouds tell their machines secrets, beside those of links.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254)),
];

/// Where an address lies.
pub(super) fn place_of(address: IpAddr) -> Place {
    if METADATA.contains(&address) {
        return Place::Never;
    }
    match address {
        IpAddr::V4(address) => place_of_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => place_of(IpAddr::V4(carried)),
            None => place_of_v6(address),
        },
    }
}

fn place_of_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // Loopback; the three private ones; shared by carriers (CGNAT).
        (127 | 10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Place::Private,
        // This network; links; groups and what is reserved.
        (0, ..) | (169, 254, _) | (224..=255, ..) => Place::Never,
        // Assignments of protocols, 6to4 relays, benchmarks, documentation.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Place::Never
        }
        _ => Place::Public,
    }
}

fn place_of_v6(address: Ipv6Addr) -> Place {
    if address.is_loopback() || address.is_unique_local() {
        return Place::Private;
    }
    match address.segments() {
        // Documentation, ORCHID and other special registrations; 2001:db8::/32 and 3fff::/20 too.
        [0x2001, second, ..] if second < 0x200 || second == 0xDB8 => Place::Never,
        [0x3FFF, second, ..] if second < 0x1000 => Place::Never,
        // What is given out to be routed.
        [0x2000..=0x3FFF, ..] => Place::Public,
        _ => Place::Never,
    }
}

/// The address of IPv4 that one of IPv6 stands for: mapped, compatible, NAT64, 6to4.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, high, low] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some(of(high, low)),
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x64, 0xFF9B, 1, _, _, _, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        place_of(text.parse().expect(text))
    }

    #[test]
    fn addresses_lie_where_they_lie() {
        for public in ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "100.128.0.1"] {
            assert_eq!(place(public), Place::Public, "{public}");
        }
        for public in ["64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"] {
            assert_eq!(place(public), Place::Public, "{public}");
        }
        for private in ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.31.255.1", "192.168.0.1"] {
            assert_eq!(place(private), Place::Private, "{private}");
        }
        for private in ["100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"] {
            assert_eq!(place(private), Place::Private, "{private}");
        }
        for private in ["64:ff9b:1::a00:1", "2002:7f00:1::", "::10.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(place(private), Place::Private, "{private}");
        }
        for never in ["0.0.0.0", "::", "169.254.169.254", "224.0.0.1", "255.255.255.255"] {
            assert_eq!(place(never), Place::Never, "{never}");
        }
        for never in ["fe80::1", "ff02::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"] {
            assert_eq!(place(never), Place::Never, "{never}");
        }
        for never in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fec0::1", "2001:db8::1"] {
            assert_eq!(place(never), Place::Never, "{never}");
        }
        for never in ["192.0.2.1", "198.18.0.1", "203.0.113.9", "2001::1", "192.0.0.8"] {
            assert_eq!(place(never), Place::Never, "{never}");
        }
    }

    #[test]
    fn a_policy_admits_its_places_and_never_the_third() {
        let admitted = |policy: Policy| {
            ["8.8.8.8", "10.0.0.1", "169.254.169.254"]
                .map(|text| policy.admits(text.parse().expect(text)))
        };
        assert_eq!(admitted(Policy::Public), [true, false, false]);
        assert_eq!(admitted(Policy::Any), [true, true, false]);
        assert_eq!(admitted(Policy::Private), [false, true, false]);
    }
}
