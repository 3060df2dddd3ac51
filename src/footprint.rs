//! Memory that only starting needed, given back: pages of the program itself.
//!
//! Much of the program runs once, when flags and configuration are read, or rarely. Its pages stay in the process' memory once
//! touched, in windows of 16, although what is in them is in the file. So every few minutes they are let go: what is still in use
//! comes back at the next touch, from the page cache and without a read.
#![expect(
    unsafe_code,
    reason = "letting pages go has no safe form; what makes it sound is said below"
)]

use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// When pages are let go the first time: starting is over by then.
const FIRST: Duration = Duration::from_secs(30);
/// How long after that again, and again.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// Lets pages of the program go that are not in use, now and then, for ever.
pub(crate) async fn keep_small() {
    let mut wait = FIRST;
    loop {
        tokio::time::sleep(wait).await;
        wait = EVERY;
        match let_go() {
            Ok(bytes) => tracing::debug!(bytes, "let pages of the program go"),
            // Where there is no such file, none of them can be told from others.
            Err(error) => return tracing::debug!(%error, "pages of the program stay"),
        }
    }
}

/// Lets go the pages of the program that are as its file has them. Returns how many bytes they are, touched or not.
fn let_go() -> io::Result<usize> {
    let maps = BufReader::new(std::fs::File::open("/proc/self/smaps")?);
    let mut total = 0;
    let here = let_go as *const () as usize;
    for pages in unchanged(maps, here)? {
        total += pages.len();
        // SAFETY: the kernel says of these pages that they are mapped from the program's file, private, not writable, and that
        // none of them was changed since: when touched again they are read from the file, the same as before. Nobody makes
        // them writable: that is for the loader, which is done when `main` begins, and for debuggers, whose changes show.
        unsafe { madvise(pages.start as *mut _, pages.len(), Advice::LinuxDontNeed)? };
    }
    Ok(total)
}

/// What is mapped in one place, of what the system says about it.
struct Mapping {
    pages: Range<usize>,
    /// Device and inode.
    file: String,
    /// Whether it is private and cannot be written.
    is_fixed: bool,
    /// Whether nothing in it differs from the file.
    is_unchanged: bool,
}

impl Mapping {
    /// Reads the line that a mapping begins with: `from-to perms offset device inode path`.
    fn begins(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let pages = address(from)?..address(to)?;
        let (perms, _offset) = (fields.next()?, fields.next()?);
        Some(Mapping {
            pages,
            file: format!("{} {}", fields.next()?, fields.next()?),
            is_fixed: perms.ends_with('p') && !perms.contains('w'),
            is_unchanged: false,
        })
    }
}

/// Returns where in memory there is what is in the file of the program, cannot be written and was not changed.
///
/// * `maps`: what `/proc/self/smaps` says: of each mapping how it [begins](Mapping::begins), and lines `Name: value kB`, of
///   which `Anonymous` is what is not as in the file. What comes after the program is not read: there may be very much of it.
/// * `here`: an address in the program.
fn unchanged(maps: impl BufRead, here: usize) -> io::Result<Vec<Range<usize>>> {
    let mut all: Vec<Mapping> = Vec::new();
    let mut program = None;
    for line in maps.lines() {
        let line = line?;
        if let Some(mapping) = Mapping::begins(&line) {
            if mapping.pages.contains(&here) {
                program = Some(mapping.file.clone());
            } else if program.as_ref().is_some_and(|file| *file != mapping.file) {
                break;
            }
            all.push(mapping);
        } else if let (Some(kib), Some(mapping)) = (line.strip_prefix("Anonymous:"), all.last_mut())
        {
            mapping.is_unchanged = kib.trim() == "0 kB";
        }
    }
    all.retain(|mapping| {
        mapping.is_fixed && mapping.is_unchanged && Some(&mapping.file) == program.as_ref()
    });
    Ok(all.into_iter().map(|mapping| mapping.pages).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As of a program whose second mapping is its text, whose third was changed by the loader, and that has a library.
    const MAPS: &str = "\
1000-3000 r--p 00000000 fe:00 77    /opt/hearth
Size:                  8 kB
Anonymous:             0 kB
3000-9000 r-xp 00002000 fe:00 77    /opt/hearth
Anonymous:             0 kB
9000-a000 r--p 00008000 fe:00 77    /opt/hearth
Anonymous:             4 kB
a000-b000 rw-p 00009000 fe:00 77    /opt/hearth
Anonymous:             0 kB
b000-c000 rw-p 00000000 00:00 0     [heap]
Anonymous:             0 kB
d000-e000 r-xp 00000000 fe:00 78    /lib/libc.so.6
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_in_the_file_goes() {
        assert_eq!(
            unchanged(MAPS.as_bytes(), 0x3abc).unwrap(),
            [0x1000..0x3000, 0x3000..0x9000]
        );
        // A debugger changes the text.
        let changed = MAPS.replacen(
            "Anonymous:             0 kB",
            "Anonymous:             4 kB",
            1,
        );
        let mut left = unchanged(changed.as_bytes(), 0x3abc).unwrap();
        assert_eq!((left.pop(), left.pop()), (Some(0x3000..0x9000), None));
        assert!(unchanged(MAPS.as_bytes(), 0xf000).unwrap().is_empty());
        assert!(unchanged(&b""[..], 0x3abc).unwrap().is_empty());
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let before: Vec<u64> = (0..1_000).map(|n| n * n).collect();
        assert!(0 < let_go().unwrap());
        assert_eq!(before.iter().sum::<u64>(), 332_833_500);
        assert!(format!("{:?}", let_go()).starts_with("Ok"));
    }
}
