//! What `alertmanager` reads without knowing it, checked by the rooms that do: relabelling and service discovery in the
//! `alerting` section.

use alertmanager::notify::{AlertingConfig, AlertmanagerTargetConfig};
use net::http_config::Unbuilt;
use scraper::config::{RelabelConfig, sd, yaml};
use serde::de::DeserializeOwned;

use super::remote_write::Sigv4Config;

/// Checks the section.
///
/// # Errors
///
/// The first thing that is wrong.
pub(super) fn check(alerting: &AlertingConfig) -> Result<(), String> {
    let in_section = |error: String| format!("alerting: {error}");
    check_rules(&alerting.alert_relabel_configs).map_err(in_section)?;
    alerting
        .alertmanagers
        .iter()
        .try_for_each(|target| check_target(target).map_err(in_section))
}

fn check_target(target: &AlertmanagerTargetConfig) -> Result<(), String> {
    check_rules(&target.relabel_configs)?;
    check_rules(&target.alert_relabel_configs)?;
    for (key, section) in target.unbuilt_sections() {
        let outcome = if key == "sigv4" {
            typed::<Sigv4Config>(section).and_then(|config| config.check())
        } else {
            let text = yaml::print(&section.0)?;
            sd::check_section(key, &text)
        };
        outcome.map_err(|error| format!("{key}: {error}"))?;
    }
    Ok(())
}

fn check_rules(rules: &[Unbuilt]) -> Result<(), String> {
    rules
        .iter()
        .try_for_each(|rule| typed::<RelabelConfig>(rule).map(|_| ()))
}

/// Reads again what was read as any YAML. Its position in the file is lost.
fn typed<T: DeserializeOwned>(section: &Unbuilt) -> Result<T, String> {
    yaml::parse(&yaml::print(&section.0)?).map_err(|error| error.message)
}
