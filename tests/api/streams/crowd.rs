//! What a publisher with many viewers costs, in allocations: they are exact where time is not.

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::browser::{Browser, Direction};
use crate::client::{Resource, offer, post};
use crate::harness::{Api, settle};

/// Allocations for each viewer that an exchange of its publisher may take. To look at what the publisher has takes two.
const PER_VIEWER_MAX: u64 = 16;

/// Allocations of one exchange of a publisher that changes nothing of what it sends.
fn exchange(runtime: &Runtime, viewers: usize) -> u64 {
    let (api, session, description) = runtime.block_on(async {
        let (api, mut browser) = (Api::new(), Browser::default());
        browser.add("audio", Direction::Send);
        browser.add("video", Direction::Send);
        let publisher = Resource::of(&post(&api, "whip", &browser.offer()).await);
        let session = publisher.path.rsplit('/').next().unwrap().to_owned();
        for _ in 0..viewers {
            assert_eq!(post(&api, "whep", &offer(Direction::Receive)).await.status, 201);
        }
        settle().await;
        (api, session, browser.offer())
    });
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            let answer: Value = api.renegotiate(&session, "offer", &description).await.ok();
            assert_eq!(answer["sessionDescription"]["type"], "answer");
            settle().await;
        });
    });
    counted.count_total
}

/// Each viewer copied its whole state to find that nothing was new.
#[test]
fn an_exchange_of_a_publisher_costs_next_to_nothing_for_each_of_its_viewers() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // Whatever is made once is made here.
    exchange(&runtime, 1);
    let (few, many) = (exchange(&runtime, 8), exchange(&runtime, 72));
    let per_viewer = many.saturating_sub(few) / 64;
    assert!(per_viewer <= PER_VIEWER_MAX, "{per_viewer} allocations for each viewer ({few}, {many})");
}
