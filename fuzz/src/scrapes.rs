//! Targets of the bodies that `scraper` reads.

pub mod lines;
pub mod messages;

use super::target::Target;

/// The targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "text",
        check: lines::check_text,
        seeds: lines::text_seeds,
        bytes_per_byte: 64,
    },
    Target {
        name: "openmetrics",
        check: lines::check_openmetrics,
        seeds: lines::openmetrics_seeds,
        bytes_per_byte: 64,
    },
    // An exemplar is two bytes and some hundred in memory.
    Target {
        name: "protobuf",
        check: messages::check,
        seeds: messages::seeds,
        bytes_per_byte: 512,
    },
];
