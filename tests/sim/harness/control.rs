//! What control does, without HTTP: sessions are opened, described, configured and closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ringcast::ids::{IceCredentials, PublicationId, SessionId, ShardId};
use ringcast::negotiation::{Negotiation, NegotiationError, Place, RemoteSource};
use ringcast::plan::{ChannelsPlan, LayerPreference, SessionPlan};
use ringcast::shard::command::{Command, ConfigureError, Description, SessionStatistics};
use ringcast_bench::client::{Change, Client, ClientSetup, Credentials};
use ringcast_bench::source::Media;
use tokio::sync::oneshot;

use super::link::Link;
use super::wire::Watch;
use super::{Peer, PeerKey, Sim, Track, Way};

impl Sim {
    /// Opens a session on a shard for a new client.
    pub(crate) fn join(&mut self, shard: u8, way: Way) -> PeerKey {
        let key = PeerKey(self.next_peer);
        self.next_peer += 1;
        let number = u32::try_from(key.0).unwrap();
        let [_, high, middle, low] = number.to_be_bytes();
        let address = SocketAddr::from(([10, high, middle, low], 5000));
        let setup =
            ClientSetup { address, epoch: self.base, keep_log: true, credentials: None, repeats: true };
        let local = Arc::clone(&self.local[usize::from(shard)]);
        let credentials = self.keys.mint_ice(ShardId(shard));
        let session = self.open_expecting(shard, Some(credentials.clone()));
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number) * 2);
        self.peers.insert(
            key.0,
            Peer {
                client: Client::new(self.now, setup).unwrap(),
                session,
                shard: ShardId(shard),
                negotiation: Negotiation::new(label(session), local, credentials),
                channels: ChannelsPlan::default(),
                up: Link::new(way.up, seed),
                down: Link::new(way.down, seed + 1),
                last_offer: None,
                nominates_from: Some(self.now),
                watch: Watch::default(),
            },
        );
        self.by_address.insert(address, key);
        key
    }

    /// Opens a session that nobody ever connects to.
    pub(crate) fn open(&mut self, shard: u8) -> SessionId {
        self.open_expecting(shard, None)
    }

    fn open_expecting(&mut self, shard: u8, credentials: Option<IceCredentials>) -> SessionId {
        let session = self.keys.mint_session(ShardId(shard));
        self.command(ShardId(shard), Command::Open { session, dialled: Vec::new(), credentials });
        session
    }

    /// The figures of a client's session.
    pub(crate) fn statistics(&mut self, peer: PeerKey) -> SessionStatistics {
        let (session, shard) = (self.peer(peer).session, self.peer(peer).shard);
        let (reply, mut answer) = oneshot::channel();
        self.command(shard, Command::Statistics { session, reply });
        answer.try_recv().unwrap().unwrap()
    }

    /// Gives a shard a command.
    pub(crate) fn command(&mut self, shard: ShardId, command: Command) {
        self.shards[usize::from(shard.0)].handle_command(self.now, command, &mut self.outbox);
        self.take_events(shard);
        self.put_on_links();
    }

    /// A client pushes tracks in an offer of its own.
    pub(crate) fn publish(&mut self, key: PeerKey, media: &[Media]) -> Vec<Track> {
        self.push(key, media, None, |offer| offer).unwrap()
    }

    /// A client pushes one track under a name that it has used before: the publication is the same.
    pub(crate) fn publish_again(&mut self, key: PeerKey, media: &Media, publication: PublicationId) -> Track {
        self.push(key, std::slice::from_ref(media), Some(publication), |offer| offer).unwrap().remove(0)
    }

    /// Pushes tracks in an offer that may be changed on its way.
    pub(crate) fn push(
        &mut self,
        key: PeerKey,
        media: &[Media],
        publication: Option<PublicationId>,
        tamper: impl FnOnce(String) -> String,
    ) -> Result<Vec<Track>, NegotiationError> {
        let first = self.next_number;
        self.next_number += u32::try_from(media.len()).unwrap();
        let changes: Vec<Change<'_>> =
            media.iter().zip(first..).map(|(media, id)| Change::Publish { id, media }).collect();
        let (now, keys) = (self.now, Arc::clone(&self.keys));
        let peer = self.peer_mut(key);
        let shard = peer.shard;
        let offer = peer.client.create_offer(now, &changes).unwrap();
        peer.negotiation.client_offer(&tamper(offer.sdp), &mut || keys.mint_ice(shard))?;
        let stream_label = peer.session.to_string();
        let tracks = offer.mids.iter().zip(first..).map(|(mid, source)| {
            let publication = publication.unwrap_or_else(|| PublicationId(u64::from(source) + 1));
            let media = peer.negotiation.bind_local(mid, publication).unwrap();
            let (mid, stream_label) = (mid.clone(), stream_label.clone());
            Track { owner: key, mid, source, publication, origin: shard, media, stream_label }
        });
        let tracks = tracks.collect();
        let answer = peer.negotiation.answer();
        self.configure(key).unwrap();
        self.peer_mut(key).client.accept_answer(now, &answer).unwrap();
        Ok(tracks)
    }

    /// A client adds the section for data channels, by an offer of its own.
    pub(crate) fn establish_channels(&mut self, key: PeerKey) {
        self.client_offers(key, Change::DataChannel, |_| ());
    }

    /// A client offers a change, and takes the answer.
    fn client_offers(&mut self, key: PeerKey, change: Change<'_>, then: impl FnOnce(&mut Negotiation)) {
        let answer = self.answer_to(key, change, then);
        let now = self.now;
        self.peer_mut(key).client.accept_answer(now, &answer).unwrap();
    }

    /// A client offers a change. Returns the answer, which it has not taken.
    fn answer_to(&mut self, key: PeerKey, change: Change<'_>, then: impl FnOnce(&mut Negotiation)) -> String {
        let (now, keys) = (self.now, Arc::clone(&self.keys));
        let peer = self.peer_mut(key);
        let shard = peer.shard;
        let offer = peer.client.create_offer(now, &[change]).unwrap();
        peer.negotiation.client_offer(&offer.sdp, &mut || keys.mint_ice(shard)).unwrap();
        then(&mut peer.negotiation);
        let answer = peer.negotiation.answer();
        self.configure(key).unwrap();
        answer
    }

    /// Changes the data channels of a client, as control does, without any description.
    pub(crate) fn plan_channels(&mut self, key: PeerKey, change: impl FnOnce(&mut ChannelsPlan)) {
        change(&mut self.peer_mut(key).channels);
        self.configure(key).unwrap();
    }

    /// A client stops a section that it sends in, by an offer of its own.
    pub(crate) fn stop(&mut self, key: PeerKey, mid: &str) {
        self.client_offers(key, Change::Stop { mid }, |negotiation| {
            negotiation.unbind_local(mid);
        });
    }

    /// A client pulls tracks: the node offers, the client answers. Returns the sections.
    pub(crate) fn subscribe(&mut self, key: PeerKey, tracks: &[&Track]) -> Vec<String> {
        self.subscribe_to_layer(key, tracks, &LayerPreference::default())
    }

    /// The same with a layer preference.
    pub(crate) fn subscribe_to_layer(
        &mut self,
        key: PeerKey,
        tracks: &[&Track],
        preference: &LayerPreference,
    ) -> Vec<String> {
        let (mids, answer) = self.offer_tracks(key, tracks, preference);
        self.take_answer(key, &answer);
        mids
    }

    /// Offers tracks to a client, which takes them. Returns the sections, and the answer that is on its way.
    pub(crate) fn offer_tracks(
        &mut self,
        key: PeerKey,
        tracks: &[&Track],
        preference: &LayerPreference,
    ) -> (Vec<String>, String) {
        let now = self.now;
        let peer = self.peer_mut(key);
        let bind = |track: &&Track| {
            peer.negotiation.bind_remote(source(track, preference.clone()), Place::Offered).unwrap()
        };
        let mids = tracks.iter().map(bind).collect();
        let offer = peer.negotiation.create_offer();
        let answer = peer.client.accept_offer(now, &offer).unwrap();
        peer.last_offer = Some(offer);
        (mids, answer)
    }

    /// The answer of a client arrives.
    pub(crate) fn take_answer(&mut self, key: PeerKey, answer: &str) {
        let summary = self.peer_mut(key).negotiation.client_answer(answer).unwrap();
        assert_eq!(summary.rejected, [""; 0]);
        self.configure(key).unwrap();
    }

    /// Changes what a client receives in a section, without any description.
    pub(crate) fn switch(&mut self, key: PeerKey, mid: &str, track: &Track, preference: LayerPreference) {
        self.peer_mut(key).negotiation.switch_source(mid, source(track, preference)).unwrap();
        self.configure(key).unwrap();
    }

    /// Ends a subscription from our side alone.
    pub(crate) fn unsubscribe(&mut self, key: PeerKey, mid: &str) {
        self.peer_mut(key).negotiation.unbind_remote(mid).unwrap();
        self.configure(key).unwrap();
    }

    /// Restarts ICE from the client's side.
    pub(crate) fn restart_ice(&mut self, key: PeerKey) {
        self.client_offers(key, Change::RestartIce, |_| ());
    }

    /// Brings the shard to the session's present plan.
    pub(crate) fn configure(&mut self, key: PeerKey) -> Result<(), ConfigureError> {
        self.configure_as(key, |_| ())
    }

    /// The same with a plan that was changed on its way.
    pub(crate) fn configure_as(
        &mut self,
        key: PeerKey,
        change: impl FnOnce(&mut SessionPlan),
    ) -> Result<(), ConfigureError> {
        let (reply, mut answer) = oneshot::channel();
        let peer = self.peer(key);
        let (session, shard) = (peer.session, peer.shard);
        let mut plan = Box::new(SessionPlan { channels: peer.channels.clone(), ..peer.negotiation.plan() });
        change(&mut plan);
        let description = Description::read(&plan.transport.ingress_offer).map(Box::new);
        self.command(shard, Command::Configure { session, plan, description, reply });
        answer.try_recv().unwrap()
    }

    /// A client stops a section, and is about to do more before it takes the answer.
    pub(crate) fn stop_unanswered(&mut self, key: PeerKey, mid: &str) {
        self.answer_to(key, Change::Stop { mid }, |negotiation| {
            negotiation.unbind_local(mid);
        });
    }

    /// A client ends DTLS in good order.
    pub(crate) fn hang_up(&mut self, key: PeerKey) {
        let now = self.now;
        self.peer_mut(key).client.close(now);
    }

    /// A client that receives begins anew from another port with the credentials that it had, as browsers do
    /// whose first section was closed.
    pub(crate) fn come_back(&mut self, key: PeerKey) {
        let credentials = self.peer_mut(key).client.credentials();
        self.replace_client(key, Some(credentials));
        let now = self.now;
        let peer = self.peer_mut(key);
        let offer = peer.last_offer.clone().unwrap();
        peer.client.accept_offer(now, &offer).unwrap();
    }

    /// A client begins anew from another port with nothing that it had.
    pub(crate) fn start_over(&mut self, key: PeerKey) {
        self.replace_client(key, None);
    }

    fn replace_client(&mut self, key: PeerKey, credentials: Option<Credentials>) {
        let mut address = self.peer(key).client.address();
        address.set_port(address.port() + 1);
        let setup = ClientSetup { address, epoch: self.base, keep_log: true, credentials, repeats: true };
        self.peer_mut(key).client = Client::new(self.now, setup).unwrap();
        self.by_address.insert(address, key);
    }

    /// A client's nominations get through from then on, if ever; until then its checks come without them.
    pub(crate) fn nominates_from(&mut self, key: PeerKey, from: Option<Instant>) {
        self.peer_mut(key).nominates_from = from;
    }

    /// The NAT in front of a client forgets its mapping and makes another one: the node sees the client elsewhere, and
    /// reaches it nowhere else. The client notices nothing.
    pub(crate) fn rebind(&mut self, key: PeerKey, outside: SocketAddr) {
        self.by_address.insert(outside, key);
        self.outside.insert(key, outside);
    }

    /// Ends a session as control does, and its client without a word.
    pub(crate) fn leave(&mut self, key: PeerKey) {
        let (session, shard) = (self.peer(key).session, self.peer(key).shard);
        self.command(shard, Command::Close { session });
        self.vanish(key);
    }

    /// The client is gone without a word.
    pub(crate) fn vanish(&mut self, key: PeerKey) {
        self.peers.remove(&key.0);
    }
}

fn source(track: &Track, preference: LayerPreference) -> RemoteSource {
    RemoteSource {
        publication: track.publication,
        origin: track.origin,
        media: track.media.clone(),
        stream_label: track.stream_label.clone(),
        preference,
    }
}

fn label(session: SessionId) -> String {
    session.to_string().chars().take(16).collect()
}
