//! Names of things: shards, sessions, publications, ICE credentials.
//!
//! Session ids and ICE user name fragments carry their owner, so that finding the shard of a request or of a
//! datagram is arithmetic and not a look-up, and a wrong id is refused before any table is touched. This
//! module owns their formats and the keys behind them ([`NodeKeys`]); it knows no table and no clock.
//!
//! ```text
//! session id  = AES-128 of | magic 16 | node 16 | boot 24 | shard 8 | random 64 |      as 32 hex digits
//! ICE ufrag   = | shard 6 | version 4 | key id 4 | node 16 | boot 24 | random 30 | MAC 24 |  18 characters
//! ICE pwd     = HMAC-SHA256 of the ufrag, first 144 bits                                 24 characters
//! publication = | node 16 | number 48 |                                                  never leaves the servers
//! ```
#![expect(clippy::disallowed_types, reason = "drawn from when control mints an id, never for a packet")]

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::random::{Random, give_up};

/// One shard of this node, 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId(pub u8);

/// A session as clients name it: 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// One (session, track name); stable while the session lives, whatever feeds it. The upper 16 bits name the node that it is
/// of, so that it is the same number, and nobody else's, wherever it is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);

impl PublicationId {
    /// Bits of the number that a node gives.
    const NUMBER_BITS: u32 = 48;

    /// The node that it is of.
    pub const fn node(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }
}

/// One published data channel of this process; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

/// One group of sessions whose in-band data channels are joined by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u64);

/// ICE credentials of our side of one transport (RFC 8445 5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// User name fragment; names shard, node and incarnation.
    pub ufrag: String,
    /// Password.
    pub pwd: String,
}

/// Why a user name fragment was not minted by this incarnation of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UfragError {
    /// Not 18 characters of the ICE alphabet.
    #[error("not a user name fragment of ours")]
    Malformed,
    /// A format that is not known here.
    #[error("unknown version {0}")]
    Version(u8),
    /// Another node.
    #[error("belongs to node {0}")]
    Node(u16),
    /// An earlier incarnation of this node.
    #[error("belongs to another incarnation of this node")]
    Boot,
    /// A key that is not, or no longer, in use.
    #[error("unknown key {0}")]
    Key(u8),
    /// Changed or invented by somebody.
    #[error("not authentic")]
    Mac,
}

/// Marks a decrypted block as a session id.
const SESSION_MAGIC: u16 = 0x5263;

/// Version of the format of user name fragments.
const UFRAG_VERSION: u8 = 1;

/// Length of a user name fragment: one character for the shard, 17 for 102 bits.
const UFRAG_LEN: usize = 18;

/// Bits of the boot number.
const BOOT_BITS: u32 = 24;

/// Highest shard that one character can name.
const SHARD_MAX: u8 = 63;

/// The characters of ICE (RFC 8839 5.4, ice-char), in the order of base64.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Mints and reads the ids of one incarnation of one node.
///
/// Everything is derived from a secret of 32 bytes. A second, previous secret stays good for reading while
/// keys are rotated; whatever is minted is minted with the newer one.
pub struct NodeKeys {
    node: u16,
    boot: u32,
    current: KeySet,
    previous: Option<KeySet>,
    /// The number of the next publication.
    publications: AtomicU64,
    /// What is drawn when something is minted; control mints, and no packet waits for it.
    random: Mutex<Random>,
}

impl NodeKeys {
    /// Makes the keys of a node that stands alone: node 0 with a random secret and a random boot number.
    pub fn generate() -> NodeKeys {
        NodeKeys::drawn_from(Random::from_system())
    }

    /// The same, with all that is random in them and in what they mint drawn from here.
    pub fn drawn_from(mut random: Random) -> NodeKeys {
        let (secret, boot) = (random.bytes(), random.u32());
        NodeKeys { random: Mutex::new(random), ..NodeKeys::from_secret(&secret, 0, boot, 0) }
    }

    /// Derives the keys of a node from a secret. Of `boot` the low 24 bits count, of `key_id` the low four;
    /// `boot` has to differ between any two incarnations that clients may confuse.
    pub fn from_secret(secret: &[u8; 32], node: u16, boot: u32, key_id: u8) -> NodeKeys {
        let boot = boot & ((1 << BOOT_BITS) - 1);
        NodeKeys {
            node,
            boot,
            current: KeySet::derive(secret, key_id),
            previous: None,
            publications: AtomicU64::new(1),
            random: Mutex::new(Random::from_system()),
        }
    }

    /// Lets ids of an older secret be read as well; its key id has to differ from the current one.
    pub fn with_previous(mut self, secret: &[u8; 32], key_id: u8) -> NodeKeys {
        self.previous = Some(KeySet::derive(secret, key_id));
        self
    }

    /// Mints the id of a new session of a shard.
    pub fn mint_session(&self, shard: ShardId) -> SessionId {
        let random: [u8; 8] = self.draw();
        SessionId(self.current.seal_block(self.session_block(shard, u64::from_be_bytes(random))))
    }

    /// Mints the id of a publication, never the same twice.
    pub fn mint_publication(&self) -> PublicationId {
        let number = self.publications.fetch_add(1, Ordering::Relaxed);
        PublicationId(u64::from(self.node) << PublicationId::NUMBER_BITS | number)
    }

    /// Reads the shard out of a session id; `None` when this incarnation of this node did not mint it.
    pub fn shard_of(&self, session: &SessionId) -> Option<ShardId> {
        self.key_sets().find_map(|keys| {
            let block = u128::from_be_bytes(keys.open_block(session.0));
            let shard = ShardId((block >> 64) as u8);
            // All bits but the random ones have to be what minting for this shard would have written.
            let same = self.session_block(shard, 0) >> 64 == block >> 64;
            (same && shard.0 <= SHARD_MAX).then_some(shard)
        })
    }

    /// Mints the credentials of a transport of a shard.
    pub fn mint_ice(&self, shard: ShardId) -> IceCredentials {
        let random: [u8; 4] = self.draw();
        let claim = UfragClaim {
            shard,
            version: UFRAG_VERSION,
            key_id: self.current.id,
            node: self.node,
            boot: self.boot,
            random: u32::from_be_bytes(random) >> 2,
        };
        let ufrag = claim.text(self.current.ufrag_mac(&claim));
        let pwd = self.current.pwd(&ufrag);
        IceCredentials { ufrag, pwd }
    }

    /// Reads the shard out of a user name fragment, and checks everything that it claims.
    pub fn owner_of_ufrag(&self, ufrag: &str) -> Result<ShardId, UfragError> {
        let (claim, mac) = UfragClaim::parse(ufrag).ok_or(UfragError::Malformed)?;
        if claim.version != UFRAG_VERSION {
            return Err(UfragError::Version(claim.version));
        }
        if claim.node != self.node {
            return Err(UfragError::Node(claim.node));
        }
        if claim.boot != self.boot {
            return Err(UfragError::Boot);
        }
        let keys = self.key_set(claim.key_id).ok_or(UfragError::Key(claim.key_id))?;
        constant_time::verify_slices_are_equal(&keys.ufrag_mac(&claim), &mac).map_err(|_| UfragError::Mac)?;
        Ok(claim.shard)
    }

    /// Computes the password that belongs to a user name fragment, whoever minted it.
    pub fn pwd_of(&self, ufrag: &str) -> String {
        let named = UfragClaim::parse(ufrag).and_then(|(claim, _)| self.key_set(claim.key_id));
        named.unwrap_or(&self.current).pwd(ufrag)
    }

    fn draw<const LEN: usize>(&self) -> [u8; LEN] {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }

    /// The plain block of a session id.
    fn session_block(&self, shard: ShardId, random: u64) -> u128 {
        u128::from(SESSION_MAGIC) << 112
            | u128::from(self.node) << 96
            | u128::from(self.boot) << 72
            | u128::from(shard.0) << 64
            | u128::from(random)
    }

    /// Every key that is good for reading, newest first.
    fn key_sets(&self) -> impl Iterator<Item = &KeySet> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The key that a fragment names.
    fn key_set(&self, id: u8) -> Option<&KeySet> {
        self.key_sets().find(|keys| keys.id == id)
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys").field("node", &self.node).field("boot", &self.boot).finish_non_exhaustive()
    }
}

/// The keys that come from one secret.
struct KeySet {
    id: u8,
    seal: EncryptingKey,
    open: DecryptingKey,
    ufrag: hmac::Key,
    pwd: hmac::Key,
}

impl KeySet {
    /// Derives one key per purpose by HKDF-SHA256 (RFC 5869); each is a single block of its output.
    fn derive(secret: &[u8; 32], id: u8) -> KeySet {
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"ringcast node keys 1");
        let extracted = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&salt, secret).as_ref());
        let expand = |purpose: &[u8]| hmac::sign(&extracted, &[purpose, &[1]].concat());

        let session = expand(b"session id");
        let session = session.as_ref().get(..16).unwrap_or_default();
        let seal = UnboundCipherKey::new(&AES_128, session).and_then(EncryptingKey::ecb);
        let open = UnboundCipherKey::new(&AES_128, session).and_then(DecryptingKey::ecb);
        let (Ok(seal), Ok(open)) = (seal, open) else { give_up("AES refused a key of 16 bytes") };
        let mac_key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, expand(purpose).as_ref());
        KeySet { id: id & 0x0f, seal, open, ufrag: mac_key(b"ice ufrag"), pwd: mac_key(b"ice pwd") }
    }

    /// Encrypts one block. No mode is needed: a block that holds 64 random bits does not come twice.
    fn seal_block(&self, block: u128) -> [u8; 16] {
        let mut bytes = block.to_be_bytes();
        match self.seal.encrypt(&mut bytes) {
            Ok(_) => bytes,
            Err(_) => give_up("AES refused to encrypt a block"),
        }
    }

    /// Decrypts one block; any bytes give some block.
    fn open_block(&self, mut bytes: [u8; 16]) -> [u8; 16] {
        match self.open.decrypt(&mut bytes, DecryptionContext::None) {
            Ok(_) => bytes,
            Err(_) => give_up("AES refused to decrypt a block"),
        }
    }

    /// Authenticates everything that a fragment claims.
    fn ufrag_mac(&self, claim: &UfragClaim) -> [u8; 3] {
        let [_, _, _, _, _, claimed @ ..] = (u128::from(claim.shard.0) << 80 | claim.bits()).to_be_bytes();
        let claimed: [u8; 11] = claimed;
        hmac::sign(&self.ufrag, &claimed).as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Computes the password of a fragment: 144 bits, of which RFC 8445 5.3 asks for 128.
    fn pwd(&self, ufrag: &str) -> String {
        let tag = hmac::sign(&self.pwd, ufrag.as_bytes());
        STANDARD_NO_PAD.encode(tag.as_ref().get(..18).unwrap_or_default())
    }
}

/// What a user name fragment says before its MAC is looked at.
struct UfragClaim {
    shard: ShardId,
    version: u8,
    key_id: u8,
    node: u16,
    boot: u32,
    random: u32,
}

impl UfragClaim {
    /// The 78 bits between shard and MAC.
    fn bits(&self) -> u128 {
        u128::from(self.version & 0x0f) << 74
            | u128::from(self.key_id & 0x0f) << 70
            | u128::from(self.node) << 54
            | u128::from(self.boot) << 30
            | u128::from(self.random)
    }

    /// Writes the fragment, six bits a character.
    fn text(&self, mac: [u8; 3]) -> String {
        let [m0, m1, m2] = mac;
        let all = u128::from(self.shard.0 & SHARD_MAX) << 102
            | self.bits() << 24
            | u128::from(u32::from_be_bytes([0, m0, m1, m2]));
        (0..UFRAG_LEN)
            .rev()
            .filter_map(|place| ICE_CHARS.get((all >> (6 * place)) as usize & 0x3f))
            .map(|character| char::from(*character))
            .collect()
    }

    /// Reads a fragment; `None` when it is not 18 characters of the alphabet.
    fn parse(ufrag: &str) -> Option<(UfragClaim, [u8; 3])> {
        if ufrag.len() != UFRAG_LEN {
            return None;
        }
        let mut all = 0u128;
        for character in ufrag.bytes() {
            all = all << 6 | u128::from(ice_char_value(character)?);
        }
        let claim = UfragClaim {
            shard: ShardId((all >> 102) as u8),
            version: (all >> 98) as u8 & 0x0f,
            key_id: (all >> 94) as u8 & 0x0f,
            node: (all >> 78) as u16,
            boot: (all >> 54) as u32 & ((1 << BOOT_BITS) - 1),
            random: (all >> 24) as u32 & ((1 << 30) - 1),
        };
        let [_, m0, m1, m2] = (all as u32).to_be_bytes();
        Some((claim, [m0, m1, m2]))
    }
}

/// The place of a character in [`ICE_CHARS`].
fn ice_char_value(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

impl SessionId {
    /// Reads exactly 32 lowercase hex digits.
    pub fn parse(text: &str) -> Option<SessionId> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 16];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = hex_value(*high)? << 4 | hex_value(*low)?;
        }
        Some(SessionId(bytes))
    }
}

/// The value of a lowercase hex digit.
fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The text is no session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 32 lowercase hex digits")]
pub struct SessionIdError;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<SessionId, SessionIdError> {
        SessionId::parse(text).ok_or(SessionIdError)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SessionId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn keys() -> NodeKeys {
        NodeKeys::from_secret(&SECRET, 0x1234, 0x00ab_cdef, 3)
    }

    #[test]
    fn a_session_id_names_its_shard_to_the_keys_that_minted_it() {
        let keys = keys();
        for shard in 0..=63 {
            let id = keys.mint_session(ShardId(shard));
            assert_eq!(keys.shard_of(&id), Some(ShardId(shard)));
        }
        assert_ne!(keys.mint_session(ShardId(1)), keys.mint_session(ShardId(1)));
    }

    #[test]
    fn ids_of_publications_name_their_node_and_are_never_the_same() {
        let keys = keys();
        let ids: Vec<PublicationId> = (0..100).map(|_| keys.mint_publication()).collect();
        assert!(ids.iter().all(|id| id.node() == 0x1234));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn session_ids_of_others_name_no_shard() {
        let ours = keys();
        let id = ours.mint_session(ShardId(5));
        for other in [
            NodeKeys::from_secret(&SECRET, 0x1235, 0x00ab_cdef, 3),
            NodeKeys::from_secret(&SECRET, 0x1234, 0x00ab_cdee, 3),
            NodeKeys::from_secret(&[8; 32], 0x1234, 0x00ab_cdef, 3),
            NodeKeys::generate(),
        ] {
            assert_eq!(other.shard_of(&id), None);
        }
        for bit in 0..128 {
            let changed = SessionId((u128::from_be_bytes(id.0) ^ 1 << bit).to_be_bytes());
            assert_eq!(ours.shard_of(&changed), None);
        }
        assert_eq!(ours.shard_of(&ours.mint_session(ShardId(64))), None);
    }

    #[test]
    fn a_session_id_is_exactly_32_lowercase_hex_digits() {
        let id = keys().mint_session(ShardId(0));
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(SessionId::parse(&text), Some(id));
        assert_eq!(serde_json::from_str::<SessionId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        for wrong in
            [&text[1..], &format!("{text}0"), &format!("{text}00"), "", &"A".repeat(32), &"g".repeat(32)]
        {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(SessionId::parse(&"é".repeat(16)), None);
    }

    #[test]
    fn credentials_have_the_form_of_ice_and_name_their_shard_first() {
        let keys = keys();
        for shard in 0..=63u8 {
            let ice = keys.mint_ice(ShardId(shard));
            assert_eq!((ice.ufrag.len(), ice.pwd.len()), (18, 24));
            assert!(ice.ufrag.bytes().chain(ice.pwd.bytes()).all(|byte| ice_char_value(byte).is_some()));
            assert_eq!(ice.ufrag.as_bytes()[0], ICE_CHARS[usize::from(shard)]);
            assert_eq!(keys.owner_of_ufrag(&ice.ufrag), Ok(ShardId(shard)));
            assert_eq!(keys.pwd_of(&ice.ufrag), ice.pwd);
        }
        assert_ne!(keys.mint_ice(ShardId(0)).ufrag, keys.mint_ice(ShardId(0)).ufrag);
    }

    #[test]
    fn every_changed_character_of_a_ufrag_is_noticed() {
        let keys = keys();
        let ufrag = keys.mint_ice(ShardId(9)).ufrag;
        for place in 0..UFRAG_LEN {
            for step in 1..64 {
                let mut bytes = ufrag.clone().into_bytes();
                bytes[place] = ICE_CHARS[(usize::from(ice_char_value(bytes[place]).unwrap()) + step) % 64];
                let changed = String::from_utf8(bytes).unwrap();
                assert!(keys.owner_of_ufrag(&changed).is_err(), "{ufrag} {changed}");
                assert_ne!(keys.pwd_of(&changed), keys.pwd_of(&ufrag));
            }
        }
    }

    #[test]
    fn a_wrong_ufrag_is_refused_with_its_reason() {
        let keys = keys();
        let owner = |other: NodeKeys| keys.owner_of_ufrag(&other.mint_ice(ShardId(1)).ufrag);
        assert_eq!(owner(NodeKeys::from_secret(&SECRET, 9, 0x00ab_cdef, 3)), Err(UfragError::Node(9)));
        assert_eq!(owner(NodeKeys::from_secret(&SECRET, 0x1234, 1, 3)), Err(UfragError::Boot));
        assert_eq!(owner(NodeKeys::from_secret(&SECRET, 0x1234, 0x00ab_cdef, 4)), Err(UfragError::Key(4)));
        assert_eq!(owner(NodeKeys::from_secret(&[8; 32], 0x1234, 0x00ab_cdef, 3)), Err(UfragError::Mac));
        for text in
            ["", "abcd", "AAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAA", "AAAAAAAAA-AAAAAAAA", "ééééééééé"]
        {
            assert_eq!(keys.owner_of_ufrag(text), Err(UfragError::Malformed));
            assert_eq!(keys.pwd_of(text).len(), 24);
        }
        assert_eq!(keys.owner_of_ufrag("AAAAAAAAAAAAAAAAAA"), Err(UfragError::Version(0)));
    }

    #[test]
    fn ids_of_the_previous_key_are_read_during_rotation() {
        let old = keys();
        let (session, ice) = (old.mint_session(ShardId(2)), old.mint_ice(ShardId(2)));
        let fresh = [9; 32];
        let rotated = NodeKeys::from_secret(&fresh, 0x1234, 0x00ab_cdef, 4).with_previous(&SECRET, 3);
        assert_eq!(rotated.shard_of(&session), Some(ShardId(2)));
        assert_eq!(rotated.owner_of_ufrag(&ice.ufrag), Ok(ShardId(2)));
        assert_eq!(rotated.pwd_of(&ice.ufrag), ice.pwd);

        let minted = rotated.mint_ice(ShardId(6));
        let after = NodeKeys::from_secret(&fresh, 0x1234, 0x00ab_cdef, 4);
        assert_eq!(after.owner_of_ufrag(&minted.ufrag), Ok(ShardId(6)));
        assert_eq!(after.pwd_of(&minted.ufrag), minted.pwd);
        assert_eq!(after.shard_of(&session), None);
        assert_eq!(after.owner_of_ufrag(&ice.ufrag), Err(UfragError::Key(3)));
    }

    #[test]
    fn keys_are_shared_by_shards_and_control() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&keys());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let keys = keys();
        let ice = keys.mint_ice(ShardId(1));
        assert!(!format!("{ice:?}").contains(&ice.pwd));
        assert_eq!(format!("{keys:?}"), "NodeKeys { node: 4660, boot: 11259375, .. }");
    }
}
