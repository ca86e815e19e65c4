//! Signatures of peers: by ECDSA on each curve that clients have keys of, and by RSA.
//!
//! It knows certificates as bytes; whether one is the described one is for `fingerprint` to say. The work is bounded by the
//! longest key that is taken, and by a certificate that came in one handshake.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    self as known, EcdsaVerificationAlgorithm, UnparsedPublicKey, VerificationAlgorithm,
};
use dimpl::crypto::SignatureAlgorithm;
use dimpl::{CryptoError, CryptoOperation};
use p224::ecdsa::signature::hazmat::PrehashVerifier;

use super::disguise::{RSA_PKCS1, RSA_PSS};
use super::wire;

/// The second byte of an algorithm of ECDSA (RFC 5246 7.4.1.4.1).
const ECDSA: u8 = 3;

/// A curve by the object that names it in a certificate (RFC 5480 2.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P224,
    P256,
    P384,
    P521,
}

const CURVES: [(&[u8], Curve); 4] = [
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], Curve::P224),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], Curve::P256),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], Curve::P384),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], Curve::P521),
];

/// Verifies what the owner of a certificate has signed by an algorithm as it is numbered in TLS.
///
/// In 1.2 any hash goes with any curve (RFC 5246 7.4.1.4.1); that in 1.3 they go in pairs is seen to before.
pub(super) fn verify(
    certificate: &[u8],
    data: &[u8],
    signature: &[u8],
    scheme: [u8; 2],
) -> Result<(), CryptoError> {
    let key = public_key(certificate).ok_or(CryptoError::CertificateParseFailed)?;
    verify_by(key, data, signature, scheme)
}

fn verify_by(key: &[u8], data: &[u8], signature: &[u8], scheme: [u8; 2]) -> Result<(), CryptoError> {
    let algorithm: &'static dyn VerificationAlgorithm = match scheme {
        RSA_PSS => &known::RSA_PSS_2048_8192_SHA256,
        RSA_PKCS1 => &known::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        [hash, ECDSA] => {
            let (curve, point) = curve_and_point(key).ok_or(CryptoError::UnsupportedPublicKeyAlgorithm)?;
            match curve.ok_or(CryptoError::UnsupportedEcCurve)? {
                Curve::P224 => return verify_p224(point, data, signature, hash).ok_or(WRONG),
                curve => ecdsa(curve, hash).ok_or(UNKNOWN)?,
            }
        }
        _ => return Err(UNKNOWN),
    };
    UnparsedPublicKey::new(algorithm, key).verify(data, signature).map_err(|_| WRONG)
}

const WRONG: CryptoError = CryptoError::OperationFailed(CryptoOperation::VerifySignature);
const UNKNOWN: CryptoError = CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::ECDSA);

/// SHA-256, SHA-384 and SHA-512 are 4 to 6 (RFC 5246 7.4.1.4.1).
fn ecdsa(curve: Curve, hash: u8) -> Option<&'static EcdsaVerificationAlgorithm> {
    Some(match (curve, hash) {
        (Curve::P256, 4) => &known::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, 5) => &known::ECDSA_P256_SHA384_ASN1,
        (Curve::P256, 6) => &known::ECDSA_P256_SHA512_ASN1,
        (Curve::P384, 4) => &known::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, 5) => &known::ECDSA_P384_SHA384_ASN1,
        (Curve::P384, 6) => &known::ECDSA_P384_SHA512_ASN1,
        (Curve::P521, 4) => &known::ECDSA_P521_SHA256_ASN1,
        (Curve::P521, 5) => &known::ECDSA_P521_SHA384_ASN1,
        (Curve::P521, 6) => &known::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// The curve of ffmpeg's certificates where it is built upon GnuTLS. The crate of aws-lc has no such keys.
fn verify_p224(point: &[u8], data: &[u8], signature: &[u8], hash: u8) -> Option<()> {
    let hash = match hash {
        4 => &SHA256,
        5 => &SHA384,
        6 => &SHA512,
        _ => return None,
    };
    let key = p224::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p224::ecdsa::DerSignature::try_from(signature).ok()?;
    key.verify_prehash(digest::digest(hash, data).as_ref(), &signature).ok()
}

/// The curve of a SubjectPublicKeyInfo, if we know it, and the point on it (RFC 5480 2).
fn curve_and_point(key: &[u8]) -> Option<(Option<Curve>, &[u8])> {
    /// id-ecPublicKey.
    const ELLIPTIC: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let (_, key, _) = element(key)?;
    let (_, algorithm, point) = element(key)?;
    let (_, name, parameters) = element(algorithm)?;
    let (_, curve, _) = element(parameters)?;
    // In front of a string of bits stands how many of its last byte are not used.
    let (_, point, _) = element(point)?;
    let (_unused, point) = point.split_first()?;
    let curve = CURVES.into_iter().find(|(object, _)| *object == curve).map(|(_, curve)| curve);
    (name == ELLIPTIC).then_some((curve, point))
}

/// The SubjectPublicKeyInfo of a certificate (RFC 5280 4.1), as it stands there.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    /// Context-specific 0: the version, which the first version of certificates leaves out.
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm of the signature, issuer, validity, subject.
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let (whole, ..) = element(fields)?;
    Some(whole)
}

/// An element of DER at the start of some bytes: the whole of it, its content, what follows (X.690 8.1).
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (_, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (wire::number(length), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - after.len())?;
    Some((whole, content, after))
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    const DATA: &[u8] = b"what both sides have said";

    /// Keys of OpenSSL, and its signatures of the data with SHA-256, SHA-384 and SHA-512.
    const KEYS: [(&[u8], [&[u8]; 3]); 4] = [
        (
            // secp224r1
            &hex!(
                "304e301006072a8648ce3d020106052b81040021033a00048cad01d3f6aade0ce7ec519971cd84144c8349e516f98b
                 a2f744fdbd784b7c816ba559167986e10bd063221631a0a765529389ec3bc23a50"
            ),
            [
                &hex!(
                    "303c021c458269b016943ef8cbfefa90c9a16dda36ddc5de65c5319381b0347f021c5bcf830504f29f86152166
                     b0369ff9bb4bb029406de9c1aed3e86152"
                ),
                &hex!(
                    "303d021d009bbc56a357e71f5179832715bc8b3444e0b3e690f91408dafdde86f3021c64e4abdc6261149453a1
                     6f434344e2bd46fc7bd807ccea2de4a66e9c"
                ),
                &hex!(
                    "303d021c06517b9d09bb1c8b8bc2126a07477c5b354784b8267f7b1f7088f2b7021d00be9b6df1b2aa107dcfcd
                     0d9e839c12a08edf968363b3a3f1e1a8b717"
                ),
            ],
        ),
        (
            // prime256v1
            &hex!(
                "3059301306072a8648ce3d020106082a8648ce3d030107034200046e10f99804e6d52d36b263956036930f224bc64b
                 7c31638f59050571c3037a58377eb81a8d14e13768815c8c19ac685371cd8de7b598e48a0289982468dee6f8"
            ),
            [
                &hex!(
                    "3045022100836dd0ed540a74ebc4c9efb75217a0935ff0c365a18f0c862b8f0bb8d13f690f0220714961f23b69
                     e0e1e10ffd2a250e1c8f853f65636c871a9b14f4e962562b5f36"
                ),
                &hex!(
                    "3045022100e62ad668ccffa5ea68422f9d9d08e0e382f216ab2583d5be70fdf39293da403b022008e50033e403
                     aab0abebe45a712c1c2ff597324b5c3de7c060664ecc4623448c"
                ),
                &hex!(
                    "304502200ae7f42e68bd7832c91dad9112ed9a5ea52f3b651c69113baeafd4c47aaa77c5022100fa8de4b166ef
                     137e1d6f05a19448b0461a3ce28749d8f7cf140e0a3c9c175922"
                ),
            ],
        ),
        (
            // secp384r1
            &hex!(
                "3076301006072a8648ce3d020106052b8104002203620004ffdcc583e17d1aefcd0782c2d74108722d8feb262ba618
                 8d2f2b960b6bf9f96778f5b9df56ea1033e8300ca516916afb62bdd209adf50fc79525ecc930b2473942de24565eea
                 219c84529bab21e80d197ab582464c2d86b65f60447f642f5ba5"
            ),
            [
                &hex!(
                    "3064023052e2f02f46661f9a462ba5b857aacdc69c049ac0d745af77940224320118254da8996e45be484f9573
                     c3363a2f13e7d902303b91603a320c737a3c62f4569225865cebb74e97aa81e3c55fac967269eb91e71365ad65
                     35dadb8abd4da830801f5cd1"
                ),
                &hex!(
                    "3064023060513e762a316bf0f1dfbc516878b602670a6084a095eb1cab93a3eedece331105da4e182cc7caf5ec
                     32ae271b7f45af02300848fea4c1f9a68cb4feef26bfa6f2fd63cc876b965881d64e8e7b68a859d5b5d77c24c4
                     537a0503d387da39c3806080"
                ),
                &hex!(
                    "30650231009630b6474bcc1470b24ea1ed057babaacc1ff7b8efec2f32bd0efccc2fe22fbcd2ec4291368103c4
                     dc9d5c5648346c7c023010ce175d216358733ea4229bd1d8b9300605c5651aa8192d7698e03c7b35057f7aaa4c
                     a09003dd719dc60a6509643be0"
                ),
            ],
        ),
        (
            // secp521r1
            &hex!(
                "30819b301006072a8648ce3d020106052b81040023038186000400106ce8daf2c1c54a36a3b9cccd3a9c3b7a4a75fe
                 4ecf4842cbe39da53a5bcb224b9e605f843f1993e1f4fb53fd1651784098b7dc81f7cc99eea8e3f000e028e3d801c8
                 de4fc0aca5d825b3b8352d3d850b0494b75fab9f28df4494d01e5687149ed2b70aa6f1d795802c70b0d68947d1ec26
                 55dae2e4a04f7d6b42343b8fb7fa25adc5"
            ),
            [
                &hex!(
                    "308187024200e8e8a8618e621081f09b9fd21d694aa87b749e791712f770f46b6e7d267d4d17905a66838f1c2b
                     0e24750699c7e46d8150659bf2dc972691fb573c550067409037024154f435aeeaa95ff4403d9a1055d4a99022
                     d1e1142f4b146e80f3a2c37ac672d0f9d37b97d9f7bd15d213b33c221765c312bb117333de71eb2362ef837778
                     98cc3a"
                ),
                &hex!(
                    "308188024200c923cc860d9e67eed9607deb996cf0c19c2573e5b510587f1964a006011b30805491272414a135
                     76ca9633db5977a871ddc5ed3c65fbc565f6c40426be1f403124024201ef90ff113d53f484198b2b936a16b3fc
                     a51868c97d8c227b97681ac797a8c5f095a3118fdb174a608dc5eea036a27c7c930096b54a959faff6541770b3
                     ba5b5c76"
                ),
                &hex!(
                    "30818702412ac36f5a55ea1ee629e07be715c2206c43b058ac7e5b243be68137b8b94effc354c08d55c9028aff
                     e38cdc80431794072d4e9cac283b3f651c00d4bcc2d7d253bc024200ac95411d4578b37dd04d32642947ebe1be
                     be07d98a1874f943de1584b579f762dc1853004e2bfc7ebbe29fd453d4270146003572664534b2611f7675a254
                     c725df"
                ),
            ],
        ),
    ];

    #[test]
    fn a_signature_holds_by_its_key_and_hash_for_what_was_signed_and_for_nothing_else() {
        for (at, (key, signatures)) in KEYS.into_iter().enumerate() {
            for (hash, signature) in (4..).zip(signatures) {
                let holds =
                    |key, data, signature, hash| verify_by(key, data, signature, [hash, ECDSA]).is_ok();
                assert!(holds(key, DATA, signature, hash), "curve {at}, hash {hash}");
                assert!(!holds(key, b"something else", signature, hash));
                assert!((4..7).all(|other| other == hash || !holds(key, DATA, signature, other)));
                assert!(KEYS.iter().all(|(other, _)| *other == key || !holds(other, DATA, signature, hash)));
                let mut broken = signature.to_vec();
                *broken.last_mut().unwrap() ^= 1;
                assert!(!holds(key, DATA, &broken, hash) && !holds(key, DATA, &[], hash));
                // SHA-1, and by RSA.
                assert!(!holds(key, DATA, signature, 2));
                assert!(verify_by(key, DATA, signature, RSA_PKCS1).is_err());
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd_for_a_certificate() {
        for length in 0..200_usize {
            for seed in 0..50_usize {
                let bytes: Vec<u8> = (0..length).map(|at| ((at * 37 + seed * 101) >> 1) as u8).collect();
                let _ = public_key(&bytes);
                assert!(verify_by(&bytes, DATA, &bytes, [4, ECDSA]).is_err());
            }
        }
        assert_eq!(public_key(&[0x30, 0x80, 0, 0]), None);
        assert_eq!(public_key(&[0x30, 0x83, 0xff, 0xff, 0xff]), None);
        for (key, [signature, ..]) in KEYS {
            for at in 0..key.len() {
                let mut broken = key.to_vec();
                broken[at] ^= 0x55;
                // The point fills the end of it.
                let holds = verify_by(&broken, DATA, signature, [4, ECDSA]).is_ok();
                assert!(!holds || at < key.len() - 56);
                assert!(verify_by(&key[..at], DATA, signature, [4, ECDSA]).is_err());
            }
        }
    }
}
