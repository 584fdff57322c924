//! Copies of Ingresses, as files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use migrate::Copy;

use crate::commands::print_error;

/// Writes each copy into a file of its own. Nothing is written if one of the files is there already.
pub(super) fn write(directory: &Path, copies: &[Copy]) -> Result<(), String> {
    let cannot =
        |path: &Path, error: &dyn std::fmt::Display| format!("cannot write `{}`: {error}", path.display());
    fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
    for copy in copies {
        let path = directory.join(&copy.file_name);
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "`{}` is there already; nothing was written: name another directory, or remove it",
                path.display()
            ));
        }
    }
    for copy in copies {
        let path = directory.join(&copy.file_name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(copy.text.as_bytes()));
        written.map_err(|error| cannot(&path, &error))?;
    }
    print_error(format!(
        "{} labelled copies in {}",
        copies.len(),
        directory.display()
    ));
    Ok(())
}
