//! Where clients are and where they reach us: the public address of the API, and the networks of trusted proxies.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::BadValue;

/// Under which URL clients reach the API, such as `https://example.com/live`; empty when it is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL without a slash at its end, if there is one.
    pub fn get(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|url| !url.is_empty())
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let url = text.trim().trim_end_matches('/');
        if url.is_empty() {
            return Ok(Self::default());
        }
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        let usable = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>{}|^`".contains(&byte);
        if host.is_some_and(|host| !host.is_empty() && !host.contains('@')) && url.bytes().all(usable) {
            Ok(Self(url.to_owned()))
        } else {
            Err(BadValue(format!(
                "{text:?} is no public URL: write it as https://example.com or https://example.com/live"
            )))
        }
    }
}

impl From<PublicUrl> for String {
    fn from(value: PublicUrl) -> Self {
        value.0
    }
}

/// Bits that IPv4 addresses lack in front when they are written as IPv6 (RFC 4291 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// An address, or the network of all that begin with the same bits: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: IpAddr,
    /// Of the address as IPv6, 0 to 128.
    bits: u8,
}

impl Network {
    /// This machine.
    pub fn loopback() -> Vec<Self> {
        let four = Self { first: IpAddr::from([127, 0, 0, 0]), bits: MAPPED_BITS + 8 };
        vec![four, Self { first: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 }]
    }

    /// What counts as one client: an address, of IPv6 the network of 64 bits, of which one client commands all addresses.
    pub fn of_client(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let bits = 64;
                Self { first: Ipv6Addr::from_bits(address.to_bits() >> bits << bits).into(), bits }
            }
            address => Self { first: address, bits: 128 },
        }
    }

    /// Whether an address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = as_number(self.first) ^ as_number(address);
        differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
    }
}

fn as_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl TryFrom<String> for Network {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let bad =
            || BadValue(format!("{text:?} is no network: give an address, or one with bits as 10.0.0.0/8"));
        let (first, bits) = match text.trim().split_once('/') {
            Some((first, bits)) => (first, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text.trim(), None),
        };
        let first: IpAddr = first.parse().map_err(|_| bad())?;
        let (most, added) = if first.is_ipv4() { (32, MAPPED_BITS) } else { (128, 0) };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(bad());
        }
        Ok(Self { first, bits: bits + added })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.first.is_ipv4() { self.bits - MAPPED_BITS } else { self.bits };
        write!(f, "{}/{bits}", self.first)
    }
}

impl From<Network> for String {
    fn from(value: Network) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_with_its_bits() {
        let network = |text: &str| Network::try_from(text.to_owned()).unwrap();
        let holds = |text: &str, address: &str| network(text).contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.7", "10.0.0.7") && !holds("10.0.0.7", "10.0.0.6"));
        // A socket of both families names IPv4 clients so.
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "203.0.113.1") && holds("2001:db8::/32", "2001:db8:1::1"));
        let loopback = Network::loopback();
        let is_here = |address: &str| loopback.iter().any(|one| one.contains(address.parse().unwrap()));
        assert!(is_here("127.0.0.1") && is_here("::1") && !is_here("::2") && !is_here("192.0.2.1"));
        for bad in ["", "10.0.0.0/33", "::/129", "proxy", "10.0.0.0/", "10.0.0/8"] {
            assert!(Network::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_is_an_address_or_its_network_of_64_bits() {
        let client = |address: &str| Network::of_client(address.parse().unwrap());
        assert_eq!(client("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(client("::ffff:192.0.2.7"), client("192.0.2.7"));
        assert_ne!(client("192.0.2.8"), client("192.0.2.7"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:ffff:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    }

    #[test]
    fn a_public_url_is_an_origin_with_or_without_a_path() {
        let url = |text: &str| PublicUrl::try_from(text.to_owned()).map(|url| url.get().map(str::to_owned));
        assert_eq!(url("https://example.com/live/"), Ok(Some("https://example.com/live".into())));
        assert_eq!(url("http://[::1]:8080"), Ok(Some("http://[::1]:8080".into())));
        assert_eq!(url(""), Ok(None));
        for bad in
            ["example.com", "https://", "ftp://example.com", "https://a b", "https://u@h/", "https://h/?q"]
        {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
