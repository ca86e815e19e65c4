//! The addresses of this machine that media can be bound to.
//!
//! Owns the choice of usable addresses. Must not bind them. Next: [`super::udp::bind`], once for each shard.

use std::net::IpAddr;

use if_addrs::Interface;

use super::NetError;

/// Returns the addresses of interfaces that are up, sorted, IPv4 first, without link-local ones.
///
/// A link-local address needs a zone to be reached, which an ICE candidate cannot carry (RFC 8445 5.1.1.1).
pub fn local_addresses() -> Result<Vec<IpAddr>, NetError> {
    let interfaces =
        if_addrs::get_if_addrs().map_err(NetError::setup("list the addresses of this machine"))?;
    Ok(usable(&interfaces))
}

fn usable(interfaces: &[Interface]) -> Vec<IpAddr> {
    let up = interfaces.iter().filter(|interface| interface.is_oper_up());
    let mut addresses: Vec<_> = up
        .map(Interface::ip)
        .filter(|ip| match ip {
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
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
        let texts: Vec<_> = usable(&interfaces).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.9", "127.0.0.1", "::1", "2001:db8::2"]);
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        assert!(local_addresses().unwrap().iter().any(IpAddr::is_loopback));
    }
}
