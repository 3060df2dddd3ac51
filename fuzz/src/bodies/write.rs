//! Requests of remote write, not compressed any more. The first byte says of which version.

pub mod encode;
#[path = "../../../remote/tests/support/message.rs"]
#[allow(missing_docs, reason = "the tests of requests have it too")]
pub mod message;
pub mod recorder;

use std::sync::Arc;

use metrics::Registry;
use remote::write::{Ingest, Version};

use message::{custom_histogram, histogram, message, sample, series, version_2};
use recorder::{Recorder, Stored, Value};

/// The time at which requests arrive.
const NOW_MS: i64 = 1_700_000_000_000;

/// What is stored of a request is stored of it again, by the keys of its series and after these were dropped; and so it is
/// of the requests of either version that say the same.
pub fn check(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else {
        return;
    };
    let version = Version::ALL[usize::from(which) % Version::ALL.len()];
    let receiver = Receiver::new();
    let Some(stored) = receiver.write(version, bytes) else {
        return;
    };
    assert!(stored.items.len() <= bytes.len());

    let by_key = receiver.write(version, bytes);
    assert_eq!(
        by_key.map(|again| again.items).as_ref(),
        Some(&stored.items)
    );
    receiver.storage.drop_series();
    let renewed = receiver.write(version, bytes).expect("it was taken before");
    assert!(renewed.without_exemplars().eq(stored.without_exemplars()));

    let from_v1 = Receiver::new().write(Version::V1, &encode::v1(&stored));
    assert_eq!(
        from_v1.map(|again| again.items).as_ref(),
        Some(&stored.items)
    );
    let from_v2 = Receiver::new().write(Version::V2, &encode::v2(&stored));
    let from_v2 = from_v2.expect("it was just encoded");
    assert_eq!(from_v2.items, stored.items);
    assert_eq!(from_v2.metadata, stored.metadata_of_items());
}

struct Receiver {
    storage: Arc<Recorder>,
    ingest: Ingest,
}

impl Receiver {
    fn new() -> Self {
        let storage = Arc::new(Recorder::default());
        let ingest = Ingest::new(Arc::clone(&storage) as _, &Registry::new());
        Receiver { storage, ingest }
    }

    /// Returns what is stored of a request; `None` when it is malformed.
    fn write(&self, version: Version, bytes: &[u8]) -> Option<Stored> {
        let report = self.ingest.write(version, bytes, NOW_MS);
        let stored = self.storage.take();
        let report = report.ok()?;
        let count = |is: fn(&Value) -> bool| stored.items.iter().filter(|i| is(&i.value)).count();
        let counts = [
            (report.samples, count(|v| matches!(v, Value::Float(_)))),
            (
                report.histograms,
                count(|v| matches!(v, Value::Histogram(_))),
            ),
            (
                report.exemplars,
                count(|v| matches!(v, Value::Exemplar(..))),
            ),
        ];
        for (told, found) in counts {
            assert_eq!(told, found as u64);
        }
        assert!(report.problems.len() as u64 <= report.problem_count);
        Some(stored)
    }
}

/// Requests of both versions with what a series can have, in order and not, and what is refused.
pub fn seeds() -> Vec<Vec<u8>> {
    let exemplar = series(&[("trace_id", "x")]).double(2, 1.0).signed(3, 5);
    let everything = series(&[("__name__", "m"), ("job", "j")])
        .message(2, sample(5, 1.5))
        .message(2, sample(6, -2.5))
        .message(3, exemplar)
        .message(4, histogram(7))
        .message(4, custom_histogram(8));
    // A field between the labels, a label without value, one before the name.
    let unsorted = message()
        .message(1, message().bytes(1, b"job").bytes(2, b"j"))
        .message(2, sample(9, 0.0))
        .message(1, message().bytes(1, b"__name__").bytes(2, b"m"))
        .message(1, message().bytes(1, b"gone").bytes(2, b""));
    let refused = series(&[("__name__", "m")])
        .message(2, sample(i64::MAX, 1.0))
        .message(2, sample(-1, 1.0))
        .message(4, message().number(1, 9).signed(15, 3));
    let nameless = series(&[("job", "j")]).message(2, sample(5, 1.0));
    let v1 = [everything, unsorted, refused, nameless];
    let v1 = v1
        .into_iter()
        .fold(message(), |request, series| request.message(1, series));
    let v2 = version_2(5);
    [(0, v1), (1, v2)]
        .map(|(which, request)| [&[which][..], &request.0].concat())
        .to_vec()
}
