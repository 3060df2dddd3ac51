//! `meta.json` of a block.

use std::path::Path;

use super::{DIR, file};
use tsdb::block::meta::BlockMeta;

/// What is accepted is printed and read back to the same text.
pub fn check(data: &[u8]) {
    let read = |bytes: &[u8]| BlockMeta::read(&*file("meta.json", bytes), Path::new(DIR));
    let Ok(meta) = read(data) else { return };
    let text = meta.to_json();
    let again = read(&text).expect("it was just written");
    assert_eq!(text, again.to_json());
    assert_eq!((meta.ulid, meta.stats), (again.ulid, again.stats));
    assert_eq!(meta.compaction, again.compaction);
}

/// A block of Prometheus, and one that Thanos has written to.
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = r#"{"ulid":"01BKGTZQ1SYQJTR4PB43C8PD98","minTime":-5,"maxTime":7200000,"stats":{"numSamples":3,"numSeries":2,"numChunks":2,"numTombstones":1},"compaction":{"level":2,"sources":["01BKGTZQ1SYQJTR4PB43C8PD98"],"deletable":true,"failed":true,"parents":[{"ulid":"01BKGTZQ1SYQJTR4PB43C8PD98","minTime":1,"maxTime":2}],"hints":["from-out-of-order"]},"version":1}"#;
    let thanos = plain.replace(
        "\"version\":1",
        r#""version":1,"thanos":{"labels":{"a":"b"},"x":[1.50]}"#,
    );
    vec![plain.into(), thanos.into()]
}
