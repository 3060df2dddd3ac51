//! What the firmware says of the machine: `/sys/class/dmi/id`.

use metrics::MetricFamily;

use super::error::CollectError;
use super::family::gauges;
use super::files::Files;

/// File and label. A file that is absent, or only for root, leaves its label out.
const FIELDS: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let folder = files
        .sys_folder("class/dmi/id")
        .map_err(|why| why.or_no_data("the firmware has no DMI table"))?;
    let mut labels = Vec::new();
    for (file, label) in FIELDS {
        if let Some(value) = files.attribute(&folder, file) {
            labels.push((label, value.into_owned()));
        }
    }
    let help = format!(
        "A metric with a constant '1' value labeled by {} if provided by DMI.",
        FIELDS.map(|(_, label)| label).join(", ")
    );
    let mut info = gauges("node_dmi_info", &help);
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    info.push(&labels, 1.0);
    out.push(info);
    Ok(())
}
