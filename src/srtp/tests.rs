//! Vectors of RFC 7714, and the properties that every profile has.

use hex_literal::hex;

use super::cipher::Cipher;
use super::*;
use crate::rtp::{HeaderOut, RtpView, write_header};

mod libsrtp;

const SALT: [u8; 14] = *b"Quid pro quo\0\0";

fn key(profile: Profile) -> Vec<u8> {
    (0..profile.key_len() as u8).collect()
}

/// The session key of RFC 7714 16 and 17.
fn rfc_cipher(profile: Profile) -> Cipher {
    Cipher::new(profile, &key(profile), &SALT, &[0; 20]).unwrap()
}

const RTP: [u8; 50] = hex!(
    "8040f17b 8041f8d3 5501a0b2"
    "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573"
);

#[test]
fn rtp_vectors_of_rfc_7714_16_are_sealed_and_opened() {
    let expected: [(Profile, &[u8]); 2] = [
        (
            Profile::AeadAes128Gcm,
            &hex!(
                "8040f17b 8041f8d3 5501a0b2"
                "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833"
                "899d7f27 beb16a91 52cf765e e4390cce"
            ),
        ),
        (
            Profile::AeadAes256Gcm,
            &hex!(
                "8040f17b 8041f8d3 5501a0b2"
                "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b"
                "7aa3db36 dfffd6b0 f9bb7878 d7a76c13"
            ),
        ),
    ];
    for (profile, sealed) in expected {
        let mut packet = RTP.to_vec();
        packet.resize(RTP.len() + profile.overhead(), 0);
        let sender = SrtpSender::new(rfc_cipher(profile));
        let len = sender.seal(&mut packet, 12, RTP.len(), 0xf17b, 0x5501_a0b2).unwrap();
        assert_eq!(&packet[..len], sealed);
        let len = SrtpReceiver::new(rfc_cipher(profile)).open(&mut packet).unwrap();
        assert_eq!(packet[..len], RTP);
    }
}

const RTCP: [u8; 52] = hex!(
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
    "deadbeef deadbeef deadbeef deadbeef deadbeef"
);

#[test]
fn rtcp_vectors_of_rfc_7714_17_are_sealed_and_opened() {
    let expected: [(Profile, &[u8]); 2] = [
        (
            Profile::AeadAes128Gcm,
            &hex!(
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda"
                "4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4"
            ),
        ),
        (
            Profile::AeadAes256Gcm,
            &hex!(
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be"
                "8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4"
            ),
        ),
    ];
    for (profile, sealed) in expected {
        let mut packet = RTCP.to_vec();
        packet.resize(RTCP.len() + profile.rtcp_overhead(), 0);
        let mut sender = SrtcpSender::new(rfc_cipher(profile));
        sender.set_next_index(0x5d4);
        let len = sender.seal(&mut packet, RTCP.len()).unwrap();
        assert_eq!(&packet[..len], sealed);
        let len = SrtcpReceiver::new(rfc_cipher(profile)).open(&mut packet).unwrap();
        assert_eq!(packet[..len], RTCP);
    }
}

#[test]
fn a_compound_that_is_authenticated_only_is_opened() {
    // RFC 7714 17.3: the E bit is clear.
    let mut packet = RTCP.to_vec();
    packet.extend(hex!("841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"));
    let mut receiver = SrtcpReceiver::new(rfc_cipher(Profile::AeadAes128Gcm));
    let mut forged = packet.clone();
    forged[30] ^= 1;
    assert_eq!(receiver.open(&mut forged), Err(OpenError::Authentication));
    assert_eq!(receiver.open(&mut packet), Ok(RTCP.len()));
    assert_eq!(packet[..RTCP.len()], RTCP);
}

/// Keying material without a pattern that repeats between its four parts.
fn material(profile: Profile) -> Vec<u8> {
    (0..profile.keying_material_len() as u8).map(|byte| byte.wrapping_mul(41) ^ 0x5a).collect()
}

/// A sealed packet of the server, with extensions, and its clear bytes.
fn sealed_rtp(sender: &SrtpSender, profile: Profile, index: u64) -> (Vec<u8>, Vec<u8>) {
    let header =
        HeaderOut { marker: false, payload_type: 100, seq: index as u16, timestamp: 1, ssrc: 0xabcd };
    let mut packet = vec![0; 200];
    let header_len = write_header(&mut packet, &header, [(3, &b"mid"[..])].into_iter());
    let len = header_len + 57;
    (header_len..len).for_each(|at| packet[at] = at as u8);
    let clear = packet[..len].to_vec();
    let total = sender.seal(&mut packet, header_len, len, index, 0xabcd).unwrap();
    assert_eq!(total, len + profile.overhead());
    packet.truncate(total);
    (packet, clear)
}

#[test]
fn what_the_server_seals_only_its_client_opens() {
    for profile in Profile::ALL {
        let server = derive(profile, &material(profile)).unwrap();
        let (sealed, clear) = sealed_rtp(&server.sender, profile, 5);
        let header_len = RtpView::parse(&clear).unwrap().header_len();
        assert_eq!(sealed[..header_len], clear[..header_len]);
        assert_ne!(sealed[header_len..clear.len()], clear[header_len..]);

        let mut copy = sealed.clone();
        let mut client = SrtpReceiver::derive(Role::Client, profile, &material(profile)).unwrap();
        let len = client.open(&mut copy).unwrap();
        assert_eq!(copy[..len], clear);

        let mut itself = SrtpReceiver::derive(Role::Server, profile, &material(profile)).unwrap();
        assert_eq!(itself.open(&mut sealed.clone()), Err(OpenError::Authentication));
        let mut other = material(profile);
        other.iter_mut().for_each(|byte| *byte ^= 1);
        let mut stranger = SrtpReceiver::derive(Role::Client, profile, &other).unwrap();
        assert_eq!(stranger.open(&mut sealed.clone()), Err(OpenError::Authentication));
    }
}

#[test]
fn every_changed_byte_of_rtp_is_noticed() {
    for profile in Profile::ALL {
        let server = derive(profile, &material(profile)).unwrap();
        let (sealed, _) = sealed_rtp(&server.sender, profile, 5);
        let mut client = SrtpReceiver::derive(Role::Client, profile, &material(profile)).unwrap();
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 0x04;
            assert!(client.open(&mut forged).is_err(), "{profile} byte {at}");
        }
        assert!(client.open(&mut sealed.clone()).is_ok());
        assert_eq!(client.open(&mut sealed.clone()), Err(OpenError::Replayed));
    }
}

#[test]
fn rtp_is_opened_across_rollovers_and_out_of_order() {
    for profile in Profile::ALL {
        let server = derive(profile, &material(profile)).unwrap();
        let mut client = SrtpReceiver::derive(Role::Client, profile, &material(profile)).unwrap();
        let indices = [0x7fff, 0xfffe, 0x1_0001, 0xffff, 0x1_0000, 0x1_7000, 0x1_e000, 0x2_0003, 0x2_0002];
        for index in indices {
            let (mut sealed, clear) = sealed_rtp(&server.sender, profile, index);
            let len = client.open(&mut sealed).unwrap();
            assert_eq!(sealed[..len], clear, "{profile} {index:x}");
        }
    }
}

#[test]
fn a_packet_without_payload_can_be_sealed_and_lengths_that_lie_are_refused() {
    for profile in Profile::ALL {
        let server = derive(profile, &material(profile)).unwrap();
        let mut packet = RTP;
        assert_eq!(server.sender.seal(&mut packet, 12, 12, 1, 2), Ok(12 + profile.overhead()));
        assert_eq!(server.sender.seal(&mut packet, 12, 50, 2, 2), Err(SealError::Room));
        assert_eq!(server.sender.seal(&mut packet, 13, 12, 3, 2), Err(SealError::Room));
        assert_eq!(server.sender.seal(&mut packet, 12, usize::MAX, 4, 2), Err(SealError::Room));
        assert_eq!(server.sender.seal(&mut packet, 12, 12, 1 << 48, 2), Err(SealError::Exhausted));
    }
}

#[test]
fn reports_go_both_ways_each_with_an_index_of_its_own() {
    for profile in Profile::ALL {
        let mut server = derive(profile, &material(profile)).unwrap();
        let mut client = derive_as(Role::Client, profile, &material(profile)).unwrap();
        let mut seen = Vec::new();
        for (from, to) in [
            (&mut server.rtcp_sender, &mut client.rtcp_receiver),
            (&mut client.rtcp_sender, &mut server.rtcp_receiver),
        ] {
            for _ in 0..3 {
                let mut packet = RTCP.to_vec();
                packet.resize(100, 0);
                let total = from.seal(&mut packet, RTCP.len()).unwrap();
                assert_eq!(total, RTCP.len() + profile.rtcp_overhead());
                packet.truncate(total);
                assert!(!seen.contains(&packet));
                seen.push(packet.clone());
                let len = to.open(&mut packet).unwrap();
                assert_eq!(packet[..len], RTCP);
                let mut again = seen.last().unwrap().clone();
                assert_eq!(to.open(&mut again), Err(OpenError::Replayed));
            }
        }
    }
}

#[test]
fn every_changed_byte_of_rtcp_is_noticed() {
    for profile in Profile::ALL {
        let mut server = derive(profile, &material(profile)).unwrap();
        let mut client = derive_as(Role::Client, profile, &material(profile)).unwrap();
        let mut sealed = RTCP.to_vec();
        sealed.resize(RTCP.len() + profile.rtcp_overhead(), 0);
        server.rtcp_sender.seal(&mut sealed, RTCP.len()).unwrap();
        for at in 0..sealed.len() {
            for bit in [0x80, 0x01] {
                let mut forged = sealed.clone();
                forged[at] ^= bit;
                assert!(client.rtcp_receiver.open(&mut forged).is_err(), "{profile} byte {at}");
            }
        }
        assert_eq!(client.rtcp_receiver.open(&mut sealed), Ok(RTCP.len()));
    }
}

/// The index of a sealed compound, without its E bit.
fn index_of(profile: Profile, sealed: &[u8]) -> u32 {
    let tag = if matches!(profile, Profile::AesCm128HmacSha1_80) { 10 } else { 0 };
    let (_, word) = sealed[..sealed.len() - tag].split_last_chunk().unwrap();
    u32::from_be_bytes(*word) & !(1 << 31)
}

#[test]
fn each_source_has_rtcp_indices_of_its_own_and_none_twice_however_many_there_are() {
    for profile in Profile::ALL {
        let mut server = derive(profile, &material(profile)).unwrap();
        let mut used = std::collections::HashSet::new();
        let mut seal = |ssrc: u32| {
            let mut packet = [0x80; 100];
            packet[4..8].copy_from_slice(&ssrc.to_be_bytes());
            let len = server.rtcp_sender.seal(&mut packet, 28).unwrap();
            let index = index_of(profile, &packet[..len]);
            assert!(used.insert((ssrc, index)), "{profile}: {ssrc} {index}");
            index
        };
        // Three hundred streams that report for a minute use up a minute, not five hours.
        let highest = (0..60).flat_map(|_| 0..300).map(&mut seal).max();
        assert_eq!(highest, Some(59));
        // More than are told apart, then the first ones again.
        assert_eq!((0..10_000).chain(0..300).map(&mut seal).count(), 10_300);
        assert!(seal(0) < 100);
    }
}

#[test]
fn the_last_rtcp_index_is_used_once_and_then_no_more() {
    for profile in Profile::ALL {
        let mut server = derive(profile, &material(profile)).unwrap();
        server.rtcp_sender.set_next_index((1 << 31) - 1);
        let mut packet = [0x80; 100];
        assert!(server.rtcp_sender.seal(&mut packet, 28).is_ok());
        assert_eq!(server.rtcp_sender.seal(&mut packet, 28), Err(SealError::Exhausted));
    }
}

#[test]
fn any_bytes_are_survived_and_none_is_accepted() {
    for profile in Profile::ALL {
        let mut client = derive_as(Role::Client, profile, &material(profile)).unwrap();
        let mut rtp = SrtpReceiver::derive(Role::Client, profile, &material(profile)).unwrap();
        let mut state = 0x1357_9bdf_2468_ace0u64;
        for round in 0..20_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            let mut bytes: Vec<u8> =
                (0..state >> 58).map(|at| (state >> (at % 57)) as u8 ^ at as u8).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | *first & 0x1f;
            }
            assert!(client.rtcp_receiver.open(&mut bytes.clone()).is_err());
            assert!(rtp.open(&mut bytes).is_err());
        }
    }
}
