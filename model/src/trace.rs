//! Spans: what was done when, on whose behalf. This is the side of those who do something; a [`SpanSink`] sends them away.
//!
//! A [`Tracer`] without a sink costs one load of a flag, and makes no span.
//!
//! Source: [OpenTelemetry's traces](https://opentelemetry.io/docs/specs/otel/trace/api/) and
//! [W3C trace context](https://www.w3.org/TR/trace-context/), version 00, without `tracestate`.

mod kept;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub use kept::KeptSpans;

/// The header that a context is passed on in.
pub const TRACEPARENT: &str = "traceparent";

/// How many bytes of a name or of an attribute are kept.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// How many attributes of a span are kept.
pub const ATTRIBUTES_MAX: usize = 16;

/// What others must know of a span to be below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace; not 0.
    pub trace: u128,
    /// The span; not 0.
    pub span: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

impl SpanContext {
    /// Returns what a `traceparent` header says; `None` if it is none.
    ///
    /// ```
    /// # use model::trace::SpanContext;
    /// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let context = SpanContext::parse(header).unwrap();
    /// assert!(context.is_sampled);
    /// assert_eq!(context.to_string(), header);
    /// ```
    pub fn parse(header: &str) -> Option<SpanContext> {
        let (head, later) = header.trim().split_at_checked(55)?;
        let mut parts = head.split('-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let is_number = part.bytes().all(is_hex);
            is_number.then(|| u128::from_str_radix(part, 16).ok())?
        };
        let version = number(2)?;
        let (trace, span, flags) = (number(32)?, number(16)?, number(2)?);
        // A later version may say more, after another hyphen.
        let is_known = match version {
            0 => later.is_empty(),
            0xff => false,
            _ => later.is_empty() || later.starts_with('-'),
        };
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(SpanContext {
            trace,
            span,
            is_sampled: flags & 1 != 0,
        })
    }
}

impl fmt::Display for SpanContext {
    /// Writes the value of a `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

/// Which side of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// None.
    Internal,
    /// A request that we answer.
    Server,
    /// A request that we send.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// A number.
    Integer(i64),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        AttributeValue::Text(bounded(text).to_owned())
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        AttributeValue::Integer(number)
    }
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanData {
    /// What was done.
    pub name: Cow<'static, str>,
    /// On which side.
    pub kind: SpanKind,
    /// Who it is.
    pub context: SpanContext,
    /// The span above, 0 if there is none.
    pub parent: u64,
    /// When it began, nanoseconds since the epoch.
    pub begin_ns: u64,
    /// When it ended, nanoseconds since the epoch.
    pub end_ns: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Takes the spans that are recorded, and knows what a span must not know: the time, chance, and which share is recorded.
///
/// Called from any thread, often; it must not block. What it cannot take it drops and counts.
pub trait SpanSink: Send + Sync {
    /// Returns nanoseconds since the epoch.
    fn now_ns(&self) -> u64;

    /// Returns a number that nobody else has: neither 0 nor to be guessed.
    fn new_id(&self) -> u64;

    /// Returns whether a trace that begins here is recorded. The answer for one trace is always the same.
    fn records(&self, trace: u128) -> bool;

    /// Takes a span that has ended.
    fn take(&self, span: SpanData);
}

#[derive(Default)]
struct Inner {
    is_on: AtomicBool,
    sink: RwLock<Option<Arc<dyn SpanSink>>>,
}

/// Makes spans, if there is a sink. Clones are one tracer.
#[derive(Clone, Default)]
pub struct Tracer(Arc<Inner>);

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.is_on()).finish()
    }
}

thread_local! {
    static CURRENT: Cell<Option<SpanContext>> = const { Cell::new(None) };
}

impl Tracer {
    /// Sends what ends from now on to `sink`; nothing turns spans off.
    pub fn set(&self, sink: Option<Arc<dyn SpanSink>>) {
        let mut held = self.0.sink.write().unwrap_or_else(PoisonError::into_inner);
        self.0.is_on.store(sink.is_some(), Ordering::Relaxed);
        *held = sink;
    }

    /// Returns whether there is a sink.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Begins a span below `parent`, or else below the one that was entered on this thread, or else in a trace of its own.
    #[inline]
    pub fn begin(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<SpanContext>,
    ) -> Span {
        if self.is_on() {
            self.begin_recorded(name.into(), kind, parent)
        } else {
            Span::default()
        }
    }

    #[cold]
    fn begin_recorded(
        &self,
        name: Cow<'static, str>,
        kind: SpanKind,
        parent: Option<SpanContext>,
    ) -> Span {
        let held = self.0.sink.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = held.as_ref() else {
            return Span::default();
        };
        let parent = parent.or_else(|| CURRENT.get());
        let (trace, is_sampled) = match parent {
            Some(parent) => (parent.trace, parent.is_sampled),
            None => {
                let trace = u128::from(sink.new_id()) << 64 | u128::from(sink.new_id());
                (trace, sink.records(trace))
            }
        };
        let context = SpanContext {
            trace,
            span: sink.new_id(),
            is_sampled,
        };
        let open = is_sampled.then(|| {
            let name = match name {
                Cow::Borrowed(name) => Cow::Borrowed(name),
                Cow::Owned(name) => Cow::Owned(bounded(&name).to_owned()),
            };
            let data = SpanData {
                name,
                kind,
                context,
                parent: parent.map_or(0, |parent| parent.span),
                begin_ns: sink.now_ns(),
                end_ns: 0,
                attributes: Vec::new(),
                error: None,
            };
            Box::new(Open {
                data,
                sink: Arc::clone(sink),
            })
        });
        Span {
            context: Some(context),
            open,
        }
    }
}

struct Open {
    data: SpanData,
    sink: Arc<dyn SpanSink>,
}

/// Something that is being done; it ends when this is dropped. Nothing is kept of one that is not recorded.
#[derive(Default)]
pub struct Span {
    context: Option<SpanContext>,
    open: Option<Box<Open>>,
}

impl Span {
    /// Returns who this is, for those below; `None` where there is no tracing at all.
    pub fn context(&self) -> Option<SpanContext> {
        self.context
    }

    /// Returns whether anybody will read what is said of it.
    pub fn is_recorded(&self) -> bool {
        self.open.is_some()
    }

    /// Says something of it, up to [`ATTRIBUTES_MAX`] times.
    pub fn set(&mut self, name: &'static str, value: impl Into<AttributeValue>) {
        if let Some(open) = &mut self.open
            && open.data.attributes.len() < ATTRIBUTES_MAX
        {
            open.data.attributes.push((name, value.into()));
        }
    }

    /// Says that it failed.
    pub fn fail(&mut self, why: impl fmt::Display) {
        if let Some(open) = &mut self.open {
            open.data.error = Some(bounded(&why.to_string()).to_owned());
        }
    }

    /// Puts spans below this one that begin on this thread without another parent, until what is returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        let before = CURRENT.get();
        if self.context.is_some() {
            CURRENT.set(self.context);
        }
        Entered { before }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let Open { mut data, sink } = *open;
            data.end_ns = sink.now_ns();
            sink.take(data);
        }
    }
}

/// A span that others are below on this thread.
pub struct Entered {
    before: Option<SpanContext>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Returns the beginning of `text`.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(records: bool) -> (Tracer, Arc<KeptSpans>) {
        let kept = Arc::new(KeptSpans::new(records));
        let tracer = Tracer::default();
        tracer.set(Some(Arc::clone(&kept) as _));
        (tracer, kept)
    }

    #[test]
    fn headers_are_read_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        assert!(!SpanContext::parse(good).unwrap().is_sampled);
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more";
        assert!(SpanContext::parse(later).unwrap().is_sampled);
        for bad in [
            "",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-éaf7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(SpanContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_are_below_one_another() {
        let (tracer, kept) = tracer(true);
        let above = tracer.begin("above", SpanKind::Server, None);
        let entered = above.enter();
        let mut below = tracer.begin("below", SpanKind::Internal, None);
        below.set("query", "up");
        below.fail("no");
        drop(below);
        drop(entered);
        drop(tracer.begin("apart", SpanKind::Client, None));
        let context = above.context().unwrap();
        drop(above);
        let spans = kept.taken();
        let [below, apart, above] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!((above.parent, below.parent), (0, context.span));
        assert_eq!(below.context.trace, context.trace);
        assert_ne!(apart.context.trace, context.trace);
        assert!(above.begin_ns < below.begin_ns && below.end_ns < above.end_ns);
        let attributes = [("query", AttributeValue::Text("up".to_owned()))];
        assert_eq!(below.attributes, attributes);
        assert_eq!(below.error.as_deref(), Some("no"));
    }

    #[test]
    fn the_parent_decides_what_is_recorded() {
        let (tracer, kept) = tracer(false);
        let root = tracer.begin("root", SpanKind::Server, None);
        assert!(!root.is_recorded());
        // It is passed on all the same: others know then that it is not recorded.
        assert!(!root.context().unwrap().is_sampled);
        drop(root);
        let parent = SpanContext {
            trace: 7,
            span: 8,
            is_sampled: true,
        };
        drop(tracer.begin("child", SpanKind::Server, Some(parent)));
        let spans = kept.taken();
        assert_eq!(
            (spans.len(), spans[0].parent, spans[0].context.trace),
            (1, 8, 7)
        );
    }

    #[test]
    fn without_a_sink_there_is_nothing() {
        let tracer = Tracer::default();
        let span = tracer.begin("x", SpanKind::Client, None);
        assert!(span.context().is_none() && !span.is_recorded());
    }

    #[test]
    fn texts_are_bounded() {
        let (tracer, kept) = tracer(true);
        let long = "é".repeat(TEXT_BYTES_MAX);
        let mut span = tracer.begin(long.clone(), SpanKind::Client, None);
        for _ in 0..ATTRIBUTES_MAX + 1 {
            span.set("a", long.as_str());
        }
        drop(span);
        let spans = kept.taken();
        assert_eq!(spans[0].name.len(), TEXT_BYTES_MAX);
        assert_eq!(spans[0].attributes.len(), ATTRIBUTES_MAX);
    }
}
