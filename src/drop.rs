//! Every reason for which a datagram or packet ends here, each with its counter.

/// Why a datagram or packet was not carried further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Empty, too short or larger than any packet that we take.
    Size,
    /// First byte belongs to no protocol of ours (RFC 7983).
    UnknownProtocol,
    /// From an address that no session has proven.
    UnknownSource,
    /// STUN that cannot be parsed, is no binding request, or answers none of ours.
    BadStun,
    /// STUN user name that is not ours: wrong shard, node, incarnation or code.
    ForeignUfrag,
    /// STUN for a session that has ended.
    UnknownUfrag,
    /// STUN whose integrity does not hold.
    BadIntegrity,
    /// A check from an address that another session holds.
    HeldAddress,
    /// The session's engine refused the datagram.
    Refused,
    /// Handshake for an address to which three times as much had gone as came from it.
    Amplification,
    /// SRTP or SRTCP before keys are there.
    NoKeys,
    /// SRTCP that does not authenticate, or was seen before.
    BadRtcp,
    /// RTP that carries no section or layer that the session negotiated.
    UnknownStream,
    /// RTP of a section that no track names.
    Unpublished,
    /// Padding alone, no media.
    PaddingOnly,
    /// RTP that was there before, or is older than anything kept.
    Repeated,
    /// RTP of a stream in whose place the publisher sends another one by now.
    FormerSource,
    /// RTP with a payload type that a subscriber cannot take.
    PayloadType,
    /// Subscriber without keys or address yet.
    SubscriberNotReady,
    /// The way to the subscriber has no room for it.
    Held,
    /// So much went to the subscriber without a report that more could set its count of packets wrong.
    ReceiverSilent,
    /// It could not be sealed.
    SealFailed,
    /// A lane to another shard was full.
    LaneFull,
    /// A lane for datagrams that came to another shard than their owner's was full.
    HandoverFull,
    /// The kernel did not take it.
    SendFailed,
    /// Too much waits already for sessions that are not connected yet.
    BacklogFull,
    /// Too many sessions.
    Overload,
    /// The reader of a TCP connection did not keep up.
    SlowReader,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 28] = [
        Self::Size,
        Self::UnknownProtocol,
        Self::UnknownSource,
        Self::BadStun,
        Self::ForeignUfrag,
        Self::UnknownUfrag,
        Self::BadIntegrity,
        Self::HeldAddress,
        Self::Refused,
        Self::Amplification,
        Self::NoKeys,
        Self::BadRtcp,
        Self::UnknownStream,
        Self::Unpublished,
        Self::PaddingOnly,
        Self::Repeated,
        Self::FormerSource,
        Self::PayloadType,
        Self::SubscriberNotReady,
        Self::Held,
        Self::ReceiverSilent,
        Self::SealFailed,
        Self::LaneFull,
        Self::HandoverFull,
        Self::SendFailed,
        Self::BacklogFull,
        Self::Overload,
        Self::SlowReader,
    ];

    /// The value of the metric label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnknownSource => "unknown_source",
            Self::BadStun => "bad_stun",
            Self::ForeignUfrag => "foreign_ufrag",
            Self::UnknownUfrag => "unknown_ufrag",
            Self::BadIntegrity => "bad_integrity",
            Self::HeldAddress => "held_address",
            Self::Refused => "refused",
            Self::Amplification => "amplification",
            Self::NoKeys => "no_keys",
            Self::BadRtcp => "bad_rtcp",
            Self::UnknownStream => "unknown_stream",
            Self::Unpublished => "unpublished",
            Self::PaddingOnly => "padding_only",
            Self::Repeated => "repeated",
            Self::FormerSource => "former_source",
            Self::PayloadType => "payload_type",
            Self::SubscriberNotReady => "subscriber_not_ready",
            Self::Held => "held",
            Self::ReceiverSilent => "receiver_silent",
            Self::SealFailed => "seal_failed",
            Self::LaneFull => "lane_full",
            Self::HandoverFull => "handover_full",
            Self::SendFailed => "send_failed",
            Self::BacklogFull => "backlog_full",
            Self::Overload => "overload",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// Why a packet that a subscriber asked for again was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RepairRefusal {
    /// It was asked for within the last round trip.
    Repeated,
    /// It was sent again as often as any packet is.
    Exhausted,
    /// It comes too late to be shown.
    Old,
    /// As much as may be of what goes to the subscriber was sent again already.
    Budget,
    /// More was asked for at once than is looked at.
    Excess,
    /// The rest of the outbox is for checks and handshakes.
    NoRoom,
    /// It would not be the same packet: its header is made of other things by now.
    Changed,
    /// There are no keys or no address.
    NotReady,
    /// It could not be sealed.
    SealFailed,
}

impl RepairRefusal {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Repeated,
        Self::Exhausted,
        Self::Old,
        Self::Budget,
        Self::Excess,
        Self::NoRoom,
        Self::Changed,
        Self::NotReady,
        Self::SealFailed,
    ];

    /// The value of the metric label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Repeated => "repeated",
            Self::Exhausted => "exhausted",
            Self::Old => "old",
            Self::Budget => "budget",
            Self::Excess => "excess",
            Self::NoRoom => "no_room",
            Self::Changed => "changed",
            Self::NotReady => "not_ready",
            Self::SealFailed => "seal_failed",
        }
    }
}

/// Why a message of a data channel was not carried further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChannelDrop {
    /// The client sent it on a channel that leads nowhere.
    Unaddressed,
    /// A subscriber sent it without a grant to reply.
    NotGranted,
    /// The receiver's channel is not open, or waits for its first message.
    NotOpen,
    /// The receiver was too slow.
    Slow,
    /// A lane to another shard was full.
    LaneFull,
    /// Empty, or too large for us or for the receiver.
    Refused,
}

impl ChannelDrop {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Unaddressed, Self::NotGranted, Self::NotOpen, Self::Slow, Self::LaneFull, Self::Refused];

    /// The value of the metric label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unaddressed => "unaddressed",
            Self::NotGranted => "not_granted",
            Self::NotOpen => "not_open",
            Self::Slow => "slow",
            Self::LaneFull => "lane_full",
            Self::Refused => "refused",
        }
    }
}
