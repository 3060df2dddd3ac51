//! Targets of the files of `tsdb`, one decoder each.
//!
//! Formats with checksums are checked as they come and once more with the checksums put right, because a mutation hardly
//! ever does that.

pub mod chunk;
pub mod head_chunks;
pub mod index;
pub mod meta;
pub mod record;
pub mod segment;
pub mod snapshot;
pub mod tombstones;

use std::path::Path;
use std::sync::Arc;

use tsdb::files::overlay::Overlay;
use tsdb::files::{Disk, Files};

use super::target::Target;

/// The targets.
pub const TARGETS: &[Target] = &[
    // A sample that is as the one before is a bit a field: 8 samples of some 300 bytes of structs.
    Target {
        name: "chunk",
        check: chunk::check,
        seeds: chunk::seeds,
        bytes_per_byte: 16_384,
    },
    Target {
        name: "record",
        check: record::check,
        seeds: record::seeds,
        bytes_per_byte: 256,
    },
    // Compression: a run of zeros is a byte in a thousand.
    Target {
        name: "segment",
        check: segment::check,
        seeds: segment::seeds,
        bytes_per_byte: 8_192,
    },
    Target {
        name: "index",
        check: index::check,
        seeds: index::seeds,
        bytes_per_byte: 256,
    },
    Target {
        name: "meta",
        check: meta::check,
        seeds: meta::seeds,
        bytes_per_byte: 256,
    },
    Target {
        name: "tombstones",
        check: tombstones::check,
        seeds: tombstones::seeds,
        bytes_per_byte: 256,
    },
    Target {
        name: "head_chunks",
        check: head_chunks::check,
        seeds: head_chunks::seeds,
        bytes_per_byte: 256,
    },
    Target {
        name: "snapshot",
        check: snapshot::check,
        seeds: snapshot::seeds,
        bytes_per_byte: 1_024,
    },
];

/// Where the files of targets are; in memory only.
const DIR: &str = "/hearth-fuzz";

/// Returns a file system in memory with one file in [`DIR`].
fn file(name: &str, bytes: &[u8]) -> Arc<dyn Files> {
    let files = Overlay::new(Arc::new(Disk));
    let path = Path::new(DIR).join(name);
    let dir = path.parent().expect("the file is in a directory");
    files.create_dir_all(dir).expect("memory takes it");
    let file = files.create(&path).expect("memory takes it");
    file.write_all_at(bytes, 0).expect("memory takes it");
    Arc::new(files)
}
