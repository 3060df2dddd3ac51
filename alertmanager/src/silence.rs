//! Silences: alerts that are not told because somebody said so.
//!
//! A silence is never changed in its past: what would change it ends it, and makes another one with a new id. Only the
//! end of an active one and the times of a pending one can be moved.
//!
//! Source: Alertmanager documentation, "Silences"; which changes keep the id is what its API does.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Labels, MatchOp, Matcher};
use uuid::Uuid;

/// Which alerts are silenced when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Silence {
    /// A UUID; empty for one that is yet to be made.
    pub id: String,
    /// What an alert must match, all of them.
    pub matchers: Vec<Matcher>,
    /// When it begins, milliseconds since the epoch.
    pub starts_at_ms: i64,
    /// When it ends, milliseconds since the epoch; the moment itself is no longer silenced.
    pub ends_at_ms: i64,
    /// When it was last changed, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What else is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// Where the time is, seen from a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilenceState {
    /// It has yet to begin.
    Pending,
    /// It silences.
    Active,
    /// It is over.
    Expired,
}

impl SilenceState {
    /// All of them.
    pub const ALL: [SilenceState; 3] = [
        SilenceState::Active,
        SilenceState::Pending,
        SilenceState::Expired,
    ];

    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        }
    }
}

impl Silence {
    /// Returns the state at `now_ms`, milliseconds since the epoch.
    pub fn state(&self, now_ms: i64) -> SilenceState {
        if now_ms < self.starts_at_ms {
            SilenceState::Pending
        } else if now_ms < self.ends_at_ms {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.matches_labels(labels))
    }

    /// Checks what must hold whenever it is set.
    fn check(&self) -> Result<(), SilenceError> {
        let invalid = |why: String| Err(SilenceError::Invalid(why));
        for (index, matcher) in self.matchers.iter().enumerate() {
            if matcher.name().is_empty() {
                return invalid(format!(
                    "invalid label matcher {index} in set 0: invalid label name \"\""
                ));
            }
        }
        if self.matchers.iter().all(Matcher::matches_empty) {
            return invalid(
                "matcher set 0: at least one matcher must not match the empty string".to_owned(),
            );
        }
        if self.ends_at_ms < self.starts_at_ms {
            return invalid("end time must not be before start time".to_owned());
        }
        Ok(())
    }

    /// Returns whether this may become `new` and keep its id.
    fn can_become(&self, new: &Silence, now_ms: i64) -> bool {
        if self.matchers != new.matchers {
            return false;
        }
        match self.state(now_ms) {
            SilenceState::Active => {
                let second = |ms: i64| ms.div_euclid(1_000);
                second(new.starts_at_ms) == second(self.starts_at_ms) && now_ms <= new.ends_at_ms
            }
            SilenceState::Pending => now_ms <= new.starts_at_ms,
            SilenceState::Expired => false,
        }
    }

    /// Returns this silence, ended at `now_ms`.
    fn ended(&self, now_ms: i64) -> Silence {
        let mut ended = self.clone();
        ended.starts_at_ms = ended.starts_at_ms.min(now_ms);
        ended.ends_at_ms = now_ms;
        ended.updated_at_ms = now_ms;
        ended
    }
}

/// Why a silence was not set. The texts are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// There is none with this id.
    #[error("silence not found")]
    NotFound,
    /// It makes no sense.
    #[error("invalid silence: {0}")]
    Invalid(String),
    /// There are too many, or it is too large.
    #[error("{0}")]
    Limit(String),
}

/// How many silences there may be, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceLimits {
    /// Silences that are kept, expired ones among them.
    pub count_max: usize,
    /// Bytes of one, as the message that is stored.
    pub bytes_max: usize,
}

impl Default for SilenceLimits {
    /// 100,000 silences of 1 MiB.
    fn default() -> Self {
        SilenceLimits {
            count_max: 100_000,
            bytes_max: 1 << 20,
        }
    }
}

/// All silences, and a way to those that may match an alert.
#[derive(Debug, Default)]
pub struct Silences {
    by_id: BTreeMap<String, Arc<Silence>>,
    /// Those with an equality matcher, by its name and value.
    by_label: HashMap<String, HashMap<String, Vec<Arc<Silence>>>>,
    /// The others.
    unlabelled: Vec<Arc<Silence>>,
    limits: SilenceLimits,
    /// Ids that changed or went since [`take_changed`](Silences::take_changed).
    changed: BTreeSet<String>,
}

impl Silences {
    /// Returns no silences, within `limits`.
    pub fn new(limits: SilenceLimits) -> Self {
        Silences {
            limits,
            ..Silences::default()
        }
    }

    /// Makes a silence, or changes the one with its id; returns the id of the outcome, which may be a new one.
    ///
    /// # Errors
    ///
    /// When it makes no sense, when there is none with its id, or when there are too many. Then nothing changed.
    pub fn set(&mut self, mut new: Silence, now_ms: i64) -> Result<String, SilenceError> {
        new.check()?;
        let old = match new.id.as_str() {
            "" => None,
            id => Some(self.by_id.get(id).cloned().ok_or(SilenceError::NotFound)?),
        };
        new.updated_at_ms = now_ms;
        if let Some(old) = &old
            && old.can_become(&new, now_ms)
        {
            self.check_size(&new)?;
            let id = new.id.clone();
            self.put(new);
            return Ok(id);
        }
        if self.limits.count_max <= self.by_id.len() {
            return Err(SilenceError::Limit(format!(
                "exceeded maximum number of silences: {} (limit: {})",
                self.by_id.len(),
                self.limits.count_max
            )));
        }
        new.id = Uuid::new_v4().to_string();
        new.starts_at_ms = new.starts_at_ms.max(now_ms);
        self.check_size(&new)?;
        if let Some(old) = old
            && old.state(now_ms) != SilenceState::Expired
        {
            self.put(old.ended(now_ms));
        }
        let id = new.id.clone();
        self.put(new);
        Ok(id)
    }

    fn check_size(&self, silence: &Silence) -> Result<(), SilenceError> {
        let (bytes, limit) = (
            crate::mesh::encode_silence(silence).len(),
            self.limits.bytes_max,
        );
        if limit < bytes {
            return Err(SilenceError::Limit(format!(
                "silence exceeded maximum size: {bytes} bytes (limit: {limit} bytes)"
            )));
        }
        Ok(())
    }

    /// Ends a silence now; one that is over stays as it is.
    ///
    /// # Errors
    ///
    /// When there is none with this id.
    pub fn expire(&mut self, id: &str, now_ms: i64) -> Result<(), SilenceError> {
        let silence = self.by_id.get(id).ok_or(SilenceError::NotFound)?;
        if silence.state(now_ms) != SilenceState::Expired {
            self.put(silence.ended(now_ms));
        }
        Ok(())
    }

    /// Takes in a silence as another instance, or the disk, has it; the newer one of the same id stays, and of two that were
    /// changed in the same millisecond the one whose message is greater, so that all agree. Returns whether it changed
    /// anything.
    pub fn merge(&mut self, silence: Silence) -> bool {
        let is_known = self.by_id.get(&silence.id).is_some_and(|known| {
            let message = crate::mesh::encode_silence;
            match silence.updated_at_ms.cmp(&known.updated_at_ms) {
                Ordering::Less => true,
                Ordering::Equal => message(&silence) <= message(known),
                Ordering::Greater => false,
            }
        });
        if is_known {
            return false;
        }
        self.put(silence);
        true
    }

    /// Takes in a silence of another instance, as [`merge`](Silences::merge) does, within the limits.
    ///
    /// # Errors
    ///
    /// When it makes no sense, or there are too many.
    pub(crate) fn merge_foreign(&mut self, silence: Silence) -> Result<bool, SilenceError> {
        if Uuid::try_parse(&silence.id).is_err() {
            return Err(SilenceError::Invalid(format!(
                "its id {:?} is no UUID",
                silence.id
            )));
        }
        silence.check()?;
        self.check_size(&silence)?;
        let (count, limit) = (self.by_id.len(), self.limits.count_max);
        if !self.by_id.contains_key(&silence.id) && limit <= count {
            return Err(SilenceError::Limit(format!(
                "exceeded maximum number of silences: {count} (limit: {limit})"
            )));
        }
        Ok(self.merge(silence))
    }

    /// Puts back what was there before a change that could not be stored.
    pub(crate) fn restore(&mut self, id: &str, before: Option<Silence>) {
        match before {
            Some(silence) => self.put(silence),
            None => self.remove(id),
        }
    }

    fn put(&mut self, silence: Silence) {
        self.remove(&silence.id);
        self.changed.insert(silence.id.clone());
        let silence = Arc::new(silence);
        self.place(&silence).push(Arc::clone(&silence));
        self.by_id.insert(silence.id.clone(), silence);
    }

    fn remove(&mut self, id: &str) {
        if let Some(old) = self.by_id.remove(id) {
            self.place(&old).retain(|silence| silence.id != id);
        }
    }

    /// Returns the list that holds a silence or would hold it.
    fn place(&mut self, silence: &Silence) -> &mut Vec<Arc<Silence>> {
        let mut matchers = silence.matchers.iter();
        match matchers.find(|m| m.op() == MatchOp::Equal && !m.value().is_empty()) {
            Some(matcher) => self
                .by_label
                .entry(matcher.name().to_owned())
                .or_default()
                .entry(matcher.value().to_owned())
                .or_default(),
            None => &mut self.unlabelled,
        }
    }

    /// Returns the silence with this id.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    /// Returns all silences by id.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values().map(Arc::as_ref)
    }

    /// Returns the ids of the silences that are active at `now_ms` and match, sorted.
    pub fn silenced_by(&self, labels: &Labels, now_ms: i64) -> Vec<String> {
        let mut ids: Vec<String> = self
            .candidates(labels)
            .filter(|silence| silences(silence, labels, now_ms))
            .map(|silence| silence.id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Returns whether an active silence matches.
    pub fn is_silenced(&self, labels: &Labels, now_ms: i64) -> bool {
        self.candidates(labels)
            .any(|silence| silences(silence, labels, now_ms))
    }

    fn candidates<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a Arc<Silence>> {
        let labelled = labels.iter().filter_map(|(name, value)| {
            // The second map is looked into only for names that silences use.
            self.by_label.get(name)?.get(value)
        });
        labelled.flatten().chain(&self.unlabelled)
    }

    /// Returns how many there are of each state, in the order of [`SilenceState::ALL`].
    pub fn counts(&self, now_ms: i64) -> [usize; 3] {
        SilenceState::ALL.map(|state| {
            let silences = self.by_id.values();
            silences
                .filter(|silence| silence.state(now_ms) == state)
                .count()
        })
    }

    /// Forgets silences that ended `retention_ms` ago.
    pub fn collect(&mut self, now_ms: i64, retention_ms: i64) {
        let before_ms = now_ms.saturating_sub(retention_ms);
        let over = self.by_id.values();
        let over = over.filter(|silence| silence.ends_at_ms < before_ms);
        let over: Vec<String> = over.map(|silence| silence.id.clone()).collect();
        for id in &over {
            self.remove(id);
        }
        self.by_label.retain(|_, values| {
            values.retain(|_, silences| !silences.is_empty());
            !values.is_empty()
        });
        self.changed.extend(over);
    }

    /// Returns the silences that changed since the last call, and the ids of those that went.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<Silence>)> {
        let ids = std::mem::take(&mut self.changed).into_iter();
        let changed = ids.map(|id| {
            let silence = self.get(&id).cloned();
            (id, silence)
        });
        changed.collect()
    }
}

fn silences(silence: &Silence, labels: &Labels, now_ms: i64) -> bool {
    silence.state(now_ms) == SilenceState::Active && silence.matches(labels)
}
