//! Jira: an issue for the group, found again by a label, opened and closed by transitions.
//!
//! ```text
//! search ──┬─ none: POST issue (unless all is resolved)
//!          └─ one:  PUT issue ── its category does not fit ──► GET transitions ──► POST the transition
//! ```

use model::name::Quoted;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, group_id};
use super::{Message, SendError};
use crate::config::receiver::JiraConfig;

/// Characters of a title and of a text.
const SUMMARY_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 32_767;

impl Dialogue for JiraConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        let Some(found) = answers.first() else {
            return self.search(message).map(Some);
        };
        let Some(issue) = found_issue(&found.body)? else {
            return match (message.is_firing(), answers.len()) {
                (true, 1) => {
                    let body = json!({"fields": self.fields(message, false)?});
                    self.request(Method::POST, "issue", &body).map(Some)
                }
                _ => Ok(None),
            };
        };
        let key = issue.key.as_str();
        let transition = match (message.is_firing(), issue.is_done) {
            (true, true) => &self.reopen_transition,
            (false, false) => &self.resolve_transition,
            _ => "",
        };
        match (answers.len(), transition) {
            (1, _) => {
                let body = json!({"fields": self.fields(message, true)?});
                let place = format!("issue/{key}");
                self.request(Method::PUT, &place, &body).map(Some)
            }
            (2, name) if !name.is_empty() => {
                let place = format!("issue/{key}/transitions");
                let mut request = self.request(Method::GET, &place, &json!({}))?;
                request.body.clear();
                Ok(Some(request))
            }
            (3, name) => {
                let id = transition_id(&answers[2].body, name, key)?;
                let body = json!({"transition": {"id": id}});
                let place = format!("issue/{key}/transitions");
                self.request(Method::POST, &place, &body).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn is_retried(&self, status: u16) -> bool {
        status == 429
    }
}

impl JiraConfig {
    fn request(
        &self,
        method: Method,
        place: &str,
        body: &impl serde::Serialize,
    ) -> Result<Outgoing, SendError> {
        let url = format!("{}/{place}", self.api_url.as_str().trim_end_matches('/'));
        let mut request = Outgoing::json(url, body)?;
        request.method = method;
        Ok(request.header("Accept-Language", "en".to_owned()))
    }

    fn search(&self, message: &Message) -> Result<Outgoing, SendError> {
        let mut jql = String::new();
        if !self.wont_fix_resolution.is_empty() {
            let resolution = message.text(&self.wont_fix_resolution)?;
            jql += &format!("resolution != {} and ", Quoted(&resolution));
        }
        let minutes = self.reopen_duration.as_ms() / 60_000;
        // Closed ones are opened again only for a while.
        if message.is_firing() && !self.reopen_transition.is_empty() && minutes != 0 {
            jql += &format!("(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and ");
        } else {
            jql += "statusCategory != Done and ";
        }
        let (project, label) = (message.text(&self.project)?, label(message));
        jql += &format!(
            "project={} and labels={} order by status ASC,resolutiondate DESC",
            Quoted(&project),
            Quoted(&label)
        );
        let body = Ordered::default()
            .put("fields", &["status"])?
            .put("jql", &jql)?
            .put("maxResults", &2)?;
        let host = self.api_url.as_str().split('/').nth(2).unwrap_or_default();
        let is_cloud = match self.api_type.as_str() {
            "cloud" => true,
            "auto" => host.ends_with("atlassian.net"),
            _ => false,
        };
        let place = if is_cloud { "search/jql" } else { "search" };
        self.request(Method::POST, place, &body)
    }

    /// Returns the fields of an issue; of one that is there, those that are not to be updated are left out.
    fn fields(&self, message: &Message, is_update: bool) -> Result<Map<String, Value>, SendError> {
        let mut fields = Map::new();
        for (name, value) in &self.fields {
            fields.insert(name.clone(), message.expand_json(value)?);
        }
        let is_written = |enabled: Option<bool>| !is_update || enabled != Some(false);
        if is_written(self.summary.enable_update) {
            let summary = cut(message.text(&self.summary.template)?, SUMMARY_MAX);
            fields.insert("summary".to_owned(), summary.into());
        }
        if is_written(self.description.enable_update) {
            let text = cut(message.text(&self.description.template)?, DESCRIPTION_MAX);
            // The newest API wants a document, which the template has to be then.
            let is_document = self.api_url.as_str().trim_end_matches('/').ends_with("/3");
            let document = serde_json::from_str(&text).ok().filter(|_| is_document);
            let description = document.unwrap_or(Value::String(text));
            fields.insert("description".to_owned(), description);
        }
        let named = |name: String| json!({"name": name});
        let kind = message.text(&self.issue_type)?;
        fields.insert("issuetype".to_owned(), named(kind));
        let project = message.text(&self.project)?;
        fields.insert("project".to_owned(), json!({"key": project}));
        let labels = self.labels.iter().map(|label| message.text(label));
        let mut labels = labels.collect::<Result<Vec<_>, _>>()?;
        labels.push(label(message));
        labels.sort();
        fields.insert("labels".to_owned(), labels.into());
        let priority = message.text(&self.priority)?;
        if !priority.is_empty() {
            fields.insert("priority".to_owned(), named(priority));
        }
        Ok(fields)
    }
}

/// Returns the label that the group's issue is found by.
fn label(message: &Message) -> String {
    format!("ALERT{{{}}}", group_id(message))
}

/// An issue that is there.
struct Issue {
    key: String,
    is_done: bool,
}

fn parsed(what: &str, body: &str) -> Result<Value, SendError> {
    serde_json::from_str(body)
        .map_err(|error| SendError::fatal(format!("read {what} of Jira: {error}"), "other"))
}

/// Returns the first issue of the search's answer.
fn found_issue(body: &str) -> Result<Option<Issue>, SendError> {
    let answer = parsed("the issues", body)?;
    let Some(key) = answer["issues"][0]["key"].as_str() else {
        return Ok(None);
    };
    let is_key = key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_key {
        let text = format!("Jira named an issue {}, which is no key", Quoted(key));
        return Err(SendError::fatal(text, "other"));
    }
    let category = &answer["issues"][0]["fields"]["status"]["statusCategory"]["key"];
    Ok(Some(Issue {
        key: key.to_owned(),
        is_done: category == "done",
    }))
}

fn transition_id(body: &str, name: &str, key: &str) -> Result<String, SendError> {
    let answer = parsed("the transitions", body)?;
    let transitions = answer["transitions"].as_array().into_iter().flatten();
    let mut named = transitions.filter(|transition| transition["name"] == name);
    let id = named
        .next()
        .and_then(|transition| transition["id"].as_str());
    id.map(str::to_owned).ok_or_else(|| {
        let text = format!("can't find transition {name} for issue {key}");
        SendError::fatal(text, "other")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AlertmanagerConfig;
    use crate::receiver::testing::message;

    fn config(more: &str) -> JiraConfig {
        let text = format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, jira_configs: [{{api_url: 'http://x/rest/api/2', project: P, issue_type: Bug{more}}}]}}]"
        );
        let config = AlertmanagerConfig::parse(&text).unwrap();
        config.receivers[0].text.jira_configs[0].clone()
    }

    /// Returns method, path and body of each request, when these are the answers.
    fn dialogue(config: &JiraConfig, is_firing: bool, answers: &[&str]) -> Vec<String> {
        let mut message = message();
        for alert in &mut message.data.alerts {
            alert.ended_at_ms = (!is_firing).then_some(1);
        }
        let mut given = Vec::new();
        let mut asked = Vec::new();
        loop {
            match config.next(&message, &given) {
                Ok(Some(request)) => {
                    let path = request.url.strip_prefix("http://x/rest/api/2/").unwrap();
                    asked.push(format!("{} {path} {}", request.method, request.body.trim()));
                }
                Ok(None) => return asked,
                Err(error) => {
                    asked.push(error.to_string());
                    return asked;
                }
            }
            let body = answers.get(given.len()).unwrap_or(&"{}");
            given.push(Answer {
                body: (*body).to_owned(),
            });
        }
    }

    fn begins(found: &[String], expected: &[&str]) {
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }

    const NONE: &str = r#"{"issues":[]}"#;
    const OPEN: &str =
        r#"{"issues":[{"key":"P-1","fields":{"status":{"statusCategory":{"key":"new"}}}}]}"#;
    const DONE: &str =
        r#"{"issues":[{"key":"P-1","fields":{"status":{"statusCategory":{"key":"done"}}}}]}"#;
    const WAYS: &str = r#"{"transitions":[{"id":"3","name":"Other"},{"id":"4","name":"Go"}]}"#;

    #[test]
    fn issues_are_made_changed_opened_and_closed() {
        let plain = config("");
        begins(
            &dialogue(&plain, true, &[NONE]),
            &["POST search", "POST issue {\"fields\""],
        );
        begins(&dialogue(&plain, false, &[NONE]), &["POST search"]);
        begins(
            &dialogue(&plain, true, &[OPEN]),
            &["POST search", "PUT issue/P-1 {\"fields\""],
        );
        let ways = config(", resolve_transition: Go, reopen_transition: Go");
        let moved = [
            "POST search",
            "PUT issue/P-1",
            "GET issue/P-1/transitions",
            "POST issue/P-1/transitions {\"transition\":{\"id\":\"4\"}}",
        ];
        begins(&dialogue(&ways, false, &[OPEN, "", WAYS]), &moved);
        begins(&dialogue(&ways, true, &[DONE, "", WAYS]), &moved);
        begins(&dialogue(&ways, true, &[OPEN]), &moved[..2]);
        let missing = config(", resolve_transition: Stop");
        let asked = dialogue(&missing, false, &[OPEN, "", WAYS]);
        assert_eq!(
            asked.last().unwrap(),
            "can't find transition Stop for issue P-1"
        );
    }

    #[test]
    fn what_is_searched_and_what_is_left_alone() {
        let config = config(
            ", reopen_transition: Go, reopen_duration: 1h, wont_fix_resolution: \"Won't Do\", summary: {template: s, enable_update: false}, priority: ''",
        );
        let asked = dialogue(&config, true, &[OPEN]);
        let expected = r#"resolution != \"Won't Do\" and (resolutiondate is EMPTY OR resolutiondate \u003e= -60m) and project=\"P\" and labels=\"ALERT{"#;
        assert!(asked[0].contains(expected), "{}", asked[0]);
        assert!(
            !asked[1].contains("\"summary\":") && !asked[1].contains("priority"),
            "{}",
            asked[1]
        );
    }

    #[test]
    fn an_answer_that_makes_no_sense() {
        let config = config("");
        let asked = dialogue(&config, true, &["<html>"]);
        assert!(
            asked[1].starts_with("read the issues of Jira: "),
            "{asked:?}"
        );
        let asked = dialogue(&config, true, &[r#"{"issues":[{"key":"../x"}]}"#]);
        assert!(asked[1].contains("which is no key"), "{asked:?}");
    }
}
