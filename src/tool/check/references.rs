//! The files that a configuration names: they must be there, and lists of targets must be lists of targets.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use net::http_config::{HttpConfig, TlsConfig};
use scraper::config::{ScrapeConfig, StaticConfig, check_target_address};
use scraper::discovery::file::read_file;

use crate::config::{Config, glob};

/// Returns the rule files, as often as the patterns name them. One that is named without a star must be there.
pub(super) fn rule_files(patterns: &[String], dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for pattern in patterns {
        let found =
            glob::expand(dir, pattern).map_err(|reason| anyhow!("{pattern:?}: {reason}"))?;
        if !pattern.contains('*') {
            let Some(first) = found.first() else {
                bail!("{:?} does not point to an existing file", dir.join(pattern));
            };
            check_exists(first)
                .with_context(|| format!("error checking rule file {}", first.display()))?;
        }
        files.extend(found);
    }
    Ok(files)
}

/// Checks what a job names.
pub(super) fn check_job(job: &ScrapeConfig, dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let http = job.http_config();
    check_token(&http, dir)?;
    check_tls(http.tls_config.as_ref(), dir)?;
    for kubernetes in &job.kubernetes_sd_configs {
        check_tls(kubernetes.tls_config.as_ref(), dir)?;
    }
    let files = job.file_sd_configs.iter().flat_map(|config| &config.files);
    for pattern in files {
        let place = format!("scrape job {:?}", job.job_name);
        for group in target_groups(pattern, dir, &place, out)? {
            // With relabelling the address may be anything: only what comes out of it counts.
            if job.relabel_configs.is_empty() {
                check_group(&group)?;
            }
        }
    }
    Ok(())
}

/// Checks the lists of Alertmanagers.
pub(super) fn check_alertmanagers(
    config: &Config,
    dir: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for alertmanager in &config.alerting.alertmanagers {
        let files = alertmanager.file_sd_configs.iter();
        for pattern in files.flat_map(|config| &config.files) {
            for group in target_groups(pattern, dir, "alertmanager config", out)? {
                let mut targets = group.targets.iter();
                targets.try_for_each(|target| check_target_address(target))?;
            }
        }
    }
    Ok(())
}

/// Returns the groups of the files that a pattern names; says so when it names none.
fn target_groups(
    pattern: &str,
    dir: &Path,
    place: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Vec<StaticConfig>> {
    let files = glob::expand(dir, pattern).map_err(|reason| anyhow!("{pattern:?}: {reason}"))?;
    if files.is_empty() {
        let file = dir.join(pattern);
        writeln!(
            out,
            "  WARNING: file {file:?} for file_sd in {place} does not exist"
        )?;
    }
    let mut groups = Vec::new();
    for file in files {
        let read = read_file(&file).with_context(|| format!("checking SD file {file:?}"))?;
        groups.extend(read);
    }
    Ok(groups)
}

fn check_group(group: &StaticConfig) -> anyhow::Result<()> {
    for (i, target) in group.targets.iter().enumerate() {
        check_target_address(target).map_err(|error| anyhow!("instance {i} in group : {error}"))?;
    }
    Ok(())
}

fn check_token(http: &HttpConfig, dir: &Path) -> anyhow::Result<()> {
    let authorization = http.authorization.as_ref();
    let file = authorization.and_then(|section| section.credentials_file.as_ref());
    for file in file.into_iter().chain(&http.bearer_token_file) {
        let path = dir.join(file);
        check_exists(&path).with_context(|| {
            format!("error checking authorization credentials or bearer token file {path:?}")
        })?;
    }
    Ok(())
}

fn check_tls(tls: Option<&TlsConfig>, dir: &Path) -> anyhow::Result<()> {
    let Some(tls) = tls else { return Ok(()) };
    for (file, what) in [(&tls.cert_file, "cert"), (&tls.key_file, "key")] {
        let given = file.as_ref().filter(|file| !file.is_empty());
        if let Some(path) = given.map(|file| dir.join(file)) {
            check_exists(&path)
                .with_context(|| format!("error checking client {what} file {path:?}"))?;
        }
    }
    Ok(())
}

fn check_exists(path: &Path) -> anyhow::Result<()> {
    let found = std::fs::metadata(path);
    match found {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("stat {}: no such file or directory", path.display())
        }
        Err(error) => bail!("stat {}: {error}", path.display()),
    }
}
