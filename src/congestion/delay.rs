//! Whether a queue grows: the trend of one-way delay over groups of packets, against a threshold that follows it
//! (draft-ietf-rmcat-gcc-02 5; the line through smoothed delays is that of later implementations).

use super::Micros;

/// Packets that were sent within so many microseconds are one group.
const GROUP: u64 = 5_000;

/// A packet that arrives within so many microseconds after a group, delayed less than it, belongs to it: they came in one
/// burst, and so up to the second bound.
const BURST_GAP: i64 = 5_000;
const BURST_MAX: i64 = 100_000;

/// Groups that the line goes through.
const WINDOW: usize = 20;

/// Weight of what was, for smoothing.
const SMOOTHING: f64 = 0.9;

/// By what the slope is multiplied, and groups up to which it weighs more.
const GAIN: f64 = 4.0;
const GROUPS_MAX: u32 = 60;

/// The threshold, in the unit of the slope: where it begins, its bounds, how fast it follows up and down, and past which excess
/// it does not.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
const FOLLOWS_UP: f64 = 0.0087;
const FOLLOWS_DOWN: f64 = 0.039;
const EXCESS_MAX: f64 = 15.0;

/// Time over the threshold that it takes, milliseconds.
const OVERUSE_MS: f64 = 10.0;

/// Spans over each of which the least delay is kept; the base is the least of two of them.
const BASE_SPAN: Micros = 30_000_000;

/// How long the longest delay is remembered, and how long it has to be for its end to count.
const PEAK_SPAN: Micros = 500_000;
const PEAK_LEAST: i64 = 30_000;

/// How a path takes what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue empties.
    Under,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: Micros,
    last_sent: Micros,
    first_arrived: i64,
    last_arrived: i64,
}

/// The trend of delay of one path.
#[derive(Debug)]
pub(super) struct Delay {
    current: Option<Group>,
    before: Option<Group>,
    /// Arrival since the first group and smoothed delay, milliseconds.
    line: [(f32, f32); WINDOW],
    groups: u32,
    began: i64,
    accumulated: f64,
    smoothed: f64,
    slope: f64,
    trend: f64,
    threshold: f64,
    threshold_at: Option<Micros>,
    over_ms: f64,
    over_groups: u32,
    usage: Usage,
    /// Least delay of this span and of the one before, and when this one began.
    base: Option<(i64, i64, Micros)>,
    queue: f64,
    /// How much longer than at best the newest packet took, and the slowest of late and when that was told.
    newest: i64,
    peak: (i64, Micros),
}

impl Delay {
    pub(super) const fn new() -> Self {
        Self {
            current: None,
            before: None,
            line: [(0.0, 0.0); WINDOW],
            groups: 0,
            began: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            slope: 0.0,
            trend: 0.0,
            threshold: THRESHOLD,
            threshold_at: None,
            over_ms: 0.0,
            over_groups: 0,
            usage: Usage::Normal,
            base: None,
            queue: 0.0,
            newest: 0,
            peak: (0, 0),
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Forgets the trend, and keeps what is known of the path's least delay.
    pub(super) fn reset_trend(&mut self) {
        let (base, queue) = (self.base, self.queue);
        *self = Self { base, queue, ..Self::new() };
    }

    /// Takes note of a packet that arrived; `trends` when its delay says something of the trend. Returns whether a group
    /// became whole.
    pub(super) fn arrived(&mut self, sent: Micros, arrived: i64, now: Micros, trends: bool) -> bool {
        self.see_delay(arrived.wrapping_sub(sent as i64), now);
        if !trends {
            return false;
        }
        let packet =
            Group { first_sent: sent, last_sent: sent, first_arrived: arrived, last_arrived: arrived };
        let Some(current) = &mut self.current else {
            self.current = Some(packet);
            return false;
        };
        if sent < current.first_sent {
            return false;
        }
        if belongs(current, sent, arrived) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrived = current.last_arrived.max(arrived);
            return false;
        }
        let (whole, before) = (*current, self.before);
        self.before = Some(whole);
        self.current = Some(packet);
        let Some(before) = before else {
            self.began = whole.last_arrived;
            return false;
        };
        let sending = whole.last_sent.saturating_sub(before.last_sent) as f64 / 1000.0;
        let arriving = whole.last_arrived.saturating_sub(before.last_arrived) as f64 / 1000.0;
        self.follow(sending, arriving, whole.last_arrived, now);
        true
    }

    fn see_delay(&mut self, delay: i64, now: Micros) {
        let (least, before, began) = self.base.unwrap_or((delay, delay, now));
        self.base = Some(if now.saturating_sub(began) > BASE_SPAN {
            (delay, least, now)
        } else {
            (least.min(delay), before.min(delay), began)
        });
        let over = delay.saturating_sub(self.base_delay()).max(0);
        self.queue += 0.3 * (over as f64 - self.queue);
        self.newest = over;
        let (peak, at) = self.peak;
        if over >= peak || now.saturating_sub(at) > PEAK_SPAN {
            self.peak = (over, now);
        }
    }

    fn follow(&mut self, sending: f64, arriving: f64, at: i64, now: Micros) {
        self.groups = self.groups.saturating_add(1);
        self.accumulated += arriving - sending;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let place = self.groups as usize % WINDOW;
        let at = at.saturating_sub(self.began) as f64 / 1000.0;
        if let Some(place) = self.line.get_mut(place) {
            *place = (at as f32, self.smoothed as f32);
        }
        let before = self.slope;
        if self.groups as usize >= WINDOW {
            self.slope = self.fit().unwrap_or(self.slope);
        }
        self.trend = self.slope * f64::from(self.groups.min(GROUPS_MAX)) * GAIN;
        self.detect(sending, before);
        self.adapt(now);
    }

    /// The slope of the line through the window (least squares).
    fn fit(&self) -> Option<f64> {
        let count = WINDOW as f64;
        let sum =
            self.line.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + f64::from(*x), sum.1 + f64::from(*y)));
        let (mean_x, mean_y) = (sum.0 / count, sum.1 / count);
        let (above, below) = self.line.iter().fold((0.0, 0.0), |(above, below), (x, y)| {
            let (x, y) = (f64::from(*x) - mean_x, f64::from(*y) - mean_y);
            (above + x * y, below + x * x)
        });
        (below > 0.0).then(|| above / below)
    }

    fn detect(&mut self, sending: f64, slope_before: f64) {
        if self.groups < 2 {
            self.usage = Usage::Normal;
        } else if self.trend > self.threshold {
            // Half of the time is thought to have been spent below when it was crossed.
            self.over_ms += if self.over_groups == 0 { sending / 2.0 } else { sending };
            self.over_groups += 1;
            if self.over_ms > OVERUSE_MS && self.over_groups > 1 && self.slope >= slope_before {
                (self.over_ms, self.over_groups) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_groups) = (0.0, 0);
            self.usage = if self.trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
    }

    fn adapt(&mut self, now: Micros) {
        let since = now.saturating_sub(self.threshold_at.unwrap_or(now)).min(100_000) as f64 / 1000.0;
        self.threshold_at = Some(now);
        let excess = self.trend.abs() - self.threshold;
        if excess <= EXCESS_MAX {
            let gain = if excess < 0.0 { FOLLOWS_DOWN } else { FOLLOWS_UP };
            let (least, most) = THRESHOLD_RANGE;
            self.threshold = (self.threshold + gain * excess * since).clamp(least, most);
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether what has queued is passing already: a path that stood still, or a keyframe, and no lack of room.
    pub(super) fn is_draining(&self) -> bool {
        self.peak.0 >= PEAK_LEAST && self.newest < self.peak.0 / 2
    }

    /// The least delay of the last half minute or more: a difference of two clocks, microseconds.
    pub(super) fn base_delay(&self) -> i64 {
        self.base.map_or(0, |(least, before, _)| least.min(before))
    }

    /// How much longer packets take than at best, microseconds.
    pub(super) fn queue(&self) -> Micros {
        self.queue as Micros
    }
}

fn belongs(group: &Group, sent: Micros, arrived: i64) -> bool {
    if sent - group.first_sent <= GROUP {
        return true;
    }
    let gap = arrived.saturating_sub(group.last_arrived);
    let is_faster = gap < sent.saturating_sub(group.last_sent) as i64;
    is_faster && gap <= BURST_GAP && arrived.saturating_sub(group.first_arrived) < BURST_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 10 ms that take so many microseconds more each time.
    fn stream(delay: &mut Delay, more: i64) -> Vec<Usage> {
        let step = |step: i64| {
            delay.arrived(
                step as u64 * 10_000,
                7_000_000 + step * (10_000 + more),
                step as u64 * 10_000,
                true,
            );
            delay.usage()
        };
        (0..100).map(step).collect()
    }

    #[test]
    fn growing_delay_is_overuse_and_falling_delay_underuse() {
        assert!(stream(&mut Delay::new(), 1_000).contains(&Usage::Over));
        assert!(stream(&mut Delay::new(), 0).iter().all(|usage| *usage == Usage::Normal));
        assert!(stream(&mut Delay::new(), -1_000).contains(&Usage::Under));
    }

    #[test]
    fn the_queue_is_what_lies_over_the_least_delay() {
        let mut delay = Delay::new();
        stream(&mut delay, 1_000);
        assert!((90_000..100_000).contains(&delay.queue()), "{}", delay.queue());
        stream(&mut delay, 0);
        assert_eq!(delay.queue() / 1000, 0);
    }
}
