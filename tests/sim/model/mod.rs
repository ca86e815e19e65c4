//! Random lives of two shards and their clients, beside a small model of who must receive what.
//!
//! What happens is a [`script`]; it is carried out by [`life`], which keeps the model, and judged by [`verdict`]. A life
//! that goes wrong is cut down by proptest, and its seed is kept in `seeds.txt`, which each run begins with.
//!
//! The scripts of a run follow from `MODEL_SEED`, so that a run says the same whenever it is repeated; `MODEL_LIVES`
//! is how many there are. CONTRIBUTING says how to look for more.

mod life;
mod script;
mod verdict;

use std::str::FromStr;

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};

use self::life::Life;
use self::script::scripts;

/// Scripts of a run, unless `MODEL_LIVES` says otherwise.
const LIVES: u32 = 200;
/// How long a script that fails is cut down, milliseconds: a test that takes two minutes is ended.
const CUT_MS: u32 = 60_000;

fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no whole number"))
}

#[test]
fn whatever_happens_everybody_gets_what_is_theirs_and_nothing_is_left() {
    let config = Config {
        cases: setting("MODEL_LIVES", LIVES),
        rng_seed: RngSeed::Fixed(setting("MODEL_SEED", 1)),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/sim/model/seeds.txt"))),
        max_shrink_time: CUT_MS,
        max_shrink_iters: 10_000,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&scripts(), |script| {
        Life::of(&script);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
