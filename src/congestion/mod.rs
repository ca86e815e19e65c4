//! How much a client's path carries: the estimate of one subscriber, from what its client reports of what was sent.
//!
//! A pure value: no clock, no socket, no random number, nothing of sessions or of the router. A session owns one
//! [`Estimator`] from its first video stream on and tells it what left and what was reported; whoever divides the path among
//! subscriptions reads its [`Estimate`] and says by a [`Demand`] what more would be of use. Moments are microseconds since the
//! session began ([`Micros`]); arrival times are microseconds of the receiver's clock, whose beginning nobody knows.
//!
//! The parts, each in its file: throughput and the sample of what the path can carry, the trend of delay, the rate that
//! follows from both, loss, probing, and what stands in for feedback where a client sends none. All of them hold a fixed number
//! of bytes; nothing is allocated. Whatever a client reports, the target stays within [`FLOOR_BPS`] and [`CEILING_BPS`].

mod capacity;
mod delay;
mod estimator;
mod loss;
pub mod pacer;
mod probe;
mod rate;
mod reports;
mod throughput;

#[cfg(test)]
mod tests;

pub use estimator::Estimator;
pub use probe::Probe;
pub use reports::Reception;

/// Microseconds since the session began.
pub type Micros = u64;

/// The least that is ever said of a path, bits per second: below it a link would be hidden by the figure for it.
pub const FLOOR_BPS: u64 = 30_000;

/// The most that is ever said of a path, bits per second.
pub const CEILING_BPS: u64 = 100_000_000;

/// What is believed of a path before anything was measured, bits per second.
pub const START_BPS: u64 = 300_000;

/// The same of the path to a client that tells of no packets.
pub const UNTOLD_START_BPS: u64 = 2_500_000;

/// What a packet was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Media, for the first time.
    #[default]
    Media,
    /// Sent once more.
    Repair,
    /// Sent to measure the path alone.
    Probe,
}

/// What the client told of one packet, the numbers of which the session has looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// When it was sent.
    pub sent: Micros,
    /// When it arrived, in microseconds of the receiver's clock; `None` when it has not.
    pub arrived: Option<i64>,
    /// Its bytes with the headers of IP and UDP.
    pub bytes: u32,
    /// What it was sent for.
    pub purpose: Purpose,
    /// The probe during which it was sent, media too; 0 outside of probes.
    pub cluster: u8,
    /// Whether it is audio.
    pub is_audio: bool,
    /// Whether a report before this one has called it lost.
    pub was_lost: bool,
}

/// What whoever divides the path would have of it, bits per second with all headers and margins: the estimate that would be
/// needed, not the media alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Needed for what is sent now.
    pub now: u64,
    /// Needed for the cheapest step up that is wanted; 0 when nothing more is.
    pub next: u64,
    /// Needed for all that is wanted.
    pub top: u64,
}

/// What holds an estimate where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing was reported yet.
    #[default]
    Starting,
    /// It grows as far as what is sent bears witness for it.
    Growing,
    /// It waits for a queue to empty.
    Holding,
    /// A queue grows.
    Congested,
    /// Loss alone keeps it down.
    Lossy,
    /// Packets go out and nothing comes back.
    Silent,
}

impl State {
    /// Its name in statistics and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Growing => "growing",
            Self::Holding => "holding",
            Self::Congested => "congested",
            Self::Lossy => "lossy",
            Self::Silent => "silent",
        }
    }
}

/// Why the target changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// It has not.
    #[default]
    Start,
    /// It grew by itself.
    Growth,
    /// A probe came through.
    Probe,
    /// Delay grew.
    Overuse,
    /// Packets were lost.
    Loss,
    /// The round trip as the client's reports have it grew.
    RoundTrip,
    /// Reports stopped.
    Outage,
    /// The client named a ceiling (REMB).
    Remb,
    /// The client's way is another.
    Path,
}

impl Reason {
    /// Its name in statistics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Growth => "growth",
            Self::Probe => "probe",
            Self::Overuse => "overuse",
            Self::Loss => "loss",
            Self::RoundTrip => "rtt",
            Self::Outage => "outage",
            Self::Remb => "remb",
            Self::Path => "path",
        }
    }
}

/// What is known of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// What may be sent, bits per second with the headers of IP and UDP.
    pub target_bps: u64,
    /// What the path carried when it was last full, bits per second; 0 while that is not known.
    pub capacity_bps: u64,
    /// Time to the client and back, microseconds; 0 while it is not known.
    pub round_trip: Micros,
    /// Share of bytes lost in the last second, 0 to 1.
    pub loss: f32,
    /// How much longer packets take than they did at best, microseconds.
    pub queue: Micros,
    /// What holds the target where it is.
    pub state: State,
    /// Why it changed last.
    pub reason: Reason,
    /// When.
    pub changed_at: Micros,
    /// Whether a probe is under way: whoever divides the path waits for its end.
    pub is_probing: bool,
}
