//! What comes from a client before its description does.
//!
//! Where we offered, the client checks as soon as it has our offer, and its answer goes another way. A check is proven by
//! our password alone (RFC 8445 7.3), so it is answered at once; what the client sends of a handshake by the path that it
//! has proven waits for the answer, which says how its certificate is known. Then the engine is made and shown all of it.
//!
//! Bounded by [`PATHS_HELD`] paths, each with a check and [`DATAGRAMS_HELD`] datagrams; the first to come are kept. Who
//! finds no room is answered all the same, and begins anew with its next check or by its timer.

use std::time::Instant;

use str0m::ice::StunMessage;

use super::Incoming;
use super::check;
use super::paths::Path;
use super::transport::Feed;
use super::transports::Which;
use super::{Binding, Session, SessionOutput, SessionSetup};
use crate::drop::DropReason;
use crate::ids::IceCredentials;

/// Paths that are remembered of one session.
const PATHS_HELD: usize = 4;
/// Datagrams of a handshake that wait on each of them: a hello with a post-quantum key comes in two.
const DATAGRAMS_HELD: usize = 2;

/// Verified checks from one path that were answered before there was an engine.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) path: Path,
    /// Bytes of all of them.
    pub(super) received: usize,
    /// Bytes of their answers.
    pub(super) sent: usize,
    /// Whether the newest nominates.
    pub(super) nominates: bool,
    /// What the engine is to see of that.
    pub(super) shown: Vec<u8>,
}

/// One path, and what waits on it.
#[derive(Debug)]
struct Held {
    check: Check,
    handshake: Vec<Vec<u8>>,
}

/// What has come so far.
#[derive(Debug)]
pub(super) struct Early {
    credentials: IceCredentials,
    held: Vec<Held>,
}

impl Early {
    pub(super) fn new(credentials: IceCredentials) -> Self {
        Self { credentials, held: Vec::new() }
    }

    pub(super) fn credentials(&self) -> &IceCredentials {
        &self.credentials
    }

    /// Takes a check addressed to `ufrag`; gives the answer to it.
    fn check(
        &mut self,
        path: Path,
        message: StunMessage<'_>,
        ufrag: &str,
        bytes: usize,
    ) -> Result<Vec<u8>, DropReason> {
        let pwd = &self.credentials.pwd;
        if self.credentials.ufrag != ufrag || !check::verifies(&message, pwd) {
            return Err(DropReason::BadIntegrity);
        }
        // One that takes itself for the controlled one is for the engine to sort out (RFC 8445 7.3.1.1).
        if message.ice_controlled().is_some() {
            return Err(DropReason::Refused);
        }
        let shown = check::nominating(&message, pwd, bytes).ok_or(DropReason::BadStun)?;
        let answer = check::answer(&message, path.remote, pwd).ok_or(DropReason::BadStun)?;
        let nominates = message.use_candidate();
        let mut seen = Check { path, received: bytes, sent: answer.len(), nominates, shown };
        if let Some(held) = self.at(path) {
            seen.received = seen.received.saturating_add(held.check.received);
            seen.sent = seen.sent.saturating_add(held.check.sent);
            held.check = seen;
        } else if self.held.len() < PATHS_HELD {
            self.held.push(Held { check: seen, handshake: Vec::new() });
        }
        Ok(answer)
    }

    /// Takes anything else from a proven address; only a handshake can be waited with.
    pub(super) fn datagram(&mut self, path: Path, contents: &[u8]) -> Result<(), DropReason> {
        if contents.first().is_some_and(|first| *first >= 128) {
            return Err(DropReason::NoKeys);
        }
        let held = self.at(path).filter(|held| held.handshake.len() < DATAGRAMS_HELD);
        held.ok_or(DropReason::Refused)?.handshake.push(contents.to_vec());
        Ok(())
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.held.retain(|held| held.check.path != path);
    }

    fn at(&mut self, path: Path) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.check.path == path)
    }
}

impl Session {
    /// Has checks answered that come before the first plan, by the credentials of ours that our offer names.
    pub fn expect_checks(&mut self, credentials: IceCredentials) {
        self.early = Some(Box::new(Early::new(credentials)));
    }

    /// Takes a check that comes before the first plan.
    pub(super) fn handle_early_check(
        &mut self,
        path: Path,
        message: StunMessage<'_>,
        ufrag: &str,
        bytes: usize,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<Binding, DropReason> {
        let early = self.early.as_deref_mut().ok_or(DropReason::UnknownUfrag)?;
        let answer = early.check(path, message, ufrag, bytes)?;
        out.transmit(path, &answer);
        Ok(self.remember(path, 0, now))
    }

    /// Shows the engine that was just made what came before it. What it refuses of that is dropped as ever.
    pub(super) fn take_early(&mut self, setup: &mut SessionSetup, now: Instant, out: &mut SessionOutput) {
        let (Some(early), Some(present)) = (self.early.take(), self.transports.present()) else { return };
        self.paths.belong_to(present.generation());
        for Held { check, handshake } in early.held {
            let path = check.path;
            let feeds = handshake.iter().map(|contents| Incoming { path, contents, arrived: now });
            let feeds = feeds.map(Feed::Datagram);
            for feed in std::iter::once(Feed::Answered(&check)).chain(feeds) {
                if let Err(error) = self.run(Which::Present, feed, setup, now, out) {
                    out.dropped.push(self.refused(&error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use str0m::ice::TransId;

    use crate::ids::{NodeKeys, ShardId};
    use crate::session::{Carrier, binding_request};

    fn path(port: u16) -> Path {
        let local = "192.0.2.1:40000".parse().unwrap();
        Path { carrier: Carrier::Udp, local, remote: ([203, 0, 113, 7], port).into() }
    }

    fn check(ours: &IceCredentials, pwd: &str, controlling: bool) -> Vec<u8> {
        let name = format!("{}:them", ours.ufrag);
        let message = StunMessage::binding_request(&name, TransId::new(), controlling, 7, 9, false);
        let mut bytes = vec![0; 256];
        let hmac = crate::session::dtls::provider().sha1_hmac_provider;
        let length =
            message.to_bytes(Some(pwd.as_bytes()), &mut bytes, |key, parts| hmac.sha1_hmac(key, parts));
        bytes.truncate(length.unwrap());
        bytes
    }

    fn take(early: &mut Early, path: Path, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
        let (message, ufrag) = binding_request(datagram).unwrap();
        early.check(path, message, ufrag, datagram.len())
    }

    #[test]
    fn who_knows_the_password_is_answered_with_no_more_than_it_sent_and_nobody_else_is() {
        let ours = NodeKeys::generate().mint_ice(ShardId(0));
        let mut early = Early::new(ours.clone());
        assert_eq!(take(&mut early, path(1), &check(&ours, "other", true)), Err(DropReason::BadIntegrity));
        let another = NodeKeys::generate().mint_ice(ShardId(0));
        let addressed = check(&another, &ours.pwd, true);
        assert_eq!(take(&mut early, path(1), &addressed), Err(DropReason::BadIntegrity));
        assert_eq!(take(&mut early, path(1), &check(&ours, &ours.pwd, false)), Err(DropReason::Refused));
        assert!(early.held.is_empty(), "nothing of it leaves a trace");
        let datagram = check(&ours, &ours.pwd, true);
        let answer = take(&mut early, path(1), &datagram).unwrap();
        assert!(answer.starts_with(&[1, 1]) && answer.len() <= datagram.len());
        assert_eq!(answer.get(8..20), datagram.get(8..20), "the transaction is the client's");
    }

    #[test]
    fn what_waits_is_bounded_and_the_first_to_come_stay() {
        let ours = NodeKeys::generate().mint_ice(ShardId(0));
        let mut early = Early::new(ours.clone());
        let datagram = check(&ours, &ours.pwd, true);
        for number in 0..1000 {
            take(&mut early, path(number), &datagram).unwrap();
            take(&mut early, path(number), &datagram).unwrap();
            for byte in 0..10 {
                let _full = early.datagram(path(number), &[22, byte]);
            }
        }
        let waiting: Vec<_> = early.held.iter().map(|held| (held.check.path, &held.handshake)).collect();
        let hello = vec![vec![22, 0], vec![22, 1]];
        assert_eq!(waiting, [0, 1, 2, 3].map(|number| (path(number), &hello)));
        assert_eq!(early.datagram(path(0), &[128; 50]), Err(DropReason::NoKeys));
        assert_eq!(early.datagram(path(9), &[22; 50]), Err(DropReason::Refused));
        early.forget(path(0));
        assert_eq!(early.held.len(), PATHS_HELD - 1);
    }
}
