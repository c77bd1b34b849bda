//! What is kept of a client's address.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// What becomes of the addresses of visitors, in events and dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressPolicy {
    /// They are kept whole: personal data.
    Kept,
    /// The network alone is kept: it tells a region, and no household.
    #[default]
    Truncated,
    /// Nothing is kept.
    Dropped,
}

impl AddressPolicy {
    /// What is kept of an address.
    #[must_use]
    pub fn keep(self, address: IpAddr) -> Option<Box<str>> {
        match self {
            Self::Kept => Some(address.to_canonical().to_string().into()),
            Self::Truncated => Some(truncate(address).into()),
            Self::Dropped => None,
        }
    }
}

/// The network of an address: 24 bits of one of IPv4, 48 of one of IPv6.
#[must_use]
pub fn truncate(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_kept_as_the_policy_says() {
        for (address, whole, network) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.0"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0"),
            ("2001:db8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(AddressPolicy::Kept.keep(address).as_deref(), Some(whole));
            assert_eq!(AddressPolicy::Truncated.keep(address).as_deref(), Some(network));
            assert_eq!(AddressPolicy::Dropped.keep(address), None);
        }
    }
}
