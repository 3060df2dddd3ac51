//! The labels of a target, while they are collected.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::target::ADDRESS;

/// Labels whose names begin alike: `__meta_`, the mechanism, `_`.
#[derive(Clone, Debug)]
pub(crate) struct MetaLabels {
    prefix: &'static str,
    pairs: BTreeMap<String, String>,
}

impl MetaLabels {
    /// Returns no labels yet; `prefix` is what comes after `__meta_`, as `docker_`.
    pub(crate) fn new(prefix: &'static str) -> Self {
        MetaLabels {
            prefix,
            pairs: BTreeMap::new(),
        }
    }

    /// Sets one label, also to an empty value.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        let name = format!("__meta_{}{name}", self.prefix);
        self.pairs.insert(name, value.to_string());
    }

    /// Sets a label for each pair: `name`, then the pair's name with `_` for what no label name may have.
    pub(crate) fn set_all(&mut self, name: &str, pairs: &BTreeMap<String, String>) {
        for (key, value) in pairs {
            self.set(&format!("{name}{}", super::sanitized(key)), value);
        }
    }

    /// Sets a label to `list` with separators between and at both ends, so that a whole item can be looked for in the
    /// middle; an empty list sets none.
    pub(crate) fn set_list(&mut self, name: &str, list: &[String], separator: &str) {
        if !list.is_empty() {
            let joined = format!("{separator}{}{separator}", list.join(separator));
            self.set(name, joined);
        }
    }

    /// Sets the labels of `others`, if there are any; they win.
    pub(crate) fn extend(&mut self, others: Option<&MetaLabels>) {
        let pairs = others.iter().flat_map(|others| &others.pairs);
        self.pairs
            .extend(pairs.map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Returns the labels as they are, for all targets of a group.
    pub(crate) fn into_pairs(self) -> BTreeMap<String, String> {
        self.pairs
    }

    /// Returns the labels of a target at `host` and `port`.
    pub(crate) fn at(self, host: &str, port: u16) -> BTreeMap<String, String> {
        self.at_address(host_port(host, port))
    }

    /// The same, with whatever number was said to be the port.
    pub(crate) fn at_port(self, host: &str, port: i64) -> BTreeMap<String, String> {
        self.at_address(host_port(host, port))
    }

    /// Returns the labels of a target at `address`.
    pub(crate) fn at_address(mut self, address: String) -> BTreeMap<String, String> {
        self.pairs.insert(ADDRESS.to_owned(), address);
        self.pairs
    }
}

/// Returns `host:port`, with brackets around an IPv6 address.
fn host_port(host: &str, port: impl Display) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
