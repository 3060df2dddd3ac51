//! The variables of the environment that the libraries of clouds look at.

use std::path::PathBuf;
use std::sync::Arc;

/// Where variables come from; another place in tests.
#[derive(Clone)]
pub struct Environment(Arc<Variables>);

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// Returns that of this process.
    pub fn of_process() -> Self {
        Environment(Arc::new(|name| std::env::var(name).ok()))
    }

    /// Returns one that has just these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables: std::collections::BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Environment(Arc::new(move |name| variables.get(name).cloned()))
    }

    /// Returns the variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns the file that `variable` names, or the one below the home directory.
    pub(crate) fn file(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(variable).map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(below_home)))
    }
}
