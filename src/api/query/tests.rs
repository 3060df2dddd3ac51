use super::*;
use crate::api::testing::{Api, NOW_MS, error};
use http::Method;

#[track_caller]
fn check_error(error: QueryError, expected: ApiError) {
    assert_eq!(query_error(error), expected);
}

#[test]
fn errors_of_the_engine() {
    check_error(
        QueryError::Execution("x".into()),
        ApiError::Execution("x".into()),
    );
    check_error(
        QueryError::TooManySamples { limit: 5 },
        ApiError::Execution(
            "query processing would load too many samples into memory in query execution".into(),
        ),
    );
    check_error(
        QueryError::Timeout,
        ApiError::Timeout("query timed out in expression evaluation".into()),
    );
    check_error(
        QueryError::Canceled,
        ApiError::Canceled("query was canceled in expression evaluation".into()),
    );
    let wrong = promql::parse("1 +").unwrap_err();
    let text = "invalid parameter \"query\": 1:4: parse error: unexpected end of input";
    check_error(QueryError::Parse(wrong), ApiError::BadData(text.into()));
}

#[test]
fn dropping_the_guard_cancels() {
    let guard = CancelOnDrop::default();
    let cancel = Arc::clone(&guard.0);
    assert!(!cancel.load(Ordering::Relaxed));
    drop(guard);
    assert!(cancel.load(Ordering::Relaxed));
}

/// The data of a successful answer.
fn data(kind: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
}

#[tokio::test]
async fn instant_shapes() {
    let api = Api::new();
    api.check(
        "/api/v1/query?query=1&time=5.01",
        200,
        &data("scalar", r#"[5.01,"1"]"#),
    )
    .await;
    api.check(
        "/api/v1/query?query=1",
        200,
        &data("scalar", &format!(r#"[{},"1"]"#, NOW_MS / 1000)),
    )
    .await;
    api.check(
        "/api/v1/query?query=\"a<b\"&time=2",
        200,
        &data("string", r#"[2,"a\u003cb"]"#),
    )
    .await;
    api.check("/api/v1/query?query=nope", 200, &data("vector", "[]"))
        .await;
    let up = r#"[{"metric":{"__name__":"up","instance":"a","job":"x"},"value":[1000000.500,"1"]}]"#;
    api.check(
        "/api/v1/query?query=up{job=\"x\"}&time=1000000.5",
        200,
        &data("vector", up),
    )
    .await;
    let matrix = r#"[{"metric":{"__name__":"up","instance":"a","job":"x"},"values":[[1000000,"1"],[1000060,"0.5"]]}]"#;
    api.check(
        "/api/v1/query?query=up{job=\"x\"}[5m]&time=1000060",
        200,
        &data("matrix", matrix),
    )
    .await;
    api.check(
        "/api/v1/query?query=vector(1e21)&time=-5.5",
        200,
        &data("vector", r#"[{"metric":{},"value":[-5.500,"1e+21"]}]"#),
    )
    .await;
}

#[tokio::test]
async fn body_parameters_win() {
    let api = Api::new();
    api.check_send(
        Method::POST,
        "/api/v1/query?query=3",
        "query=2&time=1",
        200,
        &data("scalar", r#"[1,"2"]"#),
    )
    .await;
    api.check_send(
        Method::POST,
        "/api/v1/query?query=3&time=1",
        "",
        200,
        &data("scalar", r#"[1,"3"]"#),
    )
    .await;
}

#[tokio::test]
async fn ranges() {
    let api = Api::new();
    let values = r#"[{"metric":{},"values":[[1,"1"],[1.500,"1"],[2,"1"]]}]"#;
    for step in ["0.5", "500ms"] {
        api.check(
            &format!("/api/v1/query_range?query=1&start=1&end=2&step={step}"),
            200,
            &data("matrix", values),
        )
        .await;
    }
    api.check(
        "/api/v1/query_range?query=nope&start=1&end=2&step=1",
        200,
        &data("matrix", "[]"),
    )
    .await;
    let (status, _) = api
        .get("/api/v1/query_range?query=1&start=1&end=11001&step=1")
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn limits_and_stats() {
    let api = Api::new();
    let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a","job":"x"},"value":[1000060,"0.5"]}]},"warnings":["results truncated due to limit"]}"#;
    api.check(
        "/api/v1/query?query=sort(up)&time=1000060&limit=1",
        200,
        body,
    )
    .await;
    let (_, body) = api
        .get("/api/v1/query?query=up&time=1000060&stats=all")
        .await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        answer["data"]["stats"]["samples"]["totalQueryableSamples"],
        2
    );
    assert!(answer["data"]["stats"]["timings"]["execTotalTime"].is_number());
    let path = "/api/v1/query_range?query=up&start=1000060&end=1000090&step=30&stats=";
    for (stats, expected) in [
        ("all", serde_json::json!([[1_000_060, 2], [1_000_090, 2]])),
        ("true", serde_json::Value::Null),
    ] {
        let (_, body) = api.get(&format!("{path}{stats}")).await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let samples = &answer["data"]["stats"]["samples"];
        assert_eq!(samples["totalQueryableSamplesPerStep"], expected);
    }
}

#[tokio::test]
async fn queries_are_logged_with_who_asked() {
    let api = Api::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("query.log");
    let log = Arc::clone(&api.shared.state().unwrap().query_log);
    api.get("/api/v1/query?query=1").await;
    log.replace(Some(log.open(&path).unwrap()));
    for (method, path, body) in [
        (Method::GET, "/api/v1/query?query=up&time=5", ""),
        (
            Method::POST,
            "/api/v1/query_range",
            "query=up&start=1&end=2&step=1",
        ),
        (Method::GET, "/api/v1/query?query=sum(", ""),
        (
            Method::GET,
            "/api/v1/query?query=up*on()group_left()up&time=1000060",
            "",
        ),
    ] {
        let mut request = api.request(method, path, body);
        let peer = crate::api::Peer("192.0.2.1".parse().unwrap());
        request.extensions_mut().unwrap().insert(peer);
        let body = axum::body::Body::from(body.to_owned());
        api.respond(request.body(body).unwrap()).await;
    }
    log.replace(None);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().unwrap();
    let asked = |method: &str, path: &str| serde_json::json!({"clientIP": "192.0.2.1", "method": method, "path": path});
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["httpRequest"], asked("GET", "/api/v1/query"));
    assert_eq!(lines[0]["params"]["start"], "1970-01-01T00:00:05.000Z");
    assert_eq!(lines[0]["params"]["step"], 0);
    assert_eq!(
        lines[1]["httpRequest"],
        asked("POST", "/api/v1/query_range")
    );
    assert_eq!(lines[1]["params"]["step"], 1);
    let error = lines[2]["error"].as_str().unwrap();
    assert!(error.starts_with("found duplicate series"), "{error}");
}

#[tokio::test]
async fn infos_are_passed_on() {
    let (_, body) = Api::new()
        .get("/api/v1/query?query=rate(up[5m])&time=1000060")
        .await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)";
    assert_eq!(answer["infos"], serde_json::json!([expected]));
}

#[tokio::test]
async fn bad_instant_parameters() {
    let api = Api::new();
    let check = async |query: &str, text: &str| {
        api.check(
            &format!("/api/v1/query{query}"),
            400,
            &error("bad_data", text),
        )
        .await
    };
    let nothing = r#"invalid parameter \"query\": unknown position: parse error: no expression found in input"#;
    check("", nothing).await;
    check("?query=%zz", nothing).await;
    check(
        "?query=sum(up",
        r#"invalid parameter \"query\": 1:7: parse error: unclosed left parenthesis"#,
    )
    .await;
    check("?query=up&time=foo", r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"foo\" to a valid timestamp"#).await;
    check(
        "?query=up&timeout=x",
        r#"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"#,
    )
    .await;
    check("?query=up&timeout=1e30", r#"invalid parameter \"timeout\": cannot parse \"1e30\" to a valid duration. It overflows int64"#).await;
    check(
        "?query=up&limit=-1",
        r#"invalid parameter \"limit\": limit must be non-negative"#,
    )
    .await;
    check(
        "?query=up&limit=1.5",
        r#"invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax"#,
    )
    .await;
    check(
        "?query=up&lookback_delta=x",
        r#"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"#,
    )
    .await;
}

#[tokio::test]
async fn bad_range_parameters() {
    let api = Api::new();
    let check = async |query: &str, text: &str| {
        api.check(
            &format!("/api/v1/query_range?query=1{query}"),
            400,
            &error("bad_data", text),
        )
        .await
    };
    check(
        "",
        r#"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"#,
    )
    .await;
    check(
        "&start=1&end=x",
        r#"invalid parameter \"end\": cannot parse \"x\" to a valid timestamp"#,
    )
    .await;
    check(
        "&start=1&end=0&step=x",
        r#"invalid parameter \"end\": end timestamp must not be before start time"#,
    )
    .await;
    check(
        "&start=1&end=2",
        r#"invalid parameter \"step\": cannot parse \"\" to a valid duration"#,
    )
    .await;
    let negative = r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#;
    check("&start=1&end=2&step=0", negative).await;
    check("&start=1&end=2&step=-1", negative).await;
    check(
        "&start=1&end=2&step=0.0001",
        r#"invalid parameter \"step\": query resolution step widths below 1ms are not accepted"#,
    )
    .await;
    let resolution = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    check("&start=1&end=11002&step=1", resolution).await;
    check("&start=-1e300&end=1e300&step=1ms", resolution).await;
}

#[tokio::test]
async fn range_queries_want_vectors() {
    let api = Api::new();
    for (query, kind) in [("up[5m]", "range vector"), ("\"a\"", "string")] {
        let text = format!(
            r#"invalid parameter \"query\": invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector"#
        );
        let path = format!("/api/v1/query_range?query={query}&start=1&end=2&step=1");
        api.check(&path, 400, &error("bad_data", &text)).await;
    }
}

#[tokio::test]
async fn execution_errors_are_422() {
    let (status, body) = Api::new()
        .get("/api/v1/query?query=up*on()group_left()up&time=1000060")
        .await;
    assert_eq!(status, 422);
    assert!(body.starts_with(r#"{"status":"error","errorType":"execution","error":"found duplicate series for the match group {}"#), "{body}");
}

#[tokio::test]
async fn waiting_for_a_permit_counts() {
    let api = Api::new();
    let state = api.shared.state().unwrap();
    let all = u32::try_from(state.query_permits.available_permits()).unwrap();
    let held = Arc::clone(&state.query_permits)
        .acquire_many_owned(all)
        .await
        .unwrap();
    let late = error("timeout", "query timed out in query queue");
    api.check("/api/v1/query?query=1&timeout=1ms", 503, &late)
        .await;
    let none = error("timeout", "query timed out in query execution");
    api.check("/api/v1/query?query=1&timeout=-1", 503, &none)
        .await;
    drop(held);
    let (status, _) = api.get("/api/v1/query?query=1").await;
    assert_eq!(status, 200);
    assert_eq!(
        state.query_permits.available_permits(),
        usize::try_from(all).unwrap()
    );
}

#[tokio::test]
async fn exemplars_of_the_selected_series() {
    use model::storage::Appendable as _;
    let api = Api::new();
    let db = api.shared.state().unwrap().db.clone();
    db.set_exemplars_max(10);
    let mut appender = db.appender();
    let labels = [("__name__", "up"), ("instance", "a"), ("job", "x")];
    let series = appender.series(&labels).unwrap();
    let exemplar = model::exemplar::Exemplar {
        labels: model::Labels::from_pairs([("trace_id", "EpTxMJ40fUus7aGY")]),
        value: 6.0,
        t: Some(1_000_050_479),
    };
    appender.append_exemplar(series, &exemplar).unwrap();
    appender.commit().unwrap();
    let expected = r#"{"status":"success","data":[{"seriesLabels":{"__name__":"up","instance":"a","job":"x"},"exemplars":[{"labels":{"trace_id":"EpTxMJ40fUus7aGY"},"value":"6","timestamp":1000050.479}]}]}"#;
    let path = "/api/v1/query_exemplars?query=rate(up[5m])/on(a)up{job=\"y\"}";
    api.check(path, 200, expected).await;
    api.check_send(
        Method::POST,
        "/api/v1/query_exemplars",
        "query=up",
        200,
        expected,
    )
    .await;
    let late = "/api/v1/query_exemplars?query=up&start=1000051";
    api.check(late, 200, r#"{"status":"success","data":[]}"#)
        .await;
}

#[tokio::test]
async fn exemplars_are_none() {
    let api = Api::new();
    api.check(
        "/api/v1/query_exemplars?query=test&start=1000&end=2000",
        200,
        r#"{"status":"success","data":[]}"#,
    )
    .await;
    api.check("/api/v1/query_exemplars?query=1", 204, "").await;
    let bad = error(
        "bad_data",
        "end timestamp must not be before start timestamp",
    );
    api.check(
        "/api/v1/query_exemplars?query=test&start=3&end=2",
        400,
        &bad,
    )
    .await;
    let bad = error(
        "bad_data",
        "unknown position: parse error: no expression found in input",
    );
    api.check("/api/v1/query_exemplars", 400, &bad).await;
}

#[tokio::test]
async fn queries_are_formatted() {
    let api = Api::new();
    api.check(
        "/api/v1/format_query?query=sum(up)by(x)>1",
        200,
        r#"{"status":"success","data":"sum by (x) (up) \u003e 1"}"#,
    )
    .await;
    let bad = error(
        "bad_data",
        r#"invalid parameter \"query\": 1:3: parse error: unclosed left parenthesis"#,
    );
    api.check("/api/v1/format_query?query=((", 400, &bad).await;
}
