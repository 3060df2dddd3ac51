//! Reading small files of `/proc` and `/sys`: bounded, into one buffer, and never as anything but text.

use std::borrow::Cow;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::error::CollectError;
use super::options::NodeOptions;

/// A file may have this many bytes; `/proc/stat` of a machine with thousands of interrupts is some hundred kilobytes.
const FILE_BYTES_MAX: usize = 4 << 20;

/// What the buffer keeps between files.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

const READ_BYTES_MIN: usize = 8 << 10;

/// Where the machine's files are mounted.
pub(super) struct Paths {
    procfs: PathBuf,
    sysfs: PathBuf,
    rootfs: PathBuf,
    udev_data: PathBuf,
}

impl Paths {
    pub(super) fn new(options: &NodeOptions) -> Self {
        Self {
            procfs: options.procfs.clone(),
            sysfs: options.sysfs.clone(),
            rootfs: options.rootfs.clone(),
            udev_data: options.udev_data.clone(),
        }
    }
}

/// Reads files for the collectors of one scrape; all of them share its buffer.
pub(super) struct Files<'a> {
    paths: &'a Paths,
    buffer: Vec<u8>,
}

/// An open folder, whose files can be read by name alone.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl<'a> Files<'a> {
    pub(super) fn new(paths: &'a Paths) -> Self {
        Self {
            paths,
            buffer: Vec::new(),
        }
    }

    /// Reads a file below procfs.
    pub(super) fn proc(&mut self, file: &str) -> Result<Cow<'_, str>, CollectError> {
        self.proc_bounded(file, FILE_BYTES_MAX)
    }

    /// Reads a file below procfs that may be larger than others.
    pub(super) fn proc_bounded(
        &mut self,
        file: &str,
        bytes_max: usize,
    ) -> Result<Cow<'_, str>, CollectError> {
        let path = self.paths.procfs.join(file);
        self.read(CWD, &path, &path, bytes_max)
    }

    /// Reads a file below sysfs.
    pub(super) fn sys(&mut self, file: &str) -> Result<Cow<'_, str>, CollectError> {
        let path = self.sys_path(file);
        self.read(CWD, &path, &path, FILE_BYTES_MAX)
    }

    /// Reads a file below the root file system.
    pub(super) fn root(&mut self, file: &str) -> Result<Cow<'_, str>, CollectError> {
        let path = self.paths.rootfs.join(file);
        self.read(CWD, &path, &path, FILE_BYTES_MAX)
    }

    /// Reads a file of udev's database, such as `b8:0`.
    pub(super) fn udev(&mut self, file: &str) -> Result<Cow<'_, str>, CollectError> {
        let path = self.paths.udev_data.join(file);
        self.read(CWD, &path, &path, FILE_BYTES_MAX)
    }

    /// Opens a folder below sysfs.
    pub(super) fn sys_folder(&self, folder: &str) -> Result<Folder, CollectError> {
        let path = self.sys_path(folder);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, &path, flags, Mode::empty())
            .map_err(|errno| CollectError::read(&path, errno))?;
        Ok(Folder { fd, path })
    }

    /// Reads a file of `folder` and trims it. `None` if it cannot be read: in sysfs, attributes come and go with the
    /// kernel, the driver, the state of the device and our rights.
    pub(super) fn attribute(&mut self, folder: &Folder, name: &str) -> Option<Cow<'_, str>> {
        let path = folder.path.as_path();
        let text = self
            .read(folder.fd.as_fd(), Path::new(name), path, FILE_BYTES_MAX)
            .ok()?;
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }

    /// Reads a file of `folder` as a number.
    pub(super) fn attribute_number<T: std::str::FromStr>(
        &mut self,
        folder: &Folder,
        name: &str,
    ) -> Option<T> {
        self.attribute(folder, name)?.parse().ok()
    }

    /// Returns the names in a folder below sysfs, ascending; names that are not UTF-8 are left out.
    pub(super) fn sys_names(&self, folder: &str) -> Result<Vec<String>, CollectError> {
        let path = self.sys_path(folder);
        let entries = fs::read_dir(&path).map_err(|source| CollectError::read(&path, source))?;
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the folders `cpu0`, `cpu1`, … of sysfs with their numbers as text, ascending as text.
    pub(super) fn sys_cpus(&self) -> Vec<(String, String)> {
        let names = self.sys_names("devices/system/cpu").unwrap_or_default();
        let numbered = names.into_iter().filter_map(|name| {
            let number = name.strip_prefix("cpu")?;
            let fits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| (format!("devices/system/cpu/{name}"), number.to_owned()))
        });
        numbered.collect()
    }

    fn sys_path(&self, file: &str) -> PathBuf {
        self.paths.sysfs.join(file)
    }

    /// Reads `name`, relative to `folder`; errors name `shown`.
    fn read(
        &mut self,
        folder: impl AsFd,
        name: &Path,
        shown: &Path,
        bytes_max: usize,
    ) -> Result<Cow<'_, str>, CollectError> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        let failed = |errno: rustix::io::Errno| CollectError::read(shown, errno);
        let fd = openat(
            folder,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed)?;
        loop {
            if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
                self.buffer.reserve(READ_BYTES_MIN.max(self.buffer.len()));
            }
            match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut self.buffer)) {
                Ok(0) => return Ok(String::from_utf8_lossy(&self.buffer)),
                Ok(_) if bytes_max < self.buffer.len() => {
                    return Err(CollectError::TooLarge {
                        path: shown.to_owned(),
                        bytes_max,
                    });
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &Path) -> Paths {
        Paths {
            procfs: root.into(),
            sysfs: root.into(),
            rootfs: root.into(),
            udev_data: root.into(),
        }
    }

    #[test]
    fn reads_text_of_any_size_up_to_the_bound() {
        let root = tempfile::tempdir().unwrap();
        let long = "x".repeat(100_000);
        fs::write(root.path().join("long"), &long).unwrap();
        fs::write(root.path().join("odd"), b"a\xffb\n").unwrap();
        let paths = paths(root.path());
        let mut files = Files::new(&paths);
        assert_eq!(files.proc("long").unwrap(), long);
        assert_eq!(files.sys("odd").unwrap(), "a\u{fffd}b\n");
        assert!(matches!(
            files.proc_bounded("long", 99_999),
            Err(CollectError::TooLarge { .. })
        ));
        assert!(files.root("absent").is_err_and(|why| why.is_not_found()));
    }

    #[test]
    fn attributes_are_trimmed_and_optional() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("speed"), " 1000\n").unwrap();
        let paths = paths(root.path());
        let mut files = Files::new(&paths);
        let folder = files.sys_folder("").unwrap();
        assert_eq!(files.attribute(&folder, "speed").unwrap(), "1000");
        assert_eq!(files.attribute_number::<i64>(&folder, "speed"), Some(1_000));
        assert_eq!(files.attribute(&folder, "duplex"), None);
    }

    #[test]
    fn cpus_are_the_numbered_folders() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cpu1", "cpu0", "cpu10", "cpufreq", "cpu", "online"] {
            fs::create_dir_all(root.path().join("devices/system/cpu").join(name)).unwrap();
        }
        let paths = paths(root.path());
        let numbers: Vec<_> = Files::new(&paths)
            .sys_cpus()
            .into_iter()
            .map(|(_, number)| number)
            .collect();
        assert_eq!(numbers, ["0", "1", "10"]);
    }
}
