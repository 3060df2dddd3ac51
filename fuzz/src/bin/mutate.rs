//! `mutate SECONDS [TARGET]...`: lets each target look at mutations of its seeds and counts what it allocates; inputs that
//! it has not seen a new peak for are not kept. Ends with the input when a target panics or allocates too much.
//!
//! `mutate seeds`: writes the seeds as the corpus that `cargo fuzz` starts from.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hearth_fuzz::mutation::{Numbers, mutate};
use hearth_fuzz::targets;

/// Bytes that are allocated now, and the most that were since it was set back.
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ALLOWED_BYTES: usize = 1 << 20;

fn main() {
    let mut words = std::env::args().skip(1);
    let first = words.next();
    if first.as_deref() == Some("seeds") {
        return write_seeds();
    }
    let seconds = first.and_then(|word| word.parse().ok());
    let time = Duration::from_secs(seconds.expect("the first word is a number of seconds"));
    let names: Vec<String> = words.collect();
    for target in targets() {
        if !names.is_empty() && !names.iter().any(|name| name == target.name) {
            continue;
        }
        let mut seeds = (target.seeds)();
        let original = seeds.len();
        let (started, mut rounds, mut worst) = (Instant::now(), 0_u64, 0);
        let mut numbers =
            Numbers::new(started.elapsed().as_nanos() as u64 ^ std::process::id() as u64);
        while started.elapsed() < time {
            let input = mutate(&seeds, &mut numbers);
            let before = NOW.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let outcome = std::panic::catch_unwind(|| (target.check)(&input));
            let peak = PEAK.load(Ordering::Relaxed) - before;
            assert!(outcome.is_ok(), "{}: panic at {input:?}", target.name);
            let allowed = ALLOWED_BYTES + target.bytes_per_byte * input.len();
            assert!(
                peak <= allowed,
                "{}: {peak} bytes for {input:?}",
                target.name
            );
            if worst < peak {
                worst = peak;
                if seeds.len() < original + 200 && input.len() < 200_000 {
                    seeds.push(input);
                }
            }
            rounds += 1;
        }
        println!(
            "{}: {rounds} rounds, at most {worst} bytes allocated",
            target.name
        );
    }
}

fn write_seeds() {
    for target in targets() {
        let dir = format!("{}/corpus/{}", env!("CARGO_MANIFEST_DIR"), target.name);
        std::fs::create_dir_all(&dir).expect("the crate's directory can be written to");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            let written = std::fs::write(format!("{dir}/seed{number}"), seed);
            written.expect("the crate's directory can be written to");
        }
    }
}
