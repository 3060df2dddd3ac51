//! Which distribution it is: `/etc/os-release`, else `/usr/lib/os-release`.

use std::collections::HashMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use metrics::MetricFamily;

use super::error::CollectError;
use super::family::{gauge, gauges};
use super::files::Files;

/// The labels of `node_os_info`; the keys of the file are the same in capitals.
const LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let release = match files.root("etc/os-release") {
        Ok(text) => parse_os_release(&text),
        Err(why) if why.is_not_found() => {
            let text = files.root("usr/lib/os-release");
            parse_os_release(&text.map_err(|why| why.or_no_data("there is no os-release file"))?)
        }
        Err(why) => return Err(why),
    };
    collect_release(&release, out);
    Ok(())
}

fn collect_release(release: &HashMap<String, String>, out: &mut Vec<MetricFamily>) {
    let value = |key: &str| release.get(key).map_or("", String::as_str);
    let help = format!(
        "A metric with a constant '1' value labeled by {}.",
        LABELS.join(", ")
    );
    let mut info = gauges("node_os_info", &help);
    let keys = LABELS.map(str::to_ascii_uppercase);
    let labels: Vec<_> = LABELS
        .into_iter()
        .zip(&keys)
        .map(|(label, key)| (label, value(key)))
        .collect();
    info.push(&labels, 1.0);
    out.push(info);

    if let Some(version) = major_minor(value("VERSION_ID")) {
        let help = "Metric containing the major.minor part of the OS version.";
        let mut family = gauges("node_os_version", help);
        family.push(
            &[
                ("id", value("ID")),
                ("id_like", value("ID_LIKE")),
                ("name", value("NAME")),
            ],
            version,
        );
        out.push(family);
    }
    if let Some(seconds) = midnight_utc(value("SUPPORT_END")) {
        let help = "Metric containing the end-of-life date timestamp of the OS.";
        gauge(out, "node_os_support_end_timestamp_seconds", help, seconds);
    }
}

/// Reads `KEY=value` lines; values may be quoted, with backslashes before what the shell would expand.
fn parse_os_release(text: &str) -> HashMap<String, String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), unquote(value)))
        .collect()
}

fn unquote(value: &str) -> String {
    let strip = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|rest: &str| rest.strip_suffix(quote))
    };
    if let Some(literal) = strip('\'') {
        return literal.to_owned();
    }
    let mut plain = String::new();
    let mut chars = strip('"').unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    plain
}

/// Returns the leading `major` or `major.minor` of a version as a number, if it is above zero.
fn major_minor(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = Some(digits(version)).filter(|&major| 0 < major)?;
    let behind_major = &version[major..];
    let minor = behind_major
        .strip_prefix('.')
        .map_or(0, |minor| 1 + digits(minor));
    version[..major + minor]
        .parse()
        .ok()
        .filter(|&number| 0.0 < number)
}

/// Returns seconds since the epoch of a date `YYYY-MM-DD`.
fn midnight_utc(date: &str) -> Option<f64> {
    let date: Date = date.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    #[test]
    fn values_lose_their_quotes() {
        let release =
            parse_os_release("# x=y\nNAME=\"A \\\"B\\\"\"\nID=arch\nVARIANT='a\\b'\nodd\nEMPTY=\n");
        assert_eq!(release["NAME"], "A \"B\"");
        assert_eq!(release["ID"], "arch");
        assert_eq!(release["VARIANT"], "a\\b");
        assert_eq!(release["EMPTY"], "");
        assert_eq!(release.len(), 4);
    }

    #[test]
    fn versions_are_major_and_minor() {
        for (version, expected) in [
            ("20.04", Some(20.04)),
            ("12", Some(12.0)),
            ("8.5.1", Some(8.5)),
            ("3.", Some(3.0)),
            ("7beta", Some(7.0)),
            ("0", None),
            ("", None),
            (".5", None),
            ("rolling", None),
        ] {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }

    #[test]
    fn end_of_support_is_a_timestamp() {
        let mut out = Vec::new();
        collect_release(
            &parse_os_release("ID=fedora\nSUPPORT_END=2023-05-16\n"),
            &mut out,
        );
        let text = samples(out);
        assert!(
            text.contains("node_os_support_end_timestamp_seconds 1.6841952e+09\n"),
            "{text}"
        );
        assert_eq!(midnight_utc("soon"), None);
    }
}
