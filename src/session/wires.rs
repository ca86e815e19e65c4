//! The engine's side of data channels: SCTP streams of one transport. The only file that names its channels.
//!
//! The engine asserts where it is asked for a stream that it has, and forgets a channel with its end; so the table
//! here says what may be asked of it. Bounded by the channels of the session, and by the streams of SCTP.

use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability as EngineReliability};
use str0m::{Event, Rtc};

use super::channels::Message;
use super::empty::Mark;
use crate::plan::{ChannelPlan, Delivery, Reliability};

/// Label of the channel that we open in band.
const SERVER_EVENTS: &str = "server-events";

/// What happened on a stream.
#[derive(Debug)]
pub(super) enum WireEvent {
    /// It can carry messages. The delivery is known for what was opened by anybody's wish.
    Open { stream: u16, label: String, delivery: Option<Delivery> },
    /// It has ended.
    Closed(u16),
    /// A message came.
    Message(u16, Message),
}

#[derive(Debug, Clone, Copy)]
struct Wire {
    id: ChannelId,
    /// Unknown for one of ours until the engine has chosen it.
    stream: Option<u16>,
    open: bool,
    closing: bool,
    /// Whether it is `server-events`, opened by us.
    own: bool,
}

/// The channels of one engine.
#[derive(Debug, Default)]
pub(super) struct Wires {
    list: Vec<Wire>,
}

impl Wires {
    /// Opens a channel with an agreed id, unless it is there. Returns whether it can carry messages already.
    pub(super) fn open(&mut self, rtc: &mut Rtc, plan: &ChannelPlan) -> bool {
        if let Some(wire) = self.find(plan.stream) {
            return wire.open && !wire.closing;
        }
        let mut direct = rtc.direct_api();
        // A client that is early has made the stream known to the engine already.
        let known = direct.channel_id_by_sctp_stream_id(plan.stream);
        let id = known.unwrap_or_else(|| {
            direct.create_data_channel(ChannelConfig {
                label: plan.label.clone(),
                ordered: plan.delivery.ordered,
                reliability: match plan.delivery.reliability {
                    Reliability::Reliable => EngineReliability::Reliable,
                    Reliability::Retransmits(retransmits) => {
                        EngineReliability::MaxRetransmits { retransmits }
                    }
                    // The engine would give such a message up before it is sent; once is what is meant.
                    Reliability::Lifetime(0) => EngineReliability::MaxRetransmits { retransmits: 0 },
                    Reliability::Lifetime(lifetime) => EngineReliability::MaxPacketLifetime { lifetime },
                },
                negotiated: Some(plan.stream),
                protocol: String::new(),
            })
        });
        let open = known.is_some();
        self.list.push(Wire { id, stream: Some(plan.stream), open, closing: false, own: false });
        open
    }

    /// Opens `server-events` in band, unless it is there.
    pub(super) fn open_server_events(&mut self, rtc: &mut Rtc) {
        if self.list.iter().any(|wire| wire.own) {
            return;
        }
        let config = ChannelConfig { label: SERVER_EVENTS.to_owned(), ..ChannelConfig::default() };
        let id = rtc.direct_api().create_data_channel(config);
        self.list.push(Wire { id, stream: None, open: false, closing: false, own: true });
    }

    /// Ends a channel; false when there is none that has to end.
    pub(super) fn close(&mut self, rtc: &mut Rtc, stream: u16) -> bool {
        let Some(wire) = self.list.iter_mut().find(|wire| wire.stream == Some(stream)) else { return false };
        if !wire.closing {
            wire.closing = true;
            if wire.open {
                rtc.direct_api().close_data_channel(wire.id);
            }
        }
        true
    }

    /// Hands over a message: whether the engine had room, or `None` when the channel cannot take it at all.
    pub(super) fn write(
        &mut self,
        rtc: &mut Rtc,
        stream: u16,
        message: &Message,
        empty: Mark,
    ) -> Option<bool> {
        let wire = self.find(stream).filter(|wire| wire.open && !wire.closing)?;
        let payload = if message.payload.is_empty() { empty.as_bytes() } else { &*message.payload };
        rtc.channel(wire.id)?.write(message.binary, payload).ok()
    }

    /// Follows an event of the engine; `None` when it is not about channels, or of no consequence.
    pub(super) fn take(&mut self, rtc: &mut Rtc, event: Event) -> Option<WireEvent> {
        match event {
            Event::ChannelOpen(id, label) => self.opened(rtc, id, label),
            Event::ChannelClose(id) => {
                let index = self.list.iter().position(|wire| wire.id == id)?;
                self.list.swap_remove(index).stream.map(WireEvent::Closed)
            }
            Event::ChannelData(ChannelData { id, binary, data }) => {
                let wire = self.list.iter().find(|wire| wire.id == id && !wire.closing && !wire.own)?;
                Some(WireEvent::Message(wire.stream?, Message { binary, payload: data.into() }))
            }
            _ => None,
        }
    }

    fn opened(&mut self, rtc: &mut Rtc, id: ChannelId, label: String) -> Option<WireEvent> {
        let stream = rtc.direct_api().sctp_stream_id_by_channel_id(id)?;
        match self.list.iter_mut().find(|wire| wire.id == id) {
            Some(wire) => {
                wire.open = true;
                wire.stream = Some(stream);
                if wire.closing {
                    rtc.direct_api().close_data_channel(id);
                    return None;
                }
                if wire.own {
                    return None;
                }
            }
            None => {
                self.list.push(Wire { id, stream: Some(stream), open: true, closing: false, own: false });
            }
        }
        let config = rtc.channel(id).and_then(|channel| channel.config().cloned());
        let delivery = config.map(|config| Delivery {
            ordered: config.ordered,
            reliability: match config.reliability {
                EngineReliability::Reliable => Reliability::Reliable,
                EngineReliability::MaxRetransmits { retransmits } => Reliability::Retransmits(retransmits),
                EngineReliability::MaxPacketLifetime { lifetime } => Reliability::Lifetime(lifetime),
            },
        });
        Some(WireEvent::Open { stream, label, delivery })
    }

    fn find(&self, stream: u16) -> Option<Wire> {
        self.list.iter().find(|wire| wire.stream == Some(stream)).copied()
    }
}
