use proptest::prelude::*;

use super::*;

const SECOND: Micros = 1_000_000;

/// A link of such a rate that holds so much, microseconds; the arrival of what is sent over it, or nothing.
struct Link {
    bps: u64,
    queue: Micros,
    free: Micros,
    /// What the receiver's clock shows at the beginning.
    clock: i64,
}

impl Link {
    fn new(bps: u64) -> Self {
        Self { bps, queue: 300_000, free: 0, clock: -1_000_000_000 }
    }

    fn send(&mut self, now: Micros, bytes: u32) -> Option<i64> {
        let begins = self.free.max(now);
        if begins - now > self.queue {
            return None;
        }
        self.free = begins + u64::from(bytes) * 8_000_000 / self.bps;
        Some(self.free as i64 + self.clock)
    }
}

/// Sends at a rate for so long, with feedback every 100 ms after a round trip of 50 ms; probes as wanted.
fn stream(estimator: &mut Estimator, link: &mut Link, begins: Micros, len: Micros, bps: u64) {
    let (mut waiting, mut probe, mut debt) = (Vec::new(), None::<(Probe, u64, u32)>, 0);
    for step in 0..len / 5_000 {
        let now = begins + step * 5_000;
        let is_probe = probe.as_ref().is_some_and(|(probe, ..)| now < probe.until);
        let (rate, cluster) = match &probe {
            Some((probe, left, packets)) if is_probe && (*left > 0 || *packets > 0) => {
                (probe.bps.max(bps), probe.cluster)
            }
            _ => (bps, 0),
        };
        debt += rate * 5_000 / 8_000_000;
        while debt >= 1000 {
            debt -= 1000;
            estimator.on_sent(now, 1000, Purpose::Media, cluster);
            if let Some((_, left, packets)) = &mut probe {
                *left = left.saturating_sub(1000);
                *packets = packets.saturating_sub(1);
            }
            let arrived = link.send(now, 1000);
            waiting.push(Outcome { sent: now, arrived, bytes: 1000, cluster, ..Outcome::default() });
        }
        if step % 20 == 19 {
            let told = waiting.iter().take_while(|one| one.sent + 50_000 <= now).count();
            estimator.on_feedback(now, waiting.drain(..told));
        }
        estimator.on_tick(now);
        if let Some(next) = estimator.poll_probe(now) {
            probe = Some((next, u64::from(next.bytes), next.packets));
        }
    }
}

#[test]
fn it_finds_what_a_path_carries_and_holds_it_when_that_falls() {
    let (mut estimator, mut link) = (Estimator::new(0), Link::new(2_000_000));
    estimator.set_demand(Demand { now: 200_000, next: 1_500_000, top: 1_500_000 });
    stream(&mut estimator, &mut link, 0, SECOND, 250_000);
    let estimate = estimator.estimate(SECOND);
    assert!((1_400_000..=2_000_000).contains(&estimate.target_bps), "{estimate:?}");
    assert_eq!(estimate.reason, Reason::Probe);
    link.bps = 600_000;
    stream(&mut estimator, &mut link, SECOND, SECOND, 1_200_000);
    let estimate = estimator.estimate(2 * SECOND);
    assert!((350_000..700_000).contains(&estimate.target_bps), "{estimate:?}");
    assert!((500_000..700_000).contains(&estimate.capacity_bps), "{estimate:?}");
}

#[test]
fn a_clock_of_the_receiver_that_jumps_is_no_queue() {
    for jump in [-3_600, -30, 30, 3_600] {
        let (mut estimator, mut link) = (Estimator::new(0), Link::new(2_000_000));
        estimator.set_demand(Demand { now: 200_000, next: 1_500_000, top: 1_500_000 });
        stream(&mut estimator, &mut link, 0, 2 * SECOND, 1_000_000);
        let before = estimator.estimate(2 * SECOND);
        link.clock += jump * SECOND as i64;
        stream(&mut estimator, &mut link, 2 * SECOND, 5 * SECOND, 1_000_000);
        let after = estimator.estimate(7 * SECOND);
        assert!(
            after.target_bps >= before.target_bps && after.queue < 50_000,
            "{jump}: {before:?} {after:?}"
        );
    }
}

#[test]
fn nothing_wanted_is_nothing_probed_and_nothing_forgotten() {
    let (mut estimator, mut link) = (Estimator::new(0), Link::new(2_000_000));
    stream(&mut estimator, &mut link, 0, 20 * SECOND, 100_000);
    assert_eq!(estimator.estimate(20 * SECOND).target_bps, START_BPS);
    estimator.on_tick(600 * SECOND);
    assert_eq!(estimator.estimate(600 * SECOND).target_bps, START_BPS, "an idle stream is no congestion");
}

#[test]
fn silence_while_sending_lowers_it_down_to_the_floor() {
    let (mut estimator, mut link) = (Estimator::new(0), Link::new(2_000_000));
    stream(&mut estimator, &mut link, 0, SECOND, 250_000);
    for step in 10..1_000 {
        estimator.on_sent(step * 100_000, 1000, Purpose::Media, 0);
        estimator.on_tick(step * 100_000);
    }
    let estimate = estimator.estimate(100 * SECOND);
    assert_eq!((estimate.target_bps, estimate.reason), (FLOOR_BPS, Reason::Outage));
    assert_eq!(estimate.state, State::Silent);
}

#[test]
fn another_way_begins_as_a_new_one_from_what_was_acknowledged() {
    let (mut estimator, mut link) = (Estimator::new(0), Link::new(2_000_000));
    estimator.set_demand(Demand { now: 200_000, next: 1_500_000, top: 1_500_000 });
    stream(&mut estimator, &mut link, 0, SECOND, 250_000);
    estimator.on_path_change(SECOND);
    let estimate = estimator.estimate(SECOND);
    assert!(estimate.target_bps <= 400_000 && estimate.reason == Reason::Path, "{estimate:?}");
    estimator.set_demand(Demand { now: 200_000, next: 800_000, top: 1_500_000 });
    estimator.on_sent(SECOND, 1000, Purpose::Media, 0);
    assert!(estimator.poll_probe(SECOND).is_some());
}

#[test]
fn a_client_without_feedback_is_believed_by_its_reports_and_bounded_by_its_ceiling() {
    let mut estimator = Estimator::without_feedback(0);
    assert_eq!(estimator.estimate(0).target_bps, UNTOLD_START_BPS);
    estimator.set_demand(Demand { now: 2_400_000, next: 800_000, top: 1_500_000 });
    // A queue stands, until less is sent.
    for step in 0..40 {
        let round_trip = Some(if step == 0 { 50_000 } else { 400_000 });
        let report = Reception { expected: 20, round_trip, ..Reception::default() };
        estimator.on_sent(step * SECOND, 10_000, Purpose::Media, 0);
        estimator.on_reception(step * SECOND, report);
    }
    let fallen = estimator.estimate(40 * SECOND).target_bps;
    assert!(fallen < 300_000, "{fallen}");
    estimator.set_demand(Demand { now: 200_000, next: 800_000, top: 1_500_000 });
    for step in 400..800 {
        estimator.on_sent(step * 100_000, 3_500, Purpose::Media, 0);
        assert_eq!(estimator.poll_probe(step * 100_000), None);
        if step % 5 == 0 {
            let report = Reception { expected: 20, round_trip: Some(50_000), ..Reception::default() };
            estimator.on_reception(step * 100_000, report);
        }
    }
    assert_eq!(estimator.estimate(80 * SECOND).target_bps, 800_000, "by trial");
    estimator.on_remb(80 * SECOND, 350_000);
    assert_eq!(estimator.estimate(80 * SECOND).target_bps, 350_000);
    for bps in [0, 1 << 60] {
        estimator.on_remb(81 * SECOND, bps);
        let target = estimator.estimate(81 * SECOND).target_bps;
        assert!((FLOOR_BPS..=800_000).contains(&target), "{target}");
    }
}

#[test]
fn loss_says_nothing_of_a_connection() {
    let lossy = |is_stream| {
        let mut estimator = Estimator::new(0);
        estimator.set_stream(is_stream);
        for round in 1..60_u64 {
            let now = round * 100_000;
            let outcomes = (0..20_u64).map(|at| Outcome {
                sent: now - 90_000 + at * 4_000,
                arrived: (at % 2 == 0).then_some((now + at * 4_000) as i64),
                bytes: 1_000,
                ..Outcome::default()
            });
            (0..20).for_each(|_| estimator.on_sent(now - 90_000, 1_000, Purpose::Media, 0));
            estimator.on_feedback(now, outcomes);
        }
        estimator.estimate(6 * SECOND).target_bps
    };
    assert!(lossy(false) < START_BPS && lossy(true) >= START_BPS, "{} {}", lossy(false), lossy(true));
}

#[test]
fn it_takes_little_memory_and_allocates_none() {
    assert!(size_of::<Estimator>() <= 3 * 1024, "{}", size_of::<Estimator>());
}

/// What may come to an estimator.
#[derive(Debug, Clone)]
enum Event {
    Sent(u32, u8),
    Feedback(Vec<(u64, Option<i64>, u32, u8, bool)>),
    Remb(u64),
    Reception(u32, u32, u32, Option<u64>),
    Path,
    Tick,
    Stream(bool),
    Demand(u64, u64),
}

fn event() -> impl Strategy<Value = Event> {
    let size = prop_oneof![Just(0), 1..1500_u32, Just(u32::MAX)];
    let arrival = prop_oneof![
        3 => (0..2_000_000_i64).prop_map(Some),
        1 => Just(None),
        1 => any::<i64>().prop_map(Some),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, 0]).prop_map(Some)
    ];
    let back = prop_oneof![8 => 0..500_000_u64, 1 => any::<u64>()];
    let outcome = (back, arrival, size.clone(), 0..40_u8, any::<bool>());
    prop_oneof![
        4 => (size, 0..40_u8).prop_map(|(bytes, cluster)| Event::Sent(bytes, cluster)),
        8 => prop::collection::vec(outcome, 0..60).prop_map(Event::Feedback),
        1 => prop_oneof![Just(0), Just(1 << 60), any::<u64>()].prop_map(Event::Remb),
        1 => (any::<u32>(), any::<u32>(), any::<u32>(), any::<Option<u64>>())
            .prop_map(|(expected, missing, never, trip)| Event::Reception(expected, missing, never, trip)),
        1 => Just(Event::Path),
        2 => Just(Event::Tick),
        1 => any::<bool>().prop_map(Event::Stream),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(next, top)| Event::Demand(next, top)),
    ]
}

fn apply(estimator: &mut Estimator, now: Micros, event: Event) {
    match event {
        Event::Sent(bytes, cluster) => estimator.on_sent(now, bytes, Purpose::Media, cluster),
        Event::Feedback(outcomes) => {
            let outcomes = outcomes.into_iter().map(|(back, arrived, bytes, cluster, was_lost)| Outcome {
                sent: now.wrapping_sub(back),
                arrived,
                bytes,
                cluster,
                was_lost: was_lost && back % 3 == 0,
                is_audio: back % 5 == 0,
                purpose: Purpose::Media,
            });
            estimator.on_feedback(now, outcomes);
        }
        Event::Remb(bps) => estimator.on_remb(now, bps),
        Event::Reception(expected, missing, never_sent, round_trip) => {
            estimator.on_reception(now, Reception { expected, missing, never_sent, round_trip });
        }
        Event::Path => estimator.on_path_change(now),
        Event::Tick => estimator.on_tick(now),
        Event::Stream(is_stream) => estimator.set_stream(is_stream),
        Event::Demand(next, top) => estimator.set_demand(Demand { now: 0, next, top }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_told_the_figures_stay_within_bounds(
        events in prop::collection::vec((prop_oneof![9 => 0..200_000_u64, 1 => any::<u64>()], event()), 1..150),
    ) {
        let (mut now, mut estimator): (Micros, _) = (0, Estimator::new(0));
        for (passed, event) in events {
            now = now.saturating_add(passed);
            apply(&mut estimator, now, event);
            if let Some(probe) = estimator.poll_probe(now) {
                prop_assert!(probe.bps <= CEILING_BPS && probe.bytes < 2_000_000);
            }
            let estimate = estimator.estimate(now);
            prop_assert!((FLOOR_BPS..=CEILING_BPS).contains(&estimate.target_bps), "{estimate:?}");
            prop_assert!((0.0..=1.0).contains(&estimate.loss) && estimate.capacity_bps <= CEILING_BPS);
        }
    }
}
