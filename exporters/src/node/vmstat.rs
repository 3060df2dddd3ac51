//! Virtual memory statistics: `/proc/vmstat`, of which most fields interest nobody.

use metrics::MetricFamily;
use regex::Regex;

use super::collectors::Collect;
use super::error::{CollectError, NodeError, number};
use super::family::untyped;
use super::files::Files;
use super::filter::compile;
use super::options::NodeOptions;

pub(super) struct Vmstat {
    fields: Regex,
}

impl Vmstat {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            fields: compile(&options.vmstat_fields, "vmstat.fields")?,
        })
    }
}

impl Collect for Vmstat {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        for line in files.proc("vmstat")?.lines() {
            let Some((field, value)) = line.split_once(' ') else {
                continue;
            };
            if self.fields.is_match(field) {
                let value = number("vmstat", value.trim())?;
                let help = format!("/proc/vmstat information field {field}.");
                untyped(out, &format!("node_vmstat_{field}"), &help, value);
            }
        }
        Ok(())
    }
}
