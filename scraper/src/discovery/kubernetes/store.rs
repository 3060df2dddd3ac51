//! The objects of one kind as they are known now.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::object::Resource;

/// The name of an object: namespace (empty where there is none) and name.
pub(crate) type Key = (String, String);

/// Objects of one kind, from one watch or several.
pub(crate) struct Store<T>(Arc<Mutex<Vec<Arc<Part<T>>>>>);

/// What one watch knows.
pub(crate) struct Part<T>(Mutex<Known<T>>);

struct Known<T> {
    objects: BTreeMap<Key, Arc<T>>,
    is_listed: bool,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Store(Arc::default())
    }
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Part(Mutex::new(Known {
            objects: BTreeMap::new(),
            is_listed: false,
        }))
    }
}

impl<T: Resource> Store<T> {
    /// Returns room for the objects of one more watch.
    pub(crate) fn part(&self) -> Arc<Part<T>> {
        let part = Arc::new(Part::default());
        self.0.lock().push(Arc::clone(&part));
        part
    }

    /// Returns all objects, those of each watch by name.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let parts = self.0.lock();
        let parts = parts.iter().map(|part| {
            let known = part.0.lock();
            known.objects.values().cloned().collect::<Vec<_>>()
        });
        parts.flatten().collect()
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let key = (namespace.to_owned(), name.to_owned());
        let parts = self.0.lock();
        parts
            .iter()
            .find_map(|part| part.0.lock().objects.get(&key).cloned())
    }

    /// Returns whether every watch has listed its objects.
    pub(crate) fn is_listed(&self) -> bool {
        self.0.lock().iter().all(|part| part.0.lock().is_listed)
    }
}

impl<T: Resource> Part<T> {
    /// Takes `objects` for all that there are.
    pub(crate) fn replace(&self, objects: Vec<T>) {
        let mut known = self.0.lock();
        known.is_listed = true;
        known.objects = objects
            .into_iter()
            .map(|object| (object.metadata().key(), Arc::new(object)))
            .collect();
    }

    pub(crate) fn set(&self, object: T) {
        let key = object.metadata().key();
        self.0.lock().objects.insert(key, Arc::new(object));
    }

    pub(crate) fn remove(&self, object: &T) {
        self.0.lock().objects.remove(&object.metadata().key());
    }
}
