//! Levels of sound from shards to control.

use std::time::Duration;

use ringcast::shard::command::Command;
use ringcast::speakers::Floor;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);
const PACKET: Duration = Duration::from_millis(20);

/// Somebody with a microphone.
struct Person {
    peer: PeerKey,
    sound: Track,
}

fn person(sim: &mut Sim, shard: u8) -> Person {
    let peer = sim.join(shard, Way::clean(15));
    Person { peer, sound: sim.publish(peer, &[Media::audio()]).remove(0) }
}

fn listen(sim: &mut Sim, track: &Track, listens: bool) {
    sim.command(track.origin, Command::Listen { publication: track.publication, listens });
}

/// Lets some talk, and the others be in a room, for so many packets.
fn talk(sim: &mut Sim, people: &[Person], talking: &[usize], packets: u64) {
    for packet in 0..packets {
        for (number, person) in people.iter().enumerate() {
            let is_loud = talking.contains(&number) && packet % 11 < 8 && packet % 72 < 60;
            let level = if is_loud { 25 } else { 64 } + (packet % 5) as u8;
            sim.peer_mut(person.peer).client.published_mut()[0].source.set_level(Some(level));
        }
        sim.run_for(PACKET);
    }
}

/// Who takes the floor, by what control was told since a moment.
fn floors(sim: &Sim, people: &[Person]) -> Vec<usize> {
    let mut floor = Floor::default();
    let number = |id| people.iter().position(|person| person.sound.publication == id);
    (0..people.len()).for_each(|person| floor.admit(person));
    let mut taken = Vec::new();
    for (at, _, heard) in &sim.heard {
        heard.iter().for_each(|one| floor.hear(number(one.publication).unwrap(), one.activity));
        taken.extend(floor.decide(*at));
    }
    taken
}

#[test]
fn who_speaks_on_any_shard_is_heard_and_a_report_comes_ten_times_a_second_at_most() {
    let mut sim = Sim::new(2, 401);
    let people: Vec<Person> = [0, 1, 0, 1].map(|shard| person(&mut sim, shard)).into();
    let viewer = sim.join(1, Way::clean(10));
    sim.subscribe(viewer, &people.iter().map(|person| &person.sound).collect::<Vec<_>>());
    // Nobody listens to the last, who talks all the time.
    people[..3].iter().for_each(|person| listen(&mut sim, &person.sound, true));
    sim.run_for(SECOND);
    talk(&mut sim, &people, &[0, 3], 200);
    talk(&mut sim, &people, &[1, 3], 200);
    talk(&mut sim, &people, &[2, 3], 200);
    assert_eq!(floors(&sim, &people), [0, 1, 2]);
    let span = sim.now.duration_since(sim.base).as_millis() / 100;
    for shard in 0..2 {
        let reports = sim.heard.iter().filter(|(_, from, _)| from.0 == shard).count();
        assert!(reports > 40 && reports as u128 <= span, "{reports} of shard {shard}");
    }
    assert!(sim.heard.iter().all(|(.., heard)| {
        heard.iter().all(|one| people[..3].iter().any(|person| person.sound.publication == one.publication))
    }));
    // Whoever is not listened to any more is not told of.
    people[..3].iter().for_each(|person| listen(&mut sim, &person.sound, false));
    let before = sim.heard.len();
    talk(&mut sim, &people, &[0, 1, 2], 50);
    assert_eq!(sim.heard.len(), before);
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    for person in &people {
        sim.account(viewer, &person.sound).assert_complete();
    }
}

#[test]
fn control_that_stands_still_has_one_report_of_each_shard_and_then_the_newest() {
    let mut sim = Sim::new(2, 402);
    let people: Vec<Person> = [0, 1].map(|shard| person(&mut sim, shard)).into();
    people.iter().for_each(|person| listen(&mut sim, &person.sound, true));
    sim.run_for(SECOND);
    sim.heard.clear();
    sim.untaken = Some(Vec::new());
    talk(&mut sim, &people, &[0, 1], 500);
    assert_eq!(sim.heard.len(), 2, "one of each shard");
    sim.untaken = None;
    talk(&mut sim, &people, &[0], 100);
    let newest = sim.heard.iter().rev().flat_map(|(.., heard)| heard);
    let activity =
        newest.clone().find(|one| one.publication == people[1].sound.publication).unwrap().activity;
    assert_eq!((activity.medium, activity.long), (0, 0), "what was missed is not told any more");
}

#[test]
fn a_session_that_ends_is_listened_to_no_more() {
    let mut sim = Sim::new(1, 403);
    let people = vec![person(&mut sim, 0)];
    listen(&mut sim, &people[0].sound, true);
    sim.run_for(SECOND);
    talk(&mut sim, &people, &[0], 100);
    let session = sim.peer(people[0].peer).session;
    sim.pause_sources();
    sim.command(people[0].sound.origin, Command::Close { session });
    sim.run_for(SECOND);
    let reports = sim.heard.len();
    sim.run_for(SECOND);
    assert_eq!(sim.heard.len(), reports);
}
