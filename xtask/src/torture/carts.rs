//! What must act did, once, and nothing else: each event that a rule of a single event asks for.
//!
//! The rule is of the package in the server's folder, which nobody pauses, changes or removes. What it asks
//! for is known from what the clients sent, not from the tables.

use super::reports::each_row;
use super::tables::id_of;
use anyhow::ensure;
use parquet::record::{ListAccessor, RowAccessor};
use std::path::Path;

/// The package in the server's folder.
pub(super) const PACKAGE: &str = "com.example.torture";
/// Its rule that acts at each cart from a price on.
pub(super) const RULE: &str = "every-cart";
/// The least price at which it does.
pub(super) const PRICE_MIN: u64 = 100;

/// The events at which the rule acted, sorted, by a folder of reports.
///
/// # Errors
/// When a file cannot be read, or a row of the rule is no action of a single event.
pub(super) fn acted(reports: &Path) -> anyhow::Result<Vec<u128>> {
    let mut acted = Vec::new();
    let columns = ["package", "rule", "op", "event_ids"];
    each_row(&reports.join("actions"), &columns, |row, at| {
        if row.get_string(at[0])? == PACKAGE && row.get_string(at[1])? == RULE {
            let (op, events) = (row.get_string(at[2])?, row.get_list(at[3])?);
            ensure!(op == "assert" && events.len() == 1, "{RULE}: {op} of {events:?}");
            acted.push(id_of(events.get_string(0)?)?);
        }
        Ok(())
    })?;
    acted.sort_unstable();
    Ok(acted)
}

/// Holds the events at which a rule acted against those at which it must; both are sorted.
///
/// # Errors
/// When one is missing, stands twice, or is none of them.
pub(super) fn check(acted: &[u128], must: &[u128]) -> anyhow::Result<()> {
    let without = |of: &[u128], others: &[u128]| {
        of.iter().copied().filter(|id| others.binary_search(id).is_err()).collect::<Vec<_>>()
    };
    let missing = without(must, acted);
    ensure!(missing.is_empty(), "{} did not act, such as {:X}", missing.len(), missing[0]);
    let wrong = without(acted, must);
    ensure!(wrong.is_empty(), "{} acted and must not, such as {:X}", wrong.len(), wrong[0]);
    let twice = acted.windows(2).find(|pair| pair[0] == pair[1]);
    ensure!(twice.is_none(), "acted twice: {twice:X?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_too_many_or_too_few_is_found() {
        let must = [1, 3, 5];
        check(&must, &must).expect("each once");
        for wrong in [&[][..], &[1, 3], &[1, 3, 3, 5], &[1, 3, 5, 7], &[1, 2, 5]] {
            assert!(check(wrong, &must).is_err(), "{wrong:?} is not found");
        }
    }
}
