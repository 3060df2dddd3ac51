//! A file system of a few MiB, to be filled up and emptied again.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What takes the room of a full disk.
const BALLAST: &str = "ballast";

/// A file system in memory, mounted until its handle goes.
pub(crate) struct SmallDisk {
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Mounts `kib` KiB at `dir`, which is made; if this process may not mount, says that `test` is skipped.
    #[track_caller]
    pub(crate) fn mount_or_skip(test: &str, dir: &Path, kib: usize) -> Option<Self> {
        std::fs::create_dir(dir).expect("the test's own directory");
        let size = format!("size={kib}k");
        let mut mount = Command::new("mount");
        let output = mount
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir)
            .output();
        let reason = match output {
            Ok(output) if output.status.success() => {
                return Some(SmallDisk {
                    mounted_at: dir.to_owned(),
                });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let reason =
            format!("SKIPPED: {test}: a small disk cannot be mounted: {reason}; run it as root");
        let required = std::env::var("HEARTH_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "{reason}");
        // Past the test runner's capture, which would show it to nobody as the test passes.
        let _ = writeln!(io::stderr(), "{reason}");
        None
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.mounted_at.join(BALLAST))
            .expect("there is room for a file");
        let mut piece = &[0; 64 << 10][..];
        while !piece.is_empty() {
            match ballast.write(piece) {
                Ok(0) | Err(_) => piece = &piece[..piece.len() / 2],
                Ok(_) => {}
            }
        }
    }

    /// Gives back what [`fill`](SmallDisk::fill) took.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.mounted_at.join(BALLAST)).expect("the disk was full");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also when a program still has files open there.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.mounted_at)
            .status();
    }
}
