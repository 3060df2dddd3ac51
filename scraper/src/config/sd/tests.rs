use super::*;
use crate::config::{ScrapeConfig, yaml};

/// Reads a list that stands under `key` in a job.
fn check_section(key: &str, list: &str) -> Result<(), String> {
    let outcome = yaml::parse::<ScrapeConfig>(&format!("{key}:\n{list}\n"));
    outcome.map(|_| ()).map_err(|error| error.message)
}

#[track_caller]
fn check_error(key: &str, item: &str, expected: &str) {
    let error = check_section(key, &format!("- {item}\n")).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[track_caller]
fn read<T: SdConfig + serde::Serialize>(item: &str) -> T {
    let config: Checked<T> = yaml::parse(item).unwrap();
    // Printed and read again it is the same, secrets apart.
    let printed = yaml::print(&config.0).unwrap();
    let again: Checked<T> = yaml::parse(&printed).unwrap();
    assert_eq!(yaml::print(&again.0).unwrap(), printed);
    config.0
}

#[test]
fn every_key_leads_to_its_struct() {
    assert_eq!(KEYS, LISTED);
    assert_eq!(KEYS.len(), 32);
    for key in KEYS {
        let error = check_section(key, "- {no_such_field: 1}").unwrap_err();
        assert!(
            error.starts_with("field no_such_field not found in type "),
            "{key}: {error}"
        );
        let error = check_section(key, "-\n").unwrap_err();
        assert!(
            error.contains(&format!("empty or null section in {key}")),
            "{error}"
        );
    }
    assert!(check_section("other_sd_configs", "[]").is_err());
}

#[test]
fn defaults_are_those_of_prometheus() {
    let consul: ConsulSdConfig = read("{token: hush}");
    assert_eq!(consul.server, "localhost:8500");
    assert!(consul.allow_stale);
    assert_eq!(consul.refresh_interval.to_string(), "30s");
    let dns: DnsSdConfig = read("{names: [a], type: aaaa, port: 9100}");
    assert_eq!((dns.r#type, dns.port), (DnsRecordType::Aaaa, 9100));
    let kubernetes: KubernetesSdConfig =
        read("{role: endpointslice, attach_metadata: {node: true}}");
    assert_eq!(kubernetes.role, Some(KubernetesRole::EndpointSlice));
    assert!(kubernetes.attach_metadata.node && !kubernetes.attach_metadata.job);
    let kuma: KumaSdConfig = read("{server: 'http://kuma:5676'}");
    assert_eq!(kuma.fetch_timeout.to_string(), "2m");
    let triton: TritonSdConfig = read("{account: a, dns_suffix: b, endpoint: c}");
    assert_eq!((triton.port, triton.version), (9163, 1));
    let stale: ConsulSdConfig = read("{allow_stale: false, refresh_interval: 5s}");
    assert!(!stale.allow_stale);
}

#[test]
fn secrets_are_not_printed() {
    let config: ConsulSdConfig = read("{token: hush, password: hush, username: u}");
    let printed = yaml::print(&config).unwrap();
    assert!(
        printed.contains("<secret>") && !printed.contains("hush"),
        "{printed}"
    );
    let config: HttpSdConfig = read("{url: 'http://u:hush@host/'}");
    assert!(!yaml::print(&config).unwrap().contains("hush"));
}

#[test]
fn contradictions() {
    check_error(
        "dns_sd_configs",
        "{}",
        "must contain at least one SRV record name",
    );
    check_error(
        "dns_sd_configs",
        "{names: [a], type: A}",
        "a port is required",
    );
    check_error(
        "dns_sd_configs",
        "{names: [a], type: TXT}",
        "invalid DNS-SD records type TXT",
    );
    check_error("http_sd_configs", "{}", "URL is missing");
    check_error(
        "http_sd_configs",
        "{url: 'http://'}",
        "host is missing in URL",
    );
    check_error(
        "http_sd_configs",
        "{url: 'ftp://a'}",
        "URL scheme must be 'http' or 'https'",
    );
    check_error(
        "consul_sd_configs",
        "{server: ''}",
        "requires a server address",
    );
    check_error(
        "consul_sd_configs",
        "{token: a, authorization: {credentials: b}}",
        "at most one of consul SD token",
    );
    check_error("kubernetes_sd_configs", "{}", "role missing");
    check_error(
        "kubernetes_sd_configs",
        "{role: x}",
        "unknown Kubernetes SD role \"x\"",
    );
    check_error(
        "kubernetes_sd_configs",
        "{role: pod, api_server: 'http://a', kubeconfig_file: b}",
        "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
    );
    check_error(
        "gce_sd_configs",
        "{project: a}",
        "GCE SD configuration requires a zone",
    );
    check_error("docker_sd_configs", "{}", "host missing");
    check_error(
        "dockerswarm_sd_configs",
        "{host: a, role: b}",
        "invalid role b, expected tasks, services, or nodes",
    );
    check_error(
        "nerve_sd_configs",
        "{servers: [a], paths: [b]}",
        "must begin with '/': b",
    );
    check_error(
        "openstack_sd_configs",
        "{role: instance}",
        "requires a region",
    );
    check_error("vultr_sd_configs", "{port: 99999}", "port");
    check_error(
        "oci_sd_configs",
        "{region: r, tenancy: t, user: u, fingerprint: f}",
        "oci_sd: api_key auth requires key_file",
    );
    check_error(
        "oci_sd_configs",
        "{region: r, auth: instance_principal, user: u}",
        "instance_principal auth must not have tenancy, user,",
    );
    check_error(
        "oci_sd_configs",
        "{region: r, auth: instance_principal, compartments: [a, '']}",
        "oci_sd: compartments[1] must not be empty",
    );
    check_error("oci_sd_configs", "{}", "oci_sd: region is required");
    check_error(
        "file_sd_configs",
        "{files: [a.txt]}",
        "path name \"a.txt\" is not valid",
    );
}
