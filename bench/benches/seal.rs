//! Which library seals fastest: `cargo bench --profile release --workspace --bench seal`. The same packets, keys
//! prepared once, sealed in place. The answer belongs to the processor on which it is asked; `src/srtp/` builds on it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends where its premise ends")]

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ringcast::srtp::{Profile, derive};

/// Payload bytes: of sound, and of a full packet of video.
const LENGTHS: [usize; 2] = [120, 1200];
/// Authenticated and not encrypted: a header with extensions.
const HEADER: [u8; 24] = [0x5a; 24];

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, bench) in [
        ("gcm_128", gcm_128 as fn(&mut Group<'_>, usize)),
        ("gcm_256", gcm_256),
        ("cm_128_parts", cm_parts),
        ("ours", ours),
    ] {
        let mut group = criterion.benchmark_group(name);
        for len in LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            bench(&mut group, len);
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A nonce that differs from the one before.
fn nonce(counter: &mut u64) -> [u8; 12] {
    *counter += 1;
    let mut nonce = [7; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

fn gcm_128(group: &mut Group<'_>, len: usize) {
    ring_gcm(group, &ring::aead::AES_128_GCM, len);
    aws_lc_gcm(group, &aws_lc_rs::aead::AES_128_GCM, len);
}

fn gcm_256(group: &mut Group<'_>, len: usize) {
    ring_gcm(group, &ring::aead::AES_256_GCM, len);
    aws_lc_gcm(group, &aws_lc_rs::aead::AES_256_GCM, len);
}

fn ring_gcm(group: &mut Group<'_>, algorithm: &'static ring::aead::Algorithm, len: usize) {
    use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[9; 32][..algorithm.key_len()]).unwrap());
    let (mut payload, mut counter) = (vec![0x5a; len], 0);
    group.bench_function(BenchmarkId::new("ring", len), |bencher| {
        bencher.iter(|| {
            let nonce = Nonce::assume_unique_for_key(nonce(&mut counter));
            let payload = black_box(&mut payload[..]);
            key.seal_in_place_separate_tag(nonce, Aad::from(&HEADER), payload).unwrap()
        });
    });
}

fn aws_lc_gcm(group: &mut Group<'_>, algorithm: &'static aws_lc_rs::aead::Algorithm, len: usize) {
    use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[9; 32][..algorithm.key_len()]).unwrap());
    let (mut payload, mut counter) = (vec![0x5a; len], 0);
    group.bench_function(BenchmarkId::new("aws-lc", len), |bencher| {
        bencher.iter(|| {
            let nonce = Nonce::assume_unique_for_key(nonce(&mut counter));
            let payload = black_box(&mut payload[..]);
            key.seal_in_place_separate_tag(nonce, Aad::from(&HEADER), payload).unwrap()
        });
    });
}

/// AES counter mode and HMAC-SHA1 apart, and what a key schedule that is not kept costs.
fn cm_parts(group: &mut Group<'_>, len: usize) {
    let new_key = || EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &[9; 16]).unwrap()).unwrap();
    let (kept, mut payload, mut counter) = (new_key(), vec![0x5a; len], 0);
    group.bench_function(BenchmarkId::new("aws-lc_ctr_key_kept", len), |bencher| {
        bencher.iter(|| encrypt(&kept, &mut counter, black_box(&mut payload)));
    });
    group.bench_function(BenchmarkId::new("aws-lc_ctr_key_each_time", len), |bencher| {
        bencher.iter(|| encrypt(&new_key(), &mut counter, black_box(&mut payload)));
    });
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[9; 20]);
    group.bench_function(BenchmarkId::new("aws-lc_hmac", len), |bencher| {
        bencher.iter(|| aws_lc_rs::hmac::sign(&key, black_box(&payload)));
    });
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[9; 20]);
    group.bench_function(BenchmarkId::new("ring_hmac", len), |bencher| {
        bencher.iter(|| ring::hmac::sign(&key, black_box(&payload)));
    });
}

fn encrypt(key: &EncryptingKey, counter: &mut u64, payload: &mut [u8]) {
    *counter += 1;
    let block = u128::from(*counter) << 16;
    let context = EncryptionContext::Iv128(FixedLength::from(block.to_be_bytes()));
    black_box(key.less_safe_encrypt(payload, context)).unwrap();
}

/// What `src/srtp/` makes of it.
fn ours(group: &mut Group<'_>, len: usize) {
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
        let sender = derive(profile, &material).unwrap().sender;
        let total = HEADER.len() + len;
        let (mut packet, mut index) = (vec![0x5a; total + profile.overhead()], 0);
        group.bench_function(BenchmarkId::new(profile.name(), len), |bencher| {
            bencher.iter(|| {
                index += 1;
                sender.seal(black_box(&mut packet), HEADER.len(), total, index, 5).unwrap()
            });
        });
    }
}
