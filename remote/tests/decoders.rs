//! The fuzz targets of request bodies, over a few thousand seeded mutations each, so that every test run exercises them.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the modules are of another crate, which has docs"
)]

#[path = "../../fuzz/src"]
mod fuzz {
    pub mod bodies;
    pub mod mutation;
    pub mod target;
}

use fuzz::bodies::TARGETS;
use fuzz::target::Target;

#[test]
fn decoders_take_whatever_comes() {
    TARGETS.iter().for_each(Target::check_mutations);
}

/// What fuzzing found once.
#[test]
fn finds_stay_fixed() {
    for (name, input) in FINDS {
        let target = TARGETS.iter().find(|target| target.name == *name);
        (target.unwrap().check)(input);
    }
}

const FINDS: &[(&str, &[u8])] = &[
    // A series that is there once more without samples: they were lost when its handle was not known any more.
    (
        "write",
        b"\0\x0a\x1a\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x09\x09\0\0\0\0\0\0\0\x40\x0a\x0f\x0a\x0d\x0a\x08__name__\x12\x01m",
    ),
];
