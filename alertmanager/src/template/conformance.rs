//! The template language against what Alertmanager made of it (`templates/alertmanager.jsonl` of the conformance data).

use super::alertmanager::{NotificationData, default_templates};
use super::{Environment, Mode, Value};
use crate::rule::testing::conformance;

struct World;

impl Environment for World {
    fn now_ms(&self) -> i64 {
        0
    }

    fn external_url(&self) -> &str {
        ""
    }
}

/// The language's own cases and the shipped templates; our e-mail page is our own.
#[test]
fn cases() {
    let Some(directory) = conformance("templates") else {
        return;
    };
    let cases = std::fs::read_to_string(directory.join("alertmanager.jsonl")).unwrap();
    let mut surprises = Vec::new();
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        if name.starts_with("email.default.html") {
            continue;
        }
        let file = format!("alertmanager-data/{}.json", case["data"].as_str().unwrap());
        let json =
            serde_json::from_str(&std::fs::read_to_string(directory.join(file)).unwrap()).unwrap();
        let mode = match case["type"].as_str() {
            Some("html") => Mode::Html,
            _ => Mode::Text,
        };
        let found = default_templates()
            .with("", case["text"].as_str().unwrap())
            .map_err(|error| error.to_string())
            .and_then(|template| {
                template
                    .execute(
                        &Value::object(NotificationData::from_json(&json).unwrap()),
                        &World,
                        mode,
                    )
                    .map_err(|error| error.to_string())
            });
        let agrees = match &found {
            Ok(text) => case["expect"] == text.as_str(),
            Err(error) => case["error"] == error.as_str(),
        };
        if !agrees {
            surprises.push(format!(
                "{name}: {}\n  found    {found:?}\n  expected {}{}",
                case["text"], case["expect"], case["error"]
            ));
        }
    }
    assert!(
        surprises.is_empty(),
        "{} {}",
        surprises.len(),
        surprises.join("\n")
    );
}

/// Returns the words that a page shows, and where its links lead.
fn shown(page: &str) -> (Vec<String>, Vec<String>) {
    let style = regex::Regex::new("(?s)<style.*?</style>|<title.*?</title>").unwrap();
    let page = style.replace_all(page, "");
    let link = regex::Regex::new("href=\"([^\"]*)\"").unwrap();
    let links = link.captures_iter(&page).map(|found| found[1].to_owned());
    let (mut links, tag) = (
        links.collect::<Vec<_>>(),
        regex::Regex::new("(?s)<[^>]*>").unwrap(),
    );
    links.sort();
    let text = tag.replace_all(&page, " ");
    let words = text.split_whitespace().map(str::to_owned);
    (words.collect(), links)
}

/// Our e-mail says in the same order what Alertmanager's says, and links to the same places.
#[test]
fn the_mail_says_the_same() {
    let Some(directory) = conformance("templates") else {
        return;
    };
    let cases = std::fs::read_to_string(directory.join("alertmanager.jsonl")).unwrap();
    let mut compared = 0;
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        if !name.starts_with("email.default.html") {
            continue;
        }
        let file = format!("alertmanager-data/{}.json", case["data"].as_str().unwrap());
        let json =
            serde_json::from_str(&std::fs::read_to_string(directory.join(file)).unwrap()).unwrap();
        let data = Value::object(NotificationData::from_json(&json).unwrap());
        let template = default_templates()
            .with("", case["text"].as_str().unwrap())
            .unwrap();
        let ours = template.execute(&data, &World, Mode::Html).unwrap();
        let theirs = case["expect"].as_str().unwrap();
        assert_eq!(shown(&ours), shown(theirs), "{name}");
        compared += 1;
    }
    assert!(0 < compared);
}

/// The whole of a notification comes back from its own JSON.
#[test]
fn data_come_back() {
    let data = crate::receiver::testing::message().data;
    let json = super::json::to_json(&Value::object(data.clone())).unwrap();
    let again = NotificationData::from_json(&serde_json::from_str(&json).unwrap()).unwrap();
    let shown = |data: NotificationData| super::json::to_json(&Value::object(data)).unwrap();
    assert_eq!(shown(again), json);
    assert!(json.contains("first notification"), "{json}");
}
