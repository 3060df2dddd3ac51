//! What kind of CPUs there are: `/proc/cpuinfo`, with the keys of x86. Off by default.

use std::collections::HashMap;

use metrics::MetricFamily;
use regex::Regex;

use super::super::error::NodeError;
use super::super::family::gauges;
use super::super::filter::compile;
use super::super::options::NodeOptions;

pub(super) struct Info {
    flags: Option<Regex>,
    bugs: Option<Regex>,
}

/// Label of `node_cpu_info`, and the key it comes from.
const LABELS: [(&str, &str); 10] = [
    ("package", "physical id"),
    ("core", "core id"),
    ("cpu", "processor"),
    ("vendor", "vendor_id"),
    ("family", "cpu family"),
    ("model", "model"),
    ("model_name", "model name"),
    ("microcode", "microcode"),
    ("stepping", "stepping"),
    ("cachesize", "cache size"),
];

impl Info {
    /// Returns `None` if it is off. As in node_exporter, asking for flags or bugs switches it on.
    pub(super) fn new(options: &NodeOptions) -> Result<Option<Self>, NodeError> {
        let optional = |pattern: &Option<String>, what| {
            pattern.as_deref().map(|it| compile(it, what)).transpose()
        };
        let info = Self {
            flags: optional(&options.cpu_info_flags_include, "cpu.info.flags-include")?,
            bugs: optional(&options.cpu_info_bugs_include, "cpu.info.bugs-include")?,
        };
        Ok((options.cpu_info || info.flags.is_some() || info.bugs.is_some()).then_some(info))
    }

    pub(super) fn collect(&self, text: &str, out: &mut Vec<MetricFamily>) {
        let mut info = gauges("node_cpu_info", "CPU information from /proc/cpuinfo.");
        let mut hertz = gauges(
            "node_cpu_frequency_hertz",
            "CPU frequency in hertz from /proc/cpuinfo.",
        );
        let cpus = parse_cpuinfo(text);
        for cpu in &cpus {
            let labels =
                LABELS.map(|(label, key)| (label, cpu.get(key).copied().unwrap_or_default()));
            info.push(&labels, 1.0);
            if let Some(megahertz) = cpu.get("cpu MHz").and_then(|text| text.parse::<f64>().ok()) {
                hertz.push(&labels[..3], megahertz * 1e6);
            }
        }
        out.extend([info, hertz]);
        if let Some(first) = cpus.first() {
            let words = |key| first.get(key).copied().unwrap_or_default();
            out.push(matching("flag", words("flags"), self.flags.as_ref()));
            out.push(matching("bug", words("bugs"), self.bugs.as_ref()));
        }
    }
}

/// Returns a series for each of `words` that the pattern matches.
fn matching(label: &str, words: &str, pattern: Option<&Regex>) -> MetricFamily {
    let help = format!(
        "The `{label}s` field of CPU information from /proc/cpuinfo taken from the first core."
    );
    let mut family = gauges(&format!("node_cpu_{label}_info"), &help);
    for word in words
        .split(' ')
        .filter(|word| pattern.is_some_and(|pattern| pattern.is_match(word)))
    {
        family.push(&[(label, word)], 1.0);
    }
    family
}

/// Reads one paragraph of `key : value` lines per CPU.
fn parse_cpuinfo(text: &str) -> Vec<HashMap<&str, &str>> {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let pairs = paragraph.lines().filter_map(|line| line.split_once(':'));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect::<HashMap<_, _>>()
    });
    paragraphs
        .filter(|cpu| cpu.contains_key("processor"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::family::samples;
    use super::*;

    #[test]
    fn one_paragraph_per_cpu() {
        let mut options = NodeOptions::linux_defaults();
        assert!(Info::new(&options).unwrap().is_none());
        options.cpu_info_flags_include = Some("^a".to_owned());
        let text = "processor\t: 0\nvendor_id : X\ncpu MHz : 799.5\nflags\t: fpu aes avx\nbugs : mds\n\n\
                    processor\t: 1\nvendor_id : X\n\nHardware : board\n";
        let mut out = Vec::new();
        Info::new(&options)
            .unwrap()
            .unwrap()
            .collect(text, &mut out);
        let text = samples(out);
        assert_eq!(text.matches("vendor=\"X\"").count(), 2);
        assert!(
            text.contains("node_cpu_frequency_hertz{core=\"\",cpu=\"0\",package=\"\"} 7.995e+08\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "node_cpu_flag_info{flag=\"aes\"} 1\nnode_cpu_flag_info{flag=\"avx\"} 1\n"
            ),
            "{text}"
        );
        assert!(!text.contains("bug"), "{text}");
    }
}
