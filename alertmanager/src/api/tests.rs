use super::conformance::World;

const CONFIG: &str = "route: {receiver: a, group_by: [alertname], routes: [{receiver: b, matchers: [team=b]}]}\n\
    receivers: [{name: a}, {name: b, labels: {team: x}}]\n";
/// 2026-11-26T09:00:00Z.
const NOW_MS: i64 = 1_795_683_600_000;

async fn check(world: &World, path: &str, body: &str, status: u16, text: &str) {
    let found = world.post(path, body).await;
    assert_eq!(found, (status, text.to_owned()), "{path} {body}");
}

fn unreadable(what: &str, why: &str) -> String {
    let text = format!("parsing {what} body from \"\" failed, because {why}");
    serde_json::json!({"code": 400, "message": text}).to_string()
}

#[tokio::test]
async fn groups_have_the_labels_of_their_routes() {
    let config = r#"
route:
  receiver: a
  group_by: [alertname]
  labels: {reason: '{{ .GroupLabels.alertname }}', text: 'firing: {{ routeLabels "reason" }}'}
  routes:
  - {receiver: b, matchers: [team=b], labels: {reason: '{{ len .Alerts }} of b'}}
receivers: [{name: a}, {name: b}]
"#;
    let world = World::new(config, NOW_MS);
    let alerts = r#"[{"labels":{"alertname":"A"}},{"labels":{"alertname":"A","team":"b"}}]"#;
    check(&world, "/api/v2/alerts", alerts, 200, "").await;
    let (_, _, text) = world.send("GET", "/api/v2/alerts/groups", &[], "").await;
    let groups: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!([
        {"reason": "A", "text": "firing: A"},
        {"reason": "1 of b", "text": "firing: 1 of b"},
    ]);
    let found = [0, 1].map(|at| groups[at]["routeLabels"].clone());
    assert_eq!(serde_json::json!(found), expected, "{text}");
}

#[tokio::test]
async fn alerts_that_are_none() {
    let world = World::new(CONFIG, NOW_MS);
    let path = "/api/v2/alerts";
    for (body, why) in [
        (
            "5",
            "json: cannot unmarshal number into Go value of type models.PostableAlerts",
        ),
        (
            r#"[{"labels":"x"}]"#,
            "json: cannot unmarshal string into Go struct field Alert.labels of type models.LabelSet",
        ),
        (
            r#"[{"labels":{"a":"b"},"annotations":{"x":1}}]"#,
            "json: cannot unmarshal number into Go struct field .annotations.x of type string",
        ),
        (
            r#"[{"labels":{"a":"b"},"startsAt":5}]"#,
            "json: cannot unmarshal number into Go value of type string",
        ),
        (
            r#"[{"labels":{"a":"b"},"startsAt":"2026-13-01T00:00:00Z"}]"#,
            "parsing time \"2026-13-01T00:00:00Z\": month out of range",
        ),
    ] {
        check(&world, path, body, 400, &unreadable("alerts", why)).await;
    }
    let uri = r#"{"code":601,"message":"0.generatorURL in body must be of type uri: \"x\""}"#;
    check(
        &world,
        path,
        r#"[{"labels":{"a":"b"},"generatorURL":"x"}]"#,
        422,
        uri,
    )
    .await;
    let late = r#"[{"labels":{"a":"b"},"startsAt":"2026-12-01T00:00:00"}]"#;
    check(
        &world,
        path,
        late,
        400,
        "\"start time must be before end time\"",
    )
    .await;
    let missing = r#"{"code":602,"message":"0.labels in body is required"}"#;
    check(&world, path, "[null]", 422, missing).await;
    let (_, _, shown) = world.send("GET", path, &[], "").await;
    assert_eq!(shown, "[]\n");

    // The good ones of a batch are taken.
    let body = r#"[{"LABELS":{"a":"b","c":null}},{"labels":{}},{"labels":{"":"x"}}]"#;
    let text = r#""at least one label pair required\ninvalid label set: invalid name \"\"""#;
    check(&world, path, body, 400, text).await;
    let (_, _, shown) = world.send("GET", path, &[], "").await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["labels"], serde_json::json!({"a": "b"}));
    assert_eq!(shown[0]["startsAt"], "2026-11-26T09:00:00.000Z");
    assert_eq!(shown[0]["endsAt"], "2026-11-26T09:05:00.000Z");
    assert_eq!(shown.as_array().unwrap().len(), 1);
    check(&world, path, "null", 200, "").await;
}

#[tokio::test]
async fn silences_that_are_none() {
    let world = World::new(CONFIG, NOW_MS);
    let path = "/api/v2/silences";
    let silence = |matcher: &str, starts_at: &str, ends_at: &str| {
        format!(
            r#"{{"comment":"c","createdBy":"m","matchers":[{matcher}],"startsAt":"{starts_at}","endsAt":"{ends_at}"}}"#
        )
    };
    let good = r#"{"name":"x","value":"y","isRegex":false}"#;
    let (past, future) = ("2021-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
    for (matcher, expected) in [
        ("{}", "matchers.0.isRegex in body is required"),
        (
            r#"{"isRegex":true,"value":"x"}"#,
            "matchers.0.name in body is required",
        ),
        (
            r#"{"isRegex":true,"name":"x"}"#,
            "matchers.0.value in body is required",
        ),
    ] {
        let expected = serde_json::json!({"code": 602, "message": expected}).to_string();
        check(
            &world,
            path,
            &silence(matcher, past, future),
            422,
            &expected,
        )
        .await;
    }
    let wrong = r#"{"name":"x","value":"y","isRegex":"x"}"#;
    let why = "json: cannot unmarshal string into Go struct field Silence.matchers.0.isRegex of type bool";
    check(
        &world,
        path,
        &silence(wrong, past, future),
        400,
        &unreadable("silence", why),
    )
    .await;
    let over = "\"Failed to create silence: end time can't be in the past\"";
    check(
        &world,
        path,
        &silence(good, past, "2022-01-01T00:00:00Z"),
        400,
        over,
    )
    .await;
    let many = vec![good; 1_001].join(",");
    let text = "\"invalid silence: more than 1000 matchers\"";
    check(&world, path, &silence(&many, past, future), 400, text).await;
    check(
        &world,
        path,
        "",
        422,
        r#"{"code":602,"message":"silence in body is required"}"#,
    )
    .await;
    let (_, _, shown) = world.send("GET", path, &[], "").await;
    assert_eq!(shown, "[]\n");
}

#[tokio::test]
async fn filters_that_are_none() {
    let world = World::new(CONFIG, NOW_MS);
    for (path, text) in [
        ("silences?filter=bad", "bad matcher format: bad"),
        (
            "silences?filter=a%3D~%22(%22",
            "error parsing regexp: missing closing ): `^(?:()$`",
        ),
        ("alerts?filter=", "bad matcher format: "),
        (
            "receivers?receiver_matchers=bad",
            "failed to parse receiver_matchers param: bad matcher format: bad",
        ),
        (
            "alerts/groups?receiver=(&filter=bad",
            "bad matcher format: bad",
        ),
        (
            "alerts?receiver=*",
            "failed to parse receiver param: error parsing regexp: missing argument to repetition operator: `*`",
        ),
        (
            "alerts?receiver=a)",
            "failed to parse receiver param: error parsing regexp: unexpected ): `^(?:a))$`",
        ),
    ] {
        let (status, _, found) = world.send("GET", &format!("/api/v2/{path}"), &[], "").await;
        let expected = serde_json::to_string(text).unwrap() + "\n";
        assert_eq!((status, found), (400, expected), "{path}");
    }
    let path = "/api/v2/receivers?receiver_matchers=team%3Dx";
    let (_, _, found) = world.send("GET", path, &[], "").await;
    assert_eq!(
        found,
        "[{\"labels\":{\"name\":\"b\",\"team\":\"x\"},\"name\":\"b\"}]\n"
    );
}

#[tokio::test]
async fn other_origins_may_read_and_post() {
    let world = World::new(CONFIG, NOW_MS);
    let (_, headers, _) = world
        .send("GET", "/api/v2/status", &[("origin", "http://x")], "")
        .await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    for (method, is_allowed) in [("POST", true), ("DELETE", false)] {
        let asked = [
            ("origin", "http://x"),
            ("access-control-request-method", method),
        ];
        let (status, headers, _) = world.send("OPTIONS", "/api/v2/silences", &asked, "").await;
        assert_eq!(status, 204);
        assert_eq!(
            headers.contains_key("access-control-allow-origin"),
            is_allowed
        );
    }
}

#[tokio::test]
async fn the_clock_ends_silences_and_alerts() {
    let world = World::new(CONFIG, NOW_MS);
    let body = r#"{"comment":"c","createdBy":"m","matchers":[{"name":"team","value":"b","isRegex":false}],"startsAt":"2026-11-26T09:01:00Z","endsAt":"2026-11-26T09:02:00Z"}"#;
    let (status, _) = world.post("/api/v2/silences", body).await;
    assert_eq!(status, 200);
    let alert = r#"[{"labels":{"alertname":"A","team":"b"},"startsAt":"2026-11-26T09:00:00Z","endsAt":"2026-11-26T09:03:00Z"}]"#;
    check(&world, "/api/v2/alerts", alert, 200, "").await;
    for (at_s, state) in [(0, "active"), (60, "suppressed"), (120, "active")] {
        world.clock.set(NOW_MS + at_s * 1_000);
        let (_, _, shown) = world.send("GET", "/api/v2/alerts", &[], "").await;
        assert!(
            shown.contains(&format!("\"state\":\"{state}\"")),
            "{at_s}: {shown}"
        );
    }
    world.clock.set(NOW_MS + 180_000);
    let (_, _, shown) = world.send("GET", "/api/v2/alerts/groups", &[], "").await;
    assert_eq!(shown, "[]\n");
}

#[tokio::test]
async fn the_mode_decides_what_matchers_and_names_are() {
    let silence = r#"{"matchers":[{"name":"é","value":"x","isRegex":false}],"startsAt":"2026-11-26T09:00:00Z","endsAt":"2026-11-26T10:00:00Z","createdBy":"a","comment":"c"}"#;
    let refused_silence =
        "\"invalid silence: invalid label matcher 0 in set 0: invalid label name \\\"é\\\"\"";
    let statuses = async |mode| {
        let world = World::with_matchers_in(mode, CONFIG, NOW_MS);
        let (alert, said) = world
            .post("/api/v2/alerts", r#"[{"labels":{"é":"b"}}]"#)
            .await;
        if alert != 200 {
            assert!(said.contains("invalid label set: invalid name"), "{said}");
        }
        let (silence, said) = world.post("/api/v2/silences", silence).await;
        if silence != 200 {
            assert!(said.starts_with(refused_silence), "{said}");
        }
        let mut found = vec![alert, silence];
        for filter in ["%C3%A9=b", "a=b%20c", "a=b"] {
            let path = format!("/api/v2/alerts?filter={filter}");
            found.push(world.send("GET", &path, &[], "").await.0);
        }
        found
    };
    use crate::config::MatcherMode::{Classic, Fallback, Utf8Strict};
    assert_eq!(statuses(Fallback).await, [200, 200, 200, 200, 200]);
    assert_eq!(statuses(Classic).await, [400, 400, 400, 200, 200]);
    assert_eq!(statuses(Utf8Strict).await, [200, 200, 200, 400, 200]);
}

#[tokio::test]
async fn long_answers_come_in_pieces() {
    use http_body_util::BodyExt as _;

    let texts: Vec<String> = (0..4_000)
        .map(|n| "é\"x".repeat(n % 97))
        .chain([String::new(), "y".repeat(3 * super::PIECE_BYTES)])
        .collect();
    let response = super::json(http::StatusCode::OK, &texts, "\n");
    let mut body = response.into_body();
    let (mut all, mut pieces, mut longest) = (Vec::new(), 0, 0);
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        (pieces, longest) = (pieces + 1, longest.max(piece.len()));
        all.extend_from_slice(&piece);
    }
    assert!(5 < pieces, "{pieces}");
    assert!(longest <= 4 * super::PIECE_BYTES, "{longest}");
    assert!(all.ends_with(b"]\n"));
    assert_eq!(serde_json::from_slice::<Vec<String>>(&all).unwrap(), texts);
}
