//! Files that come, change, break and go.

use super::*;
use crate::discovery::TargetGroups;
use std::fs;

fn discovery(dir: &Path, pattern: &str) -> FileDiscovery {
    let config = FileSdConfig {
        files: vec![pattern.to_owned()],
        refresh_interval: crate::config::FILE_SD_REFRESH_INTERVAL,
    };
    let metrics = DiscoveryMetrics::new(&metrics::Registry::new());
    FileDiscovery::new(&config, dir, metrics)
}

fn addresses(groups: &TargetGroups) -> Vec<String> {
    let targets = groups.iter().flat_map(|group| &group.targets);
    targets
        .map(|target| target[crate::target::ADDRESS].clone())
        .collect()
}

#[test]
fn reads_yaml_and_json_and_says_where_from() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.yml"),
        "- targets: ['y:1']\n  labels: {env: test}\n",
    )
    .unwrap();
    fs::write(
        dir.path().join("a.json"),
        r#"[{"targets": ["j:1", "j:2"]}]"#,
    )
    .unwrap();
    fs::write(dir.path().join("b.txt"), "nothing").unwrap();
    let (updates, receiver) = Updates::channel(Arc::default());
    discovery(dir.path(), "a*").refresh(&updates);
    let groups = receiver.borrow().clone();
    assert_eq!(addresses(&groups), ["j:1", "j:2", "y:1"]);
    assert_eq!(groups[1].labels["env"], "test");
    assert_eq!(
        groups[1].labels[FILEPATH],
        dir.path().join("a.yml").display().to_string()
    );
}

#[test]
fn a_broken_file_keeps_its_list_and_a_removed_one_does_not() {
    check_broken_and_removed("*.yml");
    check_broken_and_removed("a.yml");
}

#[track_caller]
fn check_broken_and_removed(pattern: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yml");
    let (updates, receiver) = Updates::channel(Arc::default());
    let mut discovery = discovery(dir.path(), pattern);
    fs::write(&file, "- targets: ['a:1']\n").unwrap();
    discovery.refresh(&updates);
    let first = receiver.borrow().clone();
    for broken in ["- targets: [", "- target: ['a:1']\n", "-\n"] {
        fs::write(&file, broken).unwrap();
        discovery.refresh(&updates);
        assert_eq!(addresses(&receiver.borrow()), ["a:1"], "{broken}");
    }
    assert_eq!(discovery.metrics.file_read_errors.value(), 3.0);
    fs::write(&file, "- targets: ['a:1']\n- targets: ['b:1']\n").unwrap();
    discovery.refresh(&updates);
    assert_eq!(addresses(&receiver.borrow()), ["a:1", "b:1"]);
    assert!(Arc::ptr_eq(&first[0], &receiver.borrow()[0]));
    fs::remove_file(&file).unwrap();
    discovery.refresh(&updates);
    assert_eq!(addresses(&receiver.borrow()), Vec::<String>::new());
}

#[tokio::test]
async fn changes_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (updates, mut receiver) = Updates::channel(Arc::default());
    let stop = CancellationToken::new();
    let mut discovery = discovery(dir.path(), "*.yml");
    discovery.start(&updates);
    let task = tokio::spawn(Box::new(discovery).run(updates, stop.clone()));
    receiver.changed().await.unwrap();
    // Written aside and moved, as careful programs do it.
    fs::write(dir.path().join("new"), "- targets: ['n:1']\n").unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("a.yml")).unwrap();
    while addresses(&receiver.borrow_and_update()) != ["n:1"] {
        receiver.changed().await.unwrap();
    }
    stop.cancel();
    task.await.unwrap();
}
