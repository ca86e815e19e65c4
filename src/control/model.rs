//! The JSON of requests and responses, as the API documents it. Unknown fields are ignored everywhere.

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::plan::{LayerPreference, Ordering};
use crate::rtp::MediaKind;

use super::error::ItemError;

type Members = serde_json::Map<String, serde_json::Value>;

/// Reads a list of objects. On its own, the derived code would take an array for an object as well.
pub(super) fn objects<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Members>::deserialize(input)?;
    objects.into_iter().map(from_members).collect()
}

/// Reads an object or null, likewise.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    input: D,
) -> Result<Option<T>, D::Error> {
    Option::<Members>::deserialize(input)?.map(from_members).transpose()
}

fn required<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<T, D::Error> {
    from_members(Members::deserialize(input)?)
}

fn from_members<T: DeserializeOwned, E: de::Error>(members: Members) -> Result<T, E> {
    serde_json::from_value(members.into()).map_err(E::custom)
}

/// An offer or an answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionDescription {
    /// Which of the two it is.
    #[serde(rename = "type")]
    pub kind: DescriptionKind,
    /// The description itself (RFC 8866).
    pub sdp: String,
}

impl SessionDescription {
    /// An answer of ours.
    pub fn answer(sdp: String) -> Self {
        Self { kind: DescriptionKind::Answer, sdp }
    }

    /// An offer of ours.
    pub fn offer(sdp: String) -> Self {
        Self { kind: DescriptionKind::Offer, sdp }
    }
}

/// Offer or answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DescriptionKind {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
}

/// Whose track it is, from the client's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// Published by this session.
    Local,
    /// Published by another session, or received from the same.
    Remote,
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl From<Kind> for MediaKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => Self::Audio,
            Kind::Video => Self::Video,
        }
    }
}

impl From<MediaKind> for Kind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}

/// Whether another layer may stand in for the wanted one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LayerOrder {
    /// No.
    #[default]
    None,
    /// The next by the ASCII order of names, first being best.
    Asciibetical,
}

impl From<LayerOrder> for Ordering {
    fn from(order: LayerOrder) -> Self {
        match order {
            LayerOrder::None => Self::None,
            LayerOrder::Asciibetical => Self::Asciibetical,
        }
    }
}

/// Which simulcast layer a subscription wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulcast {
    /// The wanted layer; absent or empty for an automatic choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_rid: Option<String>,
    /// What to do when bandwidth is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_ordering: Option<LayerOrder>,
    /// What to do while the wanted layer is not being sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid_not_available: Option<LayerOrder>,
}

impl From<&Simulcast> for LayerPreference {
    fn from(wish: &Simulcast) -> Self {
        Self {
            preferred_rid: wish.preferred_rid.clone().filter(|rid| !rid.is_empty()),
            priority_ordering: wish.priority_ordering.unwrap_or_default().into(),
            rid_not_available: wish.rid_not_available.unwrap_or_default().into(),
        }
    }
}

/// One track of a request.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackRequest {
    /// Whose track it is. Without it, a track with a `sessionId` is remote.
    pub location: Option<Location>,
    /// Name of the track, unique in the session that publishes it.
    #[schema(max_length = 512)]
    pub track_name: Option<String>,
    /// Local: the section of the offer. Remote: an existing section to use; `#name` for that of a local track.
    pub mid: Option<String>,
    /// Remote: the session that publishes the track.
    pub session_id: Option<String>,
    /// Needed when the server makes the offer for a local track.
    pub kind: Option<Kind>,
    /// When the server makes the offer: whether the section carries media both ways.
    pub bidirectional_media_stream: Option<bool>,
    /// Which simulcast layer is wanted.
    #[serde(default, deserialize_with = "object")]
    pub simulcast: Option<Simulcast>,
}

impl TrackRequest {
    /// Where the track is, also when the client does not say it.
    pub fn place(&self) -> Location {
        match (self.location, &self.session_id) {
            (Some(location), _) => location,
            (None, Some(_)) => Location::Remote,
            (None, None) => Location::Local,
        }
    }
}

/// One track of a response.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackResult {
    /// The section; absent when this track has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mid: Option<String>,
    /// Name of the track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub track_name: Option<String>,
    /// The session that publishes a remote track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session_id: Option<String>,
    /// Kind of a discovered track.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The layer preference in force, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulcast: Option<Simulcast>,
    /// Why this track failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_code: Option<String>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_description: Option<String>,
}

impl TrackResult {
    /// The result of a request that named a section: what stands for none, or for the section of a name, is no mid.
    pub fn at(mid: Option<&str>) -> Self {
        let mid = mid.filter(|mid| !mid.is_empty() && !mid.starts_with('#'));
        Self { mid: mid.map(str::to_owned), ..Self::default() }
    }

    /// This result as a failure.
    pub fn failed(self, error: &ItemError) -> Self {
        Self { error_code: Some(error.code().into()), error_description: Some(error.to_string()), ..self }
    }
}

/// Body of sessions/new.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSessionRequest {
    /// An offer, to set the transport up at once. Its tracks are not published.
    #[serde(default, deserialize_with = "object")]
    pub session_description: Option<SessionDescription>,
}

/// Response of sessions/new.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSessionResponse {
    /// Name of the session.
    pub session_id: String,
    /// The answer, when an offer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Body of tracks/new.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTracksRequest {
    /// All local or all remote.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 64)]
    pub tracks: Vec<TrackRequest>,
    /// The client's offer; without it the server makes one where needed.
    #[serde(default, deserialize_with = "object")]
    pub session_description: Option<SessionDescription>,
    /// Publish every new sending section of the offer under a random name.
    pub auto_discover: Option<bool>,
}

/// Response of tracks/new.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTracksResponse {
    /// Whether the description is an offer that must be answered through renegotiate.
    pub requires_immediate_renegotiation: bool,
    /// One result per track, in the order of the request.
    pub tracks: Vec<TrackResult>,
    /// Our answer or offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Body of renegotiate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenegotiateRequest {
    /// The answer to our offer; or an offer, which is answered.
    #[serde(deserialize_with = "required")]
    pub session_description: SessionDescription,
}

/// Response of renegotiate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenegotiateResponse {
    /// Our answer, when an offer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Body of tracks/update.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTracksRequest {
    /// Subscriptions to change, by the client's own mid.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 64)]
    pub tracks: Vec<TrackRequest>,
}

/// Body of tracks/close.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseTracksRequest {
    /// Sections whose tracks end.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 64)]
    pub tracks: Vec<CloseTrack>,
    /// Whether to end them without any description.
    #[serde(default)]
    pub force: bool,
    /// The client's offer; needed unless forced.
    #[serde(default, deserialize_with = "object")]
    pub session_description: Option<SessionDescription>,
}

/// One section to close.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CloseTrack {
    /// The section.
    pub mid: String,
}

/// Response of tracks/update and tracks/close.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeTracksResponse {
    /// Always false: neither call needs an exchange.
    pub requires_immediate_renegotiation: bool,
    /// One result per track, in the order of the request.
    pub tracks: Vec<TrackResult>,
    /// Our answer, when an offer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Whether a track can carry media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrackStatus {
    /// Neither closed nor unavailable; says nothing of packets.
    Active,
    /// Closed, or its source is gone.
    Inactive,
}

/// One track of a session's state.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackState {
    /// Whose track it is.
    pub location: Location,
    /// The section.
    pub mid: String,
    /// The session that publishes a remote track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session_id: Option<String>,
    /// Name of the track.
    pub track_name: String,
    /// Whether it can carry media.
    pub status: TrackStatus,
}

/// State of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// Its tracks.
    pub tracks: Vec<TrackState>,
    /// Its data channels.
    pub data_channels: Vec<DataChannelResult>,
}

/// Whether a data channel can carry messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelStatus {
    /// Not open yet.
    Initializing,
    /// It can.
    Active,
    /// It has ended, or its publisher has.
    Inactive,
}

/// One data channel of a request.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataChannelRequest {
    /// Whose channel it is. Without it, a channel with a `sessionId` is remote.
    pub location: Option<Location>,
    /// Name of the channel, unique in the session that publishes it.
    #[schema(max_length = 512)]
    pub data_channel_name: Option<String>,
    /// Remote: the session that publishes the channel.
    pub session_id: Option<String>,
    /// Whether messages arrive in order; they do unless it is false.
    pub ordered: Option<bool>,
    /// How often a message is sent again at most. 0 is never; absent is without end.
    pub max_retransmits: Option<u16>,
    /// For how many milliseconds a message is tried. Not together with `maxRetransmits`.
    pub max_packet_life_time: Option<u16>,
    /// Remote: whether nothing is delivered before the client's first message.
    pub wait_for_ack: Option<bool>,
    /// Remote: whether the client's messages go to the publisher. One subscriber at a time may.
    pub can_reply: Option<bool>,
}

/// Body of datachannels/new and datachannels/update.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataChannelsRequest {
    /// All local or all remote.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 64)]
    pub data_channels: Vec<DataChannelRequest>,
}

/// One data channel to close.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CloseDataChannel {
    /// Its id on this session.
    pub id: u16,
}

/// Body of datachannels/close.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseDataChannelsRequest {
    /// The channels that end.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 64)]
    pub data_channels: Vec<CloseDataChannel>,
}

/// Response of datachannels/new, update and close.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataChannelsResponse {
    /// One result per channel, in the order of the request.
    pub data_channels: Vec<DataChannelResult>,
}

/// Body of datachannels/establish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstablishRequest {
    /// The channel; always `server-events`.
    #[serde(default, deserialize_with = "object")]
    pub data_channel: Option<DataChannelRequest>,
    /// The client's offer with a section for data channels; without it the server offers.
    #[serde(default, deserialize_with = "object")]
    pub session_description: Option<SessionDescription>,
}

/// Response of datachannels/establish.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstablishResponse {
    /// Whether the description is an offer that must be answered through renegotiate.
    pub requires_immediate_renegotiation: bool,
    /// The channel `server-events` and its id: 0 when the client opens it, else the one that the server uses.
    pub data_channel: DataChannelResult,
    /// Our answer or offer.
    pub session_description: SessionDescription,
}

/// One data channel of a response.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataChannelResult {
    /// Whose channel it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Name of the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub data_channel_name: Option<String>,
    /// The session that publishes a remote channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session_id: Option<String>,
    /// The SCTP stream: `id` of `createDataChannel(name, {negotiated: true, id})` on this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<u16>,
    /// Whether messages arrive in order, when it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ordered: Option<bool>,
    /// As it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_retransmits: Option<u16>,
    /// As it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_packet_life_time: Option<u16>,
    /// As it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub wait_for_ack: Option<bool>,
    /// Whether the client's messages go to the publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub can_reply: Option<bool>,
    /// Whether it can carry messages; in the state of a session only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ChannelStatus>,
    /// Why this channel failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_code: Option<String>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_description: Option<String>,
}

impl DataChannelRequest {
    /// Where the channel is, also when the client does not say it.
    pub fn place(&self) -> Location {
        match (self.location, &self.session_id) {
            (Some(location), _) => location,
            (None, Some(_)) => Location::Remote,
            (None, None) => Location::Local,
        }
    }

    /// What a result repeats of it.
    pub fn echo(&self) -> DataChannelResult {
        DataChannelResult {
            location: Some(self.place()),
            data_channel_name: self.data_channel_name.clone(),
            session_id: self.session_id.clone(),
            ordered: self.ordered,
            max_retransmits: self.max_retransmits,
            max_packet_life_time: self.max_packet_life_time,
            wait_for_ack: self.wait_for_ack,
            can_reply: self.can_reply,
            ..DataChannelResult::default()
        }
    }
}

impl DataChannelResult {
    /// This result as a failure.
    pub fn failed(self, error: &ItemError) -> Self {
        Self { error_code: Some(error.code().into()), error_description: Some(error.to_string()), ..self }
    }
}
