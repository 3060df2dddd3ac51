//! The labels of a series: attributes of its point, its resource and its scope.

use std::collections::BTreeMap;

use model::labels::METRIC_NAME;
use model::protobuf::put_varint;

use super::attributes::Attribute;
use super::name::label_name;
use super::options::{Deltas, Options};

/// The attributes that say which process a resource is; they become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// A resource: what all its metrics are of.
#[derive(Default)]
pub(super) struct Resource<'a> {
    pub(super) attributes: Vec<Attribute<'a>>,
    job: Option<String>,
    instance: Option<String>,
    /// The labels of its `target_info`; nothing if it should have none.
    pub(super) info: Option<BTreeMap<String, String>>,
}

/// An instrumentation scope.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) schema_url: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
}

/// What the labels of all series of one scope have in common.
pub(super) struct Common {
    options: Options,
    /// What is there unless a point says otherwise.
    promoted: BTreeMap<String, String>,
    /// What is there whatever a point says.
    fixed: BTreeMap<String, String>,
    /// What tells the scope and its resource from others, where deltas are added up.
    pub(super) identity: Vec<u8>,
}

impl Resource<'_> {
    /// Works out what does not depend on the points.
    pub(super) fn finish(&mut self, options: &Options) {
        let value = |name: &str| {
            let found = self.attributes.iter().find(|a| a.name == name);
            found.map(|attribute| attribute.value.clone())
        };
        self.instance = value("service.instance.id");
        self.job = value("service.name").map(|name| match value("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        });
        let is_identifying = |a: &Attribute<'_>| IDENTIFYING.contains(&a.name);
        let has_more = self.attributes.iter().any(|a| !is_identifying(a));
        if !has_more || self.job.is_none() && self.instance.is_none() {
            return;
        }
        let shown = self.attributes.iter();
        let shown = shown.filter(|a| options.keeps_identifying_attributes || !is_identifying(a));
        let mut labels = BTreeMap::new();
        join(&mut labels, options, shown);
        labels.extend(self.identity());
        self.info = Some(labels);
    }

    fn identity(&self) -> impl Iterator<Item = (String, String)> {
        let pairs = [("job", &self.job), ("instance", &self.instance)];
        pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    }
}

/// Returns what the labels of all series of `scope` have in common.
pub(super) fn common(options: &Options, resource: &Resource<'_>, scope: &Scope<'_>) -> Common {
    let mut promoted = BTreeMap::new();
    for attribute in &resource.attributes {
        if options.promoted.has(attribute.name) {
            let name = label_name(options, attribute.name);
            promoted
                .entry(name)
                .or_insert_with(|| attribute.value.clone());
        }
    }
    let mut fixed = BTreeMap::new();
    if options.promotes_scope {
        let parts = [
            ("otel_scope_name", scope.name),
            ("otel_scope_version", scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ];
        fixed.extend(parts.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for attribute in &scope.attributes {
            let name = label_name(options, &format!("otel_scope_{}", attribute.name));
            fixed.insert(name, attribute.value.clone());
        }
    }
    fixed.extend(resource.identity());
    Common {
        options: options.clone(),
        promoted,
        fixed,
        identity: match options.deltas {
            Deltas::AddedUp => identity(resource, scope),
            Deltas::LeftOut | Deltas::Kept => Vec::new(),
        },
    }
}

fn identity(resource: &Resource<'_>, scope: &Scope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_attributes(&mut bytes, &resource.attributes);
    push_text(&mut bytes, scope.name);
    push_text(&mut bytes, scope.version);
    push_attributes(&mut bytes, &scope.attributes);
    bytes
}

/// Appends what tells `text` from other texts, whatever follows.
pub(super) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// Appends what tells `attributes` from others, in whatever order they are.
pub(super) fn push_attributes(bytes: &mut Vec<u8>, attributes: &[Attribute<'_>]) {
    let mut sorted: Vec<_> = attributes.iter().map(|a| (a.name, &a.value[..])).collect();
    sorted.sort_unstable();
    put_varint(bytes, sorted.len() as u64);
    for (name, value) in sorted {
        push_text(bytes, name);
        push_text(bytes, value);
    }
}

impl Common {
    /// Returns the labels of the series of a point, without the metric's name.
    pub(super) fn labels(&self, attributes: &[Attribute<'_>]) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        join(&mut labels, &self.options, attributes.iter());
        for (name, value) in &self.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in &self.fixed {
            labels.insert(name.clone(), value.clone());
        }
        labels.remove(METRIC_NAME);
        labels
    }
}

/// Adds attributes as labels; the values of those that come to have one name are joined, in the order of the attributes'
/// own names.
fn join<'a>(
    labels: &mut BTreeMap<String, String>,
    options: &Options,
    attributes: impl Iterator<Item = &'a Attribute<'a>>,
) {
    let mut attributes: Vec<&Attribute<'_>> = attributes.collect();
    attributes.sort_by_key(|attribute| attribute.name);
    for attribute in attributes {
        let name = label_name(options, attribute.name);
        match labels.get_mut(&name) {
            Some(value) => {
                value.push(';');
                value.push_str(&attribute.value);
            }
            None => {
                labels.insert(name, attribute.value.clone());
            }
        }
    }
}
