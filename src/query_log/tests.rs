use std::time::Duration;

use super::*;

fn line(dir: &Path, origin: Option<&Origin>, error: Option<&str>) -> String {
    let path = dir.join("query.log");
    let log = QueryLog::new(&Registry::new());
    assert!(!log.is_on());
    log.replace(Some(log.open(&path).unwrap()));
    assert!(log.is_on());
    let stats = promql::QueryStats {
        samples_total: 7,
        samples_peak: 5,
        ..promql::QueryStats::default()
    };
    let evaluated = Evaluated {
        query: "up == \"x\"",
        steps: (1_764_000_000_500, 1_764_000_060_000, 15_500),
        error: error.map(str::to_owned),
        time: &QueryTime::of_rule(Duration::from_millis(2), stats),
        span: None,
        origin,
    };
    log.write(evaluated, 1_764_257_425_295);
    log.replace(None);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn lines_are_those_of_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::HttpRequest {
        client_ip: "::1".to_owned(),
        method: "POST".to_owned(),
        path: "/api/v1/query_range".to_owned(),
    };
    let common = r#"{"time":"2025-11-27T15:30:25.295Z","level":"INFO","source":"query","msg":"promql query logged","params":{"end":"2025-11-24T16:01:00.000Z","query":"up == \"x\"","start":"2025-11-24T16:00:00.500Z","step":15}"#;
    let stats = r#""stats":{"timings":{"evalTotalTime":0.002,"resultSortTime":0.0,"queryPreparationTime":0.0,"innerEvalTime":0.0,"execQueueTime":0.0,"execTotalTime":0.002},"samples":{"totalQueryableSamples":7,"peakSamples":5}},"spanID":"0000000000000000""#;
    let first = format!(
        "{common},{stats},\"httpRequest\":{{\"clientIP\":\"::1\",\"method\":\"POST\",\"path\":\"/api/v1/query_range\"}}}}\n"
    );
    assert_eq!(line(dir.path(), Some(&origin), None), first);
    let second = format!("{common},\"error\":\"no\",{stats}}}\n");
    assert_eq!(
        line(dir.path(), None, Some("no")),
        format!("{first}{second}")
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_told() {
    let log = QueryLog::new(&Registry::new());
    assert!(log.open(Path::new("/nowhere/at/all")).is_err());
}
