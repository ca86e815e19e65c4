use super::*;

/// Numbers without pattern, the same in every run (xorshift64*).
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

fn record(kind: u8, length: usize, offset: usize, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&(offset as u32).to_be_bytes()[1..]);
    message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend_from_slice(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend_from_slice(&(message.len() as u16).to_be_bytes());
    [record, message].concat()
}

fn disguises() -> [Disguise; 4] {
    let [rsa, long] = KEYS.each_ref().map(|key| {
        let mut deep = Disguise::new(Some(SrtpOffer::Gcm));
        (deep.is_1_3, deep.key, deep.scheme) = (true, Some(key), Some(key.scheme));
        deep.suite = Some([0xc0, 0x2f]);
        deep
    });
    [Disguise::new(None), Disguise::new(Some(SrtpOffer::All)), rsa, long]
}

#[test]
fn keys_are_shown_as_what_is_as_long() {
    for key in &KEYS {
        assert_eq!(key.sent.len(), key.shown.len());
        assert_eq!(usize::from(key.sent[1]) + 2, key.sent.len());
        assert_eq!(key.sent[..2], key.shown[..2]);
    }
}

#[test]
fn no_bytes_are_too_odd() {
    let mut noise = Noise(7);
    let mut out = Vec::new();
    for round in 0..20_000_usize {
        let mut bytes = noise.bytes(round % 150);
        for mut disguise in disguises() {
            if round % 2 == 0 {
                let kind = [1, 2, 11, 12, 13, 15][round / 2 % 6];
                bytes = record(kind, bytes.len(), 0, &bytes);
            }
            disguise.outgoing(&bytes, &mut out);
            disguise.incoming(&bytes, &mut out);
            let _ = disguise.undone(&bytes);
            let _ = disguise.certificate(&bytes);
            let length = bytes.len();
            disguise.decrypted(&mut bytes);
            assert_eq!(bytes.len(), length);
            bytes.truncate(length);
        }
    }
}

#[test]
fn what_is_no_handshake_in_the_clear_stays_as_it_is() {
    let mut noise = Noise(8);
    let mut out = Vec::new();
    for round in 0..2_000_usize {
        let mut bytes = noise.bytes(20 + round % 100);
        // Application data, alerts, records of 1.3, SRTP; and handshake records of a later epoch.
        let first = [21, 23, 20, 0x2f, 0x80];
        if round % 6 == 5 {
            bytes = record(2, 80, 0, &noise.bytes(80));
            bytes[4] = 1;
        } else {
            bytes[0] = first[round % 6];
        }
        for mut disguise in disguises() {
            assert!(!disguise.outgoing(&bytes, &mut out) && out == bytes);
            assert!(!disguise.incoming(&bytes, &mut out));
            assert!(disguise.ours.is_empty());
        }
    }
}

#[test]
fn fragments_of_our_messages_pass_as_they_are() {
    let body: Vec<u8> = [&[1, 64, 0, 2, 4, 3][..], &[0, 0]].concat();
    let mut out = Vec::new();
    let mut disguise = Disguise::new(None);
    for (at, end) in [(0, 3), (3, 8), (0, 7)] {
        let bytes = record(kind::CERTIFICATE_REQUEST, body.len(), at, &body[at..end]);
        assert!(!disguise.outgoing(&bytes, &mut out) && out == bytes);
    }
    assert!(disguise.ours.is_empty());
}

#[test]
fn a_request_asks_for_rsa_and_sha_512_as_well_and_is_hashed_as_it_went() {
    let body = [1, 64, 0, 4, 4, 3, 5, 3, 0, 0];
    let (before, after) = (record(2, 40, 0, &[7; 40]), record(14, 0, 0, &[]));
    let flight = [before.clone(), record(kind::CERTIFICATE_REQUEST, 10, 0, &body), after.clone()].concat();
    let (mut disguise, mut out) = (Disguise::new(None), Vec::new());
    assert!(disguise.outgoing(&flight, &mut out));
    let wanted = [2, 64, 1, 0, 8, 4, 3, 5, 3, 6, 3, 4, 1, 0, 0];
    assert_eq!(out, [before, record(kind::CERTIFICATE_REQUEST, 15, 0, &wanted), after].concat());
    let message = |body: &[u8]| record(kind::CERTIFICATE_REQUEST, body.len(), 0, body)[13..].to_vec();
    assert_eq!(disguise.undone(&message(&body)), Some(message(&wanted)));
    // Sent again, it is the same again.
    assert!(disguise.outgoing(&flight, &mut out));
    assert_eq!(disguise.ours.len(), 1);
}
