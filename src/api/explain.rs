//! `/api/v1/explain`: the plan of a query as JSON.

use axum::response::Response;
use promql::{PlanNode, QueryResult, Value};
use serde::Serialize;

use super::encode::QueryTime;
use super::json;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'a, S: Serialize> {
    result_type: &'static str,
    /// In the result.
    series: usize,
    peak_bytes: u64,
    stats: S,
    plan: Option<NodeJson<'a>>,
}

/// The fields of [`PlanNode`]; times are in seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeJson<'a> {
    operator: &'a str,
    steps: usize,
    series: usize,
    samples_decoded: u64,
    rows: usize,
    samples: u64,
    bytes: u64,
    time: f64,
    self_time: f64,
    children: Vec<NodeJson<'a>>,
}

impl<'a> NodeJson<'a> {
    fn of(node: &'a PlanNode) -> Self {
        NodeJson {
            operator: &node.operator,
            steps: node.steps,
            series: node.series,
            samples_decoded: node.samples_decoded,
            rows: node.rows,
            samples: node.samples,
            bytes: node.bytes,
            time: node.time.as_secs_f64(),
            self_time: node.self_time.as_secs_f64(),
            children: node.children.iter().map(NodeJson::of).collect(),
        }
    }
}

/// Returns the answer with the plan of `result`; `plan` is null for an expression without operators.
pub(super) fn answer(result: &QueryResult, stats: &QueryTime) -> Response {
    json::success_of(&Explained {
        result_type: result.value.value_type().as_str(),
        series: match &result.value {
            Value::Vector(samples) => samples.len(),
            Value::Matrix(series) => series.len(),
            Value::Scalar { .. } | Value::String { .. } => 1,
        },
        peak_bytes: result.stats.bytes_peak,
        stats: stats.json(),
        plan: result.plan.as_ref().map(NodeJson::of),
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::api::testing::{Api, body_of};

    #[tokio::test]
    async fn instant_and_range_queries_are_explained() {
        let api = Api::new();
        let path = "/api/v1/explain";
        for (form, steps) in [
            ("query=sum(up)&time=1000060", 1),
            ("query=sum(up)&start=1000060&end=1000090&step=30", 2),
        ] {
            let body = body_of(api.send(Method::POST, path, form).await);
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
            let data = &answer["data"];
            assert_eq!(data["series"], 1);
            assert!(data["stats"]["timings"]["execTotalTime"].is_number());
            let plan = &data["plan"];
            assert_eq!(
                (&plan["operator"], &plan["steps"]),
                (&"sum".into(), &steps.into())
            );
            let child = &plan["children"][0];
            assert_eq!(
                (&child["operator"], &child["series"]),
                (&"up".into(), &2.into())
            );
            assert!(child["time"].as_f64() <= plan["time"].as_f64());
        }
        let (status, _) = api.get("/api/v1/explain?query=sum(").await;
        assert_eq!(status, 400);
    }
}
