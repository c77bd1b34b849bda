//! What became of every message stands in the log, whatever was killed meanwhile.
//!
//! A rule of the folder sends one to each visit that looks at prices. Nobody listens, so each expires, by
//! the server that runs then: the one that asserted it, or one that read the outbox again. To those of
//! [`pages`] somebody listens.

use super::carts::PACKAGE;
use super::pages;
use super::reports::each_row;
use anyhow::{Context, ensure};
use parquet::record::RowAccessor;
use std::collections::BTreeMap;
use std::path::Path;

/// The rule that sends messages.
const RULE: &str = "prices-seen";
/// How long they hold.
pub(super) const BOUNDS: &str = "
[notification]
notify_expires_ms = 500
remembered_ms = 1000
";
/// At the end some hold still, and of some it is not recorded yet that they do not.
const OPEN_MS_MAX: i64 = 10_000;

/// Lays the rule into the server's folder of rules.
///
/// # Errors
/// When it cannot be written.
pub(super) fn lay_rule(folder: &Path) -> anyhow::Result<()> {
    let text = format!(
        "name = \"{RULE}\"\nquery = 'PageEntered where category == \"pricing\"'\n[action]\n\
         type = \"notify\"\nchannel = \"torture\"\n"
    );
    let path = folder.join("rules").join(PACKAGE).join(format!("{RULE}.toml"));
    Ok(std::fs::write(path, text)?)
}

/// Holds the messages against what became of them. ([`super::tables`] sees to it that nothing stands
/// twice.)
///
/// # Errors
/// When of one that is over for long nothing stands there, or something of one that never was.
pub(super) fn judge(reports: &Path) -> anyhow::Result<()> {
    let mut times = BTreeMap::new();
    each_row(&reports.join("epochs"), &["epoch", "now"], |row, at| {
        times.insert(row.get_long(at[0])?, row.get_timestamp_micros(at[1])? / 1_000);
        Ok(())
    })?;
    let mut open = BTreeMap::new();
    let columns = ["action_id", "rule", "op", "epoch"];
    each_row(&reports.join("actions"), &columns, |row, at| {
        if row.get_string(at[1])? == RULE && row.get_string(at[2])? == "assert" {
            open.insert(row.get_string(at[0])?.clone(), row.get_long(at[3])?);
        }
        Ok(())
    })?;
    let (sent, of_pages) = (open.len(), pages::sent(reports)?);
    each_row(&reports.join("deliveries"), &["message_id", "outcome", "sink"], |row, at| {
        let (message, outcome) = (row.get_string(at[0])?, row.get_string(at[1])?);
        if row.get_string(at[2])? != "notification" || of_pages.contains(&message.to_uppercase()) {
            return Ok(());
        }
        ensure!(outcome == "expired", "{message}: {outcome}, and nobody listens");
        ensure!(open.remove(message).is_some(), "{message} was never sent");
        Ok(())
    })?;
    let last = times.values().max().copied().context("epochs")?;
    let is_over = |epoch: &i64| times.get(epoch).is_some_and(|now| last - now > OPEN_MS_MAX);
    let lost: Vec<_> = open.iter().filter(|(_, epoch)| is_over(epoch)).collect();
    ensure!(lost.is_empty(), "{} messages without an end, such as {:?}", lost.len(), lost[0]);
    ensure!(sent > open.len(), "the run was too weak: {sent} messages, none of which ended");
    crate::say(&format!("{sent} messages, {} of them expired, each once", sent - open.len()));
    Ok(())
}
