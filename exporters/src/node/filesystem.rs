//! File systems: which are mounted, and how full they are.

mod mountinfo;
mod statfs;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use metrics::MetricFamily;

use super::collectors::Collect;
use super::error::{CollectError, NodeError};
use super::family::gauges;
use super::files::Files;
use super::filter::Sieve;
use super::options::NodeOptions;
use mountinfo::{Mount, parse_mountinfo};
use statfs::{Asker, Usage};

pub(super) struct Filesystem {
    rootfs: PathBuf,
    mount_points: Sieve,
    types: Sieve,
    asker: Asker,
}

impl Filesystem {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            rootfs: options.rootfs.clone(),
            mount_points: options
                .filesystem_mount_points
                .compile("filesystem.mount-points")?,
            types: options.filesystem_types.compile("filesystem.fs-types")?,
            asker: Asker::new(
                options.filesystem_mount_timeout,
                options.filesystem_stat_workers,
            ),
        })
    }

    /// Returns what to show of `mounts`, mount points as they are below the root file system, each once.
    fn shown(&self, mounts: Vec<Mount>) -> Vec<Mount> {
        let mut seen = HashSet::new();
        let stripped = mounts.into_iter().map(|mount| {
            let mount_point = strip_root(&self.rootfs, mount.mount_point);
            Mount {
                mount_point,
                ..mount
            }
        });
        stripped
            .filter(|mount| {
                self.mount_points.shows(&mount.mount_point) && self.types.shows(&mount.kind)
            })
            .filter(|mount| {
                seen.insert((
                    mount.device.clone(),
                    mount.mount_point.clone(),
                    mount.kind.clone(),
                ))
            })
            .collect()
    }
}

impl Collect for Filesystem {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        // Process 1 sees the machine's mounts where this process is in a container that shares its process ids.
        let mounts = match files.proc("1/mountinfo") {
            Ok(text) => parse_mountinfo(&text)?,
            Err(_) => parse_mountinfo(&files.proc("self/mountinfo")?)?,
        };
        let mounts = self.shown(mounts);
        let paths = mounts
            .iter()
            .map(|mount| below_root(&self.rootfs, &mount.mount_point))
            .collect();
        let mut families = Families::new();
        for (mount, usage) in mounts.iter().zip(self.asker.ask(paths)) {
            families.push(mount, &usage);
        }
        families.finish(out);
        Ok(())
    }
}

/// Takes the root file system's own path off a mount point; `/` is left of the root itself.
fn strip_root(rootfs: &Path, mount_point: String) -> String {
    match rootfs
        .to_str()
        .filter(|root| *root != "/")
        .and_then(|root| mount_point.strip_prefix(root))
    {
        None => mount_point,
        Some("") => "/".to_owned(),
        Some(stripped) => stripped.to_owned(),
    }
}

fn below_root(rootfs: &Path, mount_point: &str) -> PathBuf {
    rootfs.join(mount_point.trim_start_matches('/'))
}

const DEVICE_ERROR: usize = 0;
const READ_ONLY: usize = 1;

/// Name and help. The first two are shown of every mount, the others of those that answer.
const FAMILIES: [(&str, &str); 8] = [
    (
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
    ),
    ("node_filesystem_readonly", "Filesystem read-only status."),
    ("node_filesystem_size_bytes", "Filesystem size in bytes."),
    (
        "node_filesystem_free_bytes",
        "Filesystem free space in bytes.",
    ),
    (
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
    ),
    ("node_filesystem_files", "Filesystem total file nodes."),
    (
        "node_filesystem_files_free",
        "Filesystem total free file nodes.",
    ),
    (
        "node_filesystem_purgeable_bytes",
        "Filesystem space available including purgeable space (MacOS specific).",
    ),
];

struct Families {
    usage: [MetricFamily; FAMILIES.len()],
    mount_info: MetricFamily,
}

impl Families {
    fn new() -> Self {
        Self {
            usage: FAMILIES.map(|(name, help)| gauges(name, help)),
            mount_info: gauges(
                "node_filesystem_mount_info",
                "Filesystem mount information.",
            ),
        }
    }

    fn push(&mut self, mount: &Mount, usage: &Result<Usage, String>) {
        let Mount {
            device,
            mount_point,
            kind,
            ..
        } = mount;
        let device_error = usage.as_ref().map_or_else(String::as_str, |_| "");
        let labels = [
            ("device", &**device),
            ("mountpoint", mount_point),
            ("fstype", kind),
            ("device_error", device_error),
        ];
        self.usage[DEVICE_ERROR].push(&labels, if usage.is_err() { 1.0 } else { 0.0 });
        self.usage[READ_ONLY].push(&labels, if mount.read_only { 1.0 } else { 0.0 });
        let Ok(usage) = usage else { return };
        let Usage {
            size_bytes,
            free_bytes,
            avail_bytes,
            files,
            files_free,
        } = *usage;
        let values = [size_bytes, free_bytes, avail_bytes, files, files_free, 0.0];
        for (family, value) in self.usage[READ_ONLY + 1..].iter_mut().zip(values) {
            family.push(&labels, value);
        }
        let (major, minor) = (mount.major.to_string(), mount.minor.to_string());
        let labels = [
            ("device", &**device),
            ("major", &major),
            ("minor", &minor),
            ("mountpoint", mount_point),
        ];
        self.mount_info.push(&labels, 1.0);
    }

    fn finish(self, out: &mut Vec<MetricFamily>) {
        out.extend(self.usage);
        out.push(self.mount_info);
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    fn mount(mount_point: &str, kind: &str) -> Mount {
        let (device, mount_point, kind) = (
            "/dev/sda".to_owned(),
            mount_point.to_owned(),
            kind.to_owned(),
        );
        Mount {
            device,
            mount_point,
            kind,
            major: 8,
            minor: 1,
            read_only: true,
        }
    }

    #[test]
    fn the_root_is_taken_off() {
        let strip = |root: &str, point: &str| strip_root(Path::new(root), point.to_owned());
        assert_eq!(strip("/", "/boot"), "/boot");
        assert_eq!(strip("/host", "/host/boot"), "/boot");
        assert_eq!(strip("/host", "/host"), "/");
        assert_eq!(strip("/host", "/etc/hosts"), "/etc/hosts");
        assert_eq!(
            below_root(Path::new("/host"), "/boot"),
            Path::new("/host/boot")
        );
        assert_eq!(below_root(Path::new("/"), "/"), Path::new("/"));
    }

    #[test]
    fn each_mount_that_is_wanted_once() {
        let filesystem = Filesystem::new(&NodeOptions::linux_defaults()).unwrap();
        let mounts = [
            mount("/", "ext4"),
            mount("/proc/x", "ext4"),
            mount("/run", "tmpfs"),
            mount("/c", "cgroup2"),
        ];
        let shown = filesystem.shown([mounts.to_vec(), mounts.to_vec()].concat());
        assert_eq!(shown, [mount("/", "ext4"), mount("/run", "tmpfs")]);
    }

    #[test]
    fn a_mount_that_answers_and_one_that_does_not() {
        let mut families = Families::new();
        let usage = Usage {
            size_bytes: 5.0,
            free_bytes: 4.0,
            avail_bytes: 3.0,
            files: 2.0,
            files_free: 1.0,
        };
        families.push(&mount("/", "ext4"), &Ok(usage));
        families.push(&mount("/gone", "nfs"), &Err("permission denied".to_owned()));
        let mut out = Vec::new();
        families.finish(&mut out);
        let text = samples(out);
        let gone = "{device=\"/dev/sda\",device_error=\"permission denied\",fstype=\"nfs\",mountpoint=\"/gone\"}";
        assert_eq!(text.matches("/gone").count(), 2, "{text}");
        assert!(
            text.contains(&format!("node_filesystem_device_error{gone} 1\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("node_filesystem_readonly{gone} 1\n")),
            "{text}"
        );
        let root = "{device=\"/dev/sda\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/\"}";
        assert!(
            text.contains(&format!("node_filesystem_avail_bytes{root} 3\n")),
            "{text}"
        );
        let info = "node_filesystem_mount_info{device=\"/dev/sda\",major=\"8\",minor=\"1\",mountpoint=\"/\"} 1\n";
        assert!(text.contains(info), "{text}");
    }
}
