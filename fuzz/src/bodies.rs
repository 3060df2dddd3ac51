//! Targets of the request bodies that `remote` decodes.

pub mod otlp;
pub mod write;

use super::target::Target;

/// The targets.
pub const TARGETS: &[Target] = &[
    // An empty histogram is two bytes and some 300 in memory; the target keeps a few copies.
    Target {
        name: "write",
        check: write::check,
        seeds: write::seeds,
        bytes_per_byte: 4_096,
    },
    // So is a point, whose labels have some hundred each time.
    Target {
        name: "otlp",
        check: otlp::check,
        seeds: otlp::seeds,
        bytes_per_byte: 4_096,
    },
    Target {
        name: "otlp_json",
        check: otlp::check_json,
        seeds: otlp::seeds_json,
        bytes_per_byte: 4_096,
    },
];
