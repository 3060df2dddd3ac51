//! CPU clock rates: `/sys/devices/system/cpu/cpu*/cpufreq`.

use metrics::MetricFamily;

use super::error::CollectError;
use super::family::gauges;
use super::files::Files;

/// One family: the attribute (in kHz), the name and the help.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let mut frequencies = FREQUENCIES.map(|(_, name, help)| gauges(name, help));
    let mut governors = gauges(
        "node_cpu_scaling_governor",
        "Current enabled CPU frequency governor.",
    );
    for (path, cpu) in files.sys_cpus() {
        let Ok(folder) = files.sys_folder(&format!("{path}/cpufreq")) else {
            continue;
        };
        for ((attribute, ..), family) in FREQUENCIES.iter().zip(&mut frequencies) {
            if let Some(kilohertz) = files.attribute_number::<f64>(&folder, attribute) {
                family.push(&[("cpu", &cpu)], kilohertz * 1_000.0);
            }
        }
        let Some(current) = files.attribute(&folder, "scaling_governor") else {
            continue;
        };
        let current = current.into_owned();
        let available = files
            .attribute(&folder, "scaling_available_governors")
            .unwrap_or_default();
        for governor in available.split_ascii_whitespace() {
            let value = if governor == current { 1.0 } else { 0.0 };
            governors.push(&[("cpu", &cpu), ("governor", governor)], value);
        }
    }
    out.extend(frequencies);
    out.push(governors);
    Ok(())
}
