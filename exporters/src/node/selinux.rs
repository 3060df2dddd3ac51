//! Whether SELinux watches: `/sys/fs/selinux` and `/etc/selinux/config`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let help = "SELinux is enabled, 1 is true, 0 is false";
    let Ok(enforce) = files.sys("fs/selinux/enforce") else {
        gauge(out, "node_selinux_enabled", help, 0.0);
        return Ok(());
    };
    let current_mode = number("fs/selinux/enforce", enforce.trim())?;
    gauge(out, "node_selinux_enabled", help, 1.0);
    gauge(
        out,
        "node_selinux_current_mode",
        "Current SELinux enforcement mode",
        current_mode,
    );
    let config_mode = files
        .root("etc/selinux/config")
        .map_or(-1.0, |config| parse_config_mode(&config));
    gauge(
        out,
        "node_selinux_config_mode",
        "Configured SELinux enforcement mode",
        config_mode,
    );
    Ok(())
}

/// Returns 1 if the configuration enforces, 0 if it only warns, −1 if it is off or does not say.
fn parse_config_mode(config: &str) -> f64 {
    let mode = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUX="))
        .unwrap_or_default();
    match mode.trim_matches('"') {
        "enforcing" => 1.0,
        "permissive" => 0.0,
        _ => -1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(
            parse_config_mode("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"),
            1.0
        );
        assert_eq!(parse_config_mode("SELINUX=\"permissive\"\n"), 0.0);
        assert_eq!(parse_config_mode("SELINUXTYPE=targeted\n"), -1.0);
    }
}
