//! Relabelling as one would write it down: a map, and a rule's fields as they are written. Generated chains must leave the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A rule's fields, all of them.
#[derive(Clone, Debug)]
struct Plain {
    action: RelabelAction,
    sources: Vec<String>,
    separator: String,
    regex: String,
    target: String,
    replacement: String,
    modulus: u64,
}

use RelabelAction as A;

impl Plain {
    fn yaml(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut fields = vec![format!("action: {}", self.action)];
        let mut add = |key: &str, value: String| fields.push(format!("{key}: {value}"));
        if !matches!(self.action, A::LabelDrop | A::LabelKeep) {
            add("source_labels", format!("[{}]", self.sources.join(", ")));
            add("target_label", quoted(&self.target));
        }
        if !matches!(self.action, A::KeepEqual | A::DropEqual) {
            add("regex", quoted(&self.regex));
        }
        if !matches!(
            self.action,
            A::KeepEqual | A::DropEqual | A::LabelDrop | A::LabelKeep
        ) {
            add("separator", quoted(&self.separator));
            add("modulus", self.modulus.to_string());
        }
        if matches!(self.action, A::Replace | A::LabelMap) {
            add("replacement", quoted(&self.replacement));
        }
        format!("{{{}}}", fields.join(", "))
    }

    fn apply(&self, labels: &mut BTreeMap<String, String>) -> bool {
        let regex = regex::Regex::new(&format!("^(?s:{})$", self.regex)).unwrap();
        let of = |name: &String| labels.get(name).cloned().unwrap_or_default();
        let values: Vec<String> = self.sources.iter().map(of).collect();
        let own = of(&self.target);
        let mut set = |name: &str, value: String| {
            if value.is_empty() {
                labels.remove(name);
            } else if !name.is_empty() {
                labels.insert(name.to_owned(), value);
            }
        };
        let plain = values.join(";");
        let value = values.join(&self.separator);
        match self.action {
            A::Keep => return regex.is_match(&value),
            A::Drop => return !regex.is_match(&value),
            A::KeepEqual => return own == plain,
            A::DropEqual => return own != plain,
            A::Lowercase => set(&self.target, value.to_ascii_lowercase()),
            A::Uppercase => set(&self.target, value.to_ascii_uppercase()),
            A::HashMod => {
                let digest = u128::from_be_bytes(Md5::digest(&value).into());
                let tail = digest & u128::from(u64::MAX);
                set(&self.target, (tail % u128::from(self.modulus)).to_string());
            }
            A::Replace => {
                if let Some(captures) = regex.captures(&value) {
                    let (mut name, mut value) = (String::new(), String::new());
                    captures.expand(&self.target, &mut name);
                    captures.expand(&self.replacement, &mut value);
                    set(&name, value);
                }
            }
            A::LabelMap => {
                for (name, value) in labels.clone() {
                    if let Some(captures) = regex.captures(&name) {
                        let mut copy = String::new();
                        captures.expand(&self.replacement, &mut copy);
                        if !copy.is_empty() {
                            labels.insert(copy, value);
                        }
                    }
                }
            }
            A::LabelDrop => labels.retain(|name, _| !regex.is_match(name)),
            A::LabelKeep => labels.retain(|name, _| regex.is_match(name)),
        }
        true
    }
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn rule() -> impl Strategy<Value = Plain> {
    let actions = prop::sample::select(&[
        A::Replace,
        A::Replace,
        A::Replace,
        A::Keep,
        A::Drop,
        A::KeepEqual,
        A::DropEqual,
        A::HashMod,
        A::LabelMap,
        A::LabelDrop,
        A::LabelKeep,
        A::Lowercase,
        A::Uppercase,
    ]);
    let fields = (
        prop::collection::vec(words(&["a", "b", "c", "__d", "missing"]), 0..3),
        words(&["", ";", "-", "ab"]),
        words(&[
            "(.*)",
            ".*",
            "",
            "(.)(.*)",
            "a|b|x.*",
            "[^;]*;(.*)",
            "(?i)FOO",
            "(?:a|b)+",
            "(__)?(.+)",
            "x$",
            "(?P<n>.)[\\s\\S]*",
        ]),
        words(&["a", "b", "c", "e"]),
        words(&["$1", "${1}", "", "x", "${2}_${1}", "$$", "$9", "${n}y"]),
        1..u64::MAX,
    );
    (actions, fields).prop_map(
        |(action, (sources, separator, regex, target, replacement, modulus))| {
            // A label map copies all or nothing to one name, or which one stays depends on the order of the labels.
            let replacement = match action {
                A::LabelMap if regex == "(.*)" => "x_$1".to_owned(),
                A::LabelMap => "k".to_owned(),
                _ => replacement,
            };
            let regex = match action {
                A::LabelMap if replacement == "k" => "b".to_owned(),
                _ => regex,
            };
            Plain {
                action,
                sources,
                separator,
                regex,
                target,
                replacement,
                modulus,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chains_leave_what_the_twin_leaves(
        rules in prop::collection::vec(rule(), 1..6),
        pairs in prop::collection::btree_map(
            words(&["a", "b", "c", "__d"]),
            words(&["a", "x", "foo", "Foo-Bar", "a;b", "line\nbreak", "10"]),
            0..4,
        ),
    ) {
        let texts: Vec<String> = rules.iter().map(Plain::yaml).collect();
        let configs: Vec<RelabelConfig> = yaml::parse(&format!("[{}]", texts.join(", "))).unwrap();
        let mut labels = LabelsBuilder::new();
        for (name, value) in &pairs {
            labels.set(name, value);
        }
        let mut expected = pairs;
        let is_kept = rules.iter().all(|rule| rule.apply(&mut expected));
        prop_assert_eq!(apply(&configs, &mut labels), is_kept, "{:?}", &texts);
        if is_kept {
            let left = labels.build();
            let left: BTreeMap<String, String> =
                left.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(left, expected, "{:?}", texts);
        }
    }
}
