//! What a client could say if it wanted to, and what it is told: RTCP of any contents, sealed and opened with its own keys.

use std::net::SocketAddr;

use ringcast::ids::ShardId;
use ringcast::srtp::{Contexts, Profile, Role, SrtcpSender, derive_as};
use ringcast_bench::client::Client;

use super::{PeerKey, Sim};

/// What the newest sender report of a stream tells its client (RFC 3550 6.4.1): one moment as NTP and as RTP timestamp.
pub(crate) fn newest_report(sim: &Sim, key: PeerKey, ssrc: u32) -> Option<(u64, u32)> {
    let peer = sim.peer(key);
    let mut datagram = peer.down.newest_reports.get(&ssrc)?.clone();
    contexts(&peer.client).rtcp_receiver.open(&mut datagram).unwrap();
    let (ntp, rest) = datagram[8..].split_first_chunk().unwrap();
    Some((u64::from_be_bytes(*ntp), u32::from_be_bytes(*rest.first_chunk().unwrap())))
}

/// Seals in the name of one client, beside the client itself.
pub(crate) struct Forger {
    sender: SrtcpSender,
    shard: ShardId,
    address: SocketAddr,
}

/// What a client seals by, made a second time.
pub(crate) fn contexts(client: &Client) -> Contexts {
    let keys = client.exported_keys().unwrap();
    let role = if keys.is_active() { Role::Client } else { Role::Server };
    let fits = |profile: &Profile| profile.keying_material_len() == keys.material().len();
    let profile = Profile::ALL.into_iter().find(fits).unwrap();
    derive_as(role, profile, keys.material()).unwrap()
}

/// The SSRC under which it is sent: none that the client has.
const SENDER: u32 = 0x0bad_cafe;

impl Forger {
    pub(crate) fn new(sim: &Sim, key: PeerKey) -> Self {
        let peer = sim.peer(key);
        let sender = contexts(&peer.client).rtcp_sender;
        Self { sender, shard: peer.shard, address: peer.client.address() }
    }

    /// Gives the shard one datagram with that feedback: packet type, format, stream, and what lies behind.
    pub(crate) fn feedback(
        &mut self,
        sim: &mut Sim,
        (kind, format): (u8, u8),
        ssrc: u32,
        information: &[u8],
    ) {
        let words = u16::try_from(2 + information.len() / 4).unwrap();
        let mut datagram = vec![0x80 | format, kind];
        datagram.extend(words.to_be_bytes());
        datagram.extend(SENDER.to_be_bytes());
        datagram.extend(ssrc.to_be_bytes());
        datagram.extend(information);
        self.rtcp(sim, &datagram);
    }

    /// Gives the shard one compound; what is too short to be sealed is nothing.
    pub(crate) fn rtcp(&mut self, sim: &mut Sim, compound: &[u8]) {
        let mut datagram = [compound, &[0; 100]].concat();
        if let Ok(sealed) = self.sender.seal(&mut datagram, compound.len()) {
            sim.inject(self.shard, self.address, &datagram[..sealed]);
        }
    }

    /// Asks again for all packets from `first` on, seventeen with each entry.
    pub(crate) fn nack(&mut self, sim: &mut Sim, ssrc: u32, first: u16, entries: u16) {
        let of = |entry: u16| [first.wrapping_add(entry * 17).to_be_bytes(), [0xff; 2]].concat();
        let information: Vec<u8> = (0..entries).flat_map(of).collect();
        self.feedback(sim, (205, 1), ssrc, &information);
    }
}
