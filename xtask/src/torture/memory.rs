//! Resident memory of a process, as Linux counts it.

use anyhow::Context;

/// `VmRSS` and `VmHWM` (`proc_pid_status(5)`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now_bytes: u64,
    /// The most that there was at any time, however short.
    pub(super) peak_bytes: u64,
}

impl Resident {
    /// Of a process.
    ///
    /// # Errors
    /// When there is no such process, or no Linux.
    pub(super) fn of(process: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
        };
        Ok(Self {
            now_bytes: bytes("VmRSS:").context("VmRSS")?,
            peak_bytes: bytes("VmHWM:").context("VmHWM")?,
        })
    }
}
