//! Disks: `/proc/diskstats`, with what udev knows of each device.

use std::collections::HashMap;

use metrics::{MetricFamily, MetricKind};

use super::collectors::Collect;
use super::error::{CollectError, NodeError, number};
use super::family::gauges;
use super::files::Files;
use super::filter::Sieve;
use super::options::NodeOptions;

pub(super) struct Diskstats {
    devices: Sieve,
}

const SECTOR_BYTES: f64 = 512.0;
const SECONDS_PER_MS: f64 = 0.001;

/// One family per column behind the device name: kind, name, help, and what the column is multiplied by. Kernels
/// before 4.18 end at the eleventh, before 5.5 at the fifteenth.
const COLUMNS: [(MetricKind, &str, &str, f64); 17] = [
    (
        C,
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        1.0,
    ),
    (
        C,
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
        1.0,
    ),
    (
        C,
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        SECTOR_BYTES,
    ),
    (
        C,
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        SECONDS_PER_MS,
    ),
    (
        C,
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        1.0,
    ),
    (
        C,
        "node_disk_writes_merged_total",
        "The number of writes merged.",
        1.0,
    ),
    (
        C,
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        SECTOR_BYTES,
    ),
    (
        C,
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        SECONDS_PER_MS,
    ),
    (
        MetricKind::Gauge,
        "node_disk_io_now",
        "The number of I/Os currently in progress.",
        1.0,
    ),
    (
        C,
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        SECONDS_PER_MS,
    ),
    (
        C,
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        SECONDS_PER_MS,
    ),
    (
        C,
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
        1.0,
    ),
    (
        C,
        "node_disk_discards_merged_total",
        "The total number of discards merged.",
        1.0,
    ),
    (
        C,
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        1.0,
    ),
    (
        C,
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        SECONDS_PER_MS,
    ),
    (
        C,
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        1.0,
    ),
    (
        C,
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        SECONDS_PER_MS,
    ),
];

const C: MetricKind = MetricKind::Counter;

/// A line with fewer columns is a partition of a kernel from before 2.6.25, which counted otherwise.
const COLUMNS_MIN: usize = 11;

/// Property of udev, name and help.
const ATA: [(&str, &str, &str); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        "node_disk_ata_write_cache",
        "ATA disk has a write cache.",
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

impl Diskstats {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            devices: options.diskstats_devices.compile("diskstats.device")?,
        })
    }
}

impl Collect for Diskstats {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let disks = parse_diskstats(&files.proc("diskstats")?, &self.devices)?;
        let mut columns = COLUMNS.map(|(kind, name, help, _)| MetricFamily::new(name, help, kind));
        let mut descriptions = Descriptions::new();
        for disk in &disks {
            for ((column, family), (_, _, _, factor)) in
                disk.columns.iter().zip(&mut columns).zip(COLUMNS)
            {
                family.push(&[("device", &disk.device)], column * factor);
            }
            // In sysfs, a device such as `cciss/c0d0` is one folder.
            let folder = disk.device.replace('/', "!");
            let rotational = files.sys(&format!("block/{folder}/queue/rotational"));
            let rotational =
                rotational.map_or_else(|_| "0".to_owned(), |text| text.trim().to_owned());
            let udev = files
                .udev(&format!("b{}:{}", disk.major, disk.minor))
                .unwrap_or_default();
            descriptions.push(disk, &rotational, &parse_udev(&udev));
        }
        out.extend(columns);
        descriptions.finish(out);
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Disk {
    major: u32,
    minor: u32,
    device: String,
    columns: Vec<f64>,
}

/// Reads lines `major minor device column column …` of the devices that `devices` shows.
fn parse_diskstats(text: &str, devices: &Sieve) -> Result<Vec<Disk>, CollectError> {
    let mut disks = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [major, minor, device, ref columns @ ..] = *fields else {
            continue;
        };
        if columns.len() < COLUMNS_MIN || !devices.shows(device) {
            continue;
        }
        let columns = columns
            .iter()
            .take(COLUMNS.len())
            .map(|column| number("diskstats", column));
        disks.push(Disk {
            major: number("diskstats", major)?,
            minor: number("diskstats", minor)?,
            device: device.to_owned(),
            columns: columns.collect::<Result<_, _>>()?,
        });
    }
    Ok(disks)
}

/// Reads the properties of a device, lines `E:KEY=value`.
fn parse_udev(text: &str) -> HashMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .collect()
}

/// The families that say what a device is.
struct Descriptions {
    info: MetricFamily,
    filesystem: MetricFamily,
    device_mapper: MetricFamily,
    ata: [MetricFamily; ATA.len()],
}

impl Descriptions {
    fn new() -> Self {
        Self {
            info: gauges("node_disk_info", "Info of /sys/block/<block_device>."),
            filesystem: gauges("node_disk_filesystem_info", "Info about disk filesystem."),
            device_mapper: gauges(
                "node_disk_device_mapper_info",
                "Info about disk device mapper.",
            ),
            ata: ATA.map(|(_, name, help)| gauges(name, help)),
        }
    }

    fn push(&mut self, disk: &Disk, rotational: &str, udev: &HashMap<&str, &str>) {
        let device = ("device", disk.device.as_str());
        let property = |key: &str| udev.get(key).copied().unwrap_or_default();
        // What is printed on the disk, if the disk tells; virtual disks have only the last.
        let serials = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].map(property);
        let serial = serials
            .into_iter()
            .find(|serial| !serial.is_empty())
            .unwrap_or_default();
        let labels = [
            device,
            ("major", &disk.major.to_string()),
            ("minor", &disk.minor.to_string()),
            ("path", property("ID_PATH")),
            ("model", property("ID_MODEL")),
            ("serial", serial),
            ("revision", property("ID_REVISION")),
            ("wwn", property("ID_WWN")),
            ("rotational", rotational),
        ];
        self.info.push(&labels, 1.0);
        if !property("ID_FS_TYPE").is_empty() {
            let keys = [("type", "ID_FS_TYPE"), ("usage", "ID_FS_USAGE")];
            let [kind, usage] = keys.map(|(label, key)| (label, property(key)));
            let [uuid, version] = [("uuid", "ID_FS_UUID"), ("version", "ID_FS_VERSION")]
                .map(|(label, key)| (label, property(key)));
            self.filesystem
                .push(&[device, kind, usage, uuid, version], 1.0);
        }
        if !property("DM_NAME").is_empty() {
            let labels = [
                device,
                ("name", property("DM_NAME")),
                ("uuid", property("DM_UUID")),
                ("vg_name", property("DM_VG_NAME")),
                ("lv_name", property("DM_LV_NAME")),
                ("lv_layer", property("DM_LV_LAYER")),
            ];
            self.device_mapper.push(&labels, 1.0);
        }
        if !property("ID_ATA").is_empty() {
            for ((key, ..), family) in ATA.iter().zip(&mut self.ata) {
                if let Ok(value) = property(key).parse() {
                    family.push(&[device], value);
                }
            }
        }
    }

    fn finish(self, out: &mut Vec<MetricFamily>) {
        out.extend([self.info, self.filesystem, self.device_mapper]);
        out.extend(self.ata);
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    const TEXT: &str = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n   8       1 sda1 250 0 2000 36\n\
                        8 0 sda 25354637 34367663 1003346126 18492372 28444756 1 505697032 63877960 0 9653880 82621804\n\
                        8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n";

    fn default_devices() -> Sieve {
        NodeOptions::linux_defaults()
            .diskstats_devices
            .compile("test")
            .unwrap()
    }

    #[test]
    fn old_and_new_kernels() {
        let disks = parse_diskstats(TEXT, &default_devices()).unwrap();
        let shapes: Vec<_> = disks
            .iter()
            .map(|disk| (disk.device.as_str(), disk.columns.len()))
            .collect();
        assert_eq!(shapes, [("sda", 11), ("sdc", 17)]);
        assert_eq!((disks[1].major, disks[1].minor), (8, 32));
    }

    #[test]
    fn odd_numbers_are_an_error() {
        assert!(
            parse_diskstats("8 0 sda 1 2 3 4 5 6 7 8 9 10 many\n", &default_devices()).is_err()
        );
    }

    #[track_caller]
    fn check_description(udev: &str, expected: &str) {
        let disk = Disk {
            major: 8,
            minor: 0,
            device: "sda".to_owned(),
            columns: Vec::new(),
        };
        let mut descriptions = Descriptions::new();
        descriptions.push(&disk, "1", &parse_udev(udev));
        let mut out = Vec::new();
        descriptions.finish(&mut out);
        assert_eq!(samples(out), expected);
    }

    #[test]
    fn a_device_unknown_to_udev() {
        let expected = "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",model=\"\",path=\"\",revision=\"\",\
                        rotational=\"1\",serial=\"\",wwn=\"\"} 1\n";
        check_description("", expected);
    }

    #[test]
    fn what_udev_knows() {
        let udev = "S:disk/by-id/x\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_SERIAL=long\nE:ID_SERIAL_SHORT=short\n\
                    E:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\nE:DM_NAME=system-root\n";
        let expected = "node_disk_ata_write_cache{device=\"sda\"} 1\n\
                        node_disk_device_mapper_info{device=\"sda\",lv_layer=\"\",lv_name=\"\",name=\"system-root\",\
                        uuid=\"\",vg_name=\"\"} 1\n\
                        node_disk_filesystem_info{device=\"sda\",type=\"ext4\",usage=\"filesystem\",uuid=\"\",\
                        version=\"\"} 1\n\
                        node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",model=\"\",path=\"\",revision=\"\",\
                        rotational=\"1\",serial=\"short\",wwn=\"\"} 1\n";
        check_description(udev, expected);
    }
}
