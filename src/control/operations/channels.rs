//! The calls on data channels, and the groups of in-band ones.

use std::sync::Arc;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{
    CloseDataChannelsRequest, DataChannelRequest, DataChannelResult, DataChannelsResponse, EstablishRequest,
    EstablishResponse, Location, NewTracksResponse, SessionDescription,
};
use super::super::session::Session;
use super::super::session::channels::{DataChannel, Side};
use super::super::session::draft::{Draft, check_name};
use super::expect_offer;
use crate::plan::{Delivery, Reliability};

/// The channel that every transport of data channels has.
const SERVER_EVENTS: &str = "server-events";
/// The stream on which a client that offers opens it, being the DTLS client (RFC 8832 6).
const CLIENT_STREAM: u16 = 0;
/// The stream on which we open it.
const SERVER_STREAM: u16 = 1;
/// Longest name of a group.
const GROUP_BYTES_MAX: usize = 256;

impl Control {
    /// datachannels/establish: the section for data channels, and the channel `server-events`.
    pub(in super::super) async fn establish_channels(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &EstablishRequest,
    ) -> Result<EstablishResponse, ApiError> {
        let named = request.data_channel.as_ref().and_then(|channel| channel.data_channel_name.as_deref());
        if named.is_some_and(|name| name != SERVER_EVENTS) {
            return Err(ApiError::params("dataChannelName must be server-events"));
        }
        let offer = request.session_description.as_ref().map(expect_offer).transpose()?;
        let mut draft = Draft::begin(self, session).await?;
        if draft.state.channels.established {
            return Err(ApiError::Decoding("server-events is established already".into()));
        }
        if draft.state.pending.is_some() {
            return Err(ApiError::Decoding("an earlier offer still waits for its answer".into()));
        }
        draft.state.channels.established = true;
        let response = |id, session_description, ours| EstablishResponse {
            requires_immediate_renegotiation: ours,
            data_channel: DataChannelResult {
                data_channel_name: Some(SERVER_EVENTS.to_owned()),
                id: Some(id),
                ..DataChannelResult::default()
            },
            session_description,
        };
        let response = if let Some(sdp) = offer {
            if !draft.client_offer(sdp)?.has_application {
                return Err(ApiError::Decoding("the offer has no section for data channels".into()));
            }
            response(CLIENT_STREAM, SessionDescription::answer(draft.answer()), false)
        } else {
            draft.state.channels.server_events = true;
            draft.negotiation().offer_application().map_err(|error| ApiError::Decoding(error.to_string()))?;
            let offer = SessionDescription::offer(draft.create_offer()?);
            let pending = NewTracksResponse {
                requires_immediate_renegotiation: true,
                tracks: Vec::new(),
                session_description: Some(offer.clone()),
            };
            draft.expect(Vec::new(), pending);
            response(SERVER_STREAM, offer, true)
        };
        draft.commit().await?;
        Ok(response)
    }

    /// datachannels/new: publishes channels, or subscribes to them.
    pub(in super::super) async fn new_channels(
        self: &Arc<Self>,
        session: &Arc<Session>,
        requests: &[DataChannelRequest],
    ) -> Result<DataChannelsResponse, ApiError> {
        self.check_channels(requests.len())?;
        let remote = requests.iter().filter(|request| request.place() == Location::Remote).count();
        if remote != 0 && remote != requests.len() {
            return Err(ApiError::params("local and remote channels cannot be mixed in one request"));
        }
        let mut draft = Draft::begin(self, session).await?;
        let mut data_channels = Vec::with_capacity(requests.len());
        for request in requests {
            let opened = self.open_channel(&mut draft, session, request);
            data_channels.push(match opened {
                Ok(id) => DataChannelResult { id: Some(id), ..request.echo() },
                Err(error) => request.echo().failed(&error),
            });
        }
        draft.commit().await?;
        Ok(DataChannelsResponse { data_channels })
    }

    fn open_channel(
        &self,
        draft: &mut Draft,
        session: &Session,
        request: &DataChannelRequest,
    ) -> Result<u16, ItemError> {
        let name = channel_name(request)?;
        let delivery = delivery(request)?;
        let channels = &mut draft.state.channels;
        if request.place() == Location::Local {
            let streams = session.streams();
            if channels.published(name, &streams).is_some() {
                return Err(ItemError::Repeated(format!("the data channel {name:?} is published already")));
            }
            return channels.add(name, delivery, DataChannel::new(session.shard), Side::Local, &streams);
        }
        let (publisher, source) = if request.session_id.as_deref() == Some(session.id.to_string().as_str()) {
            (session.id, channels.published(name, &session.streams()))
        } else {
            let found = self.published_channel(&session.app, request, name)?;
            (found.0, Some(found.1))
        };
        let source = source.filter(|source| !source.is_ended()).ok_or_else(not_published)?;
        let streams = session.streams();
        let channels = &mut draft.state.channels;
        if channels.received(&source, &streams).is_some() {
            return Err(ItemError::Repeated(format!("the data channel {name:?} is received already")));
        }
        let wait_for_ack = request.wait_for_ack == Some(true);
        let side = Side::Remote { publisher, grant: None, wait_for_ack };
        let id = channels.add(name, delivery, source, side, &streams)?;
        channels.set_reply(id, request.can_reply == Some(true));
        Ok(id)
    }

    fn published_channel(
        &self,
        app: &str,
        request: &DataChannelRequest,
        name: &str,
    ) -> Result<(crate::ids::SessionId, Arc<DataChannel>), ItemError> {
        let publisher = request.session_id.as_deref();
        let publisher =
            publisher.ok_or_else(|| ItemError::Params("a remote channel needs a sessionId".into()))?;
        let session = self.find_session(app, publisher).map_err(|_| {
            ItemError::TrackNotFound("the session that publishes it is not known or has ended".into())
        })?;
        let channel = session.data_channel(name).ok_or_else(not_published)?;
        Ok((session.id, channel))
    }

    /// datachannels/update: who may reply.
    pub(in super::super) async fn update_channels(
        self: &Arc<Self>,
        session: &Arc<Session>,
        requests: &[DataChannelRequest],
    ) -> Result<DataChannelsResponse, ApiError> {
        self.check_channels(requests.len())?;
        let mut draft = Draft::begin(self, session).await?;
        let mut data_channels = Vec::with_capacity(requests.len());
        for request in requests {
            let reply = request.can_reply == Some(true);
            let updated = self.update_channel(&mut draft, session, request, reply);
            data_channels.push(match updated {
                Ok(id) => DataChannelResult { id: Some(id), can_reply: Some(reply), ..request.echo() },
                Err(error) => request.echo().failed(&error),
            });
        }
        draft.commit().await?;
        Ok(DataChannelsResponse { data_channels })
    }

    fn update_channel(
        &self,
        draft: &mut Draft,
        session: &Session,
        request: &DataChannelRequest,
        reply: bool,
    ) -> Result<u16, ItemError> {
        let name = channel_name(request)?;
        if request.place() == Location::Local {
            return Err(ItemError::Update("only a remote data channel can be updated".into()));
        }
        let source = if request.session_id.as_deref() == Some(session.id.to_string().as_str()) {
            draft.state.channels.published(name, &session.streams()).ok_or_else(not_published)?
        } else {
            self.published_channel(&session.app, request, name)?.1
        };
        let channels = &mut draft.state.channels;
        let id = channels.received(&source, &session.streams()).ok_or_else(|| {
            ItemError::TrackNotFound("this session does not receive the data channel".into())
        })?;
        channels.set_reply(id, reply);
        Ok(id)
    }

    /// datachannels/close: the end of channels by their ids.
    pub(in super::super) async fn close_channels(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &CloseDataChannelsRequest,
    ) -> Result<DataChannelsResponse, ApiError> {
        self.check_channels(request.data_channels.len())?;
        let mut draft = Draft::begin(self, session).await?;
        let on_shard = draft.state.configured.is_some();
        let mut data_channels = Vec::with_capacity(request.data_channels.len());
        for closed in &request.data_channels {
            let open = draft.state.channels.close(closed.id, on_shard, &session.streams());
            let result = DataChannelResult { id: Some(closed.id), ..DataChannelResult::default() };
            data_channels.push(if open { result } else { result.failed(&ItemError::CloseChannel) });
        }
        draft.commit().await?;
        Ok(DataChannelsResponse { data_channels })
    }

    /// Puts the in-band channels of a session into a group of its application, or takes them out.
    pub(in super::super) async fn set_group(
        self: &Arc<Self>,
        session: &Arc<Session>,
        name: Option<&str>,
    ) -> Result<(), ApiError> {
        if name.is_some_and(|name| name.is_empty() || name.len() > GROUP_BYTES_MAX) {
            return Err(ApiError::params(format!("group must have 1 to {GROUP_BYTES_MAX} bytes")));
        }
        let mut draft = Draft::begin(self, session).await?;
        draft.state.channels.group = name.map(|name| self.groups.named(&session.app, name));
        draft.commit().await
    }

    fn check_channels(&self, channels: usize) -> Result<(), ApiError> {
        if channels == 0 {
            return Err(ApiError::params("dataChannels is empty"));
        }
        self.check_count(channels)
    }
}

fn not_published() -> ItemError {
    ItemError::TrackNotFound("its session publishes no data channel of this name".into())
}

fn channel_name(request: &DataChannelRequest) -> Result<&str, ItemError> {
    let name = check_name(request.data_channel_name.as_deref());
    let name = name.map_err(|_| ItemError::Params("dataChannelName must have 1 to 512 bytes".into()))?;
    if name == SERVER_EVENTS {
        return Err(ItemError::Params("the name server-events is reserved".into()));
    }
    Ok(name)
}

fn delivery(request: &DataChannelRequest) -> Result<Delivery, ItemError> {
    let reliability = match (request.max_retransmits, request.max_packet_life_time) {
        (None, None) => Reliability::Reliable,
        (Some(times), None) => Reliability::Retransmits(times),
        (None, Some(millis)) => Reliability::Lifetime(millis),
        (Some(_), Some(_)) => {
            let text = "maxRetransmits and maxPacketLifeTime exclude each other";
            return Err(ItemError::Params(text.into()));
        }
    };
    Ok(Delivery { ordered: request.ordered != Some(false), reliability })
}
