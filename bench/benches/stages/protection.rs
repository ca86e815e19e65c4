//! Sealing and opening.

use std::hint::black_box;

use ringcast::srtp::{Contexts, Profile, Role, derive, derive_as};

use super::{REPORTS, Run};

const SSRC: u32 = 0x1234_5678;
/// A fixed header, and a block with two extensions.
const HEADER_LEN: usize = 24;
/// A sender report and CNAME.
const REPORT_LEN: usize = 52;

fn contexts(role: Role, profile: Profile) -> Contexts {
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
    derive_as(role, profile, &material).unwrap()
}

/// Seals one packet of that payload after the other, in one buffer.
fn seal(profile: Profile, payload_len: usize) -> Run {
    let sender = contexts(Role::Server, profile).sender;
    let len = HEADER_LEN + payload_len;
    let mut packet = vec![0x5a; len + profile.overhead()];
    let mut index = 0;
    Box::new(move || {
        index += 1;
        let sealed = sender.seal(black_box(&mut packet), HEADER_LEN, len, index, SSRC);
        black_box(sealed).unwrap();
    })
}

pub(super) fn seal_gcm_128_120() -> Run {
    seal(Profile::AeadAes128Gcm, 120)
}

pub(super) fn seal_gcm_128_1200() -> Run {
    seal(Profile::AeadAes128Gcm, 1200)
}

pub(super) fn seal_gcm_256_120() -> Run {
    seal(Profile::AeadAes256Gcm, 120)
}

pub(super) fn seal_gcm_256_1200() -> Run {
    seal(Profile::AeadAes256Gcm, 1200)
}

pub(super) fn seal_cm_120() -> Run {
    seal(Profile::AesCm128HmacSha1_80, 120)
}

pub(super) fn seal_cm_1200() -> Run {
    seal(Profile::AesCm128HmacSha1_80, 1200)
}

fn report() -> Vec<u8> {
    let mut report = vec![0x5a; REPORT_LEN];
    report[..8].copy_from_slice(&[0x80, 200, 0, 12, 0x12, 0x34, 0x56, 0x78]);
    report
}

pub(super) fn srtcp_seal_gcm_128() -> Run {
    let profile = Profile::AeadAes128Gcm;
    let mut sender = contexts(Role::Server, profile).rtcp_sender;
    let mut packet = report();
    packet.resize(REPORT_LEN + profile.rtcp_overhead(), 0);
    Box::new(move || {
        black_box(sender.seal(black_box(&mut packet), REPORT_LEN)).unwrap();
    })
}

/// Opens sixteen reports, each from a copy, with a receiver that has seen none of them.
fn srtcp_open(profile: Profile) -> Run {
    let mut client = contexts(Role::Client, profile).rtcp_sender;
    let sealed: Vec<Vec<u8>> = (0..REPORTS)
        .map(|_| {
            let mut packet = report();
            packet.resize(REPORT_LEN + profile.rtcp_overhead(), 0);
            client.seal(&mut packet, REPORT_LEN).unwrap();
            packet
        })
        .collect();
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
    let mut copy = sealed[0].clone();
    Box::new(move || {
        let mut receiver = derive(profile, &material).unwrap().rtcp_receiver;
        for packet in &sealed {
            copy.copy_from_slice(packet);
            black_box(receiver.open(black_box(&mut copy))).unwrap();
        }
    })
}

pub(super) fn srtcp_open_gcm_128() -> Run {
    srtcp_open(Profile::AeadAes128Gcm)
}

pub(super) fn srtcp_open_cm() -> Run {
    srtcp_open(Profile::AesCm128HmacSha1_80)
}
