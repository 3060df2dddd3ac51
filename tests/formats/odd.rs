//! Bodies at the edges of the text formats, right and wrong: one for each scrape.
//!
//! What is left out: `a 1 -5` in the text format, whose documentation allows a negative timestamp, as Hearth does, and
//! Prometheus does not; and `  a 1`, of which Prometheus takes the blanks for a part of the name.

use std::sync::Arc;

use super::bodies::{OPENMETRICS, Target};
use super::support::http::Response;

/// How many of the bodies one target has: each is seen by one scrape.
const BODIES: usize = super::SCRAPES;

/// Returns targets that say one of the bodies after the other.
pub(crate) fn targets() -> Vec<Target> {
    let text = (TEXT, "text/plain; version=0.0.4");
    let open = (OPEN, OPENMETRICS);
    let mut targets = Vec::new();
    for ((bodies, content_type), names) in [(text, TEXT_JOBS), (open, OPEN_JOBS)] {
        assert!(
            bodies.len() <= BODIES * names.len(),
            "more names are needed"
        );
        for (bodies, job) in bodies.chunks(BODIES).zip(names) {
            targets.push(Target {
                job,
                config: &[],
                exemplars: None,
                is_stamped: false,
                body: Arc::new(move |n| {
                    let body = bodies[(n - 1) % bodies.len()];
                    Response::Body(200, content_type, Arc::from(body.as_bytes()))
                }),
            });
        }
    }
    targets
}

/// Whether a job is one of these.
pub(crate) fn is_job(job: &str) -> bool {
    TEXT_JOBS.contains(&job) || OPEN_JOBS.contains(&job)
}

/// Returns the body that the scrape of a job had, if it is a job of these.
pub(crate) fn body_of(job: &str, scrape: usize) -> Option<&'static str> {
    let all = [(TEXT, TEXT_JOBS), (OPEN, OPEN_JOBS)];
    let (bodies, at) = all.into_iter().find_map(|(bodies, jobs)| {
        let at = jobs.iter().position(|name| *name == job)?;
        Some((bodies, at))
    })?;
    let bodies = bodies.chunks(BODIES).nth(at)?;
    Some(bodies[scrape % bodies.len()])
}

const TEXT_JOBS: &[&str] = &["text_0", "text_1", "text_2", "text_3", "text_4", "text_5"];
const OPEN_JOBS: &[&str] = &[
    "open_0", "open_1", "open_2", "open_3", "open_4", "open_5", "open_6", "open_7",
];

const TEXT: &[&str] = &[
    "",
    "\n",
    "a",
    "a\n",
    "a 1",
    "a 1\n",
    "a\t1\n",
    "spaced  1  \n",
    "a 1 \n",
    "a 1\r\n",
    "t 1 2\n",
    "t 1 2 \n",
    "t 1 2 3\n",
    "a 1 x\n",
    "t 1 1.5\n",
    "a 1e3\n",
    "a 1E3\n",
    "a +1\n",
    "a +Inf\n",
    "a inf\n",
    "a -INF\n",
    "a nan\n",
    "a +NaN\n",
    "a 0x10\n",
    "a 1_000\n",
    "a 1e999\n",
    "a .5\n",
    "a 5.\n",
    "a 1f\n",
    "a infinity\n",
    "a one\n",
    "a{} 1\n",
    "a{b=\"c\"} 1\n",
    "a{b=\"c\",} 1\n",
    "a{,b=\"c\"} 1\n",
    "a{b=\"c\",,} 1\n",
    "a{b=\"c\" d=\"e\"} 1\n",
    "a { b = \"c\" , d = \"e\" } 1\n",
    "a{b=\"c\"}1\n",
    "a{b='c'} 1\n",
    "a{b=c} 1\n",
    "a{b=\"c} 1\n",
    "a{b=\"c\" 1\n",
    "a{b=\"\\n\\\\\\\"\\x\"} 1\n",
    "a{b=\"\n\"} 1\n",
    "a{1b=\"c\"} 1\n",
    "a{b:c=\"d\"} 1\n",
    "a{b=\"c\",b=\"d\"} 1\n",
    "a{b=\"\"} 1\n",
    "a{__name__=\"c\"} 1\n",
    "a:b 1\n",
    "1a 1\n",
    "a-b 1\n",
    "\u{e9} 1\n",
    "{a=\"b\"} 1\n",
    "{\"a b\"} 1\n",
    "{\"a\",b=\"c\"} 1\n",
    "{b=\"c\",\"a\"} 1\n",
    "{\"a\",\"b\"} 1\n",
    "a{\"b\"} 1\n",
    "a{\"b c\"=\"d\"} 1\n",
    "{\"\"} 1\n",
    "# just text\na 1\n",
    "#HELP a x\na 1\n",
    "# HELP a\na 1\n",
    "# HELP\na 1\n",
    "# TYPE a\na 1\n",
    "# TYPE a foo\na 1\n",
    "# TYPE a counter x\na 1\n",
    "# TYPE a gauge",
];

const OPEN: &[&str] = &[
    "",
    "\n",
    "# EOF",
    "# EOF\n",
    "# EOF\n\n",
    "# EOF\na 1\n",
    "a 1\n",
    "a 1",
    "a 1\n# EOF",
    "a 1\n# EOF\n",
    "\na 1\n# EOF\n",
    "a 1\n\n# EOF\n",
    "a  1\n# EOF\n",
    " a 1\n# EOF\n",
    "a 1 \n# EOF\n",
    "a\t1\n# EOF\n",
    "a 1\r\n# EOF\n",
    "a\n# EOF\n",
    "t 1 2\n# EOF\n",
    "t 1 2.5\n# EOF\n",
    "t 1 2 3\n# EOF\n",
    "a 1 x\n# EOF\n",
    "a 1 NaN\n# EOF\n",
    "a 1 Inf\n# EOF\n",
    "t 1 -2\n# EOF\n",
    "a 1  2\n# EOF\n",
    "# a comment\n# EOF\n",
    "#EOF\n",
    "# eof\n",
    "# HELP a x\na 1\n# EOF\n",
    "# HELP a\n# EOF\n",
    "# HELP a \n# EOF\n",
    "# TYPE a counter\na_total 1\n# EOF\n",
    "# TYPE a counter\na 1\n# EOF\n",
    "# TYPE a untyped\n# EOF\n",
    "# TYPE a unknown\na 1\n# EOF\n",
    "# TYPE a foo\n# EOF\n",
    "# TYPE a\n# EOF\n",
    "# TYPE a gauge \n# EOF\n",
    "#  TYPE a gauge\n# EOF\n",
    "# UNIT a seconds\n# EOF\n",
    "# UNIT a_seconds seconds\n# EOF\n",
    "# UNIT a_seconds \n# EOF\n",
    "# UNIT seconds seconds\n# EOF\n",
    "# UNIT a_seconds minutes\n# EOF\n",
    "a{} 1\n# EOF\n",
    "a{b=\"c\"} 1\n# EOF\n",
    "a{b=\"c\",} 1\n# EOF\n",
    "a{,b=\"c\"} 1\n# EOF\n",
    "a{b=\"c\",,d=\"e\"} 1\n# EOF\n",
    "a{b=\"c\" ,d=\"e\"} 1\n# EOF\n",
    "a {b=\"c\"} 1\n# EOF\n",
    "a{b=\"c\"}1\n# EOF\n",
    "a{b='c'} 1\n# EOF\n",
    "a{b=\"c\nd\"} 1\n# EOF\n",
    "a{b=\"c\\nd\"} 1\n# EOF\n",
    "a{b=\"c\",b=\"d\"} 1\n# EOF\n",
    "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
    "{\"a b\",c=\"d\"} 1\n# EOF\n",
    "{b=\"c\"} 1\n# EOF\n",
    "a 1 # {} 1\n# EOF\n",
    "a_total 1 # {b=\"c\"} 1\n# EOF\n",
    "a_total 1 # {b=\"c\"} 1 2\n# EOF\n",
    "t_total 1 2 # {b=\"c\"} 1 2\n# EOF\n",
    "a_total 1 # {b=\"c\"}\n# EOF\n",
    "a_total 1 # {b=\"c\"} x\n# EOF\n",
    "a_total 1 # {b=\"c\" 1\n# EOF\n",
    "a_total 1 # {b=\"c\",} 1\n# EOF\n",
    "a_total 1 #{b=\"c\"} 1\n# EOF\n",
    "a_total 1 # b 1\n# EOF\n",
    "a_total 1 # {b=\"c\"} 1 2 3\n# EOF\n",
    "a_total 1 # {b=\"c\"} 1 NaN\n# EOF\n",
    "a_total 1 # {b=\"c\"} 1 # {d=\"e\"} 2\n# EOF\n",
    "a 0x10\n# EOF\n",
    "a +1\n# EOF\n",
    "a 1_0\n# EOF\n",
    "a nan\n# EOF\n",
    "a -Inf\n# EOF\n",
    "1a 1\n# EOF\n",
    "a-b 1\n# EOF\n",
    "a:b 1\n# EOF\n",
    "# TYPE \"a b\" gauge\n{\"a b\"} 1\n# EOF\n",
    "# TYPE a gauge\n# TYPE a counter\na 1\n# EOF\n",
    "a 1\na 2\n# EOF\n",
    "# TYPE a info\na_info{b=\"c\"} 1\n# EOF\n",
    "# TYPE a stateset\na{a=\"x\"} 1\n# EOF\n",
    "# EOF \n",
    "# EOFx\n",
    "a 1\n# EOF x\n",
];
