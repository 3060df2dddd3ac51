//! A sink for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{SpanData, SpanSink, Tracer};

/// Keeps what ends, for tests. Time and ids count up from 1.
#[derive(Debug)]
pub struct KeptSpans {
    next: AtomicU64,
    records: bool,
    spans: Mutex<Vec<SpanData>>,
}

impl KeptSpans {
    /// Returns a sink without spans.
    ///
    /// * `records`: whether traces that begin here are recorded.
    pub fn new(records: bool) -> Self {
        KeptSpans {
            next: AtomicU64::new(1),
            records,
            spans: Mutex::default(),
        }
    }

    /// Returns a tracer that records everything, and its sink.
    pub fn traced() -> (Tracer, Arc<KeptSpans>) {
        let kept = Arc::new(KeptSpans::new(true));
        let tracer = Tracer::default();
        tracer.set(Some(Arc::clone(&kept) as _));
        (tracer, kept)
    }

    /// Returns the spans that have ended, in that order.
    pub fn taken(&self) -> Vec<SpanData> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.clone()
    }
}

impl SpanSink for KeptSpans {
    fn now_ns(&self) -> u64 {
        self.new_id()
    }

    fn new_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn records(&self, _: u128) -> bool {
        self.records
    }

    fn take(&self, span: SpanData) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.push(span);
    }
}
