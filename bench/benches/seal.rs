//! Which library seals fastest: `cargo bench --profile release --workspace --bench seal`. The same packets, keys
//! prepared once, sealed in place; each line is the time of one packet. The answer belongs to the processor on which it
//! is asked; `src/srtp/` builds on it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends where its premise ends")]

use std::hint::black_box;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use ringcast::srtp::{Profile, derive};
use ringcast_bench::stopwatch::Stopwatch;

/// Payload bytes: of sound, and of a full packet of video.
const LENGTHS: [usize; 2] = [120, 1200];
/// Authenticated and not encrypted: a header with extensions.
const HEADER: [u8; 24] = [0x5a; 24];

fn main() {
    let stopwatch = Stopwatch::from_command_line();
    for bench in [gcm_128 as fn(&Stopwatch, usize), gcm_256, cm_parts, ours] {
        for len in LENGTHS {
            bench(&stopwatch, len);
        }
    }
}

/// A nonce that differs from the one before.
fn nonce(counter: &mut u64) -> [u8; 12] {
    *counter += 1;
    let mut nonce = [7; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

fn gcm_128(stopwatch: &Stopwatch, len: usize) {
    ring_gcm(stopwatch, "gcm_128", &ring::aead::AES_128_GCM, len);
    aws_lc_gcm(stopwatch, "gcm_128", &aws_lc_rs::aead::AES_128_GCM, len);
}

fn gcm_256(stopwatch: &Stopwatch, len: usize) {
    ring_gcm(stopwatch, "gcm_256", &ring::aead::AES_256_GCM, len);
    aws_lc_gcm(stopwatch, "gcm_256", &aws_lc_rs::aead::AES_256_GCM, len);
}

fn ring_gcm(stopwatch: &Stopwatch, name: &str, algorithm: &'static ring::aead::Algorithm, len: usize) {
    use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[9; 32][..algorithm.key_len()]).unwrap());
    let (mut payload, mut counter) = (vec![0x5a; len], 0);
    stopwatch.time(&format!("{name}/ring/{len}"), 1, || {
        let nonce = Nonce::assume_unique_for_key(nonce(&mut counter));
        let payload = black_box(&mut payload[..]);
        key.seal_in_place_separate_tag(nonce, Aad::from(&HEADER), payload).unwrap()
    });
}

fn aws_lc_gcm(stopwatch: &Stopwatch, name: &str, algorithm: &'static aws_lc_rs::aead::Algorithm, len: usize) {
    use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[9; 32][..algorithm.key_len()]).unwrap());
    let (mut payload, mut counter) = (vec![0x5a; len], 0);
    stopwatch.time(&format!("{name}/aws-lc/{len}"), 1, || {
        let nonce = Nonce::assume_unique_for_key(nonce(&mut counter));
        let payload = black_box(&mut payload[..]);
        key.seal_in_place_separate_tag(nonce, Aad::from(&HEADER), payload).unwrap()
    });
}

/// AES counter mode and HMAC-SHA1 apart, and what a key schedule that is not kept costs.
fn cm_parts(stopwatch: &Stopwatch, len: usize) {
    let new_key = || EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &[9; 16]).unwrap()).unwrap();
    let (kept, mut payload, mut counter) = (new_key(), vec![0x5a; len], 0);
    stopwatch.time(&format!("cm_128_parts/aws-lc_ctr_key_kept/{len}"), 1, || {
        encrypt(&kept, &mut counter, black_box(&mut payload))
    });
    stopwatch.time(&format!("cm_128_parts/aws-lc_ctr_key_each_time/{len}"), 1, || {
        encrypt(&new_key(), &mut counter, black_box(&mut payload))
    });
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[9; 20]);
    stopwatch.time(&format!("cm_128_parts/aws-lc_hmac/{len}"), 1, || {
        aws_lc_rs::hmac::sign(&key, black_box(&payload))
    });
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[9; 20]);
    stopwatch
        .time(&format!("cm_128_parts/ring_hmac/{len}"), 1, || ring::hmac::sign(&key, black_box(&payload)));
}

fn encrypt(key: &EncryptingKey, counter: &mut u64, payload: &mut [u8]) {
    *counter += 1;
    let block = u128::from(*counter) << 16;
    let context = EncryptionContext::Iv128(FixedLength::from(block.to_be_bytes()));
    black_box(key.less_safe_encrypt(payload, context)).unwrap();
}

/// What `src/srtp/` makes of it.
fn ours(stopwatch: &Stopwatch, len: usize) {
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
        let sender = derive(profile, &material).unwrap().sender;
        let total = HEADER.len() + len;
        let (mut packet, mut index) = (vec![0x5a; total + profile.overhead()], 0);
        stopwatch.time(&format!("ours/{}/{len}", profile.name()), 1, || {
            index += 1;
            sender.seal(black_box(&mut packet), HEADER.len(), total, index, 5).unwrap()
        });
    }
}
