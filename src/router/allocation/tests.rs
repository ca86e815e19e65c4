use super::*;

const SECOND: Micros = 1_000_000;

/// Levels of 211, 633 and 1,266 kbit/s.
const CAMERA: [Level; 3] = [level(211_000, 180), level(633_000, 360), level(1_266_000, 720)];
const SCREEN: [Level; 2] = [level(800_000, 600), level(1_350_000, 1080)];

const fn level(bps: u64, quality: u32) -> Level {
    Level { now_bps: bps, up_bps: bps, quality }
}

fn wish(levels: &[Level]) -> Wish {
    Wish { levels: levels.iter().copied().collect(), priority: 1, is_screen: false, is_kept: false }
}

fn path(kilobits: u64) -> Path {
    Path { target_bps: kilobits * 1000, capacity_bps: kilobits * 1000, ..Path::default() }
}

/// One client that is divided for ten times a second.
struct Client {
    allocation: Allocation,
    wishes: Vec<Wish>,
    standings: Vec<Standing>,
    audio_bps: u64,
    now: Micros,
}

impl Client {
    fn new(wishes: &[Wish], audio_bps: u64) -> Self {
        let standings = vec![Standing::default(); wishes.len()];
        Self { allocation: Allocation::default(), wishes: wishes.to_vec(), standings, audio_bps, now: 0 }
    }

    fn run(&mut self, len: Micros, path: Path) -> Need {
        let end = self.now + len;
        loop {
            let need =
                self.allocation.divide(self.now, path, self.audio_bps, &self.wishes, &mut self.standings);
            self.now += SECOND / 10;
            if self.now >= end {
                return need;
            }
        }
    }

    fn levels(&self) -> Vec<Option<usize>> {
        self.standings.iter().map(|standing| standing.level).collect()
    }
}

#[test]
fn what_a_client_asks_for_says_which_layers_it_may_be_given() {
    let preference = |rid: Option<&str>, priority_ordering| LayerPreference {
        preferred_rid: rid.map(str::to_owned),
        priority_ordering,
        rid_not_available: Ordering::None,
    };
    use Ordering::{Asciibetical, None as Stay};
    assert_eq!(scope(&preference(None, Stay)), Scope::All);
    assert_eq!(scope(&preference(Some(""), Asciibetical)), Scope::All);
    assert_eq!(scope(&preference(Some("h"), Stay)), Scope::Kept("h"));
    assert_eq!(scope(&preference(Some("h"), Asciibetical)), Scope::UpTo("h"));
    let taken = |scope: Scope<'_>| ["f", "h", "q"].map(|name| scope.takes(name));
    assert_eq!(taken(Scope::UpTo("h")), [false, true, true]);
    assert_eq!(taken(Scope::Kept("h")), [false, true, false]);
}

#[test]
fn one_camera_gets_what_the_path_carries() {
    for (kilobits, expected) in [(300, 0), (855, 1), (1_500, 1), (1_832, 2)] {
        let mut client = Client::new(&[wish(&CAMERA)], 58_000);
        client.run(SECOND, path(kilobits));
        assert_eq!(client.levels(), [Some(expected)], "{kilobits}");
    }
}

#[test]
fn what_is_needed_is_enough() {
    let mut client = Client::new(&[wish(&CAMERA)], 58_000);
    let need = client.run(SECOND, path(300));
    assert!((770_000..820_000).contains(&need.next) && need.top > 1_500_000, "{need:?}");
    client.run(6 * SECOND, Path { target_bps: need.next, ..path(0) });
    assert_eq!(client.levels(), [Some(1)]);
    let need = client.run(6 * SECOND, Path { target_bps: need.top, ..path(0) });
    assert_eq!((client.levels(), need.next), (vec![Some(2)], 0));
}

#[test]
fn a_screen_does_not_starve_faces_nor_faces_a_screen() {
    let screen = Wish { is_screen: true, ..wish(&SCREEN) };
    let face = wish(&CAMERA[..2]);
    let mut client = Client::new(&[face, face, screen, face, face], 174_000);
    client.run(2 * SECOND, path(1_900));
    assert_eq!(
        client.levels(),
        [Some(0), Some(0), Some(0), Some(0), None],
        "the screen at its cheapest, three faces"
    );
    client.run(20 * SECOND, path(6_000));
    assert_eq!(client.levels(), [Some(1); 5]);
}

#[test]
fn a_kept_layer_stays_and_the_others_get_what_is_left() {
    let kept = Wish { is_kept: true, ..wish(&CAMERA[1..2]) };
    let mut client = Client::new(&[wish(&CAMERA), kept], 58_000);
    let need = client.run(5 * SECOND, path(300));
    assert_eq!(client.levels(), [None, Some(0)]);
    assert!(need.is_over && client.standings[1].verdict == Verdict::OverBudget);
    client.run(10 * SECOND, path(1_100));
    assert_eq!(client.levels(), [Some(0), Some(0)]);
}

#[test]
fn down_goes_at_once_and_up_waits_longer_each_time_that_it_fails() {
    let mut client = Client::new(&[wish(&CAMERA)], 58_000);
    client.run(4 * SECOND, path(900));
    for hold in [10, 20, 40, 40] {
        client.run(3 * SECOND, path(900));
        assert_eq!(client.levels(), [Some(1)]);
        client.run(SECOND / 10, path(300));
        assert_eq!(client.levels(), [Some(0)], "at once");
        client.run((hold - 1) * SECOND, path(900));
        assert_eq!(client.levels(), [Some(0)], "held for {hold} s");
        client.run(SECOND + SECOND / 2, path(900));
        assert_eq!(client.levels(), [Some(1)]);
    }
}

#[test]
fn the_queue_of_a_step_up_is_forgiven_and_loss_is_not() {
    for (loss, expected) in [(0.0, 1), (0.2, 0)] {
        let mut client = Client::new(&[wish(&CAMERA)], 58_000);
        client.run(SECOND / 2, path(900));
        assert_eq!(client.levels(), [Some(1)]);
        client.run(SECOND, Path { loss, queue: 150_000, ..path(600) });
        assert_eq!(client.levels(), [Some(expected)]);
        client.run(SECOND, Path { loss, queue: 150_000, ..path(600) });
        assert_eq!(client.levels(), [Some(0)], "for two seconds");
    }
}

#[test]
fn a_path_for_nothing_pauses_and_one_for_something_resumes() {
    let mut client = Client::new(&[wish(&CAMERA)], 58_000);
    client.run(SECOND, path(300));
    client.run(3 * SECOND, path(100));
    assert_eq!(client.levels(), [Some(0)], "not while it does no harm");
    let thin = Path { loss: 0.3, ..path(100) };
    client.run(SECOND, thin);
    assert_eq!(client.levels(), [Some(0)], "not for a moment");
    client.run(2 * SECOND, thin);
    assert_eq!((client.levels(), client.standings[0].verdict), (vec![None], Verdict::Paused));
    let need = client.run(4 * SECOND, path(320));
    assert_eq!(client.levels(), [None]);
    assert!((290_000..310_000).contains(&need.next), "the first wish: {need:?}");
    client.run(2 * SECOND, path(320));
    assert_eq!(client.levels(), [Some(0)]);
}

#[test]
fn a_probe_keeps_everything_where_it_is_but_for_falls() {
    let mut client = Client::new(&[wish(&CAMERA)], 58_000);
    client.run(2 * SECOND, Path { is_probing: true, ..path(900) });
    assert_eq!(client.levels(), [Some(0)]);
    client.run(SECOND, path(900));
    client.run(4 * SECOND, Path { is_probing: true, ..path(300) });
    assert_eq!(client.levels(), [Some(0)]);
}

#[test]
fn a_level_that_costs_no_less_than_a_better_one_is_struck() {
    let mut levels = [level(700_000, 180), level(633_000, 360), level(1_266_000, 720)];
    assert_eq!(strike(&mut levels), 2);
    assert_eq!(levels[..2], [level(633_000, 360), level(1_266_000, 720)]);
}

#[test]
fn layers_that_go_away_and_odd_figures_harm_nothing() {
    let mut client = Client::new(&[wish(&CAMERA), wish(&CAMERA)], u64::MAX);
    client.run(SECOND, path(u64::MAX / 1000));
    client.wishes = vec![wish(&[]), wish(&CAMERA[..1])];
    client.audio_bps = 0;
    client.run(6 * SECOND, path(10_000));
    assert_eq!(client.levels(), [None, Some(0)]);
    let odd = [Level { now_bps: u64::MAX, up_bps: u64::MAX, quality: u32::MAX }; 3];
    client.wishes = vec![Wish { priority: 0, ..wish(&odd) }; 2];
    client.run(6 * SECOND, path(10_000));
}
