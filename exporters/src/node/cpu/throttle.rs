//! How often cores and packages were slowed down for heat: `/sys/devices/system/cpu/cpu*/thermal_throttle`.

use std::collections::BTreeMap;

use metrics::MetricFamily;

use super::super::family::counters;
use super::super::files::Files;

/// Siblings share a core, and cores a package: the first CPU of each that has a count gives it.
pub(super) fn collect(files: &mut Files<'_>, out: &mut Vec<MetricFamily>) {
    let mut cores = BTreeMap::new();
    let mut packages = BTreeMap::new();
    for (path, _) in files.sys_cpus() {
        let Ok(counts) = files.sys_folder(&format!("{path}/thermal_throttle")) else {
            continue;
        };
        let Ok(topology) = files.sys_folder(&format!("{path}/topology")) else {
            continue;
        };
        let Some(package) = files.attribute_number::<u64>(&topology, "physical_package_id") else {
            continue;
        };
        let Some(core) = files.attribute_number::<u64>(&topology, "core_id") else {
            continue;
        };
        if let Some(count) = files.attribute_number::<f64>(&counts, "core_throttle_count") {
            cores.entry((package, core)).or_insert(count);
        }
        if let Some(count) = files.attribute_number::<f64>(&counts, "package_throttle_count") {
            packages.entry(package).or_insert(count);
        }
    }
    let name = "node_cpu_package_throttles_total";
    let mut package_family = counters(name, "Number of times this CPU package has been throttled.");
    for (package, count) in packages {
        package_family.push(&[("package", &package.to_string())], count);
    }
    let name = "node_cpu_core_throttles_total";
    let mut core_family = counters(name, "Number of times this CPU core has been throttled.");
    for ((package, core), count) in cores {
        core_family.push(
            &[
                ("package", &package.to_string()),
                ("core", &core.to_string()),
            ],
            count,
        );
    }
    out.extend([package_family, core_family]);
}
