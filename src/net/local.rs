//! The addresses of this machine that media can be bound to.
//!
//! Owns the choice of usable addresses. Must not bind them. Next: [`super::udp::bind`], once for each shard.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use if_addrs::Interface;

use super::NetError;

/// Where the kernel lists IPv6 addresses with their flags; missing where IPv6 is switched off.
const IPV6_ADDRESSES: &str = "/proc/net/if_inet6";

/// Flags of an address (`IFA_F_*` of linux/if_addr.h).
const TEMPORARY: u32 = 0x01;
const DUPLICATE: u32 = 0x08;
const DEPRECATED: u32 = 0x20;
const TENTATIVE: u32 = 0x40;

/// Returns the addresses of interfaces that are up, sorted, IPv4 first, without those that do not serve as candidates.
///
/// A link-local address needs a zone to be reached, which an ICE candidate cannot carry (RFC 8445 5.1.1.1). Of IPv6, a
/// temporary address (RFC 8981) changes within a day and stands beside a lasting one, a deprecated one is about to go
/// (RFC 4862 5.5.4), and one that is still tested for duplicates, or was found to be one, cannot be bound.
pub fn local_addresses() -> Result<Vec<IpAddr>, NetError> {
    let interfaces =
        if_addrs::get_if_addrs().map_err(NetError::setup("list the addresses of this machine"))?;
    let flags = std::fs::read_to_string(IPV6_ADDRESSES).map(|list| ipv6_flags(&list)).unwrap_or_default();
    for interface in &interfaces {
        if flags_of(interface, &flags) & (TENTATIVE | DUPLICATE) != 0 && !is_link_local(interface.ip()) {
            tracing::warn!(
                interface = interface.name,
                "an IPv6 address is still tested for duplicates, or is one, and is not served: start again when it is \
                 settled"
            );
        }
    }
    Ok(usable(&interfaces, &flags))
}

fn usable(interfaces: &[Interface], flags: &HashMap<Ipv6Addr, u32>) -> Vec<IpAddr> {
    let mut addresses: Vec<_> = interfaces
        .iter()
        .filter(|interface| interface.is_oper_up())
        .filter(|interface| {
            flags_of(interface, flags) & (TEMPORARY | DUPLICATE | DEPRECATED | TENTATIVE) == 0
        })
        .map(Interface::ip)
        .filter(|ip| !is_link_local(*ip) && !ip.is_unspecified())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn flags_of(interface: &Interface, flags: &HashMap<Ipv6Addr, u32>) -> u32 {
    match interface.ip() {
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) => flags.get(&v6).copied().unwrap_or(0),
    }
}

/// Reads the kernel's list: address, number of the interface, length of the prefix, scope, flags, name of the interface.
fn ipv6_flags(list: &str) -> HashMap<Ipv6Addr, u32> {
    let line = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let address = u128::from_str_radix(columns.next()?, 16).ok()?;
        let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
        Some((Ipv6Addr::from_bits(address), flags))
    };
    list.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(ip: &str, oper_status: IfOperStatus) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: [255, 255, 255, 0].into(),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => {
                IfAddr::V6(Ifv6Addr { ip, netmask: [0; 8].into(), prefixlen: 64, broadcast: None })
            }
        };
        Interface { name: "if0".into(), addr, index: Some(1), oper_status, is_p2p: false }
    }

    #[test]
    fn link_local_down_and_repeated_addresses_are_left_out_and_the_rest_is_sorted() {
        let interfaces = [
            interface("2001:db8::2", IfOperStatus::Up),
            interface("10.0.0.9", IfOperStatus::Up),
            interface("fe80::1", IfOperStatus::Up),
            interface("169.254.1.1", IfOperStatus::Up),
            interface("192.0.2.1", IfOperStatus::Down),
            interface("127.0.0.1", IfOperStatus::Up),
            interface("::1", IfOperStatus::Up),
            interface("10.0.0.9", IfOperStatus::Up),
        ];
        let texts: Vec<_> = usable(&interfaces, &HashMap::new()).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.9", "127.0.0.1", "::1", "2001:db8::2"]);
    }

    #[test]
    fn ipv6_addresses_that_are_about_to_go_or_not_there_yet_are_left_out() {
        let flags = ipv6_flags(
            "20010db8000000000000000000000001 02 40 00 00     eth0\n\
             20010db8000000000000000000000002 02 40 00 01     eth0\n\
             20010db8000000000000000000000003 02 40 00 20     eth0\n\
             20010db8000000000000000000000004 02 40 00 c0     eth0\n\
             20010db8000000000000000000000005 02 40 00 88     eth0\n\
             20010db8000000000000000000000006 02 40 00 80     eth0\n\
             00000000000000000000000000000001 01 80 10 80       lo\n\
             a line that is none\n",
        );
        assert_eq!(flags.len(), 7);
        let of = |ip: &str| interface(ip, IfOperStatus::Up);
        let interfaces = [
            of("2001:db8::1"),
            of("2001:db8::2"),
            of("2001:db8::3"),
            of("2001:db8::4"),
            of("2001:db8::5"),
            of("2001:db8::6"),
            of("::1"),
            of("192.0.2.1"),
            of("2001:db8::7"),
        ];
        let texts: Vec<_> = usable(&interfaces, &flags).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.1", "::1", "2001:db8::1", "2001:db8::6", "2001:db8::7"]);
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        assert!(local_addresses().unwrap().iter().any(IpAddr::is_loopback));
    }
}
