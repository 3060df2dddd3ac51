//! Files that are read as a whole.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Reads a text file of at most `bytes_max` bytes.
///
/// # Errors
///
/// What the system says, or that the file is larger; whoever asked names it.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    // A pipe tells no size, and a file may grow: what is read counts.
    let read = file
        .take(bytes_max.saturating_add(1))
        .read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if bytes_max < text.len() as u64 {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::read_bounded;

    #[test]
    fn the_bound_is_inclusive() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read_bounded(&file, 4).unwrap(), "four");
        assert_eq!(
            read_bounded(&file, 3).unwrap_err(),
            "it is larger than 3 bytes"
        );
        let missing = read_bounded(&dir.path().join("g"), 4).unwrap_err();
        assert!(missing.contains("No such file"), "{missing}");
        std::fs::write(&file, [0xff]).unwrap();
        assert!(read_bounded(&file, 4).unwrap_err().contains("UTF-8"));
    }
}
