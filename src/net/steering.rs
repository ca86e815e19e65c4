//! One UDP port for several drivers: a program in the kernel brings each datagram to the socket of its owner.
//!
//! Owns the program and its tables. Sockets that share an address and port form a group, of which the kernel picks one
//! for each datagram: by a hash of both addresses, or by this program, which looks the source up in a table that the
//! owners fill. What is not in the table goes by the hash. Must not know what a datagram means or who an owner is;
//! nothing that arrives makes an entry. Bound: the number of flows given to [`Steering::attach`], of which the one
//! that was longest without use goes first. Next: the datagram comes up in the driver that holds the socket.
//!
//! ```text
//! flows    | address 4 or 16 | port 2 | 0 0 | ──▶ number of an owner        filled by steer() and forget()
//! sockets  | number of an owner |             ──▶ its socket                filled once
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::SocketIndex;
use super::sys::{KernelTable, choose_sockets_by};

/// Kinds of tables (`enum bpf_map_type` of linux/bpf.h): one that forgets, and one of sockets.
const LRU_HASH: u32 = 9;
const SOCKETS: u32 = 20;

/// Functions that a program may call (`enum bpf_func_id`).
const LOOK_UP: i32 = 1;
const LOAD_BYTES: i32 = 26;
const LOAD_BYTES_RELATIVE: i32 = 68;
const SELECT_SOCKET: i32 = 82;

/// Offsets are counted from the IP header (`enum bpf_hdr_start_off`).
const FROM_NETWORK_HEADER: i32 = 1;

/// What the program answers: go on, with the socket that was chosen or else by the hash.
const PASS: i32 = 1;

/// The longest key: an IPv6 address, a port and two bytes that are zero.
const KEY_BYTES_MAX: usize = 20;

/// The groups of sockets of all local addresses, and where the kernel sends what.
#[derive(Debug)]
pub struct Steering {
    flows: Vec<KernelTable>,
}

impl Steering {
    /// Puts the program into the group of each local address. A group lists the sockets in the order of their owners'
    /// numbers; up to `flows_max` sources are known for each.
    ///
    /// # Errors
    /// When the kernel does not permit it, which takes CAP_BPF, or knows no such programs.
    pub fn attach(groups: &[Vec<&UdpSocket>], flows_max: u32) -> io::Result<Self> {
        let flows = groups.iter().map(|group| attach(group, flows_max)).collect::<io::Result<_>>()?;
        Ok(Self { flows })
    }

    /// Has the datagrams from `source` to one of the local addresses come to the socket of `owner` from now on.
    ///
    /// # Errors
    /// When the kernel does not take the entry.
    pub fn steer(&self, local: SocketIndex, source: SocketAddr, owner: u32) -> io::Result<()> {
        let Some(flows) = self.flows.get(local.position()) else { return Ok(()) };
        let (key, len) = key(source);
        flows.set(key.get(..len).unwrap_or_default(), &owner.to_ne_bytes())
    }

    /// Undoes [`Self::steer`].
    ///
    /// # Errors
    /// When there is no such entry any more.
    pub fn forget(&self, local: SocketIndex, source: SocketAddr) -> io::Result<()> {
        let Some(flows) = self.flows.get(local.position()) else { return Ok(()) };
        let (key, len) = key(source);
        flows.remove(key.get(..len).unwrap_or_default())
    }
}

/// Names what has to be granted where the kernel refuses.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "grant CAP_BPF to this process",
        Some(libc::ENOSYS) => "use a kernel with CONFIG_BPF_SYSCALL",
        _ => "use Linux 5.8 or newer",
    }
}

fn attach(group: &[&UdpSocket], flows_max: u32) -> io::Result<KernelTable> {
    let first = group.first().ok_or(io::ErrorKind::InvalidInput)?;
    let (_, key_len) = key(first.local_addr()?);
    let flows = KernelTable::new(LRU_HASH, u32::try_from(key_len).unwrap_or(0), 4, flows_max)?;
    let sockets = KernelTable::new(SOCKETS, 4, 8, u32::try_from(group.len()).unwrap_or(u32::MAX))?;
    for (owner, socket) in (0_u32..).zip(group) {
        let descriptor = i64::from(socket.as_raw_fd());
        sockets.set(&owner.to_ne_bytes(), &descriptor.to_ne_bytes())?;
    }
    let program = program(first.local_addr()?.ip(), flows.number(), sockets.number());
    choose_sockets_by(&program, first)?;
    Ok(flows)
}

/// The key of a source and its length.
fn key(source: SocketAddr) -> ([u8; KEY_BYTES_MAX], usize) {
    let mut key = [0; KEY_BYTES_MAX];
    let port = source.port().to_be_bytes();
    let mut put = |address: &[u8]| {
        key.iter_mut().zip(address.iter().chain(&port)).map(|(byte, value)| *byte = *value).count() + 2
    };
    let len = match source.ip() {
        IpAddr::V4(v4) => put(&v4.octets()),
        IpAddr::V6(v6) => put(&v6.octets()),
    };
    (key, len)
}

/// Registers, as instructions number them: results, arguments, one that calls leave alone, the end of the stack.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
const R6: u8 = 6;
const R10: u8 = 10;

/// The program for sockets that are bound to `local`.
fn program(local: IpAddr, flows: u32, sockets: u32) -> Vec<u64> {
    // Where the source stands in the IP header (RFC 791 3.1, RFC 8200 3), and how long it is.
    let (source_at, source_len) = match local {
        IpAddr::V4(_) => (12, 4),
        IpAddr::V6(_) => (8, 16),
    };
    let key_at: i16 = -24;
    let owner_at: i16 = -32;
    let mut code = Vec::new();
    let mut leave = Vec::new();
    code.push(copy(R6, R1));
    for word in [-24, -16, -8] {
        code.push(store_zero(word));
    }
    // The source address, then its port, which a UDP header begins with (RFC 768).
    code.extend([
        copy(R1, R6),
        number(R2, source_at),
        copy(R3, R10),
        add(R3, key_at),
        number(R4, source_len),
    ]);
    code.extend([number(R5, FROM_NETWORK_HEADER), call(LOAD_BYTES_RELATIVE)]);
    leave.push((code.len(), JUMP_UNLESS_ZERO));
    code.push(0);
    let port_at = key_at + i16::try_from(source_len).unwrap_or(0);
    code.extend([copy(R1, R6), number(R2, 0), copy(R3, R10), add(R3, port_at), number(R4, 2)]);
    code.push(call(LOAD_BYTES));
    leave.push((code.len(), JUMP_UNLESS_ZERO));
    code.push(0);
    // Whose it is.
    code.extend(table(R1, flows));
    code.extend([copy(R2, R10), add(R2, key_at), call(LOOK_UP)]);
    leave.push((code.len(), JUMP_IF_ZERO));
    code.push(0);
    code.extend([load_32(R1, R0), store_32(owner_at, R1)]);
    // Its socket. If there is none, the hash decides as if there were no entry.
    code.push(copy(R1, R6));
    code.extend(table(R2, sockets));
    code.extend([copy(R3, R10), add(R3, owner_at), number(R4, 0), call(SELECT_SOCKET)]);
    let end = code.len();
    code.extend([number(R0, PASS), instruction(0x95, 0, 0, 0, 0)]);
    for (at, jump) in leave {
        if let Some(place) = code.get_mut(at) {
            let distance = i16::try_from(end - at - 1).unwrap_or(0);
            *place = instruction(jump, R0, 0, distance, 0);
        }
    }
    code
}

const JUMP_IF_ZERO: u8 = 0x15;
const JUMP_UNLESS_ZERO: u8 = 0x55;

/// One instruction as it lies in memory: `| operation 8 | registers 4 + 4 | offset 16 | immediate 32 |`.
fn instruction(operation: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let [o0, o1] = offset.to_ne_bytes();
    let [i0, i1, i2, i3] = immediate.to_ne_bytes();
    u64::from_ne_bytes([operation, registers, o0, o1, i0, i1, i2, i3])
}

fn copy(to: u8, from: u8) -> u64 {
    instruction(0xbf, to, from, 0, 0)
}

fn number(to: u8, value: i32) -> u64 {
    instruction(0xb7, to, 0, 0, value)
}

fn add(to: u8, value: i16) -> u64 {
    instruction(0x07, to, 0, 0, i32::from(value))
}

fn call(function: i32) -> u64 {
    instruction(0x85, 0, 0, 0, function)
}

/// Eight bytes of the stack become zero.
fn store_zero(at: i16) -> u64 {
    instruction(0x7a, R10, 0, at, 0)
}

fn store_32(at: i16, from: u8) -> u64 {
    instruction(0x63, R10, from, at, 0)
}

fn load_32(to: u8, from: u8) -> u64 {
    instruction(0x61, to, from, 0, 0)
}

/// The address of a table, which the kernel puts in place of its number.
fn table(to: u8, number: u32) -> [u64; 2] {
    [instruction(0x18, to, 1, 0, number.cast_signed()), 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::udp;

    /// A group of four sockets, and the program in it unless this machine forbids that.
    fn group(address: &str) -> Option<(Vec<UdpSocket>, Steering)> {
        let sockets = udp::bind_shared(address.parse().unwrap(), 4).unwrap();
        match Steering::attach(&[sockets.iter().collect()], 64) {
            Ok(steering) => Some((sockets, steering)),
            Err(error) => {
                assert!(remedy(&error).contains("CAP_BPF"), "{error}");
                None
            }
        }
    }

    /// Sends one datagram and tells in which socket it came up; it was delivered before the call ended.
    fn lands_in(sockets: &[UdpSocket], from: &UdpSocket) -> usize {
        from.send_to(b"?", sockets[0].local_addr().unwrap()).unwrap();
        let mut landed = (0..).zip(sockets).filter(|(_, socket)| socket.recv_from(&mut [0; 8]).is_ok());
        let (place, _) = landed.next().expect("the datagram came up nowhere");
        assert_eq!(landed.count(), 0);
        place
    }

    #[test]
    fn a_source_comes_up_at_its_owner_and_without_one_where_the_hash_says() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some((sockets, steering)) = group(address) else { return };
            let clients: Vec<_> = (0..8).map(|_| UdpSocket::bind(address).unwrap()).collect();
            let by_hash: Vec<_> = clients.iter().map(|client| lands_in(&sockets, client)).collect();
            for owner in 0..4 {
                for client in &clients {
                    steering.steer(SocketIndex::bound(0), client.local_addr().unwrap(), owner).unwrap();
                    assert_eq!(lands_in(&sockets, client), owner as usize, "{address}");
                }
            }
            for (client, place) in clients.iter().zip(by_hash) {
                steering.forget(SocketIndex::bound(0), client.local_addr().unwrap()).unwrap();
                assert_eq!(lands_in(&sockets, client), place);
            }
        }
    }

    #[test]
    fn more_sources_than_there_is_room_for_leave_the_newest_in_place() {
        let Some((sockets, steering)) = group("127.0.0.1:0") else { return };
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = u32::try_from(lands_in(&sockets, &client)).unwrap();
        let other = (place + 1) % 4;
        for port in 1..1000 {
            steering.steer(SocketIndex::bound(0), SocketAddr::from(([192, 0, 2, 1], port)), 0).unwrap();
        }
        steering.steer(SocketIndex::bound(0), client.local_addr().unwrap(), other).unwrap();
        assert_eq!(lands_in(&sockets, &client), other as usize);
    }

    #[test]
    fn an_owner_without_a_socket_and_an_unknown_address_change_nothing() {
        let Some((sockets, steering)) = group("127.0.0.1:0") else { return };
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let by_hash = lands_in(&sockets, &client);
        steering.steer(SocketIndex::bound(0), client.local_addr().unwrap(), 77).unwrap();
        steering.steer(SocketIndex::bound(5), client.local_addr().unwrap(), 1).unwrap();
        assert_eq!(lands_in(&sockets, &client), by_hash);
    }
}
