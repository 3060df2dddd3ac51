//! What becomes of OTLP's names and attributes.

/// Settings of the receiver: the `otlp` section, in Prometheus' names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "so they are in the configuration"
)]
pub struct Options {
    /// What becomes of names.
    pub strategy: TranslationStrategy,
    /// Which resource attributes become labels of every series.
    pub promoted: Promoted,
    /// Whether `target_info` has `service.name`, `service.namespace` and `service.instance.id` too.
    pub keeps_identifying_attributes: bool,
    /// Whether histograms with explicit bounds become native ones with custom buckets.
    pub converts_histograms: bool,
    /// Whether name, version and attributes of the scope become labels.
    pub promotes_scope: bool,
    /// Whether a label name with one `_` at its start gets `key` before that.
    pub sanitizes_underscores: bool,
    /// Whether several `_` in a row stay.
    pub preserves_underscores: bool,
    /// What becomes of points of delta temporality.
    pub deltas: Deltas,
}

/// What becomes of points of delta temporality, which count what was new in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deltas {
    /// They are left out, and the sender is told.
    #[default]
    LeftOut,
    /// They are stored as they are, of unknown type.
    Kept,
    /// They are added up, and the sums so far are stored.
    AddedUp,
}

/// Which resource attributes become labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// These.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl Promoted {
    /// Returns whether the attribute called `name` becomes a label.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Promoted::Only(names) => names.iter().any(|known| known == name),
            Promoted::AllBut(names) => names.iter().all(|known| known != name),
        }
    }
}

/// What becomes of the names of metrics and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslationStrategy {
    /// Whether what the old character set does not have becomes `_`.
    pub escapes: bool,
    /// Whether the unit, and `total` or `ratio`, are put at the end of a metric's name.
    pub adds_suffixes: bool,
}

impl Default for Options {
    /// Returns what holds when nothing is configured.
    fn default() -> Self {
        Options {
            strategy: TranslationStrategy {
                escapes: true,
                adds_suffixes: true,
            },
            promoted: Promoted::Only(Vec::new()),
            keeps_identifying_attributes: false,
            converts_histograms: false,
            promotes_scope: false,
            sanitizes_underscores: true,
            preserves_underscores: true,
            deltas: Deltas::default(),
        }
    }
}
