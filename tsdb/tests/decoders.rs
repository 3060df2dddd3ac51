//! The fuzz targets, over a few thousand seeded mutations each, so that every test run exercises them.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the modules are of another crate, which has docs"
)]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::mutation::{Numbers, mutate};
use fuzz::targets::TARGETS;

#[test]
fn decoders_take_whatever_comes() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        seeds.iter().for_each(|seed| (target.check)(seed));
        let mut numbers = Numbers::new(1);
        for round in 0..3_000 {
            let input = mutate(&seeds, &mut numbers);
            let outcome = std::panic::catch_unwind(|| (target.check)(&input));
            assert!(outcome.is_ok(), "{}, round {round}: {input:?}", target.name);
        }
    }
}

/// What fuzzing found once.
#[test]
fn finds_stay_fixed() {
    for (name, input) in FINDS {
        let target = TARGETS.iter().find(|target| target.name == *name);
        (target.unwrap().check)(input);
    }
}

const FINDS: &[(&str, &[u8])] = &[];
