//! The fuzz targets of scrape bodies, over a few thousand seeded mutations each, so that every test run exercises them.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the modules are of another crate, which has docs"
)]

#[path = "../../fuzz/src"]
mod fuzz {
    pub mod mutation;
    pub mod scrapes;
    pub mod target;
}

use fuzz::scrapes::TARGETS;
use fuzz::target::Target;
use scraper::exposition::protobuf::{HistogramOptions, Reader};
use scraper::exposition::{Expected, Format, Parser};

#[test]
fn decoders_take_whatever_comes() {
    TARGETS.iter().for_each(Target::check_mutations);
}

#[test]
fn seeds_are_whole() {
    for (seeds, format) in [
        (fuzz::scrapes::lines::text_seeds(), Format::Text),
        (
            fuzz::scrapes::lines::openmetrics_seeds(),
            Format::OpenMetrics,
        ),
    ] {
        for seed in seeds {
            let mut parser = Parser::new(&seed, format).unwrap();
            while parser.next(Expected::NOTHING).unwrap().is_some() {}
        }
    }
    for seed in fuzz::scrapes::messages::seeds() {
        let mut reader = Reader::new(&seed[1..], HistogramOptions::default());
        while reader.next(Expected::NOTHING).unwrap().is_some() {}
    }
}
