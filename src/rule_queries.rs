//! Queries of rules: each is in the logs while it runs and after it has, and has a span of its own.

use std::sync::Arc;
use std::time::Instant;

use alertmanager::rule::engine::EngineQuery;
use alertmanager::rule::query::{QueriedSample, QueriedSeries, QuerySteps, RuleExpr, RuleQuery};
use model::time::Clock;
use model::trace::{Span, SpanKind, Tracer};
use promql::Expr;

use crate::active_queries::{ActiveQueries, EXECUTION, Slot};
use crate::api::QueryTime;
use crate::query_log::{Evaluated, Origin, QueryLog};

/// What answers rules.
#[derive(Clone)]
pub(crate) struct RuleQueries {
    pub(crate) query: Arc<EngineQuery>,
    pub(crate) active: Option<Arc<ActiveQueries>>,
    pub(crate) log: Arc<QueryLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tracer: Tracer,
    /// The group whose rules they are of.
    pub(crate) group: Option<Origin>,
}

impl RuleQueries {
    /// Begins a query whose text is that; what is returned ends it.
    fn begin(&self, query: &str) -> Option<(Option<Slot>, Span)> {
        if self.active.is_none() && !self.tracer.is_on() {
            return None;
        }
        let now_s = self.clock.now_ms().div_euclid(1000);
        let active = self.active.as_ref();
        let slot = active.and_then(|active| active.begin(query, now_s));
        let mut span = self.tracer.begin(EXECUTION, SpanKind::Internal, None);
        span.set("query", query);
        Some((slot, span))
    }

    /// * `text`: of `expr`.
    fn instant(&self, expr: &Expr, text: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let running = self.begin(text);
        let started = Instant::now();
        let result = self.query.evaluate(expr, at_ms);
        if self.log.is_on() {
            let span = running.as_ref().and_then(|(_, span)| span.context());
            let stats = result.as_ref().map(|result| result.stats.clone());
            let time = QueryTime::of_rule(started.elapsed(), stats.unwrap_or_default());
            let evaluated = Evaluated {
                query: text,
                steps: (at_ms, at_ms, 0),
                error: result.as_ref().err().map(ToString::to_string),
                time: &time,
                span,
                origin: self.group.as_ref(),
            };
            self.log.write(evaluated, self.clock.now_ms());
        }
        EngineQuery::samples(result)
    }
}

impl RuleQuery for RuleQueries {
    fn of_group(&self, file: &str, name: &str) -> Option<Box<dyn RuleQuery>> {
        let group = Origin::RuleGroup {
            file: file.to_owned(),
            name: name.to_owned(),
        };
        self.log.is_on().then(|| {
            Box::new(RuleQueries {
                group: Some(group),
                ..self.clone()
            }) as _
        })
    }

    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        self.instant(expr, expr.text(), at_ms)
    }

    fn vector_of_text(&self, query: &str, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let expr = self.query.parse(query).map_err(|error| error.to_string())?;
        self.instant(&expr, query, at_ms)
    }

    fn range(
        &self,
        expr: &RuleExpr,
        steps: QuerySteps,
    ) -> Option<Result<Vec<QueriedSeries>, String>> {
        let _running = self.begin(expr.text());
        self.query.range(expr, steps)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use metrics::Registry;
    use model::storage::{Querier, Queryable, ReadError};
    use model::time::ManualClock;
    use parking_lot::Mutex;

    use super::*;
    use crate::active_queries::{FILE_NAME, unfinished};

    fn rule_queries(storage: Arc<dyn Queryable>) -> RuleQueries {
        let registry = Registry::new();
        let engine = crate::api::testing::engine(&registry);
        RuleQueries {
            query: Arc::new(EngineQuery::new(Arc::new(engine), storage)),
            active: None,
            log: Arc::new(QueryLog::new(&registry)),
            clock: Arc::new(ManualClock::at(1_764_257_425_295)),
            tracer: Tracer::default(),
            group: None,
        }
    }

    /// Keeps what the log says while it is read, and has no data.
    struct Spy(std::path::PathBuf, Mutex<Vec<String>>);

    impl Queryable for Spy {
        fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
            let text = unfinished(File::open(&self.0).unwrap()).unwrap();
            self.1.lock().extend(text);
            Err(ReadError::Corrupt {
                path: self.0.clone(),
                what: "no data".to_owned(),
            })
        }
    }

    #[test]
    fn queries_are_among_the_active_ones_while_they_run() {
        let dir = tempfile::tempdir().unwrap();
        let (queries, _) = ActiveQueries::open(dir.path(), 2).unwrap();
        let spy = Arc::new(Spy(dir.path().join(FILE_NAME), Mutex::default()));
        let rules = RuleQueries {
            active: Some(queries),
            ..rule_queries(Arc::clone(&spy) as _)
        };
        let expr = promql::parse_with("sum(a)", &promql::ParseOptions::STABLE).unwrap();
        let expr = RuleExpr::from(expr);
        assert!(rules.vector(&expr, 0).is_err());
        assert!(rules.vector_of_text("b > 1", 0).is_err());
        let steps = QuerySteps {
            start_ms: 0,
            end_ms: 60_000,
            step_ms: 15_000,
        };
        assert!(rules.range(&expr, steps).unwrap().is_err());
        let seen = spy.1.lock().clone();
        for (text, query) in seen.iter().zip(["sum(a)", "b > 1", "sum(a)"]) {
            let told: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(told[0]["query"], query);
        }
        assert_eq!(seen.len(), 3);
        assert_eq!(ActiveQueries::open(dir.path(), 2).unwrap().1, None);
    }

    #[test]
    fn queries_are_logged_with_their_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("query.log");
        let spy = Arc::new(Spy(dir.path().join(FILE_NAME), Mutex::default()));
        std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
        let all = rule_queries(spy);
        // Nobody needs the group while nothing is logged.
        assert!(all.of_group("a.yml", "g").is_none());
        all.log.replace(Some(all.log.open(&path).unwrap()));
        let rules = all.of_group("a.yml", "g").unwrap();
        let two = promql::parse_with("1 + 1", &promql::ParseOptions::STABLE).unwrap();
        assert!(rules.vector(&RuleExpr::from(two), 1_500).is_err());
        assert!(rules.vector_of_text("up", 2_000).is_err());
        assert!(rules.vector_of_text("sum(", 2_000).is_err());
        all.log.replace(None);
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().unwrap();
        let group = serde_json::json!({"file": "a.yml", "name": "g"});
        let params = |query: &str, time: &str| serde_json::json!({"end": time, "query": query, "start": time, "step": 0});
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(
            lines[0]["params"],
            params("1 + 1", "1970-01-01T00:00:01.500Z")
        );
        assert_eq!(lines[1]["params"], params("up", "1970-01-01T00:00:02.000Z"));
        for line in &lines {
            let error = line["error"].as_str().unwrap();
            assert!(error.contains("no data"), "{error}");
            assert_eq!(line["ruleGroup"], group);
            assert_eq!(line["time"], "2025-11-27T15:30:25.295Z");
        }
    }
}
