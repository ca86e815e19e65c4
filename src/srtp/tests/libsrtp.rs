//! The same bytes as libsrtp: packets that it sealed, with rollovers, extensions and reports of several sources.
//!
//! Sealing is a function of key, source and index, so equal bytes say that each side opens what the other seals.
//! `tests/vectors/libsrtp.py` wrote the packets and says how to write them again.

use super::*;

const VECTORS: &str = include_str!("../../../tests/vectors/libsrtp.txt");

/// The packets of one profile.
struct Vectors {
    profile: Profile,
    material: Vec<u8>,
    rtp: Vec<Vector>,
    rtcp: Vec<Vector>,
}

/// One packet in clear and sealed.
struct Vector {
    index: u64,
    clear: Vec<u8>,
    sealed: Vec<u8>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn vectors() -> Vec<Vectors> {
    let mut all: Vec<Vectors> = Vec::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["keys", name, material] => {
                let profile = Profile::ALL.into_iter().find(|profile| profile.name() == name).unwrap();
                let (rtp, rtcp) = (Vec::new(), Vec::new());
                all.push(Vectors { profile, material: bytes(material), rtp, rtcp });
            }
            [kind, index, clear, sealed] => {
                let index = u64::from_str_radix(index, 16).unwrap();
                let vector = Vector { index, clear: bytes(clear), sealed: bytes(sealed) };
                let profile = all.last_mut().unwrap();
                if kind == "rtp" { profile.rtp.push(vector) } else { profile.rtcp.push(vector) }
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(all.len(), Profile::ALL.len());
    assert!(all.iter().all(|one| one.rtp.len() == 16 && one.rtcp.len() == 6));
    all
}

#[test]
fn rtp_is_sealed_as_libsrtp_seals_it() {
    for Vectors { profile, material, rtp, .. } in vectors() {
        let sender = derive(profile, &material).unwrap().sender;
        for Vector { index, clear, sealed } in rtp {
            let view = RtpView::parse(&clear).unwrap();
            let (header_len, ssrc) = (view.header_len(), view.ssrc());
            let mut packet = clear.clone();
            packet.resize(clear.len() + profile.overhead(), 0);
            let len = sender.seal(&mut packet, header_len, clear.len(), index, ssrc).unwrap();
            assert_eq!(packet[..len], sealed, "{profile} {ssrc:x} {index:x}");
        }
    }
}

#[test]
fn rtp_that_libsrtp_sealed_is_opened_through_rollovers() {
    for Vectors { profile, material, rtp, .. } in vectors() {
        let mut receiver = SrtpReceiver::derive(Role::Client, profile, &material).unwrap();
        for Vector { index, clear, mut sealed } in rtp {
            let len = receiver.open(&mut sealed).unwrap();
            assert_eq!(sealed[..len], clear, "{profile} {index:x}");
        }
    }
}

#[test]
fn rtcp_is_sealed_as_libsrtp_seals_it() {
    for Vectors { profile, material, rtcp, .. } in vectors() {
        let mut sender = derive(profile, &material).unwrap().rtcp_sender;
        for Vector { index, clear, sealed } in rtcp {
            let mut packet = clear.clone();
            packet.resize(clear.len() + profile.rtcp_overhead(), 0);
            // libsrtp counts from 1, this module from 0.
            sender.set_next_index(u32::try_from(index).unwrap());
            let len = sender.seal(&mut packet, clear.len()).unwrap();
            assert_eq!(packet[..len], sealed, "{profile} {index}");
        }
    }
}

#[test]
fn rtcp_that_libsrtp_sealed_is_opened() {
    for Vectors { profile, material, rtcp, .. } in vectors() {
        let mut receiver = derive_as(Role::Client, profile, &material).unwrap().rtcp_receiver;
        for Vector { index, clear, mut sealed } in rtcp {
            let len = receiver.open(&mut sealed).unwrap();
            assert_eq!(sealed[..len], clear, "{profile} {index}");
        }
    }
}
