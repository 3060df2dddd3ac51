//! The head's index: label sets of the series, and from label values to series.
//!
//! A series is named by its *slot*, a dense number that is never given to another series while the process lives. Its
//! labels are a run of symbol pairs in one arena; the identity table holds slots only and compares against the arena.
//! Postings of a label pair are the slots that have it, ascending, because slots are given out ascending.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};

use hashbrown::{HashMap, HashSet, HashTable};
use model::storage::Kept;
use model::{Labels, MatchOp, Matcher};
use rapidhash::fast::RandomState;
use smallvec::SmallVec;

use super::postings::{intersect, subtract, union};
use super::symbols::{Symbol, Symbols};

/// A series that was dropped has no labels any more.
const NO_LABELS: u32 = u32::MAX;

/// How many slots share a page of [`Runs`].
const RUNS_PER_PAGE: usize = 256;

/// Slot → where its run begins in the arena, or [`NO_LABELS`]; pages of which no series is left take no room.
#[derive(Default)]
struct Runs {
    pages: Vec<Option<Box<[u32; RUNS_PER_PAGE]>>>,
    /// The next slot.
    next: u32,
}

impl Runs {
    fn start(&self, slot: u32) -> Option<usize> {
        let page = self.pages.get(slot as usize / RUNS_PER_PAGE)?.as_ref()?;
        let start = page[slot as usize % RUNS_PER_PAGE];
        (start != NO_LABELS).then_some(start as usize)
    }

    fn push(&mut self, start: u32) {
        let place = self.next as usize % RUNS_PER_PAGE;
        if place == 0 {
            self.pages.push(Some(Box::new([NO_LABELS; RUNS_PER_PAGE])));
        }
        let last = self.pages.len() - 1;
        let page = self.pages[last].get_or_insert_with(|| Box::new([NO_LABELS; RUNS_PER_PAGE]));
        page[place] = start;
        self.next += 1;
    }

    fn remove(&mut self, slot: u32) {
        let Some(entry) = self.pages.get_mut(slot as usize / RUNS_PER_PAGE) else {
            return;
        };
        if let Some(page) = entry {
            page[slot as usize % RUNS_PER_PAGE] = NO_LABELS;
            if page.iter().all(|&start| start == NO_LABELS) {
                *entry = None;
            }
        }
    }

    /// Returns the slots that have labels, with where their runs begin, ascending.
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let pages = (0u32..).zip(&self.pages);
        pages.flat_map(|(number, page)| {
            let starts = page.iter().flat_map(|page| page.iter().copied());
            let first = number * 256;
            (first..)
                .zip(starts)
                .filter(|&(_, start)| start != NO_LABELS)
        })
    }

    /// Calls `visit` with each start, to be changed.
    fn for_each_mut(&mut self, mut visit: impl FnMut(&mut u32)) {
        let pages = self.pages.iter_mut().flatten();
        pages
            .flat_map(|page| page.iter_mut())
            .filter(|start| **start != NO_LABELS)
            .for_each(&mut visit);
    }

    fn heap_bytes(&self) -> usize {
        8 * self.pages.capacity() + 4 * RUNS_PER_PAGE * self.pages.iter().flatten().count()
    }
}

/// Labels and postings of all series of the head.
#[derive(Default)]
pub struct Index {
    symbols: Symbols,
    /// For each series: number of pairs, then name and value symbols, ascending by name.
    arena: Vec<u32>,
    runs: Runs,
    /// Words of the arena that belong to dropped series.
    dead_words: usize,
    by_labels: HashTable<u32>,
    /// Name → value → slots.
    postings: HashMap<Symbol, HashMap<Symbol, Vec<u32>, RandomState>, RandomState>,
    live: usize,
    state: RandomState,
}

/// Why a series could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head is full: 4 GiB of label strings or four billion series since the start")]
pub struct IndexFull;

/// Labels of some series, as numbers, and the strings that they stand for.
pub struct CopiedLabels {
    slots: Vec<u32>,
    /// The runs of the series, end to end, and where each ends.
    runs: Vec<u32>,
    ends: Vec<usize>,
    text: String,
    /// Where each symbol's string is.
    symbols: Vec<(std::ops::Range<usize>, u32)>,
    symbol_count: usize,
}

impl CopiedLabels {
    /// Calls `visit` with the distinct strings, ascending, and returns the slots in order of the series' labels.
    ///
    /// Cost: a sort of the symbols as strings, and one of the series as runs of numbers.
    pub fn in_order<'a>(&'a mut self, mut visit: impl FnMut(&'a str)) -> Vec<u32> {
        let text = &self.text;
        self.symbols
            .sort_unstable_by(|(a, _), (b, _)| text[a.clone()].cmp(&text[b.clone()]));
        let mut ranks = vec![0u32; self.symbol_count];
        for (rank, (range, symbol)) in (0u32..).zip(&self.symbols) {
            ranks[*symbol as usize] = rank;
            visit(&text[range.clone()]);
        }
        self.runs
            .iter_mut()
            .for_each(|symbol| *symbol = ranks[*symbol as usize]);
        let (runs, ends) = (&self.runs, &self.ends);
        let run = |at: u32| {
            let at = at as usize;
            &runs[at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]]
        };
        let mut order: Vec<u32> = (0u32..).take(self.slots.len()).collect();
        order.sort_unstable_by(|&a, &b| run(a).cmp(run(b)));
        order.iter().map(|&at| self.slots[at as usize]).collect()
    }
}

impl Index {
    /// Returns the slot of the series with exactly these labels, if it is there. `labels` ascend by name.
    pub fn find(&self, labels: &[(&str, &str)]) -> Option<u32> {
        let mut run = smallvec::SmallVec::<[u32; 64]>::new();
        for &(name, value) in labels {
            run.push(self.symbols.find(name)?.0);
            run.push(self.symbols.find(value)?.0);
        }
        self.by_labels
            .find(self.hash(&run), |&slot| self.run(slot) == Some(&run[..]))
            .copied()
    }

    /// Adds a series that is not there yet and returns its slot. `labels` ascend by name.
    ///
    /// # Errors
    ///
    /// [`IndexFull`].
    pub fn add(&mut self, labels: &[(&str, &str)]) -> Result<u32, IndexFull> {
        let slot = self.runs.next;
        if slot == u32::MAX {
            return Err(IndexFull);
        }
        let start = u32::try_from(self.arena.len())
            .ok()
            .filter(|&at| at != NO_LABELS)
            .ok_or(IndexFull)?;
        make_room(&mut self.arena, 1 + 2 * labels.len());
        self.arena
            .push(u32::try_from(labels.len()).map_err(|_| IndexFull)?);
        for &(name, value) in labels {
            let (name, value) = (self.symbols.intern(name), self.symbols.intern(value));
            let (Some(name), Some(value)) = (name, value) else {
                self.arena.truncate(start as usize);
                return Err(IndexFull);
            };
            self.arena.extend([name.0, value.0]);
        }
        self.list(slot, start);
        Ok(slot)
    }

    /// Returns an index with these symbols and no series.
    pub fn with_symbols(symbols: Symbols) -> Self {
        Index {
            symbols,
            ..Index::default()
        }
    }

    /// Adds a series that is not there yet by its run: name and value symbols, ascending by the names' strings. `None` when
    /// it has symbols that do not exist, or does not fit.
    pub fn add_run(&mut self, run: &[u32]) -> Option<u32> {
        let count = u32::try_from(self.symbols.len()).ok()?;
        let (slot, start) = (self.runs.next, u32::try_from(self.arena.len()).ok()?);
        let is_known = run.iter().all(|&symbol| symbol < count);
        if !is_known || !run.len().is_multiple_of(2) || slot == u32::MAX || start == NO_LABELS {
            return None;
        }
        make_room(&mut self.arena, 1 + run.len());
        self.arena.push(u32::try_from(run.len() / 2).ok()?);
        self.arena.extend_from_slice(run);
        self.list(slot, start);
        Some(slot)
    }

    /// Returns the run of a series; `None` when it was dropped.
    pub fn run_of(&self, slot: u32) -> Option<&[u32]> {
        self.run(slot)
    }

    /// Lists a new series, whose run is the end of the arena, in postings and identity table.
    fn list(&mut self, slot: u32, start: u32) {
        let run = &self.arena[start as usize + 1..];
        for pair in run.chunks_exact(2) {
            let slots = self
                .postings
                .entry(Symbol(pair[0]))
                .or_default()
                .entry(Symbol(pair[1]))
                .or_default();
            push_grown_by_half(slots, slot);
        }
        self.runs.push(start);
        self.live += 1;
        let Index {
            by_labels,
            arena,
            runs,
            state,
            ..
        } = self;
        let hash = |slot: u32| hash_run(state, run_of(arena, runs, slot).unwrap_or_default());
        by_labels.insert_unique(hash(slot), slot, |&s| hash(s));
    }

    /// Forgets the series in `slots` (ascending); their slots are not used again.
    pub fn remove(&mut self, slots: &[u32]) {
        let mut touched: HashSet<(u32, u32), RandomState> = HashSet::default();
        for &slot in slots {
            let Some(run) = self.run(slot) else { continue };
            touched.extend(run.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            let (hash, words) = (self.hash(run), run.len() + 1);
            if let Ok(entry) = self.by_labels.find_entry(hash, |&s| s == slot) {
                entry.remove();
            }
            self.runs.remove(slot);
            self.dead_words += words;
            self.live -= 1;
        }
        for (name, value) in touched {
            let Some(values) = self.postings.get_mut(&Symbol(name)) else {
                continue;
            };
            if let Some(list) = values.get_mut(&Symbol(value)) {
                *list = subtract(list, slots);
                list.shrink_to_fit();
                if list.is_empty() {
                    values.remove(&Symbol(value));
                }
            }
            if values.is_empty() {
                self.postings.remove(&Symbol(name));
            }
        }
    }

    /// Gives back what dropped series have left behind in arena, symbols and tables, when it is much. Slots stay.
    ///
    /// Cost: a pass over all live series, about 0.2 s per million.
    pub fn compact_if_due(&mut self) -> bool {
        if self.dead_words * 4 < self.arena.len() || self.dead_words < 4096 {
            return false;
        }
        let mut used = vec![false; self.symbols.len()];
        for (_, start) in self.runs.iter() {
            let run = run_at(&self.arena, start as usize);
            run.iter().for_each(|&symbol| used[symbol as usize] = true);
        }
        let renamed = self.symbols.retain(&used);
        let mut arena = Vec::with_capacity(self.arena.len() - self.dead_words);
        let old = std::mem::take(&mut self.arena);
        self.runs.for_each_mut(|start| {
            let run = run_at(&old, *start as usize);
            *start = u32::try_from(arena.len()).expect("shorter than before");
            arena.push(u32::try_from(run.len() / 2).expect("came from a u32"));
            arena.extend(run.iter().map(|&symbol| renamed[symbol as usize]));
        });
        self.arena = arena;
        self.dead_words = 0;
        let postings = std::mem::take(&mut self.postings);
        self.postings = postings
            .into_iter()
            .map(|(name, values)| {
                let values = values
                    .into_iter()
                    .map(|(value, list)| (Symbol(renamed[value.0 as usize]), list));
                (Symbol(renamed[name.0 as usize]), values.collect())
            })
            .collect();
        let mut by_labels = HashTable::with_capacity(self.live);
        for (slot, start) in self.runs.iter() {
            let hash = hash_run(&self.state, run_at(&self.arena, start as usize));
            by_labels.insert_unique(hash, slot, |&s| {
                let start = self.runs.start(s).unwrap_or_default();
                hash_run(&self.state, run_at(&self.arena, start))
            });
        }
        self.by_labels = by_labels;
        true
    }

    /// Copies the labels of the series in `slots`, to be put into order without the index.
    pub fn copy_labels(&self, slots: Vec<u32>) -> CopiedLabels {
        let (mut runs, mut ends) = (Vec::new(), Vec::with_capacity(slots.len()));
        let mut is_used = vec![false; self.symbols.len()];
        for &slot in &slots {
            runs.extend_from_slice(self.run(slot).unwrap_or_default());
            ends.push(runs.len());
        }
        runs.iter()
            .for_each(|&symbol| is_used[symbol as usize] = true);
        let mut text = String::new();
        let used = (0u32..).zip(&is_used).filter(|(_, used)| **used);
        let symbols = used.map(|(symbol, _)| {
            let start = text.len();
            text.push_str(self.symbols.text(Symbol(symbol)));
            (start..text.len(), symbol)
        });
        let symbols = symbols.collect();
        CopiedLabels {
            slots,
            runs,
            ends,
            text,
            symbols,
            symbol_count: is_used.len(),
        }
    }

    /// Returns how many series there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Returns whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Returns the symbol table.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Returns the label pairs of a series, ascending by name; `None` when it was dropped.
    pub fn pairs(&self, slot: u32) -> Option<impl ExactSizeIterator<Item = (&str, &str)> + Clone> {
        Some(self.texts(self.run(slot)?))
    }

    /// Returns the labels of a series; no labels when it was dropped.
    pub fn labels(&self, slot: u32) -> Labels {
        self.pairs(slot)
            .map(Labels::from_sorted)
            .unwrap_or_default()
    }

    /// Appends the labels of each of `slots` to `out`, of those that were dropped none, of the others those that `kept`
    /// has; equal sets are one, unless all labels are wanted or hardly any are equal.
    pub fn label_sets(&self, slots: &[u32], kept: &Kept, out: &mut Vec<Labels>) {
        /// So many different sets are kept in any case.
        const LOOKED_FOR_MIN: usize = 64;

        let (names, wanted) = match kept {
            Kept::All => {
                out.extend(slots.iter().map(|&slot| self.labels(slot)));
                return;
            }
            Kept::Only(names) => (names, true),
            Kept::AllBut(names) => (names, false),
        };
        let names = names.iter().filter_map(|name| self.symbols.find(name));
        let names: SmallVec<[u32; 8]> = names.map(|name| name.0).collect();
        let mut known: HashMap<SmallVec<[u32; 8]>, Labels, RandomState> = HashMap::default();
        let mut found = 0;
        let mut key: SmallVec<[u32; 8]> = SmallVec::new();
        for &slot in slots {
            key.clear();
            for pair in self.run(slot).unwrap_or_default().chunks_exact(2) {
                if names.contains(&pair[0]) == wanted {
                    key.extend_from_slice(pair);
                }
            }
            // Where each set is another one, looking for it and keeping it would be most of the work.
            let is_worth_it = known.len() < LOOKED_FOR_MIN + 2 * found;
            if is_worth_it && let Some(labels) = known.get(&key) {
                found += 1;
                out.push(labels.clone());
                continue;
            }
            let labels = Labels::from_sorted(self.texts(&key));
            if is_worth_it {
                known.insert(key.clone(), labels.clone());
            }
            out.push(labels);
        }
    }

    /// The texts of a run of symbol pairs.
    fn texts(&self, run: &[u32]) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let text = |symbol| self.symbols.text(Symbol(symbol));
        run.chunks_exact(2)
            .map(move |pair| (text(pair[0]), text(pair[1])))
    }

    /// Returns the names of all labels, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.postings.keys().map(|&name| self.symbols.text(name))
    }

    /// Returns the values of a label with the slots that have them, in no order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, &[u32])> {
        let values = self
            .symbols
            .find(name)
            .and_then(|name| self.postings.get(&name));
        values
            .into_iter()
            .flatten()
            .map(|(&value, slots)| (self.symbols.text(value), &slots[..]))
    }

    /// Returns all label names with their values' postings, in no order.
    pub fn all_values(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, &[u32])>)> {
        self.postings.iter().map(|(&name, values)| {
            let values = values
                .iter()
                .map(|(&value, slots)| (self.symbols.text(value), &slots[..]));
            (self.symbols.text(name), values)
        })
    }

    /// Returns the slots of the series that pass every matcher, ascending.
    ///
    /// Matchers that name their values come first and narrow the rest; one that accepts the empty string is turned
    /// round, since series without the label pass it too.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<u32> {
        let (subtracting, mut narrowing): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.matches_empty());
        narrowing.sort_by_key(|matcher| self.cost(matcher));
        let mut selected: Option<Cow<'_, [u32]>> = None;
        for matcher in narrowing {
            selected = Some(match selected {
                None => self.with_value(matcher, true),
                Some(slots) if slots.is_empty() => return Vec::new(),
                Some(slots) if self.prefers_check(matcher, slots.len()) => {
                    self.check_each(slots.into_owned(), matcher).into()
                }
                Some(slots) => intersect(&slots, &self.with_value(matcher, true)).into(),
            });
        }
        let mut selected = selected.unwrap_or_else(|| self.all().into());
        for matcher in subtracting {
            selected = if self.prefers_check(matcher, selected.len()) {
                self.check_each(selected.into_owned(), matcher).into()
            } else {
                subtract(&selected, &self.with_value(matcher, false)).into()
            };
        }
        selected.into_owned()
    }

    /// Returns how many series pass those matchers that name their values, each on its own: no more pass them all.
    pub fn series_max(&self, matchers: &[Matcher]) -> usize {
        let narrowing = matchers.iter().filter(|matcher| !matcher.matches_empty());
        let counts = narrowing.map(|matcher| match self.values_of(matcher) {
            None => 0,
            Some(values) => match matcher.literal_values() {
                Some(wanted) if !matcher.is_negative() => {
                    self.listed(values, wanted).map(<[u32]>::len).sum()
                }
                _ => self.live,
            },
        });
        counts.fold(self.live, usize::min)
    }

    /// A guess of how many slots or values a matcher touches, for ordering.
    fn cost(&self, matcher: &Matcher) -> usize {
        let Some(values) = self.values_of(matcher) else {
            return 0;
        };
        match (matcher.op(), matcher.literal_values()) {
            (MatchOp::Equal | MatchOp::Regex, Some(wanted)) => {
                self.listed(values, wanted).map(<[u32]>::len).sum()
            }
            _ => 8 * values.len() + self.live,
        }
    }

    /// Whether testing each of `selected` series is cheaper than walking over all values of the matcher's label, or than
    /// putting the lists of several values together.
    fn prefers_check(&self, matcher: &Matcher, selected: usize) -> bool {
        let Some(values) = self.values_of(matcher) else {
            return false;
        };
        match matcher.literal_values() {
            // One list is looked into where it is.
            Some([_]) => false,
            Some(wanted) => selected < self.listed(values, wanted).map(<[u32]>::len).sum(),
            // Lists that are put together are longer than what is selected, too.
            None => selected < 2 * values.len(),
        }
    }

    fn check_each(&self, mut slots: Vec<u32>, matcher: &Matcher) -> Vec<u32> {
        let name = self.symbols.find(matcher.name());
        let without_label = matcher.matches_empty();
        // Neighbours often have the same value.
        let mut last: Option<(u32, bool)> = None;
        slots.retain(|&slot| {
            let mut pairs = self.run(slot).unwrap_or_default().chunks_exact(2);
            let Some(pair) = pairs.find(|pair| Some(Symbol(pair[0])) == name) else {
                return without_label;
            };
            match last {
                Some((value, passes)) if value == pair[1] => passes,
                _ => {
                    let passes = matcher.matches(self.symbols.text(Symbol(pair[1])));
                    last = Some((pair[1], passes));
                    passes
                }
            }
        });
        slots
    }

    /// Slots of series whose value of the matcher's label passes, or, without `passing`, fails. Series without the label
    /// are in neither: the matcher is one that refuses the empty string, or, without `passing`, one that accepts it.
    fn with_value<'a>(&'a self, matcher: &'a Matcher, passing: bool) -> Cow<'a, [u32]> {
        let Some(values) = self.values_of(matcher) else {
            return Cow::default();
        };
        let lists: Vec<&[u32]> = match matcher.literal_values() {
            Some(literals) if matcher.is_negative() != passing => {
                self.listed(values, literals).collect()
            }
            _ => values
                .iter()
                .filter(|(value, _)| matcher.matches(self.symbols.text(**value)) == passing)
                .map(|(_, slots)| slots.as_slice())
                .collect(),
        };
        union(&lists)
    }

    /// Returns the slots of each of the wanted values that some series has.
    fn listed<'a>(
        &'a self,
        values: &'a HashMap<Symbol, Vec<u32>, RandomState>,
        wanted: &'a [String],
    ) -> impl Iterator<Item = &'a [u32]> {
        wanted
            .iter()
            .filter_map(|value| values.get(&self.symbols.find(value)?))
            .map(Vec::as_slice)
    }

    fn values_of(&self, matcher: &Matcher) -> Option<&HashMap<Symbol, Vec<u32>, RandomState>> {
        self.symbols
            .find(matcher.name())
            .and_then(|name| self.postings.get(&name))
    }

    fn all(&self) -> Vec<u32> {
        self.runs.iter().map(|(slot, _)| slot).collect()
    }

    /// Returns a list of the slots of all series, ascending.
    pub fn slots(&self) -> Vec<u32> {
        self.all()
    }

    fn run(&self, slot: u32) -> Option<&[u32]> {
        run_of(&self.arena, &self.runs, slot)
    }

    fn hash(&self, run: &[u32]) -> u64 {
        hash_run(&self.state, run)
    }

    /// Gives back room that growing has taken and nothing has filled.
    pub fn shrink(&mut self) {
        if self.arena.len() / 8 < self.arena.capacity() - self.arena.len() {
            self.arena.shrink_to_fit();
        }
        self.symbols.shrink();
    }

    /// Returns the bytes held on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        let lists: usize = self
            .postings
            .values()
            .flat_map(HashMap::values)
            .map(|list| 36 + 4 * list.capacity())
            .sum();
        self.symbols.heap_bytes()
            + 4 * self.arena.capacity()
            + self.runs.heap_bytes()
            + 5 * self.by_labels.capacity()
            + lists
    }
}

fn run_of<'a>(arena: &'a [u32], runs: &Runs, slot: u32) -> Option<&'a [u32]> {
    runs.start(slot).map(|start| run_at(arena, start))
}

fn run_at(arena: &[u32], start: usize) -> &[u32] {
    let pairs = arena[start] as usize;
    &arena[start + 1..start + 1 + 2 * pairs]
}

fn hash_run(state: &RandomState, run: &[u32]) -> u64 {
    let mut hasher = state.build_hasher();
    for &symbol in run {
        hasher.write_u32(symbol);
    }
    hasher.finish()
}

/// The arena is the largest piece of the index: it grows by an eighth and not to the double.
fn make_room(arena: &mut Vec<u32>, more: usize) {
    if arena.capacity() - arena.len() < more {
        arena.reserve_exact(more.max(arena.len() / 8));
    }
}

/// There is a list for every label value: most are short, so they grow by half and not to the double.
fn push_grown_by_half(list: &mut Vec<u32>, slot: u32) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
    list.push(slot);
}

#[cfg(test)]
mod tests;
