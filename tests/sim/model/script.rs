//! What a random life is made of: steps that can be carried out whatever has happened before, and how they are drawn.
//!
//! A step names a client, a track or a channel by a number that is counted round those that are there. So any part of a
//! script is a script, and one that fails is cut down to the steps that matter.

use proptest::collection::vec;
use proptest::prelude::*;

/// A node, and what happens to it.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Decides all else that is random.
    pub(crate) seed: u64,
    pub(crate) ports: Ports,
    pub(crate) steps: Vec<Step>,
}

/// How clients reach the two shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Each shard has its own port.
    Own,
    /// They share one, and the kernel gives them datagrams by chance.
    Shared,
    /// They share one, and the kernel heeds what it is told.
    Steered,
}

/// The way to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Near,
    Far,
    /// It loses, repeats and reorders.
    Bad,
}

/// What a client publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
    Simulcast,
}

/// From where something comes that no client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// An address of nobody.
    Stranger,
    /// The address of a client.
    Client(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Join {
        shard: u8,
        path: Path,
        channels: bool,
    },
    Leave {
        who: u8,
    },
    /// Without a word.
    Vanish {
        who: u8,
    },
    /// Ends DTLS in good order.
    HangUp {
        who: u8,
    },
    /// Ends DTLS, and begins anew from another port with the same credentials.
    ComeBack {
        who: u8,
    },
    RestartIce {
        who: u8,
    },
    /// The NAT in front of it makes another mapping.
    Roam {
        who: u8,
    },
    Publish {
        who: u8,
        kind: Kind,
    },
    Stop {
        which: u8,
    },
    Pull {
        who: u8,
        which: u8,
        layer: u8,
    },
    Release {
        which: u8,
    },
    /// Another layer in a section.
    Prefer {
        which: u8,
        layer: u8,
    },
    /// Another track in a section.
    Switch {
        which: u8,
        to: u8,
    },
    OpenChannel {
        who: u8,
    },
    JoinChannel {
        who: u8,
        which: u8,
    },
    Send {
        which: u8,
        count: u8,
    },
    LeaveChannel {
        which: u8,
    },
    EndChannel {
        which: u8,
    },
    /// Bytes that mean nothing, some of which begin like ours.
    Garbage {
        from: From,
        shard: u8,
        first: u8,
        len: u16,
    },
    /// A true datagram of a client once more, perhaps with a bit changed.
    Copy {
        from: From,
        shard: u8,
        back: u16,
        flip: Option<u16>,
    },
    Wait {
        ms: u16,
    },
}

pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let ports = prop_oneof![4 => Just(Ports::Own), 1 => Just(Ports::Shared), 1 => Just(Ports::Steered)];
    // A life begins with some who are there: without them most steps are about nobody.
    let begin = vec(prop_oneof![2 => join(), 1 => wait()], 2..4);
    (0..u64::from(u32::MAX), ports, begin, vec(step(), 5..40)).prop_map(|(seed, ports, begin, steps)| {
        Script { seed, ports, steps: begin.into_iter().chain(steps).collect() }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => join(),
        12 => wait(),
        16 => tracks(),
        6 => channels(),
        5 => ends(),
        5 => moves(),
        5 => intruders(),
    ]
}

fn join() -> impl Strategy<Value = Step> {
    let path = prop_oneof![3 => Just(Path::Near), 1 => Just(Path::Far), 1 => Just(Path::Bad)];
    (0..2u8, path, any::<bool>()).prop_map(|(shard, path, channels)| Step::Join { shard, path, channels })
}

fn wait() -> impl Strategy<Value = Step> {
    prop_oneof![2 => 1..100u16, 3 => 100..1500u16].prop_map(|ms| Step::Wait { ms })
}

fn tracks() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![2 => Just(Kind::Audio), 2 => Just(Kind::Video), 2 => Just(Kind::Simulcast)];
    prop_oneof![
        4 => (any::<u8>(), kind).prop_map(|(who, kind)| Step::Publish { who, kind }),
        6 => (any::<u8>(), any::<u8>(), 0..5u8).prop_map(|(who, which, layer)| Step::Pull { who, which, layer }),
        1 => any::<u8>().prop_map(|which| Step::Stop { which }),
        2 => any::<u8>().prop_map(|which| Step::Release { which }),
        2 => (any::<u8>(), 0..5u8).prop_map(|(which, layer)| Step::Prefer { which, layer }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(which, to)| Step::Switch { which, to }),
    ]
}

fn channels() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(|who| Step::OpenChannel { who }),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(who, which)| Step::JoinChannel { who, which }),
        4 => (any::<u8>(), 1..5u8).prop_map(|(which, count)| Step::Send { which, count }),
        1 => any::<u8>().prop_map(|which| Step::LeaveChannel { which }),
        1 => any::<u8>().prop_map(|which| Step::EndChannel { which }),
    ]
}

fn ends() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(|who| Step::Leave { who }),
        1 => any::<u8>().prop_map(|who| Step::Vanish { who }),
        1 => any::<u8>().prop_map(|who| Step::HangUp { who }),
    ]
}

fn moves() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(|who| Step::Roam { who }),
        1 => any::<u8>().prop_map(|who| Step::RestartIce { who }),
        1 => any::<u8>().prop_map(|who| Step::ComeBack { who }),
    ]
}

fn intruders() -> impl Strategy<Value = Step> {
    let first =
        prop_oneof![any::<u8>(), prop::sample::select(vec![0u8, 1, 20, 21, 22, 23, 63, 128, 144, 191])];
    let flip = prop::option::of(any::<u16>());
    prop_oneof![
        (from(), 0..2u8, first, 0..1400u16).prop_map(|(from, shard, first, len)| Step::Garbage {
            from,
            shard,
            first,
            len
        }),
        (from(), 0..2u8, any::<u16>(), flip).prop_map(|(from, shard, back, flip)| Step::Copy {
            from,
            shard,
            back,
            flip
        }),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![Just(From::Stranger), any::<u8>().prop_map(From::Client)]
}
