//! Ways to the API server.

use super::*;
use std::fs;

#[tokio::test]
async fn a_pod_shows_the_token_that_is_in_its_file_now() {
    let cluster = Cluster::default();
    let api = cluster.start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let mut config = of_role(KubernetesRole::Node);
    config.api_server = UrlText::new(api.url(""));
    config.authorization = Some(net::http_config::Authorization {
        credentials_file: Some("token".to_owned()),
        ..Default::default()
    });
    let nowhere = Surroundings {
        service: None,
        service_account: "nowhere".into(),
    };
    let access = Access::new(&config, dir.path(), &nowhere).unwrap();
    for token in ["first", "second"] {
        fs::write(&file, token).unwrap();
        access.get("api").await.unwrap().send().await.unwrap();
        let asked = api.asked();
        let header = &asked.last().unwrap().headers["authorization"];
        assert_eq!(*header, format!("Bearer {token}"));
    }
}

#[test]
fn without_a_cluster_it_says_what_to_give() {
    let nowhere = Surroundings {
        service: None,
        service_account: "nowhere".into(),
    };
    let error = Access::new(&of_role(KubernetesRole::Pod), Path::new(""), &nowhere).err();
    let error = error.unwrap().to_string();
    assert!(
        error.contains("KUBERNETES_SERVICE_HOST") && error.contains("api_server"),
        "{error}"
    );
}

fn kubeconfig(text: &str) -> Result<Access, String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kube.yml"), text).unwrap();
    let mut config = of_role(KubernetesRole::Pod);
    config.kubeconfig_file = "kube.yml".to_owned();
    let nowhere = Surroundings {
        service: None,
        service_account: "nowhere".into(),
    };
    Access::new(&config, dir.path(), &nowhere).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_kubeconfig_says_where_and_who() {
    let cluster = Cluster::default();
    let api = cluster.start().await;
    let url = api.url("/k8s");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\npreferences: {{}}\n\
         contexts: [{{name: c, context: {{cluster: k, user: u, namespace: z}}}}]\n\
         clusters: [{{name: other, cluster: {{server: 'https://x'}}}}, {{name: k, cluster: {{server: '{url}'}}}}]\n\
         users: [{{name: u, user: {{token: secret}}}}]\n"
    );
    let access = kubeconfig(&text).unwrap();
    access.get("version").await.unwrap().send().await.unwrap();
    let asked = api.asked();
    assert_eq!(asked[0].path, "/k8s/version");
    assert_eq!(asked[0].headers["authorization"], "Bearer secret");
}

#[tokio::test]
async fn a_program_says_who_and_is_asked_again_if_that_is_refused() {
    let cluster = Cluster::default();
    let api = cluster.start().await;
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    // Each run gives another token, none of which ends soon.
    let script = format!(
        "echo x >> {0}; printf '{{\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"t%s\"}}}}' $(wc -l < {0})",
        count.display()
    );
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: '{}'}}}}]\n\
         users:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: sh\n      args:\n      - -c\n      - |\n        {script}\n      \
         env: null\n      interactiveMode: Never\n",
        api.url("")
    );
    let access = kubeconfig(&text).unwrap();
    for (expected, is_refused) in [("t1", false), ("t1", true), ("t2", false)] {
        access.get("version").await.unwrap().send().await.unwrap();
        let asked = api.asked();
        let header = &asked.last().unwrap().headers["authorization"];
        assert_eq!(*header, format!("Bearer {expected}"));
        if is_refused {
            access.refused().await;
        }
    }
}

#[test]
fn bad_kubeconfigs_say_what_is_bad() {
    let base = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
    for (more, expected) in [
        ("", "there is no cluster \"k\""),
        (
            "clusters: [{name: k, cluster: {server: 'https://x'}}]\n",
            "there is no user \"u\"",
        ),
        (
            "clusters: [{name: k, cluster: {}}]\nusers: [{name: u, user: {}}]\n",
            "cluster \"k\" has no server",
        ),
        (
            "clusters: [{name: k, cluster: {server: 'https://x'}}]\nusers: [{name: u, user: {auth-provider: {name: gcp}}}]\n",
            "auth-provider is not supported",
        ),
        (
            "clusters: [{name: k, cluster: {server: 'https://x'}}]\nusers: [{name: u, user: {exec: {command: aws}}}]\n",
            "exec has the apiVersion \"\", expected one of client.authentication.k8s.io/v1, ",
        ),
        (
            "clusters: [{name: k, cluster: {server: 'https://x', certificate-authority-data: '!'}}]\nusers: [{name: u, user: {}}]\n",
            "certificate-authority-data is not the base64",
        ),
        ("clusters: 5\n", "line 3"),
    ] {
        let error = kubeconfig(&format!("{base}{more}")).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}
