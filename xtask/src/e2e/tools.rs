//! Fetches what the end-to-end tests need, from package registries, and says what it did.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or fails; what it printed is part of the error.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{program} {}: {}\n{text}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// Sees to it that a program is there, if need be from Debian's packages.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn program(name: &str, packages: &[&str]) -> anyhow::Result<()> {
    if run("sh", &["-c", &format!("command -v {name}")]).is_ok() {
        crate::say(&format!("{name}: found"));
        return Ok(());
    }
    crate::say(&format!("{name}: installing {} with apt-get", packages.join(" ")));
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    run("apt-get", &["update"])
        .and_then(|_| run("apt-get", &install))
        .with_context(|| format!("{name} is missing; install {}", packages.join(" ")))?;
    Ok(())
}

/// A Python with these pinned packages, in a folder of its own: the `bin` of it.
///
/// # Errors
/// When Python or a package cannot be had.
pub(crate) fn python(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    program("python3", &["python3", "python3-venv"])?;
    let programs = folder.join("bin");
    let stamp = folder.join("packages.txt");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        crate::say("python packages: found");
        return Ok(programs);
    }
    crate::say(&format!("python packages: installing {}", packages.join(" ")));
    run("python3", &["-m", "venv", &folder.to_string_lossy()])?;
    let install = [&["-m", "pip", "install", "--quiet"], packages].concat();
    run(&programs.join("python").to_string_lossy(), &install)?;
    std::fs::write(stamp, wanted)?;
    Ok(programs)
}
