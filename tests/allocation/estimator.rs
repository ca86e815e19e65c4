//! What the estimate of a path and its division ask of the allocator: nothing, once the list of subscriptions has its length.

use ringcast::congestion::{Demand, Estimator, Outcome, Purpose};
use ringcast::router::allocation::{Allocation, Level, Path, Standing, Wish};

#[test]
fn neither_feedback_nor_the_division_of_a_path_allocates() {
    let mut estimator = Estimator::new(0);
    estimator.set_demand(Demand { now: 300_000, next: 2_000_000, top: 4_000_000 });
    let mut allocation = Allocation::default();
    let level = |bps, quality| Level { now_bps: bps, up_bps: bps, quality };
    let levels = [level(211_000, 180), level(633_000, 360), level(1_266_000, 720)];
    let wishes =
        [Wish { levels: levels.into_iter().collect(), priority: 1, is_screen: false, is_kept: false }; 9];
    let mut standings = [Standing::default(); 9];
    let mut turn = |turn: u64| {
        let now = turn * 50_000;
        let outcomes = (0..20).map(|packet| {
            let sent = now.saturating_sub(50_000) + packet * 2_500;
            let arrived = (packet % 7 != 6).then_some(sent as i64 + 30_000 + (turn as i64 % 9) * 3_000);
            Outcome { sent, arrived, bytes: 1_200, ..Outcome::default() }
        });
        (0..20).for_each(|_| estimator.on_sent(now, 1_200, Purpose::Media, 0));
        estimator.on_feedback(now, outcomes);
        estimator.on_tick(now);
        estimator.poll_probe(now);
        let target_bps = estimator.estimate(now).target_bps;
        let path = Path { target_bps, ..Path::default() };
        allocation.divide(now, path, 58_000, &wishes, &mut standings);
    };
    (0..20).for_each(&mut turn);
    let counted = allocation_counter::measure(|| (20..2_000).for_each(&mut turn));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
