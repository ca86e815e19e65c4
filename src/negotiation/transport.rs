//! The transport of a session: who the client is on it, and when a description means another one.
//!
//! A session outlives its transports. libwebrtc ties the transport to the first mid of the BUNDLE group (the tag,
//! RFC 9143 7.2): when that section stops, it opens new sockets and a new DTLS association, with the same ICE
//! credentials or with new ones. We follow by raising the generation.

use super::error::NegotiationError;
use super::limits;
use crate::ids::IceCredentials;
use crate::plan::{self, DtlsPart, IceAgent, SrtpOffer};
use crate::sdp::{CANDIDATES_MAX, Candidate, Fingerprint, Ice, SessionDescription, Setup};

/// The client's side of a transport, from the first live section of its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteTransport {
    pub(super) ice: Ice,
    pub(super) fingerprints: Fingerprints,
    pub(super) setup: Setup,
    /// Whether it waits for checks (RFC 8445 2.5); only where we call out.
    pub(super) lite: bool,
    /// Where it can be reached; only where we call out.
    pub(super) candidates: Vec<Candidate>,
}

/// By what the certificate of the other side is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprints {
    /// The first line, whatever it is by.
    pub(super) first: Fingerprint,
    digests: Vec<plan::Fingerprint>,
}

impl Fingerprints {
    fn of(lines: &[Fingerprint]) -> Result<Self, NegotiationError> {
        let first = lines.first().cloned().ok_or(NegotiationError::MissingFingerprint)?;
        Ok(Self { first, digests: limits::fingerprints(lines)? })
    }

    /// Those that decide: by the strongest function (RFC 8122 5).
    pub(super) fn decisive(&self) -> Vec<plan::Fingerprint> {
        let strongest = self.digests.iter().map(|known| known.hash).max();
        self.digests.iter().filter(|known| Some(known.hash) == strongest).cloned().collect()
    }

    /// Whether they can be of the same certificate: a later description may name it by fewer functions.
    fn agrees_with(&self, other: &Self) -> bool {
        self.digests.iter().any(|known| other.digests.contains(known))
    }
}

/// Who makes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The client: it makes checks, and we wait for them.
    Client,
    /// We do: the other side may be a server that waits as well.
    Us,
}

impl RemoteTransport {
    /// Reads it from a description; `None` if every section is rejected.
    pub(super) fn of(
        description: &SessionDescription,
        caller: Caller,
    ) -> Result<Option<Self>, NegotiationError> {
        let we_call = caller == Caller::Us;
        if description.ice_lite && !we_call {
            return Err(NegotiationError::LiteClient);
        }
        let Some(section) = description.sections.iter().find(|section| !section.rejected) else {
            return Ok(None);
        };
        let transport = &section.transport;
        let ice = transport.ice.clone().filter(|ice| !ice.ufrag.is_empty() && !ice.pwd.is_empty());
        Ok(Some(Self {
            ice: ice.ok_or(NegotiationError::MissingIce)?,
            fingerprints: Fingerprints::of(&transport.fingerprints)?,
            setup: transport.setup.unwrap_or(Setup::ActPass),
            lite: description.ice_lite,
            candidates: if we_call { candidates(description)? } else { Vec::new() },
        }))
    }
}

/// Where the other side can be reached, each address once.
fn candidates(description: &SessionDescription) -> Result<Vec<Candidate>, NegotiationError> {
    let mut found: Vec<Candidate> = Vec::new();
    for section in description.sections.iter().filter(|section| !section.rejected) {
        for candidate in &section.candidates {
            let is_new = found.iter().all(|known| known.address != candidate.address);
            if is_new && found.len() < CANDIDATES_MAX {
                found.push(*candidate);
            }
        }
    }
    if found.is_empty() { Err(NegotiationError::MissingCandidates) } else { Ok(found) }
}

/// The present transport.
#[derive(Debug, Clone)]
pub(super) struct TransportState {
    pub(super) generation: u32,
    pub(super) local: IceCredentials,
    pub(super) remote: Option<RemoteTransport>,
    caller: Caller,
    /// Our part in ICE: lite, unless we call.
    pub(super) agent: IceAgent,
    /// Our part in the DTLS handshake.
    pub(super) part: DtlsPart,
    /// The mid that tags it.
    tag: String,
}

impl TransportState {
    pub(super) fn new(local: IceCredentials) -> Self {
        let (caller, agent, part) = (Caller::Client, IceAgent::Lite, DtlsPart::Waits);
        Self { generation: 0, local, remote: None, caller, agent, part, tag: String::new() }
    }

    /// Has us make the connection.
    pub(super) fn call(&mut self) {
        (self.caller, self.agent) = (Caller::Us, IceAgent::Controlling);
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// Takes a client's offer. New credentials of ours can still be told in the answer.
    ///
    /// `preferred` is our part where the offer leaves it to us.
    pub(super) fn take_offer(
        &mut self,
        remote: RemoteTransport,
        preferred: DtlsPart,
        tag: &str,
        mint: &mut dyn FnMut() -> IceCredentials,
    ) -> Result<(), NegotiationError> {
        // RFC 8445 6.1.1: of two full agents the one that offers controls, as long as the connection lasts.
        if self.caller == Caller::Us && self.remote.is_none() && !remote.lite {
            self.agent = IceAgent::Controlled;
        }
        if self.change(remote, preferred, tag)?.new_credentials {
            self.local = mint();
        }
        Ok(())
    }

    /// Takes a client's answer. Our credentials stand in the offer that it answers, so they stay.
    pub(super) fn take_answer(&mut self, remote: RemoteTransport, tag: &str) -> Result<(), NegotiationError> {
        // RFC 5763 5: who answers does not leave the role open; one that does is taken for what clients are.
        self.change(remote, DtlsPart::Waits, tag).map(drop)
    }

    /// Takes new credentials of the client outside of any description (RFC 9725 4.3.3), and makes new ones of ours.
    /// False before its first description.
    pub(super) fn restart(&mut self, ice: Ice, mint: &mut dyn FnMut() -> IceCredentials) -> bool {
        let Some(remote) = &mut self.remote else { return false };
        if remote.ice != ice {
            remote.ice = ice;
            self.local = mint();
        }
        true
    }

    fn change(
        &mut self,
        remote: RemoteTransport,
        preferred: DtlsPart,
        tag: &str,
    ) -> Result<Change, NegotiationError> {
        let mut change = Change { new_credentials: false };
        let part = match remote.setup {
            Setup::ActPass => preferred,
            Setup::Active => DtlsPart::Waits,
            Setup::Passive => DtlsPart::Begins(SrtpOffer::All),
        };
        if let Some(old) = &self.remote {
            let restarted = old.ice != remote.ice;
            let certificate = !old.fingerprints.agrees_with(&remote.fingerprints);
            if certificate && !restarted {
                return Err(NegotiationError::FingerprintChanged);
            }
            // RFC 8842 5.5: the roles belong to the association, so other ones mean another one.
            let waits = |part| part == DtlsPart::Waits;
            let role = remote.setup != Setup::ActPass && waits(part) != waits(self.part);
            // A server that we call keeps its ports whatever section goes.
            let moved = self.tag != tag && self.caller == Caller::Client;
            if role && !restarted && !moved {
                let now = if waits(part) { "client" } else { "server" };
                return Err(NegotiationError::RoleChanged(now));
            }
            if moved || certificate || role {
                self.generation = self.generation.saturating_add(1);
                self.part = part;
            }
            // RFC 8445 9: a restart changes the credentials of both sides.
            change.new_credentials = restarted;
        } else {
            self.part = part;
        }
        tag.clone_into(&mut self.tag);
        self.remote = Some(remote);
        Ok(change)
    }
}

struct Change {
    new_credentials: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(ufrag: &str, fingerprint: &str) -> RemoteTransport {
        RemoteTransport {
            ice: Ice { ufrag: ufrag.to_owned(), pwd: "p".to_owned() },
            fingerprints: Fingerprints::of(&[Fingerprint {
                hash: "sha-256".to_owned(),
                value: [fingerprint; 32].join(":"),
            }])
            .unwrap(),
            setup: Setup::ActPass,
            lite: false,
            candidates: Vec::new(),
        }
    }

    fn credentials(ufrag: &str) -> IceCredentials {
        IceCredentials { ufrag: ufrag.to_owned(), pwd: "w".to_owned() }
    }

    fn connected() -> TransportState {
        let mut state = TransportState::new(credentials("ours"));
        let mut kept = || panic!("the first offer keeps our credentials");
        state.take_offer(remote("a", "0F"), DtlsPart::Waits, "0", &mut kept).unwrap();
        state
    }

    fn offer(state: &mut TransportState, remote: RemoteTransport, tag: &str) -> Result<(), NegotiationError> {
        state.take_offer(remote, DtlsPart::Waits, tag, &mut || credentials("next"))
    }

    fn with(setup: Setup, ufrag: &str) -> RemoteTransport {
        RemoteTransport { setup, ..remote(ufrag, "0F") }
    }

    fn line(hash: &str, byte: &str, bytes: usize) -> Fingerprint {
        Fingerprint { hash: hash.to_owned(), value: vec![byte; bytes].join(":") }
    }

    #[test]
    fn the_strongest_hash_decides_with_all_its_lines_and_a_later_description_may_name_fewer() {
        let (old, new) = (line("sha-256", "0F", 32), line("sha-512", "0E", 64));
        let both = Fingerprints::of(&[old.clone(), new.clone(), line("sha-512", "0D", 64)]).unwrap();
        let hashes: Vec<_> = both.decisive().into_iter().map(|known| (known.hash, known.digest[0])).collect();
        assert_eq!(hashes, [(plan::Hash::Sha512, 14), (plan::Hash::Sha512, 13)]);
        assert!(both.agrees_with(&Fingerprints::of(&[old]).unwrap()));
        assert!(both.agrees_with(&Fingerprints::of(&[new]).unwrap()));
        assert!(!both.agrees_with(&Fingerprints::of(&[line("sha-512", "0F", 64)]).unwrap()));
    }

    const BEGINS: DtlsPart = DtlsPart::Begins(SrtpOffer::All);
    const PREFERRED: DtlsPart = DtlsPart::Begins(SrtpOffer::Gcm);

    #[test]
    fn who_insists_on_waiting_has_us_begin_and_an_open_role_is_as_we_like() {
        let part = |setup, preferred| {
            let mut state = TransportState::new(credentials("ours"));
            state.take_offer(with(setup, "a"), preferred, "0", &mut || panic!()).unwrap();
            state.part
        };
        for preferred in [DtlsPart::Waits, PREFERRED] {
            assert_eq!(part(Setup::Passive, preferred), BEGINS);
            assert_eq!(part(Setup::Active, preferred), DtlsPart::Waits);
            assert_eq!(part(Setup::ActPass, preferred), preferred);
        }
        let mut state = TransportState::new(credentials("ours"));
        state.take_answer(with(Setup::Passive, "a"), "0").unwrap();
        assert_eq!(state.part, BEGINS);
    }

    #[test]
    fn the_role_lasts_as_long_as_the_association() {
        let mut state = TransportState::new(credentials("ours"));
        state.take_answer(with(Setup::Passive, "a"), "0").unwrap();
        offer(&mut state, with(Setup::ActPass, "a"), "0").unwrap();
        // Also over an ICE restart, which keeps the association (RFC 8842 5.5).
        offer(&mut state, with(Setup::ActPass, "b"), "0").unwrap();
        assert_eq!((state.part, state.generation), (BEGINS, 0));
        let error = offer(&mut state, with(Setup::Active, "b"), "0").unwrap_err();
        assert_eq!(error, NegotiationError::RoleChanged("client"));
        let error = connected().take_answer(with(Setup::Passive, "a"), "0").unwrap_err();
        assert_eq!((error.subcode(), error), ("unsupported_role", NegotiationError::RoleChanged("server")));
    }

    #[test]
    fn another_role_with_new_credentials_or_another_tag_is_a_new_association() {
        for (ufrag, tag) in [("b", "0"), ("a", "1")] {
            let mut state = connected();
            offer(&mut state, with(Setup::Passive, ufrag), tag).unwrap();
            assert_eq!((state.part, state.generation), (BEGINS, 1));
        }
    }

    #[test]
    fn the_first_description_changes_nothing_of_ours() {
        let state = connected();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (0, "ours"));
    }

    #[test]
    fn the_same_tag_with_new_credentials_is_an_ice_restart() {
        let mut state = connected();
        offer(&mut state, remote("b", "0F"), "0").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (0, "next"));
    }

    #[test]
    fn another_tag_with_old_credentials_is_a_new_generation_with_ours_kept() {
        let mut state = connected();
        offer(&mut state, remote("a", "0F"), "1").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "ours"));
    }

    #[test]
    fn another_tag_with_new_credentials_is_a_new_generation_with_new_ones() {
        let mut state = connected();
        offer(&mut state, remote("b", "0F"), "1").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "next"));
    }

    #[test]
    fn a_new_certificate_needs_new_credentials() {
        let mut state = connected();
        let error = offer(&mut state, remote("a", "1F"), "1").unwrap_err();
        assert_eq!(error, NegotiationError::FingerprintChanged);
        assert_eq!(state.generation, 0);
        offer(&mut state, remote("b", "1F"), "0").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "next"));
    }

    #[test]
    fn an_answer_never_changes_our_credentials() {
        let mut state = connected();
        state.take_answer(remote("b", "0F"), "1").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "ours"));
    }
}
