//! Whose request it is: the address of the visitor, and whether it came from this machine.
//!
//! `X-Forwarded-For` is believed only from a configured proxy, and only as far back as proxies
//! reach: read from the right, the first address that is no trusted proxy is the client. Anything
//! to its left was written by the client.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use std::net::IpAddr;

/// Headers that only a proxy sends.
const FORWARDING: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// A network: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = u32::from(own) ^ u32::from(other);
                differ.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = u128::from(own) ^ u128::from(other);
                differ.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<Network>);

/// A text of `trusted_proxies` that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trusted_proxies: {0:?} is no address and no network such as 10.0.0.0/8")]
pub struct ProxyError(String);

impl Proxies {
    /// Reads addresses and networks.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, ProxyError> {
        let networks = texts
            .iter()
            .map(|text| Network::parse(text.trim()).ok_or_else(|| ProxyError(text.clone())));
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The address of the client of a request that came from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded = headers.get_all("x-forwarded-for");
        let hops: Vec<&str> = forwarded
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in hops.iter().rev() {
            if !self.trust(client) {
                break;
            }
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// Whether a request was made on this machine, to this machine, by no proxy: what the demo asks
/// before it takes an event without a key. The `Host` is checked because a page of any name may
/// resolve to 127.0.0.1 (DNS rebinding).
#[must_use]
pub fn is_local(peer: IpAddr, headers: &HeaderMap, authority: Option<&str>) -> bool {
    peer.to_canonical().is_loopback()
        && host_of(headers, authority).is_some_and(is_loopback_host)
        && FORWARDING.iter().all(|name| !headers.contains_key(*name))
}

/// The host that a request asks: `Host`, or over HTTP/2 the authority of its address.
pub(crate) fn host_of<'a>(headers: &'a HeaderMap, authority: Option<&'a str>) -> Option<&'a str> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).or(authority)
}

/// The origin of the page that asks, if it names one that can be on a list.
pub(crate) fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN).and_then(|origin| origin.to_str().ok())
}

/// Whether an origin is a page of this machine.
#[must_use]
pub fn is_loopback_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(is_loopback_host)
}

/// `localhost`, `127.0.0.1`, `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_str(value).expect("a header value");
            (HeaderName::from_static(name), value)
        };
        pairs.iter().map(pair).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[track_caller]
    fn check_client(peer: &str, forwarded: &str, expected: &str) {
        let proxies =
            Proxies::parse(&["10.0.0.0/8".into(), "2001:db8::/32".into()]).expect("networks");
        let headers = headers(&[("x-forwarded-for", forwarded)]);
        assert_eq!(proxies.client(address(peer), &headers), address(expected));
    }

    #[test]
    fn only_proxies_say_who_is_behind_them() {
        check_client("192.0.2.1", "203.0.113.9", "192.0.2.1");
        check_client("10.1.1.1", "203.0.113.9", "203.0.113.9");
        check_client("10.1.1.1", "198.51.100.1, 203.0.113.9, 10.2.2.2", "203.0.113.9");
        check_client("2001:db8::7", "203.0.113.9", "203.0.113.9");
        check_client("10.1.1.1", "unknown", "10.1.1.1");
        check_client("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9");
    }

    #[test]
    fn networks_are_checked() {
        for text in ["", "10.0.0.0/33", "host", "10.0.0.0/x"] {
            assert!(Proxies::parse(&[text.into()]).is_err(), "{text}");
        }
        let all = Proxies::parse(&["0.0.0.0/0".into()]).expect("a network");
        assert!(all.trust(address("203.0.113.9")));
    }

    #[test]
    fn local_requests_are_told_from_others() {
        let local = |peer: &str, pairs: &[(&'static str, &str)]| {
            is_local(address(peer), &headers(pairs), None)
        };
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"] {
            assert!(local("127.0.0.1", &[("host", host)]), "{host}");
        }
        assert!(local("::1", &[("host", "localhost")]));
        assert!(!local("192.0.2.1", &[("host", "localhost")]));
        assert!(!local("127.0.0.1", &[]));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!local("127.0.0.1", &[("host", host)]), "{host}");
        }
        for name in FORWARDING {
            assert!(!local("127.0.0.1", &[("host", "localhost"), (name, "x")]), "{name}");
        }
    }

    #[test]
    fn loopback_origins() {
        assert!(is_loopback_origin("http://localhost:8080"));
        assert!(is_loopback_origin("http://[::1]"));
        assert!(!is_loopback_origin("null"));
        assert!(!is_loopback_origin("http://evil.example"));
    }
}
