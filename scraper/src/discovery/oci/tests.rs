use net::http_config::{HttpConfig, Secret};
use serde_json::{Value, json};

use super::*;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const TENANCY: &str = "ocid1.tenancy.oc1..t";

/// A source whose APIs are `api`, with a key that is used for nothing else.
fn source(api: &Api, compartments: &[&str]) -> OciSource {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/src/rsa/pkcs8.pem");
    let config = OciSdConfig {
        region: "us-ashburn-1".to_owned(),
        tenancy: TENANCY.to_owned(),
        user: "ocid1.user.oc1..u".to_owned(),
        fingerprint: "aa:bb".to_owned(),
        key_file: key.to_owned(),
        port: 9100,
        compartments: compartments.iter().map(|id| (*id).to_owned()).collect(),
        ..OciSdConfig::default()
    };
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    let mut source = OciSource::new(&config, Path::new(""), client);
    source.apis = Some(apis(api));
    source
}

fn apis(api: &Api) -> Apis {
    Apis {
        core: api.url("/core"),
        identity: api.url("/identity"),
    }
}

fn instance(id: &str) -> Value {
    json!({
        "id": id, "displayName": "web", "lifecycleState": "RUNNING", "shape": "VM.Standard.E4.Flex", "region": "us-ashburn-1",
        "availabilityDomain": "AD-1", "faultDomain": "FAULT-DOMAIN-1", "imageId": "image", "compartmentId": "c1",
        "timeCreated": "2024-01-01T00:00:00Z", "freeformTags": {"My-Tag.Key": "x"},
        "definedTags": {"Oracle-Tags": {"CreatedBy": "me", "Count": 42, "Rate": 0.5, "Whole": 100.0, "IsIt": true, "Nil": null, "List": ["a"]}},
    })
}

fn answer(asked: &Asked) -> Answer {
    let authorization = &asked.headers["authorization"];
    assert!(authorization.starts_with(
        "Signature version=\"1\",keyId=\"ocid1.tenancy.oc1..t/ocid1.user.oc1..u/aa:bb\",algorithm=\"rsa-sha256\",\
         headers=\"date (request-target) host\",signature=\""
    ));
    assert!(asked.headers["date"].ends_with(" GMT"));
    let path = asked
        .path
        .strip_prefix("/core/20160918/")
        .unwrap_or(&asked.path);
    let body = match (path, asked.query.as_str()) {
        (
            "/identity/20160918/compartments",
            "compartmentId=ocid1.tenancy.oc1..t&accessLevel=ACCESSIBLE&compartmentIdInSubtree=true&limit=100",
        ) => {
            let compartments = json!([{"id": "c1", "lifecycleState": "ACTIVE"}, {"id": "gone", "lifecycleState": "DELETED"}]);
            return Answer::json(compartments.to_string()).with_header("opc-next-page", "p/2");
        }
        (
            "/identity/20160918/compartments",
            "compartmentId=ocid1.tenancy.oc1..t&accessLevel=ACCESSIBLE&compartmentIdInSubtree=true&limit=100&page=p%2F2",
        ) => json!([{"id": "c2", "lifecycleState": "ACTIVE"}]),
        ("instances", "compartmentId=c1&limit=100") => {
            json!([
                instance("i1"),
                instance("i2"),
                instance("i3"),
                instance("i4")
            ])
        }
        (
            "instances",
            "compartmentId=c2&limit=100" | "compartmentId=ocid1.tenancy.oc1..t&limit=100",
        ) => {
            json!([])
        }
        ("vnicAttachments", "compartmentId=c1&limit=100") => {
            let of = |instance: &str, vnic: &str, state: &str| json!({"instanceId": instance, "vnicId": vnic, "lifecycleState": state});
            json!([
                of("i1", "v-old", "DETACHED"),
                of("i1", "v-second", "ATTACHED"),
                of("i1", "v1", "ATTACHED"),
                of("i1", "v-third", "ATTACHED"),
                of("i2", "v2", "ATTACHED"),
                of("i3", "v-gone", "ATTACHED"),
            ])
        }
        ("vnics/v1", "") => {
            json!({"id": "v1", "isPrimary": true, "privateIp": "10.0.0.1", "publicIp": "203.0.113.1"})
        }
        ("vnics/v2", "") => {
            json!({"id": "v2", "isPrimary": true, "privateIp": null, "publicIp": "203.0.113.2"})
        }
        ("vnics/v-second", "") => {
            json!({"id": "v-second", "isPrimary": false, "privateIp": "10.0.0.9"})
        }
        _ => {
            let body = r#"{"code": "NotAuthorizedOrNotFound", "message": "none"}"#;
            return Answer::Whole(404, "application/json", body.to_owned());
        }
    };
    Answer::json(body.to_string())
}

#[tokio::test]
async fn instances_of_all_compartments_that_have_an_address() {
    let api = Api::start(answer).await;
    let groups = source(&api, &[]).groups().await.unwrap();
    let sources: Vec<_> = groups.iter().map(|group| group.source.as_str()).collect();
    assert_eq!(sources, ["OCI_ocid1.tenancy.oc1..t", "OCI_c1", "OCI_c2"]);
    let of = |host: &str, id: &str, private: &str, public: &str, vnic: &str| {
        format!(
            "{host}:9100 oci_availability_domain=\"AD-1\" oci_compartment_id=\"c1\" oci_defined_tag_Oracle_Tags_Count=\"42\" \
             oci_defined_tag_Oracle_Tags_CreatedBy=\"me\" oci_defined_tag_Oracle_Tags_IsIt=\"true\" \
             oci_defined_tag_Oracle_Tags_Rate=\"0.5\" oci_defined_tag_Oracle_Tags_Whole=\"100\" \
             oci_fault_domain=\"FAULT-DOMAIN-1\" oci_image_id=\"image\" oci_instance_id=\"{id}\" oci_instance_name=\"web\" \
             oci_instance_shape=\"VM.Standard.E4.Flex\" oci_instance_state=\"RUNNING\" oci_private_ip=\"{private}\" \
             oci_public_ip=\"{public}\" oci_region=\"us-ashburn-1\" oci_tag_My_Tag_Key=\"x\" \
             oci_tenancy_id=\"ocid1.tenancy.oc1..t\" oci_vnic_id=\"{vnic}\""
        )
    };
    let expected = [
        of("10.0.0.1", "i1", "10.0.0.1", "203.0.113.1", "v1"),
        of("203.0.113.2", "i2", "", "203.0.113.2", "v2"),
    ];
    assert_eq!(printed(&groups), expected);
    // Nothing is asked about what is not attached, nor after the primary one was found.
    let asked = api.asked();
    let is_asked = |id: &str| asked.iter().any(|asked| asked.path.ends_with(id));
    assert!(is_asked("/v-second") && !is_asked("/v-old") && !is_asked("/v-third"));
}

#[tokio::test]
async fn compartments_that_are_named_are_not_listed() {
    let api = Api::start(answer).await;
    let groups = source(&api, &["c1"]).groups().await.unwrap();
    assert_eq!((groups.len(), groups[0].targets.len()), (1, 2));
    assert!(
        api.asked()
            .iter()
            .all(|asked| !asked.path.starts_with("/identity"))
    );
}

#[tokio::test]
async fn what_fails_fails_all() {
    for (path, status, expected) in [
        (
            "/core/20160918/instances",
            404,
            "oci ListInstances c1: server returned HTTP status 404 Not Found: ",
        ),
        (
            "/core/20160918/vnics/v2",
            429,
            "oci GetVnic v2: server returned HTTP status 429 Too Many Requests: ",
        ),
    ] {
        let api = Api::start(move |asked| match asked.path == path {
            true => Answer::status(status),
            false => answer(asked),
        })
        .await;
        let error = source(&api, &["c1"])
            .groups()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn keys_that_are_none_are_told() {
    let api = Api::start(answer).await;
    let mut source = source(&api, &["c1"]);
    source.config.key_file = "Cargo.toml".to_owned();
    let error = source.groups().await.unwrap_err().to_string();
    let expected =
        "Cargo.toml: the private key is no PEM block (expected -----BEGIN PRIVATE KEY-----)";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn keys_may_be_encrypted() {
    let api = Api::start(answer).await;
    let mut source = source(&api, &["c1"]);
    let key = "/../net/src/rsa/encrypted/pkcs8-aes256.pem";
    source.config.key_file = format!("{}{key}", env!("CARGO_MANIFEST_DIR"));
    let error = source.groups().await.unwrap_err().to_string();
    let expected = ": the private key is encrypted, and there is no passphrase";
    assert!(error.ends_with(expected), "{error}");
    source.config.key_passphrase = Secret::new("hush");
    assert_eq!(source.groups().await.unwrap().len(), 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hush\n").unwrap();
    source.config.key_passphrase = Secret::default();
    source.config.key_passphrase_file = file.path().display().to_string();
    assert_eq!(source.groups().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_instance_asks_as_itself() {
    let api = Api::start(|asked| match asked.path.as_str() {
        // What certificates and sessions are like is tested where they are read.
        path if path.starts_with("/opc/") => Answer::status(404),
        _ => answer(asked),
    })
    .await;
    let mut source = source(&api, &["c1"]);
    source.principal = Some(OraclePrincipal::at(&api.url("/opc/v2"), None));
    let error = source.groups().await.unwrap_err().to_string();
    assert!(
        error.ends_with("/opc/v2/instance/regionInfo: HTTP status 404"),
        "{error}"
    );
    let config: OciSdConfig =
        serde_json::from_value(json!({"region": "r", "auth": "instance_principal"})).unwrap();
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    assert!(
        OciSource::new(&config, Path::new(""), client)
            .principal
            .is_some()
    );
    let apis = Apis::of("uk-gov-london-1", "ocid1.tenancy.oc4..t");
    assert_eq!(apis.core, "https://iaas.uk-gov-london-1.oraclegovcloud.uk");
}

#[test]
fn requests_keep_to_their_pace() {
    let now = Instant::now();
    let mut pace = Pace::new(now);
    for _ in 0..BURST {
        assert_eq!(pace.next(now), now);
    }
    assert_eq!(pace.next(now), now + PACE);
    assert_eq!(pace.next(now), now + 2 * PACE);
    let later = now + Duration::from_secs(60);
    assert_eq!(pace.next(later), later);
}

#[test]
fn realms_have_domains_of_their_own() {
    for (tenancy, expected) in [
        (TENANCY, "oraclecloud.com"),
        ("", "oraclecloud.com"),
        ("ocid1.tenancy.oc3..t", "oraclegovcloud.com"),
        ("ocid1.tenancy.oc19..t", "oraclecloud.eu"),
        ("ocid1.tenancy.oc8..t", "oraclecloud8.com"),
    ] {
        assert_eq!(domain(tenancy), expected);
    }
}
