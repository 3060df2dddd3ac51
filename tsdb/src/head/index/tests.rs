//! The index, and selections against a scan.

use super::*;
use proptest::prelude::*;

fn matcher(text: &str) -> Matcher {
    let at = text.find(['=', '!']).unwrap();
    let (name, rest) = text.split_at(at);
    let (op, value) = rest.split_at(if rest[1..].starts_with(['=', '~']) {
        2
    } else {
        1
    });
    let op = [
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]
    .into_iter()
    .find(|candidate| candidate.as_str() == op)
    .unwrap();
    Matcher::new(name, op, value).unwrap()
}

fn index() -> Index {
    let mut index = Index::default();
    for (name, job, code) in [
        ("up", "a", ""),
        ("up", "b", ""),
        ("req", "a", "200"),
        ("req", "a", "500"),
        ("req", "b", "200"),
    ] {
        let mut labels = vec![("__name__", name)];
        labels.extend((!code.is_empty()).then_some(("code", code)));
        labels.push(("job", job));
        index.add(&labels).unwrap();
    }
    index
}

#[track_caller]
fn check(matchers: &[&str], expected: &[u32]) {
    let matchers: Vec<_> = matchers.iter().map(|text| matcher(text)).collect();
    assert_eq!(index().select(&matchers), expected);
}

#[test]
fn selections() {
    check(&["__name__=up"], &[0, 1]);
    check(&["__name__=req", "job=a"], &[2, 3]);
    check(&["__name__=~up|req", "job!=a"], &[1, 4]);
    check(&["code="], &[0, 1]);
    check(&["code!="], &[2, 3, 4]);
    check(&["code=~.*"], &[0, 1, 2, 3, 4]);
    check(&["code=~.+"], &[2, 3, 4]);
    check(&["code!~5.."], &[0, 1, 2, 4]);
    check(&["code=~5..|"], &[0, 1, 3]);
    check(&["absent=x"], &[]);
    check(&["absent!=x"], &[0, 1, 2, 3, 4]);
    check(&["absent="], &[0, 1, 2, 3, 4]);
    check(&["__name__=req", "code!~2.."], &[3]);
    check(&[], &[0, 1, 2, 3, 4]);
}

#[test]
fn removed_series_are_gone_and_slots_are_not_used_again() {
    let mut index = index();
    let labels = [("__name__", "req"), ("code", "500"), ("job", "a")];
    assert_eq!(index.find(&labels), Some(3));
    index.remove(&[3]);
    assert_eq!(index.find(&labels), None);
    assert_eq!(index.len(), 4);
    assert_eq!(index.values("code").count(), 1);
    assert_eq!(index.select(&[matcher("job=a")]), [0, 2]);
    assert_eq!(index.add(&labels), Ok(5));
    assert_eq!(index.labels(5).to_string(), r#"req{code="500", job="a"}"#);
    assert!(index.labels(3).is_empty());
}

#[test]
fn compaction_keeps_the_living_and_gives_back_the_rest() {
    let mut index = Index::default();
    let text: Vec<String> = (0..2_000).map(|i| format!("pod-{i}")).collect();
    for pod in &text {
        index
            .add(&[("__name__", "up"), ("job", "a"), ("pod", pod)])
            .unwrap();
    }
    let dead: Vec<u32> = (0..2_000).filter(|slot| slot % 100 != 7).collect();
    index.remove(&dead);
    let before = index.heap_bytes();
    assert!(index.compact_if_due());
    assert!(index.heap_bytes() < before / 4, "{before}");
    assert!(!index.compact_if_due(), "nothing left to do");
    assert_eq!((index.len(), index.symbols().len()), (20, 20 + 5));
    assert_eq!(index.select(&[matcher("pod=~pod-.*7")]), index.slots());
    for slot in index.slots() {
        let pod = &text[slot as usize];
        let labels = [("__name__", "up"), ("job", "a"), ("pod", pod.as_str())];
        assert_eq!(index.find(&labels), Some(slot));
        let shown = format!(r#"up{{job="a", pod="{pod}"}}"#);
        assert_eq!(index.labels(slot).to_string(), shown);
    }
    assert_eq!(index.add(&[("__name__", "new")]), Ok(2_000));
}

#[test]
fn label_order_is_that_of_the_strings() {
    let mut index = Index::default();
    let sets = [
        vec![("__name__", "b"), ("a", "2")],
        vec![("__name__", "b")],
        vec![("__name__", "a"), ("z", "1")],
        vec![("__name__", "b"), ("a", "10")],
    ];
    for labels in &sets {
        index.add(labels).unwrap();
    }
    let mut symbols = Vec::new();
    let mut copied = index.copy_labels(vec![0, 1, 3]);
    let slots = copied.in_order(|text| symbols.push(text));
    assert_eq!(slots, [1, 3, 0]);
    assert_eq!(symbols, ["10", "2", "__name__", "a", "b"]);
    let slots = index.copy_labels(vec![0, 1, 2, 3]).in_order(|_| ());
    assert_eq!(slots, [2, 1, 3, 0]);
}

#[test]
fn many_label_sets_with_and_without_equal_ones() {
    let mut index = Index::default();
    for number in 0..400 {
        let (own, group) = (number.to_string(), (number % 3).to_string());
        index.add(&[("group", &group), ("own", &own)]).unwrap();
    }
    let slots: Vec<u32> = (0..400).collect();
    for (name, differing) in [("own", 400), ("group", 3)] {
        let mut found = Vec::new();
        index.label_sets(&slots, &Kept::Only(vec![name.to_owned()]), &mut found);
        for (labels, &slot) in found.iter().zip(&slots) {
            let all = index.labels(slot);
            assert_eq!(*labels, all.without(|other| other != name));
        }
        found.sort();
        found.dedup();
        assert_eq!((slots.len(), found.len()), (400, differing));
    }
}

proptest! {
    /// The postings agree with testing every series.
    #[test]
    fn select_agrees_with_a_scan(
        series in prop::collection::btree_set(prop::collection::btree_map("[abc]", "[xyz]{1,2}", 0..3), 0..30),
        matchers in prop::collection::vec(("[abcd]", 0usize..4, prop::sample::select(&["", "x", "xy", "x.*", ".*y.*", ".+", ".*", "x|y", "|z", "[xy].?", "x|", "(y|zz)"][..])), 0..4),
    ) {
        let mut index = Index::default();
        let mut all = Vec::new();
        for labels in &series {
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            index.add(&pairs).unwrap();
            all.push(Labels::from_sorted(pairs.into_iter()));
        }
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let matchers: Vec<_> = matchers.into_iter()
            .map(|(name, op, value)| Matcher::new(name, ops[op], value).unwrap()).collect();
        let expected: Vec<u32> = (0u32..).zip(&all)
            .filter(|(_, labels)| matchers.iter().all(|m| m.matches_labels(labels))).map(|(slot, _)| slot).collect();
        prop_assert!(expected.len() <= index.series_max(&matchers));
        let slots: Vec<u32> = (0u32..).take(all.len()).collect();
        let names = matchers.iter().map(|matcher| matcher.name().to_owned()).collect::<Vec<_>>();
        for kept in [Kept::All, Kept::Only(names.clone()), Kept::AllBut(names)] {
            let mut found = Vec::new();
            index.label_sets(&slots, &kept, &mut found);
            let wanted: Vec<_> = all.iter().map(|labels| labels.without(|name| !kept.has(name))).collect();
            prop_assert_eq!(found, wanted);
        }
        prop_assert_eq!(index.select(&matchers), expected);
    }
}
