//! The data channels of a session: what it has, and what waits to be sent on each. They outlive the transport.
//!
//! Bounds: [`CHANNELS_MAX`] channels, [`BACKLOG_BYTES_MAX`] and [`BACKLOG_MESSAGES_MAX`] waiting on each. The
//! engine's side of them is in [`super::wires`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::transport::{Feed, Transport};
use super::transports::Which;
use super::wires::WireEvent;
use super::{Session, SessionError, SessionOutput, SessionSetup};
use crate::plan::{ChannelPlan, ChannelRole, Delivery};

/// Channels of one session, those that the client opened included.
pub const CHANNELS_MAX: usize = 512;
/// Bytes that may wait on one channel for a client that takes them too slowly.
pub const BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Messages that may wait on one channel, of whatever size.
const BACKLOG_MESSAGES_MAX: usize = 16_384;
/// Largest message that is taken (`a=max-message-size`, RFC 8841 6.1).
pub const MESSAGE_BYTES_MAX: usize = 262_144;
/// Longest label of a channel that a client opens.
const LABEL_BYTES_MAX: usize = 512;
/// How long a subscriber that is waited for has for its first message.
const ACK_PATIENCE: Duration = Duration::from_secs(30);

/// One message, as it is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it is binary rather than text.
    pub binary: bool,
    /// Its bytes, shared by all receivers.
    pub payload: Bytes,
}

/// What happened on the data channels of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// A planned channel can carry messages.
    Open(u16),
    /// The client opened a channel in band (RFC 8832) under this label.
    Opened(u16, String),
    /// A channel has ended and its stream is free.
    Closed(u16),
    /// The client did not send its first message in time.
    Unacknowledged(u16),
    /// A message of the client.
    Message(u16, Message),
    /// A message of the client that was dropped for want of a meaning.
    Consumed(u16),
    /// A message that the engine could not take for the client.
    Refused(u16),
}

/// What became of a message for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It waits or is on its way; so many older ones gave way to it.
    Waiting(usize),
    /// The channel carries nothing yet.
    NotYet,
    /// There is no room, and the channel may lose nothing.
    Full,
}

/// Messages that wait on one channel.
#[derive(Debug, Default)]
struct Backlog {
    queue: VecDeque<Message>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, message: Message, reliable: bool) -> Queued {
        let mut displaced = 0;
        let len = message.payload.len();
        while self.bytes + len > BACKLOG_BYTES_MAX || self.queue.len() >= BACKLOG_MESSAGES_MAX {
            if reliable {
                return Queued::Full;
            }
            let Some(oldest) = self.queue.pop_front() else { return Queued::Full };
            self.bytes -= oldest.payload.len();
            displaced += 1;
        }
        self.bytes += len;
        self.queue.push_back(message);
        Queued::Waiting(displaced)
    }

    fn pop(&mut self) {
        if let Some(message) = self.queue.pop_front() {
            self.bytes -= message.payload.len();
        }
    }
}

#[derive(Debug)]
struct Channel {
    stream: u16,
    /// Absent for a channel that the client opened.
    plan: Option<ChannelPlan>,
    reliable: bool,
    open: bool,
    /// Whether nothing is delivered before the client's first message, and until when that is waited for.
    held: bool,
    deadline: Option<Instant>,
    backlog: Backlog,
}

impl Channel {
    fn begin(&mut self, now: Instant) {
        self.open = true;
        self.deadline = self.held.then(|| now + ACK_PATIENCE);
    }
}

/// All channels of one session.
#[derive(Debug, Default)]
pub(super) struct Channels {
    list: Vec<Channel>,
    /// Ended here, not yet by the engine.
    closing: Vec<u16>,
    /// Whether we open `server-events`.
    server_events: bool,
    waiting: bool,
    /// Whose turn it is to be sent from first.
    turn: usize,
}

impl Channels {
    /// Whether there is anything to see to.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.closing.is_empty() && !self.server_events
    }

    pub(super) fn add(&mut self, plan: ChannelPlan) -> bool {
        if self.list.len() >= CHANNELS_MAX {
            return false;
        }
        self.list.retain(|channel| channel.stream != plan.stream);
        let held = matches!(plan.role, ChannelRole::Subscribe { wait_for_ack: true, .. });
        self.list.push(Channel {
            stream: plan.stream,
            reliable: plan.delivery.is_reliable(),
            plan: Some(plan),
            open: false,
            held,
            deadline: None,
            backlog: Backlog::default(),
        });
        true
    }

    pub(super) fn open_server_events(&mut self) {
        self.server_events = true;
    }

    /// Ends a channel; its end is told when the engine is done with it.
    pub(super) fn remove(&mut self, stream: u16) {
        self.list.retain(|channel| channel.stream != stream);
        if !self.closing.contains(&stream) {
            self.closing.push(stream);
        }
    }

    /// Takes a message for the client.
    pub(super) fn queue(&mut self, stream: u16, message: Message) -> Queued {
        let Some(channel) = self.list.iter_mut().find(|channel| channel.stream == stream) else {
            return Queued::NotYet;
        };
        if channel.held || !channel.open {
            return Queued::NotYet;
        }
        self.waiting = true;
        channel.backlog.push(message, channel.reliable)
    }

    /// Whether a channel carries messages.
    pub(super) fn is_open(&self, stream: u16) -> bool {
        self.list.iter().any(|channel| channel.stream == stream && channel.open)
    }

    /// Whether a channel may lose nothing.
    pub(super) fn loses_nothing(&self, stream: u16) -> bool {
        self.list.iter().any(|channel| channel.stream == stream && channel.reliable)
    }

    /// When the next subscriber has been waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(|channel| channel.deadline).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<ChannelEvent>) {
        for channel in &mut self.list {
            if channel.deadline.is_some_and(|deadline| deadline <= now) {
                channel.deadline = None;
                out.push(ChannelEvent::Unacknowledged(channel.stream));
            }
        }
    }

    /// The transport has been replaced: what the client opened is gone with it, the rest opens anew.
    pub(super) fn transport_replaced(&mut self, out: &mut Vec<ChannelEvent>) {
        let own = |channel: &Channel| channel.plan.is_none();
        out.extend(
            self.list.iter().filter(|channel| own(channel)).map(|gone| ChannelEvent::Closed(gone.stream)),
        );
        out.extend(self.closing.drain(..).map(ChannelEvent::Closed));
        self.list.retain(|channel| !own(channel));
        for channel in &mut self.list {
            channel.open = false;
            channel.deadline = None;
        }
    }

    /// Brings the engine to what is wanted.
    pub(super) fn sync(&mut self, transport: &mut Transport, now: Instant, out: &mut Vec<ChannelEvent>) {
        self.closing.retain(|stream| {
            let under_way = transport.close_channel(*stream);
            if !under_way {
                out.push(ChannelEvent::Closed(*stream));
            }
            under_way
        });
        for channel in &mut self.list {
            let Some(plan) = channel.plan.as_ref().filter(|_| !self.closing.contains(&channel.stream)) else {
                continue;
            };
            if transport.open_channel(plan) && !channel.open {
                channel.begin(now);
                out.push(ChannelEvent::Open(channel.stream));
            }
        }
        if self.server_events {
            transport.open_server_events();
        }
    }

    /// Follows one event of the engine.
    pub(super) fn take(&mut self, event: WireEvent, now: Instant, out: &mut Vec<ChannelEvent>) {
        match event {
            WireEvent::Open { stream, label, delivery } => self.opened(stream, label, delivery, now, out),
            WireEvent::Closed(stream) => {
                self.closing.retain(|closing| *closing != stream);
                self.list.retain(|channel| channel.stream != stream);
                out.push(ChannelEvent::Closed(stream));
            }
            WireEvent::Message(stream, message) => {
                let Some(channel) = self.list.iter_mut().find(|channel| channel.stream == stream) else {
                    out.push(ChannelEvent::Consumed(stream));
                    return;
                };
                if channel.held {
                    channel.held = false;
                    channel.deadline = None;
                } else if message.payload.len() <= MESSAGE_BYTES_MAX {
                    out.push(ChannelEvent::Message(stream, message));
                } else {
                    out.push(ChannelEvent::Refused(stream));
                }
            }
        }
    }

    fn opened(
        &mut self,
        stream: u16,
        label: String,
        delivery: Option<Delivery>,
        now: Instant,
        out: &mut Vec<ChannelEvent>,
    ) {
        if let Some(channel) = self.list.iter_mut().find(|channel| channel.stream == stream) {
            channel.begin(now);
            out.push(ChannelEvent::Open(stream));
            return;
        }
        if self.closing.contains(&stream) {
            return;
        }
        if self.list.len() >= CHANNELS_MAX || label.len() > LABEL_BYTES_MAX {
            self.remove(stream);
            out.push(ChannelEvent::Refused(stream));
            return;
        }
        self.list.push(Channel {
            stream,
            plan: None,
            reliable: delivery.is_none_or(Delivery::is_reliable),
            open: true,
            held: false,
            deadline: None,
            backlog: Backlog::default(),
        });
        out.push(ChannelEvent::Opened(stream, label));
    }

    /// Hands the engine what it takes of what waits. Returns whether it took anything.
    pub(super) fn send(&mut self, transport: &mut Transport, out: &mut Vec<ChannelEvent>) -> bool {
        if !self.waiting {
            return false;
        }
        let (mut wrote, mut waiting) = (false, false);
        let count = self.list.len();
        self.turn = self.turn.wrapping_add(1);
        for step in 0..count {
            let Some(channel) = self.list.get_mut((self.turn + step) % count.max(1)) else { continue };
            while let Some(message) = channel.backlog.queue.front() {
                match transport.write_channel(channel.stream, message) {
                    Some(true) => wrote = true,
                    Some(false) => {
                        waiting = true;
                        break;
                    }
                    None => out.push(ChannelEvent::Refused(channel.stream)),
                }
                channel.backlog.pop();
            }
        }
        self.waiting = waiting;
        wrote
    }
}

impl Session {
    /// Adds a planned data channel; false when there are too many.
    pub fn add_channel(&mut self, plan: ChannelPlan) -> bool {
        self.channels.add(plan)
    }

    /// Has the channel `server-events` opened.
    pub fn open_server_events(&mut self) {
        self.channels.open_server_events();
    }

    /// Ends a data channel. Its end is told when its stream is free.
    pub fn remove_channel(&mut self, stream: u16) {
        self.channels.remove(stream);
    }

    /// Takes a message for the client, which leaves with [`Session::run_channels`].
    pub fn queue(&mut self, stream: u16, message: Message) -> Queued {
        self.channels.queue(stream, message)
    }

    /// Whether a data channel carries messages.
    pub fn has_open(&self, stream: u16) -> bool {
        self.channels.is_open(stream)
    }

    /// Whether a data channel may lose nothing.
    pub fn loses_nothing(&self, stream: u16) -> bool {
        self.channels.loses_nothing(stream)
    }

    /// Opens and ends channels as wanted, and sends what waits.
    ///
    /// # Errors
    /// When the engine failed for good.
    pub fn run_channels(
        &mut self,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), SessionError> {
        if let Some(transport) = self.transports.present_mut() {
            self.channels.sync(transport, now, &mut out.channels);
            self.channels.send(transport, &mut out.channels);
        }
        Ok(self.run(Which::Present, Feed::Timeout, setup, now, out)?)
    }

    /// Takes what the engine said of data channels.
    pub(super) fn take_wires(&mut self, now: Instant, out: &mut SessionOutput) {
        let mut wires = std::mem::take(&mut out.wires);
        for event in wires.drain(..) {
            self.channels.take(event, now, &mut out.channels);
        }
        out.wires = wires;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize) -> Message {
        Message { binary: true, payload: Bytes::from(vec![0; len]) }
    }

    #[test]
    fn a_reliable_backlog_is_full_and_another_forgets_the_oldest() {
        let mut reliable = Backlog::default();
        for _ in 0..4 {
            assert_eq!(reliable.push(message(MESSAGE_BYTES_MAX), true), Queued::Waiting(0));
        }
        assert_eq!(reliable.push(message(1), true), Queued::Full);
        let mut lossy = Backlog::default();
        for _ in 0..4 {
            assert_eq!(lossy.push(message(MESSAGE_BYTES_MAX), false), Queued::Waiting(0));
        }
        assert_eq!(lossy.push(message(1), false), Queued::Waiting(1));
        assert_eq!(lossy.bytes, 3 * MESSAGE_BYTES_MAX + 1);
    }

    #[test]
    fn empty_messages_are_bounded_by_their_number() {
        let mut backlog = Backlog::default();
        for _ in 0..BACKLOG_MESSAGES_MAX {
            assert_eq!(backlog.push(message(0), true), Queued::Waiting(0));
        }
        assert_eq!(backlog.push(message(0), true), Queued::Full);
    }
}
