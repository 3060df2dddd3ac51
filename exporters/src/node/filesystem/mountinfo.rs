//! The list of mounts: `/proc/<pid>/mountinfo`.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
//!       device     mount point                         type source   options of the file system
//! ```

use super::super::error::{CollectError, number};

/// One mounted file system.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mount {
    /// As the kernel writes it, escapes and all.
    pub(super) device: String,
    pub(super) mount_point: String,
    pub(super) kind: String,
    pub(super) major: u32,
    pub(super) minor: u32,
    /// Either the mount or the whole file system.
    pub(super) read_only: bool,
}

pub(super) fn parse_mountinfo(text: &str) -> Result<Vec<Mount>, CollectError> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(parse_line)
        .collect()
}

fn parse_line(line: &str) -> Result<Mount, CollectError> {
    let malformed = || CollectError::malformed("mountinfo", "a mount", line);
    let (mount, filesystem) = line.split_once(" - ").ok_or_else(malformed)?;
    let mut mount = mount.split(' ').skip(2);
    let (major, minor) = mount
        .next()
        .and_then(|device| device.split_once(':'))
        .ok_or_else(malformed)?;
    let mount_point = mount.nth(1).ok_or_else(malformed)?;
    let options = mount.next().ok_or_else(malformed)?;
    let mut filesystem = filesystem.split(' ');
    let kind = filesystem.next().ok_or_else(malformed)?;
    let device = filesystem.next().ok_or_else(malformed)?;
    let filesystem_options = filesystem.next().unwrap_or_default();
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Ok(Mount {
        device: device.to_owned(),
        mount_point: unescape(mount_point),
        kind: kind.to_owned(),
        major: number("mountinfo", major)?,
        minor: number("mountinfo", minor)?,
        read_only: is_read_only(options) || is_read_only(filesystem_options),
    })
}

/// Decodes the escapes of space, tab, line feed and backslash: a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = behind
            .get(..3)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        match code
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
            .filter(u8::is_ascii)
        {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &behind[3..];
            }
            None => {
                plain.push('\\');
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: (&str, &str, &str, u32, u32, bool)) {
        let mount = &parse_mountinfo(line).unwrap()[0];
        let found = (
            &*mount.device,
            &*mount.mount_point,
            &*mount.kind,
            mount.major,
            mount.minor,
            mount.read_only,
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn with_and_without_optional_fields() {
        check(
            "29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/dm-2 rw",
            ("/dev/dm-2", "/", "ext4", 259, 2, false),
        );
        check(
            "1 67 253:0 /a /b rw - xfs /dev/sda rw,noquota\n\n",
            ("/dev/sda", "/b", "xfs", 253, 0, false),
        );
        check(
            "1 67 0:5 / /n rw - tmpfs  rw",
            ("", "/n", "tmpfs", 0, 5, false),
        );
    }

    #[test]
    fn read_only_on_either_side() {
        check(
            "1 2 8:0 / /a ro,nosuid - ext4 d rw",
            ("d", "/a", "ext4", 8, 0, true),
        );
        check(
            "1 2 8:0 / /a rw,nosuid - ext4 d errors=remount-ro,ro",
            ("d", "/a", "ext4", 8, 0, true),
        );
        check(
            "1 2 8:0 / /a rw - ext4 d errors=remount-ro",
            ("d", "/a", "ext4", 8, 0, false),
        );
    }

    #[test]
    fn escapes() {
        let line = r"1 2 8:0 / /a\040b\011c\134d\e\0 rw - ext4 d\040d rw";
        check(line, (r"d\040d", "/a b\tc\\d\\e\\0", "ext4", 8, 0, false));
        assert_eq!(unescape("\\\u{e9}x\\777\\"), "\\\u{e9}x\\777\\");
    }

    #[test]
    fn odd_lines_are_an_error() {
        for line in [
            "x",
            "1 2 8:0 / /a rw ext4 d rw",
            "1 2 8 / /a rw - ext4 d rw",
            "1 2 8:0 / - ext4 d rw",
        ] {
            assert!(parse_mountinfo(line).is_err(), "{line}");
        }
    }
}
