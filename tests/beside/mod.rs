//! Data of golden tests that lies beside the project, not in it: its licence is another.
//!
//! A test without its data tests nothing, and says so past the capture of its output. With
//! `BECKON_REQUIRE_SHARED=1` it fails instead.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file or folder beside the project; `None` where it may be missing and is.
pub(crate) fn beside(path: &str) -> Option<PathBuf> {
    let is_required = std::env::var_os("BECKON_REQUIRE_SHARED").is_some_and(|value| value == "1");
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let project = folders.find(|folder| folder.join("Cargo.lock").is_file());
    match there(project.expect("a workspace").join("../shared").join(path), is_required) {
        Ok(path) => Some(path),
        Err(missing) => {
            let thread = std::thread::current();
            let said = format!("skipped {}: {missing}\n", thread.name().unwrap_or("a test"));
            // Not `eprintln`, which is captured; one write, so that lines of tests stay whole.
            std::io::stderr().write_all(said.as_bytes()).expect("standard error");
            None
        }
    }
}

/// The path, if something is there; else what is missing.
///
/// # Panics
/// When nothing is there and it is required.
pub(crate) fn there(path: PathBuf, is_required: bool) -> Result<PathBuf, String> {
    if path.try_exists().expect("it can be looked for") {
        return Ok(path);
    }
    let missing = format!("{} is not there", path.display());
    assert!(!is_required, "{missing}, and BECKON_REQUIRE_SHARED=1");
    Err(missing)
}
