//! A provider of cryptography for the DTLS implementation that does all as the implementation's own one, on aws-lc, but for
//! a few things. Owns the repetition that this takes; what is done otherwise it is told.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use dimpl::crypto::{
    Aad, Buf, Cipher, CryptoProvider, Dtls13CipherSuite, HashAlgorithm, HashContext, HashProvider,
    KeyProvider, Nonce, SignatureAlgorithm, SignatureVerifier, SigningKey, SupportedDtls13CipherSuite,
    TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation};

/// What is done otherwise.
pub(super) trait Change:
    Copy + fmt::Debug + Send + Sync + UnwindSafe + RefUnwindSafe + 'static
{
    /// Whether a hash that begins now may be of other bytes than it is given.
    fn changes_hashes(self) -> bool;

    /// What is hashed in place of these bytes. The implementation gives all messages of a handshake at once.
    fn hashed(self, data: &[u8]) -> Option<Vec<u8>>;

    /// The signer with this private key; `None` to have the implementation's own provider read it.
    fn signer(self, key: &[u8]) -> Option<Box<dyn SigningKey>>;

    /// Verifies a signature over a handshake.
    fn verify(self, signed: Signed<'_>) -> Result<(), CryptoError>;

    /// Is shown what is about to be encrypted by 1.3.
    fn encrypting(self, plaintext: &mut Buf);

    /// Is shown what was decrypted by 1.3.
    fn decrypted(self, plaintext: &mut [u8]);
}

/// A signature that is to be verified.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) certificate: &'a [u8],
    pub(super) data: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) hash: HashAlgorithm,
    pub(super) algorithm: SignatureAlgorithm,
}

/// The implementation's own provider.
pub(super) fn stock() -> &'static CryptoProvider {
    static STOCK: OnceLock<CryptoProvider> = OnceLock::new();
    STOCK.get_or_init(dimpl::crypto::aws_lc_rs::default_provider)
}

/// The provider with a change. What it consists of lives as long as the process: make one of each kind.
pub(super) fn changed(change: impl Change) -> CryptoProvider {
    let provider: &'static _ = Box::leak(Box::new(Changed(change)));
    let suites = stock().dtls13_cipher_suites.iter().map(|suite| {
        let suite: &'static dyn SupportedDtls13CipherSuite = Box::leak(Box::new(Suite(*suite, change)));
        suite
    });
    CryptoProvider {
        signature_verification: provider,
        key_provider: provider,
        hash_provider: provider,
        dtls13_cipher_suites: suites.collect::<Vec<_>>().leak(),
        ..stock().clone()
    }
}

/// A key for signatures over SHA-256, which the implementation takes for one of ECDSA.
pub(super) fn signing_key<S>(sign: S) -> Box<dyn SigningKey>
where
    S: Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + UnwindSafe + RefUnwindSafe + 'static,
{
    Box::new(Key(sign))
}

#[derive(Debug)]
struct Changed<C>(C);

impl<C: Change> HashProvider for Changed<C> {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        let context = stock().hash_provider.create_hash(algorithm);
        if self.0.changes_hashes() { Box::new(Hash(context, self.0)) } else { context }
    }
}

impl<C: Change> KeyProvider for Changed<C> {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        self.0.signer(key).map_or_else(|| stock().key_provider.load_private_key(key), Ok)
    }
}

impl<C: Change> SignatureVerifier for Changed<C> {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        self.0.verify(Signed { certificate, data, signature, hash, algorithm })
    }
}

#[derive(Debug)]
struct Hash<C>(Box<dyn HashContext>, C);

impl<C: Change> HashContext for Hash<C> {
    fn update(&mut self, data: &[u8]) {
        let other = self.1.hashed(data);
        self.0.update(other.as_deref().unwrap_or(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

struct Key<S>(S);

impl<S> fmt::Debug for Key<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").finish_non_exhaustive()
    }
}

impl<S> SigningKey for Key<S>
where
    S: Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + UnwindSafe + RefUnwindSafe,
{
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash: HashAlgorithm::SHA256,
                requested: hash,
            });
        }
        let signature = (self.0)(data).ok_or(CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(&signature);
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
struct Suite<C>(&'static dyn SupportedDtls13CipherSuite, C);

impl<C: Change> SupportedDtls13CipherSuite for Suite<C> {
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
        Ok(Box::new(Shown(self.0.create_cipher(key)?, self.1)))
    }

    fn encrypt_sn(&self, key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        self.0.encrypt_sn(key, sample)
    }
}

/// A cipher that shows what goes through it.
#[derive(Debug)]
struct Shown<C>(Box<dyn Cipher>, C);

impl<C: Change> Cipher for Shown<C> {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.1.encrypting(plaintext);
        self.0.encrypt(plaintext, aad, nonce)
    }

    fn decrypt(&mut self, ciphertext: &mut TmpBuf<'_>, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.0.decrypt(ciphertext, aad, nonce)?;
        self.1.decrypted(ciphertext.as_mut());
        Ok(())
    }
}
