use std::path::Path;

use net::http_config::{HttpConfig, Secret};
use serde_json::{Value, json};

use super::*;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const GROUP: &str = "/subscriptions/SUB/resourceGroups/RG1/providers";

fn metrics() -> DiscoveryMetrics {
    DiscoveryMetrics::new(&::metrics::Registry::new())
}

/// A source whose authority and API are `api`.
fn source(api: &Api, resource_group: &str) -> AzureSource {
    let config = AzureSdConfig {
        subscription_id: "SUB".to_owned(),
        tenant_id: "TENANT".to_owned(),
        client_id: "CLIENT".to_owned(),
        client_secret: Secret::new("very-secret"),
        resource_group: resource_group.to_owned(),
        port: 9100,
        ..AzureSdConfig::default()
    };
    let url = api.url("");
    let environment = Environment::of(&[("AZURE_AUTHORITY_HOST", &url)]);
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    AzureSource {
        endpoint: api.url(""),
        ..AzureSource::new(&config, environment, client, metrics()).unwrap()
    }
}

fn machine(name: &str, interfaces: &[&str]) -> Value {
    let interfaces: Vec<_> = interfaces
        .iter()
        .map(|name| json!({ "id": format!("{GROUP}/Microsoft.Network/networkInterfaces/{name}"), "properties": {"primary": true} }))
        .collect();
    json!({
        "name": name, "id": format!("{GROUP}/Microsoft.Compute/virtualMachines/{name}"),
        "type": "Microsoft.Compute/virtualMachines", "location": "westeurope",
        "tags": {"prometheus-port": "1", "env": "prod"},
        "properties": {
            "vmId": "x", "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
            "storageProfile": {"osDisk": {"osType": "Linux", "name": "d"}, "dataDisks": []},
            "osProfile": {"computerName": "host-1", "adminUsername": "a"},
            "networkProfile": {"networkInterfaces": interfaces}, "provisioningState": "Succeeded",
        }
    })
}

fn interface(private: &str, public: Option<&str>) -> Value {
    let public = public.map(|ip| json!({ "id": "p", "properties": {"ipAddress": ip} }));
    json!({
        "name": "nic", "etag": "e", "properties": {
            "provisioningState": "Succeeded", "primary": true,
            "ipConfigurations": [{"name": "ipconfig1", "properties": {
                "privateIPAddress": private, "privateIPAllocationMethod": "Dynamic", "publicIPAddress": public, "primary": true}}],
        }
    })
}

fn answer(asked: &Asked, base: &str) -> Answer {
    if asked.path == "/TENANT/oauth2/v2.0/token" {
        assert!(
            asked
                .body
                .contains("scope=https%3A%2F%2Fmanagement.core.windows.net%2F.default")
        );
        return Answer::json(
            r#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "t0ken"}"#,
        );
    }
    assert_eq!(asked.headers["authorization"], "Bearer t0ken");
    let path = asked.path.strip_prefix("/subscriptions/SUB").unwrap();
    let query = asked.query.as_str();
    let network = "/resourceGroups/RG1/providers/Microsoft.Network/networkInterfaces/";
    Answer::json(match (path, query) {
        ("/providers/Microsoft.Compute/virtualMachines", "api-version=2024-03-01") => json!({
            "value": [machine("vm1", &["second", "nic1"])],
            "nextLink": format!("{base}/subscriptions/SUB/providers/Microsoft.Compute/virtualMachines?api-version=2024-03-01&$skiptoken=x"),
        }),
        (_, "api-version=2024-03-01&$skiptoken=x") => json!({
            "value": [machine("stopped", &["nic-stopped"]), machine("gone", &["nic-gone"]), machine("bare", &[])],
        }),
        ("/providers/Microsoft.Compute/virtualMachineScaleSets", _) => json!({
            "value": [{"name": "set", "id": format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets/set"), "sku": {}}],
        }),
        ("/resourceGroups/RG1/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines", _) => {
            let mut machine = machine("set_0", &["set-nic"]);
            machine["instanceId"] = "0".into();
            machine["tags"] = Value::Null;
            json!({ "value": [machine] })
        }
        (
            "/resourceGroups/RG1/providers/microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0/networkInterfaces/set-nic",
            "api-version=2018-10-01&$expand=IPConfigurations%2FPublicIPAddress",
        ) => interface("10.0.0.9", None),
        (path, "api-version=2023-09-01&$expand=IPConfigurations%2FPublicIPAddress") => {
            match path.strip_prefix(network) {
                Some("nic1") => interface("10.0.0.4", Some("203.0.113.4")),
                Some("second") => json!({ "properties": {"primary": false, "ipConfigurations": []} }),
                Some("nic-stopped") => json!({ "properties": {"ipConfigurations": []} }),
                _ => return Answer::status(404),
            }
        }
        _ => return Answer::status(400),
    }
    .to_string())
}

/// Listens, and knows its own URL when it answers.
async fn api(answer: impl Fn(&Asked, &str) -> Answer + Send + Sync + 'static) -> Api {
    Api::start(move |asked| {
        let base = format!("http://{}", asked.headers["host"]);
        answer(asked, &base)
    })
    .await
}

#[tokio::test]
async fn machines_and_those_of_scale_sets() {
    let api = api(answer).await;
    let mut source = source(&api, "");
    let lines = printed(&source.groups().await.unwrap());
    assert_eq!(
        lines,
        [
            "10.0.0.4:9100 azure_machine_computer_name=\"host-1\" \
             azure_machine_id=\"/subscriptions/SUB/resourceGroups/RG1/providers/Microsoft.Compute/virtualMachines/vm1\" \
             azure_machine_location=\"westeurope\" azure_machine_name=\"vm1\" azure_machine_os_type=\"Linux\" \
             azure_machine_private_ip=\"10.0.0.4\" azure_machine_public_ip=\"203.0.113.4\" azure_machine_resource_group=\"RG1\" \
             azure_machine_size=\"Standard_D2s_v3\" azure_machine_tag_env=\"prod\" azure_machine_tag_prometheus_port=\"1\" \
             azure_subscription_id=\"SUB\" azure_tenant_id=\"TENANT\"",
            "10.0.0.9:9100 azure_machine_computer_name=\"host-1\" \
             azure_machine_id=\"/subscriptions/SUB/resourceGroups/RG1/providers/Microsoft.Compute/virtualMachines/set_0\" \
             azure_machine_location=\"westeurope\" azure_machine_name=\"set_0\" azure_machine_os_type=\"Linux\" \
             azure_machine_private_ip=\"10.0.0.9\" azure_machine_resource_group=\"RG1\" azure_machine_scale_set=\"set\" \
             azure_machine_size=\"Standard_D2s_v3\" azure_subscription_id=\"SUB\" azure_tenant_id=\"TENANT\"",
        ]
    );
}

#[tokio::test]
async fn interfaces_with_an_address_are_known_for_a_while() {
    let api = api(answer).await;
    let mut source = source(&api, "");
    let asked = |name: &str| {
        api.asked()
            .iter()
            .filter(|asked| asked.path.ends_with(name))
            .count()
    };
    for _ in 0..KNOWN_REFRESHES {
        assert_eq!(source.groups().await.unwrap()[0].targets.len(), 2);
    }
    assert_eq!((asked("/nic1"), asked("/set-nic")), (1, 1));
    assert_eq!(asked("/nic-stopped"), 10);
    assert!((source.metrics.azure_cache_hits.value() - 18.0).abs() < 0.5);
    for _ in 0..=SPREAD {
        source.groups().await.unwrap();
    }
    assert_eq!((asked("/nic1"), asked("/set-nic")), (2, 2));
}

#[tokio::test]
async fn one_resource_group() {
    let api = api(
        |asked, base| match asked.path.contains("/resourceGroups/my%20rg/") {
            true => Answer::json(r#"{"value": []}"#),
            false => answer(asked, base),
        },
    )
    .await;
    assert!(
        source(&api, "my rg").groups().await.unwrap()[0]
            .targets
            .is_empty()
    );
    let asked: Vec<_> = api.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(
        asked[1..],
        [
            "/subscriptions/SUB/resourceGroups/my%20rg/providers/Microsoft.Compute/virtualMachines",
            "/subscriptions/SUB/resourceGroups/my%20rg/providers/Microsoft.Compute/virtualMachineScaleSets",
        ]
    );
}

#[tokio::test]
async fn a_page_that_fails_fails_all() {
    let api = api(|asked, base| match asked.query.contains("skiptoken") {
        true => Answer::Whole(
            429,
            "application/json",
            r#"{"error": {"code": "OperationNotAllowed", "message": "too many requests"}}"#
                .to_owned(),
        ),
        false => answer(asked, base),
    })
    .await;
    assert_eq!(
        source(&api, "").groups().await.unwrap_err().to_string(),
        "GET /providers/Microsoft.Compute/virtualMachines: server returned HTTP status 429 Too Many Requests: \
         {\"error\": {\"code\": \"OperationNotAllowed\", \"message\": \"too many requests\"}}"
    );
}

#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let api = api(
        |asked, base| match asked.path.starts_with("/subscriptions") {
            true => {
                Answer::json(r#"{"value": [], "nextLink": "http://127.0.0.1:1/subscriptions/x"}"#)
            }
            false => answer(asked, base),
        },
    )
    .await;
    assert_eq!(
        source(&api, "").groups().await.unwrap_err().to_string(),
        "GET /providers/Microsoft.Compute/virtualMachines: the next page is elsewhere"
    );
}

#[test]
fn clouds_have_names() {
    let client = || HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    let of = |environment: &str| {
        let config = AzureSdConfig {
            environment: environment.to_owned(),
            ..AzureSdConfig::default()
        };
        AzureSource::new(&config, Environment::of(&[]), client(), metrics())
            .map(|source| source.endpoint)
    };
    assert_eq!(
        of("AzurePublicCloud").unwrap(),
        "https://management.azure.com"
    );
    assert_eq!(
        of("azurechinacloud").unwrap(),
        "https://management.chinacloudapi.cn"
    );
    assert!(
        of("x")
            .unwrap_err()
            .starts_with("there is no cloud configuration matching the name \"x\"")
    );
}
