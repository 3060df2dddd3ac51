//! The fuzz targets of files, over a few thousand seeded mutations each, so that every test run exercises them.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the modules are of another crate, which has docs"
)]

#[path = "../../fuzz/src"]
mod fuzz {
    pub mod files;
    pub mod mutation;
    pub mod target;
}

use fuzz::files::TARGETS;
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

const FINDS: &[(&str, &[u8])] = &[];
