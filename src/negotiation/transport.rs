//! The transport of a session: who the client is on it, and when a description means another one.
//!
//! A session outlives its transports. libwebrtc ties the transport to the first mid of the BUNDLE group (the tag,
//! RFC 9143 7.2): when that section stops, it opens new sockets and a new DTLS association, with the same ICE
//! credentials or with new ones. We follow by raising the generation.

use super::error::NegotiationError;
use crate::ids::IceCredentials;
use crate::plan::IceAgent;
use crate::sdp::{CANDIDATES_MAX, Candidate, Fingerprint, Ice, SessionDescription, Setup};

/// The client's side of a transport, from the first live section of its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteTransport {
    pub(super) ice: Ice,
    pub(super) fingerprint: Fingerprint,
    pub(super) setup: Setup,
    /// Whether it waits for checks (RFC 8445 2.5); only where we call out.
    pub(super) lite: bool,
    /// Where it can be reached; only where we call out.
    pub(super) candidates: Vec<Candidate>,
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
        let setup = transport.setup.unwrap_or(Setup::ActPass);
        if setup == Setup::Passive && !we_call {
            return Err(NegotiationError::PassiveClient);
        }
        Ok(Some(Self {
            ice: ice.ok_or(NegotiationError::MissingIce)?,
            fingerprint: transport.fingerprint.clone().ok_or(NegotiationError::MissingFingerprint)?,
            setup,
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
    /// The mid that tags it.
    tag: String,
}

impl TransportState {
    pub(super) fn new(local: IceCredentials) -> Self {
        let (caller, agent) = (Caller::Client, IceAgent::Lite);
        Self { generation: 0, local, remote: None, caller, agent, tag: String::new() }
    }

    /// Has us make the connection.
    pub(super) fn call(&mut self) {
        (self.caller, self.agent) = (Caller::Us, IceAgent::Controlling);
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// Whether the other side waits for the DTLS handshake, so that we begin it (RFC 8842 5).
    pub(super) fn begins_dtls(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.setup == Setup::Passive)
    }

    /// Takes a client's offer. New credentials of ours can still be told in the answer.
    pub(super) fn take_offer(
        &mut self,
        mut remote: RemoteTransport,
        tag: &str,
        mint: &mut dyn FnMut() -> IceCredentials,
    ) -> Result<(), NegotiationError> {
        if self.caller == Caller::Us && remote.setup == Setup::ActPass {
            // RFC 5763 5: who answers had better begin, and a server that waits for checks waits for the handshake as well.
            remote.setup = Setup::Passive;
        }
        // RFC 8445 6.1.1: of two full agents the one that offers controls, as long as the connection lasts.
        if self.caller == Caller::Us && self.remote.is_none() && !remote.lite {
            self.agent = IceAgent::Controlled;
        }
        if self.change(remote, tag)?.new_credentials {
            self.local = mint();
        }
        Ok(())
    }

    /// Takes a client's answer. Our credentials stand in the offer that it answers, so they stay.
    pub(super) fn take_answer(&mut self, remote: RemoteTransport, tag: &str) -> Result<(), NegotiationError> {
        self.change(remote, tag).map(drop)
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

    fn change(&mut self, remote: RemoteTransport, tag: &str) -> Result<Change, NegotiationError> {
        let mut change = Change { new_credentials: false };
        if let Some(old) = &self.remote {
            let restarted = old.ice != remote.ice;
            let certificate = old.fingerprint != remote.fingerprint;
            if certificate && !restarted {
                return Err(NegotiationError::FingerprintChanged);
            }
            // A server that we call keeps its ports whatever section goes.
            if (self.tag != tag && self.caller == Caller::Client) || certificate {
                self.generation = self.generation.saturating_add(1);
            }
            // RFC 8445 9: a restart changes the credentials of both sides.
            change.new_credentials = restarted;
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
            fingerprint: Fingerprint { hash: "sha-256".to_owned(), value: fingerprint.to_owned() },
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
        state
            .take_offer(remote("a", "F"), "0", &mut || panic!("the first offer keeps our credentials"))
            .unwrap();
        state
    }

    #[test]
    fn the_first_description_changes_nothing_of_ours() {
        let state = connected();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (0, "ours"));
    }

    #[test]
    fn the_same_tag_with_new_credentials_is_an_ice_restart() {
        let mut state = connected();
        state.take_offer(remote("b", "F"), "0", &mut || credentials("next")).unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (0, "next"));
    }

    #[test]
    fn another_tag_with_old_credentials_is_a_new_generation_with_ours_kept() {
        let mut state = connected();
        state.take_offer(remote("a", "F"), "1", &mut || credentials("next")).unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "ours"));
    }

    #[test]
    fn another_tag_with_new_credentials_is_a_new_generation_with_new_ones() {
        let mut state = connected();
        state.take_offer(remote("b", "F"), "1", &mut || credentials("next")).unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "next"));
    }

    #[test]
    fn a_new_certificate_needs_new_credentials() {
        let mut state = connected();
        let error = state.take_offer(remote("a", "G"), "1", &mut || credentials("next")).unwrap_err();
        assert_eq!(error, NegotiationError::FingerprintChanged);
        assert_eq!(state.generation, 0);
        state.take_offer(remote("b", "G"), "0", &mut || credentials("next")).unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "next"));
    }

    #[test]
    fn an_answer_never_changes_our_credentials() {
        let mut state = connected();
        state.take_answer(remote("b", "F"), "1").unwrap();
        assert_eq!((state.generation, state.local.ufrag.as_str()), (1, "ours"));
    }
}
