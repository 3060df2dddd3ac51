//! Memory use: `/proc/meminfo`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

/// What node_exporter 1.11 shows of what the kernel gives, ascending, without the prefix. (The kernel gives more in
/// each version.)
const NAMES: [&str; 49] = [
    "Active_anon_bytes",
    "Active_bytes",
    "Active_file_bytes",
    "AnonHugePages_bytes",
    "AnonPages_bytes",
    "Bounce_bytes",
    "Buffers_bytes",
    "Cached_bytes",
    "CommitLimit_bytes",
    "Committed_AS_bytes",
    "DirectMap1G_bytes",
    "DirectMap2M_bytes",
    "DirectMap4k_bytes",
    "Dirty_bytes",
    "HardwareCorrupted_bytes",
    "HugePages_Free",
    "HugePages_Rsvd",
    "HugePages_Surp",
    "HugePages_Total",
    "Hugepagesize_bytes",
    "Inactive_anon_bytes",
    "Inactive_bytes",
    "Inactive_file_bytes",
    "KernelStack_bytes",
    "Mapped_bytes",
    "MemAvailable_bytes",
    "MemFree_bytes",
    "MemTotal_bytes",
    "Mlocked_bytes",
    "NFS_Unstable_bytes",
    "PageTables_bytes",
    "Percpu_bytes",
    "SReclaimable_bytes",
    "SUnreclaim_bytes",
    "ShmemHugePages_bytes",
    "ShmemPmdMapped_bytes",
    "Shmem_bytes",
    "Slab_bytes",
    "SwapCached_bytes",
    "SwapFree_bytes",
    "SwapTotal_bytes",
    "Unevictable_bytes",
    "VmallocChunk_bytes",
    "VmallocTotal_bytes",
    "VmallocUsed_bytes",
    "WritebackTmp_bytes",
    "Writeback_bytes",
    "Zswap_bytes",
    "Zswapped_bytes",
];

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    collect_meminfo(&files.proc("meminfo")?, out)
}

/// Lines are `Active(anon):  2068484 kB`, or without the unit for those that count pages.
fn collect_meminfo(text: &str, out: &mut Vec<MetricFamily>) -> Result<(), CollectError> {
    let mut name = String::new();
    for line in text.lines() {
        let Some((field, rest)) = line.split_once(':') else {
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        let Some(value) = words.next() else { continue };
        let factor = if words.next() == Some("kB") {
            1_024.0
        } else {
            1.0
        };
        name.clear();
        name.extend(
            field
                .chars()
                .filter(|&c| c != ')')
                .map(|c| if c == '(' { '_' } else { c }),
        );
        if factor != 1.0 {
            name.push_str("_bytes");
        }
        if NAMES.binary_search(&name.as_str()).is_ok() {
            let help = format!("Memory information field {name}.");
            gauge(
                out,
                &format!("node_memory_{name}"),
                &help,
                number::<f64>("meminfo", value)? * factor,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    #[test]
    fn names_ascend() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn kilobytes_become_bytes() {
        let text = "MemTotal:       15666184 kB\nActive(anon):       1 kB\nHugePages_Total:       3\n\
                    BrandNew:  5 kB\nodd\nMapped:\n";
        let mut out = Vec::new();
        collect_meminfo(text, &mut out).unwrap();
        let expected = "node_memory_Active_anon_bytes 1024\nnode_memory_HugePages_Total 3\n\
                        node_memory_MemTotal_bytes 1.6042172416e+10\n";
        assert_eq!(samples(out), expected);
    }

    #[test]
    fn odd_numbers_are_an_error() {
        assert!(collect_meminfo("MemTotal: many kB\n", &mut Vec::new()).is_err());
    }
}
