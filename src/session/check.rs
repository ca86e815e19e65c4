//! Connectivity checks as bytes (RFC 8445 7): those of a client, our answers to them, and checks of our own.
//!
//! Knows what a check says and keeps nothing.

use str0m::ice::{StunMessage, TransId};

use super::dtls;
use super::fence::fenced;
use crate::ids::ShardId;

/// Room for USE-CANDIDATE, and for what a check may be without: a role, MESSAGE-INTEGRITY and FINGERPRINT.
const NOMINATION_BYTES: usize = 64;
/// Room for an answer: a header, an address or an error, MESSAGE-INTEGRITY and FINGERPRINT take 76.
const ANSWER_BYTES: usize = 128;
/// Room for a check of ours beside its user name: priority, role, MESSAGE-INTEGRITY and FINGERPRINT take 76.
const PROBE_BYTES: usize = 128;
/// The priority of a host candidate (RFC 8445 5.1.2.2), which is what ours are.
const PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;
/// How the answer to a check begins (RFC 8489 5).
pub(super) const BINDING_SUCCESS: [u8; 2] = [1, 1];
/// How an indication without attributes begins.
const EMPTY_INDICATION: [u8; 4] = [0, 0x11, 0, 0];
/// The cookie that a header holds (RFC 8489 5).
const MAGIC: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// Where the transaction id stands in a message.
const TRANSACTION_AT: usize = 8;

/// What pairs a check of ours with its answer. It begins with the shard that asks, since on a shared port the answer may
/// come to any.
pub(super) type Transaction = [u8; 12];

/// Reads a connectivity check addressed to us: the message, and the user name fragment that names us.
///
/// `None` when the bytes are no STUN binding request with a user name (RFC 8445 7.2.2).
pub fn binding_request(contents: &[u8]) -> Option<(StunMessage<'_>, &str)> {
    let parsed = parse(contents)?;
    let ours = parsed.username()?.split_once(':')?.0;
    parsed.is_binding_request().then_some((parsed, ours))
}

/// The shard whose check it may be the answer to, if it is an answer at all.
pub fn answer_for(contents: &[u8]) -> Option<ShardId> {
    let shard = contents.get(TRANSACTION_AT).copied().filter(|_| contents.starts_with(&BINDING_SUCCESS))?;
    Some(ShardId(shard))
}

/// Reads the answer to a check of ours.
pub(super) fn answer_read(contents: &[u8]) -> Option<(StunMessage<'_>, Transaction)> {
    let parsed = parse(contents).filter(StunMessage::is_successful_binding_response)?;
    Some((parsed, *contents.get(TRANSACTION_AT..)?.first_chunk()?))
}

/// Whether a datagram is STUN rather than DTLS, RTP or RTCP (RFC 7983 7).
pub(super) fn is_check(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| *first < 4)
}

/// Reads a STUN message.
pub(super) fn parse(contents: &[u8]) -> Option<StunMessage<'_>> {
    // The parser has not seen all the bytes that a stranger can make up; a failure in it is a bad message.
    fenced(|| StunMessage::parse(contents).ok())?
}

/// Whether a message was made with a password (RFC 8489 14.5).
pub(super) fn verifies(message: &StunMessage<'_>, pwd: &str) -> bool {
    let hmac = dtls::provider().sha1_hmac_provider;
    message.verify(pwd.as_bytes(), |key, parts| hmac.sha1_hmac(key, parts))
}

/// The answer to a check from an address (RFC 8445 7.3.1.2).
pub(super) fn answer(message: &StunMessage<'_>, from: std::net::SocketAddr, pwd: &str) -> Option<Vec<u8>> {
    written(StunMessage::binding_reply(message.trans_id(), from), pwd, ANSWER_BYTES)
}

/// The answer to one that takes itself for the controlled one: towards an agent that only answers, the other side controls
/// (RFC 8445 6.1.1, 7.3.1.1).
pub(super) fn role_conflict(message: &StunMessage<'_>, pwd: &str) -> Option<Vec<u8>> {
    written(StunMessage::binding_role_conflict_reply(message.trans_id()), pwd, ANSWER_BYTES)
}

/// A check of so many bytes once more, so that it nominates.
pub(super) fn nominating(message: &StunMessage<'_>, pwd: &str, bytes: usize) -> Option<Vec<u8>> {
    let nominating = StunMessage::binding_request(
        message.username()?,
        message.trans_id(),
        true,
        message.ice_controlling().unwrap_or_default(),
        message.prio()?,
        true,
    );
    written(nominating, pwd, bytes + NOMINATION_BYTES)
}

/// A check of ours to who is known by a user name and password.
pub(super) fn probe(username: &str, id: Transaction, pwd: &str) -> Option<Vec<u8>> {
    // The engine's way to a transaction id is its parser alone; its own come from a generator that can be guessed.
    let header = [&EMPTY_INDICATION[..], &MAGIC, &id].concat();
    let id: TransId = parse(&header)?.trans_id();
    let request = StunMessage::binding_request(username, id, false, 0, PRIORITY, false);
    written(request, pwd, PROBE_BYTES + username.len())
}

fn written(message: StunMessage<'_>, pwd: &str, room: usize) -> Option<Vec<u8>> {
    let hmac = dtls::provider().sha1_hmac_provider;
    let mut bytes = vec![0; room];
    let length =
        message.to_bytes(Some(pwd.as_bytes()), &mut bytes, |key, parts| hmac.sha1_hmac(key, parts)).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_ours_is_one_that_a_client_takes_and_its_answer_finds_back() {
        let id = [3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let check = probe("theirs:ours", id, "password of theirs").unwrap();
        let (message, name) = binding_request(&check).unwrap();
        assert_eq!((name, message.username()), ("theirs", Some("theirs:ours")));
        assert!(verifies(&message, "password of theirs") && !verifies(&message, "another"));
        assert!(message.ice_controlled().is_some() && !message.use_candidate());
        assert_eq!(answer_for(&check), None);
        let from = "192.0.2.1:40000".parse().unwrap();
        let answer = answer(&message, from, "password of theirs").unwrap();
        assert_eq!(answer_for(&answer), Some(ShardId(3)));
        let (answer, answered) = answer_read(&answer).unwrap();
        assert_eq!((answered, verifies(&answer, "password of theirs")), (id, true));
        let conflict = role_conflict(&message, "password of theirs").unwrap();
        assert!(conflict.len() <= check.len() && answer_for(&conflict).is_none());
        assert_eq!(parse(&conflict).unwrap().error_code().map(|(code, _)| code), Some(487));
    }
}
