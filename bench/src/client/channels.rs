//! Data channels of a client, found by their labels.

use std::time::Instant;

use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability};
use str0m::{Event, Input};

use super::Client;

/// A data channel, as a client opens it.
#[derive(Debug, Clone)]
pub struct ChannelSetup<'a> {
    /// Its label, unique at the client.
    pub label: &'a str,
    /// The agreed SCTP stream (RFC 8831 6.5); opened in band (RFC 8832) when absent.
    pub stream: Option<u16>,
    /// Whether messages come in the order of sending.
    pub ordered: bool,
    /// How many times more than once delivery is tried; until it succeeds when absent.
    pub retransmits: Option<u16>,
}

impl<'a> ChannelSetup<'a> {
    /// An ordered channel that loses nothing.
    pub fn reliable(label: &'a str, stream: Option<u16>) -> Self {
        Self { label, stream, ordered: true, retransmits: None }
    }
}

/// What a client knows of one of its channels.
#[derive(Debug)]
pub struct ClientChannel {
    id: ChannelId,
    label: String,
    /// Whether it carries messages.
    pub is_open: bool,
    /// Whether the other side has ended it.
    pub is_closed: bool,
    /// Every message that came, and whether it was binary.
    pub received: Vec<(bool, Vec<u8>)>,
}

impl Client {
    /// Opens a channel; the section for it has to be negotiated, before or after.
    pub fn open_channel(&mut self, now: Instant, setup: &ChannelSetup<'_>) {
        let config = ChannelConfig {
            label: setup.label.to_owned(),
            ordered: setup.ordered,
            reliability: setup
                .retransmits
                .map_or(Reliability::Reliable, |retransmits| Reliability::MaxRetransmits { retransmits }),
            negotiated: setup.stream,
            protocol: String::new(),
        };
        let id = self.rtc.direct_api().create_data_channel(config);
        self.note_channel(id, setup.label);
        self.input(now, Input::Timeout(now));
    }

    /// The channel of a label.
    pub fn channel(&self, label: &str) -> Option<&ClientChannel> {
        self.channels.iter().find(|channel| channel.label == label)
    }

    /// Sends a message. Returns whether it was taken: the channel is open and what waits on it is not too much.
    pub fn send_message(&mut self, now: Instant, label: &str, binary: bool, payload: &[u8]) -> bool {
        let id = self.channel(label).filter(|channel| channel.is_open).map(|channel| channel.id);
        let channel = id.and_then(|id| self.rtc.channel(id));
        let taken = channel.is_some_and(|mut channel| channel.write(binary, payload).unwrap_or(false));
        self.input(now, Input::Timeout(now));
        taken
    }

    /// Ends a channel.
    pub fn close_channel(&mut self, now: Instant, label: &str) {
        if let Some(id) = self.channel(label).map(|channel| channel.id) {
            self.rtc.direct_api().close_data_channel(id);
        }
        self.input(now, Input::Timeout(now));
    }

    /// Follows an event of the engine.
    pub(super) fn handle_channel_event(&mut self, event: Event) {
        match event {
            Event::ChannelOpen(id, label) => {
                self.note_channel(id, &label);
                self.with_channel(id, |channel| channel.is_open = true);
            }
            Event::ChannelData(ChannelData { id, binary, data }) => {
                self.with_channel(id, |channel| channel.received.push((binary, data)));
            }
            Event::ChannelClose(id) => self.with_channel(id, |channel| {
                channel.is_open = false;
                channel.is_closed = true;
            }),
            _ => {}
        }
    }

    fn note_channel(&mut self, id: ChannelId, label: &str) {
        if !self.channels.iter().any(|channel| channel.id == id) {
            self.channels.push(ClientChannel {
                id,
                label: label.to_owned(),
                is_open: false,
                is_closed: false,
                received: Vec::new(),
            });
        }
    }

    fn with_channel(&mut self, id: ChannelId, step: impl FnOnce(&mut ClientChannel)) {
        if let Some(channel) = self.channels.iter_mut().find(|channel| channel.id == id) {
            step(channel);
        }
    }
}
