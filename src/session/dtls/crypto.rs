//! The cryptography of the DTLS implementation: its own (`provider`), with three things done otherwise.
//!
//! What a handshake hashes, signs and verifies is what was on the wire, whatever the implementation takes it for
//! (`disguise`). Signatures of peers are verified by `signature`, which knows more kinds of them. And our private key,
//! which is the same for all, is read once.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::CryptoError;
use dimpl::crypto::{Buf, CryptoProvider, SigningKey};

use super::disguise::Disguise;
use super::provider::{self, Change, Signed};
use super::signature;

thread_local! {
    /// The disguise of the handshake that is at work on this thread.
    static CURRENT: RefCell<Option<Box<Disguise>>> = const { RefCell::new(None) };
}

/// Does something for the handshake that has this disguise, if it still has one.
pub(super) fn under<T>(disguise: &mut Option<Box<Disguise>>, work: impl FnOnce() -> T) -> T {
    /// Gives it back also where the work panics.
    struct Loan<'a>(&'a mut Option<Box<Disguise>>);

    impl Drop for Loan<'_> {
        fn drop(&mut self) {
            *self.0 = CURRENT.take();
        }
    }

    if disguise.is_none() {
        return work();
    }
    CURRENT.set(disguise.take());
    let _loan = Loan(disguise);
    work()
}

fn current<T>(of: impl FnOnce(&mut Disguise) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|current| current.as_deref_mut().map(of))
}

/// The provider of all handshakes.
pub(super) fn provider() -> CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(|| provider::changed(Undisguise)).clone()
}

/// Puts back what the disguise of the handshake at work has changed.
#[derive(Debug, Clone, Copy)]
struct Undisguise;

impl Change for Undisguise {
    fn changes_hashes(self) -> bool {
        // Most hashes are of handshakes that still run.
        current(|_| ()).is_some()
    }

    fn hashed(self, data: &[u8]) -> Option<Vec<u8>> {
        current(|disguise| disguise.undone(data)).flatten()
    }

    fn signer(self, key: &[u8]) -> Option<Box<dyn SigningKey>> {
        static FIRST: OnceLock<(Vec<u8>, Arc<EcdsaKeyPair>)> = OnceLock::new();
        if let Some((_, pair)) = FIRST.get().filter(|(known, _)| known == key) {
            return Some(signer(Arc::clone(pair)));
        }
        let pair = Arc::new(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).ok()?);
        // A process has one key. Only tests have more, and read them again.
        let _ = FIRST.set((key.to_vec(), Arc::clone(&pair)));
        Some(signer(pair))
    }

    fn verify(self, signed: Signed<'_>) -> Result<(), CryptoError> {
        let Signed { certificate, data, signature, hash, algorithm } = signed;
        // A server of 1.2 verifies the messages themselves.
        let undone = current(|disguise| (!disguise.is_client()).then(|| disguise.undone(data)).flatten());
        let undone = undone.flatten();
        let data = undone.as_deref().unwrap_or(data);
        let restored = current(|disguise| disguise.certificate(certificate)).flatten();
        let certificate = restored.as_deref().unwrap_or(certificate);
        let changed = current(|disguise| disguise.scheme()).flatten();
        let scheme = changed.unwrap_or([hash.as_u8(), algorithm.as_u8()]);
        signature::verify(certificate, data, signature, scheme)
    }

    fn encrypting(self, _: &mut Buf) {}

    fn decrypted(self, plaintext: &mut [u8]) {
        current(|disguise| disguise.decrypted(plaintext));
    }
}

/// A key on the curve P-256.
fn signer(pair: Arc<EcdsaKeyPair>) -> Box<dyn SigningKey> {
    provider::signing_key(move |data| {
        // A client of 1.2 signs the messages themselves, everybody else what stands for them.
        let is_messages = |disguise: &Disguise| disguise.is_client() && !disguise.is_1_3();
        let undone = current(|disguise| is_messages(disguise).then(|| disguise.undone(data)).flatten());
        let signature = pair.sign(&SystemRandom::new(), undone.flatten().as_deref().unwrap_or(data)).ok()?;
        Some(signature.as_ref().to_vec())
    })
}
