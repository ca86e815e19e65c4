//! The cryptography of the DTLS implementation: its own, on aws-lc, with three things done otherwise.
//!
//! What a handshake hashes, signs and verifies is what was on the wire, whatever the implementation takes it for
//! (`disguise`). Signatures of peers are verified by `signature`, which knows more kinds of them. And our private key,
//! which is the same for all, is read once.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::crypto::{
    Aad, Buf, Cipher, CryptoProvider, Dtls13CipherSuite, HashAlgorithm, HashContext, HashProvider,
    KeyProvider, Nonce, SignatureAlgorithm, SignatureVerifier, SigningKey, SupportedDtls13CipherSuite,
    TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation};

use super::disguise::Disguise;
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
    static SUITES: OnceLock<&'static [&'static dyn SupportedDtls13CipherSuite]> = OnceLock::new();
    let stock = dimpl::crypto::aws_lc_rs::default_provider();
    let suites = SUITES.get_or_init(|| {
        let wrapped = stock.dtls13_cipher_suites.iter().map(|suite| {
            let wrapped: &'static dyn SupportedDtls13CipherSuite = Box::leak(Box::new(Suite(*suite)));
            wrapped
        });
        wrapped.collect::<Vec<_>>().leak()
    });
    CryptoProvider {
        signature_verification: &Verifier,
        key_provider: &Keys,
        hash_provider: &Hashes,
        dtls13_cipher_suites: suites,
        ..stock
    }
}

fn stock() -> &'static CryptoProvider {
    static STOCK: OnceLock<CryptoProvider> = OnceLock::new();
    STOCK.get_or_init(dimpl::crypto::aws_lc_rs::default_provider)
}

#[derive(Debug)]
struct Hashes;

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        let context = stock().hash_provider.create_hash(algorithm);
        // Most hashes are of handshakes that still run.
        if current(|_| ()).is_some() { Box::new(Hash(context)) } else { context }
    }
}

/// The implementation gives all messages of a handshake at once.
#[derive(Debug)]
struct Hash(Box<dyn HashContext>);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        let undone = current(|disguise| disguise.undone(data)).flatten();
        self.0.update(undone.as_deref().unwrap_or(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        static FIRST: OnceLock<(Vec<u8>, Arc<EcdsaKeyPair>)> = OnceLock::new();
        if let Some((_, pair)) = FIRST.get().filter(|(known, _)| known == key) {
            return Ok(Box::new(Key(Arc::clone(pair))));
        }
        let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key) else {
            return stock().key_provider.load_private_key(key);
        };
        let pair = Arc::new(pair);
        // A process has one key. Only tests have more, and read them again.
        let _ = FIRST.set((key.to_vec(), Arc::clone(&pair)));
        Ok(Box::new(Key(pair)))
    }
}

/// A key on the curve P-256.
struct Key(Arc<EcdsaKeyPair>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").finish_non_exhaustive()
    }
}

impl SigningKey for Key {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash: HashAlgorithm::SHA256,
                requested: hash,
            });
        }
        // A client of 1.2 signs the messages themselves, everybody else what stands for them.
        let is_messages = |disguise: &Disguise| disguise.is_client() && !disguise.is_1_3();
        let undone = current(|disguise| is_messages(disguise).then(|| disguise.undone(data)).flatten());
        let signature = self
            .0
            .sign(&SystemRandom::new(), undone.flatten().as_deref().unwrap_or(data))
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
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
}

/// A cipher suite of 1.3 that tells the disguise what it has decrypted.
#[derive(Debug)]
struct Suite(&'static dyn SupportedDtls13CipherSuite);

impl SupportedDtls13CipherSuite for Suite {
    fn suite(&self) -> Dtls13CipherSuite {
        self.0.suite()
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash_algorithm()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn iv_len(&self) -> usize {
        self.0.iv_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Ok(Box::new(Telling(self.0.create_cipher(key)?)))
    }

    fn encrypt_sn(&self, key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        self.0.encrypt_sn(key, sample)
    }
}

#[derive(Debug)]
struct Telling(Box<dyn Cipher>);

impl Cipher for Telling {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.0.encrypt(plaintext, aad, nonce)
    }

    fn decrypt(&mut self, ciphertext: &mut TmpBuf<'_>, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.0.decrypt(ciphertext, aad, nonce)?;
        current(|disguise| disguise.decrypted(ciphertext.as_mut()));
        Ok(())
    }
}
