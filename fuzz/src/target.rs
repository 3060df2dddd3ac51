//! What a target is, and a run of it for where libFuzzer is not.

use super::mutation::{Numbers, mutate};

/// A target: its name, what it does with bytes, and bytes that it accepts.
pub struct Target {
    /// As the file in `fuzz_targets`.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub check: fn(&[u8]),
    /// Returns inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many bytes may be allocated at a time for each byte of input, besides 1 MiB.
    pub bytes_per_byte: usize,
}

impl Target {
    /// Checks the seeds and some thousand mutations of them, the same each time.
    ///
    /// # Panics
    ///
    /// When something is wrong; says with which input.
    pub fn check_mutations(&self) {
        let seeds = (self.seeds)();
        seeds.iter().for_each(|seed| (self.check)(seed));
        let mut numbers = Numbers::new(1);
        for round in 0..3_000 {
            let input = mutate(&seeds, &mut numbers);
            let outcome = std::panic::catch_unwind(|| (self.check)(&input));
            assert!(outcome.is_ok(), "{}, round {round}: {input:?}", self.name);
        }
    }
}
