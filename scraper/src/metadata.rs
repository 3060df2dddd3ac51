//! What targets say about their families, held once for all targets that say the same.
//!
//! The families of a thousand targets of one kind are the same few hundred, so each family is held once, and so is each
//! whole set; a target holds one pointer.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use model::metadata::MetricType;
use parking_lot::Mutex;

use crate::exposition::protobuf::{HistogramOptions, Reader};
use crate::exposition::{
    BodyFormat, Event, Expected, Format, MetadataKind, ParseError, Parser, labels,
};

/// How many families of one target are remembered; more are left out.
const FAMILIES_MAX: usize = 20_000;
/// How many bytes of a help text are remembered.
const HELP_BYTES_MAX: usize = 4_096;

/// What a target says about one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FamilyMetadata {
    /// The family's name.
    pub name: Box<str>,
    /// Its type.
    pub kind: MetricType,
    /// Its help text, unescaped.
    pub help: Box<str>,
    /// Its unit, empty if not given.
    pub unit: Box<str>,
}

/// What a target says about all its families, in the order of the body.
pub type MetadataSet = Arc<[Arc<FamilyMetadata>]>;

/// Holds each family and each set once.
#[derive(Default)]
pub(crate) struct Interner(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    families: HashSet<Arc<FamilyMetadata>>,
    sets: HashMap<u64, Weak<[Arc<FamilyMetadata>]>>,
    /// The size at which what nobody holds any more is thrown out.
    sweep_at: usize,
}

impl Interner {
    /// Returns the set of `body`, whose lines about families have the hash `lines_hash`. Equal hashes are taken for equal
    /// lines: then the body is not looked at.
    ///
    /// # Errors
    ///
    /// When the body is not of the format.
    pub(crate) fn intern(
        &self,
        lines_hash: u64,
        body: &[u8],
        format: BodyFormat,
    ) -> Result<MetadataSet, ParseError> {
        if let Some(set) = self.0.lock().sets.get(&lines_hash).and_then(Weak::upgrade) {
            return Ok(set);
        }
        let families = match format {
            BodyFormat::Lines(format) => read_lines(body, format)?,
            BodyFormat::Protobuf => read_messages(body)?,
        };
        let mut inner = self.0.lock();
        let set: MetadataSet = families
            .into_iter()
            .map(|family| inner.family(family))
            .collect();
        inner.sets.insert(lines_hash, Arc::downgrade(&set));
        inner.sweep();
        Ok(set)
    }
}

impl Inner {
    fn family(&mut self, family: FamilyMetadata) -> Arc<FamilyMetadata> {
        if let Some(known) = self.families.get(&family) {
            return Arc::clone(known);
        }
        let family = Arc::new(family);
        self.families.insert(Arc::clone(&family));
        family
    }

    /// Throws out what nobody holds, whenever there is twice as much as was left the last time.
    fn sweep(&mut self) {
        if self.families.len() + self.sets.len() < self.sweep_at.max(1_000) {
            return;
        }
        self.sets.retain(|_, set| 0 < set.strong_count());
        self.families.retain(|family| 1 < Arc::strong_count(family));
        self.sweep_at = 2 * (self.families.len() + self.sets.len());
    }
}

/// Returns what `body` says about its families. Lines of one family may be anywhere; the first of a kind counts last.
fn read_lines(body: &[u8], format: Format) -> Result<Vec<FamilyMetadata>, ParseError> {
    let mut families: Vec<FamilyMetadata> = Vec::new();
    let mut positions: HashMap<Box<str>, usize> = HashMap::new();
    let mut parser = Parser::new(body, format)?;
    while let Some(event) = parser.next(Expected::NOTHING)? {
        let Event::Metadata(line) = event else {
            continue;
        };
        let name: Box<str> = line.name().into();
        let position = *positions.entry(name.clone()).or_insert(families.len());
        if FAMILIES_MAX <= position {
            continue;
        }
        if position == families.len() {
            let (help, unit) = Default::default();
            families.push(FamilyMetadata {
                name,
                kind: MetricType::Unknown,
                help,
                unit,
            });
        }
        let family = &mut families[position];
        match line.what {
            MetadataKind::Type(kind) => family.kind = kind,
            MetadataKind::Help(help) => family.help = shortened(&labels::unescape(help)).into(),
            MetadataKind::Unit(unit) => family.unit = unit.into(),
        }
    }
    Ok(families)
}

/// Returns what the families of `body` say about themselves; of two of one name, the first.
fn read_messages(body: &[u8]) -> Result<Vec<FamilyMetadata>, ParseError> {
    let mut families = Vec::new();
    let mut names: HashSet<Box<str>> = HashSet::new();
    let mut reader = Reader::new(body, HistogramOptions::default());
    while let Some(family) = reader.next_family_only()? {
        if FAMILIES_MAX <= families.len() || !names.insert(family.name.into()) {
            continue;
        }
        families.push(FamilyMetadata {
            name: family.name.into(),
            kind: family.kind,
            help: shortened(family.help).into(),
            unit: family.unit.into(),
        });
    }
    Ok(families)
}

fn shortened(help: &str) -> &str {
    let mut end = help.len().min(HELP_BYTES_MAX);
    while !help.is_char_boundary(end) {
        end -= 1;
    }
    &help[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_held_once() {
        const TEXT: BodyFormat = BodyFormat::Lines(Format::Text);
        let interner = Interner::default();
        let body = b"# HELP m a\\nb\n# TYPE m counter\nm 1\n# TYPE n gauge\nn 1\n";
        let one = interner.intern(1, body, TEXT).unwrap();
        let two = interner.intern(1, b"not even read", TEXT).unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        let three = interner.intern(2, b"# TYPE n gauge\n", TEXT).unwrap();
        assert!(Arc::ptr_eq(&one[1], &three[0]));
        assert_eq!(
            (&*one[0].name, one[0].kind, &*one[0].help),
            ("m", MetricType::Counter, "a\nb")
        );
    }
}
