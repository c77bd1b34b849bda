//! What the tables say of each other. The events are the oracle: each has its epoch, and where it
//! belongs to a visit its instance, and everything else can be counted from them.
//!
//! - **Epochs** follow each other from the first on, once each. The log sequence numbers of one begin
//!   where those of the one before end; those of its events lie among them, and as many rows of each
//!   table name it as it says.
//! - **Visits**: an instance that has events was opened, once, by the first of them. It is closed once
//!   at most, with as many events as it has; and it is closed if its visit ended, or went on as
//!   another instance.

use super::reports::each_row;
use anyhow::{Context, ensure};
use parquet::record::{Row, RowAccessor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A row of `events`.
#[derive(Clone, Debug)]
struct EventRow {
    sequence: u64,
    epoch: u64,
    id: u128,
    visit: u128,
    instance: Option<u64>,
    is_made_up: bool,
    /// It ends its visit.
    is_end: bool,
    /// It came too late for any rule.
    is_late: bool,
}

/// A row of `visits`.
#[derive(Clone, Debug)]
struct VisitRow {
    epoch: u64,
    visit: u128,
    instance: u64,
    is_resumed: bool,
    /// Why it was closed; `None` where it was opened.
    closed: Option<String>,
    events: u64,
}

/// A row of `epochs`.
#[derive(Clone, Debug)]
struct EpochRow {
    epoch: u64,
    sequences: (u64, u64),
    said: Said,
}

/// A row of `deliveries`.
#[derive(Clone, Debug)]
struct DeliveryRow {
    epoch: u64,
    sequence: u64,
    /// The message, and what became of it.
    said: (String, String),
}

/// How many rows an epoch has in each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    events: u64,
    opened: u64,
    closed: u64,
    actions: u64,
    deliveries: u64,
}

/// The tables, as far as they are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    events: Vec<EventRow>,
    visits: Vec<VisitRow>,
    epochs: Vec<EpochRow>,
    /// The epochs of the rows of `actions`.
    actions: Vec<u64>,
    deliveries: Vec<DeliveryRow>,
}

/// An instance, by its events and by its rows.
#[derive(Debug, Default)]
struct Instance {
    events: u64,
    first: Option<u64>,
    is_ended: bool,
    opened: u64,
    /// The events that each row by which it was closed has.
    closed: Vec<u64>,
}

/// How many visits there were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Visits {
    pub(super) opened: u64,
    pub(super) resumed: u64,
    /// Those that were closed, by the reason.
    pub(super) closed: BTreeMap<String, u64>,
}

impl Tables {
    /// Reads them from a folder of reports.
    ///
    /// # Errors
    /// When a file cannot be read, or an id is none of the torture's.
    pub(super) fn read(reports: &Path) -> anyhow::Result<Self> {
        let mut tables = Self::default();
        let columns = [
            "log_sequence",
            "epoch",
            "event_id",
            "visit_id",
            "visit_instance",
            "made_up",
            "event_name",
            "fate",
        ];
        each_row(&reports.join("events"), &columns, |row, at| {
            let is_late = row.get_string(at[7])? == "before_horizon";
            tables.events.push(EventRow {
                sequence: count(row, at[0])?,
                epoch: count(row, at[1])?,
                id: id(row, at[2])?,
                visit: id(row, at[3])?,
                instance: count(row, at[4]).ok(),
                is_made_up: row.get_bool(at[5])?,
                is_end: row.get_string(at[6])? == "VisitEnded" && !is_late,
                is_late,
            });
            Ok(())
        })?;
        let columns =
            ["epoch", "visit_id", "visit_instance", "change", "resumed", "close_reason", "events"];
        each_row(&reports.join("visits"), &columns, |row, at| {
            let is_closed = row.get_string(at[3])? == "closed";
            let closed = is_closed.then(|| row.get_string(at[5]).cloned()).transpose()?;
            tables.visits.push(VisitRow {
                epoch: count(row, at[0])?,
                visit: id(row, at[1])?,
                instance: count(row, at[2])?,
                is_resumed: row.get_bool(at[4]).unwrap_or(false),
                closed,
                events: count(row, at[6])?,
            });
            Ok(())
        })?;
        tables.read_epochs(reports)?;
        Ok(tables)
    }

    fn read_epochs(&mut self, reports: &Path) -> anyhow::Result<()> {
        let columns = [
            "epoch",
            "log_sequence_first",
            "log_sequence_last",
            "events",
            "visits_opened",
            "visits_closed",
            "actions_asserted",
            "actions_retracted",
            "actions_suppressed",
            "actions_corrected",
            "deliveries",
        ];
        each_row(&reports.join("epochs"), &columns, |row, at| {
            let actions = at[6..10].iter().map(|at| count(row, *at));
            self.epochs.push(EpochRow {
                epoch: count(row, at[0])?,
                sequences: (count(row, at[1])?, count(row, at[2])?),
                said: Said {
                    events: count(row, at[3])?,
                    opened: count(row, at[4])?,
                    closed: count(row, at[5])?,
                    actions: actions.sum::<anyhow::Result<u64>>()?,
                    deliveries: count(row, at[10])?,
                },
            });
            Ok(())
        })?;
        each_row(&reports.join("actions"), &["epoch"], |row, at| {
            self.actions.push(count(row, at[0])?);
            Ok(())
        })?;
        let columns = ["epoch", "log_sequence", "message_id", "outcome", "attempt"];
        each_row(&reports.join("deliveries"), &columns, |row, at| {
            let outcome = row.get_string(at[3])?;
            // Each attempt of a webhook may fail once, and is delivered once whichever it was.
            let attempt = row.get_long(at[4]).ok().filter(|_| outcome == "failed");
            let attempt = attempt.map_or_else(String::new, |attempt| format!(" {attempt}"));
            self.deliveries.push(DeliveryRow {
                epoch: count(row, at[0])?,
                sequence: count(row, at[1])?,
                said: (row.get_string(at[2])?.clone(), format!("{outcome}{attempt}")),
            });
            Ok(())
        })
    }

    /// The ids of all events that came from outside, sorted.
    pub(super) fn event_ids(&self) -> Vec<u128> {
        let events = self.events.iter().filter(|event| !event.is_made_up);
        let mut ids: Vec<_> = events.map(|event| event.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids of those that came too late for any rule.
    pub(super) fn late_ids(&self) -> BTreeSet<u128> {
        self.events.iter().filter(|event| event.is_late).map(|event| event.id).collect()
    }

    /// Checks that the log's records behind `before`, events and what became of messages, stand here
    /// once each.
    ///
    /// # Errors
    /// When one does not.
    pub(super) fn check_records(&self, before: u64, last: u64) -> anyhow::Result<()> {
        let events = self.events.iter().filter(|event| !event.is_made_up);
        let mut records: Vec<_> = events.map(|event| event.sequence).collect();
        let deliveries = self.deliveries.iter().map(|row| row.sequence);
        records.extend(deliveries.filter(|sequence| *sequence > before));
        records.sort_unstable();
        let wrong = records.iter().zip(before + 1..).find(|(found, expected)| *found != expected);
        ensure!(wrong.is_none(), "log sequence number: (found, expected) {wrong:?}");
        let count = records.len() as u64;
        ensure!(before + count == last, "{count} records, and the log has {before} to {last}");
        Ok(())
    }

    /// Checks the epochs, and the rows of each.
    ///
    /// # Errors
    /// When they contradict each other.
    pub(super) fn check_epochs(&self) -> anyhow::Result<()> {
        let mut epochs: Vec<_> = self.epochs.iter().collect();
        epochs.sort_by_key(|row| row.epoch);
        let mut next = 1;
        for (row, expected) in epochs.iter().zip(1..) {
            let (first, last) = row.sequences;
            ensure!(row.epoch == expected, "epoch {} stands where {expected} should", row.epoch);
            let follows = first == next && last + 1 >= first;
            ensure!(follows, "epoch {expected} has {first} to {last}, behind {}", next - 1);
            next = last + 1;
        }
        let mut found: Vec<_> = epochs.iter().map(|row| (row.sequences, Said::default())).collect();
        for event in &self.events {
            let ((first, last), said) = of(&mut found, event.epoch)?;
            said.events += 1;
            let is_within = (*first..=*last).contains(&event.sequence);
            ensure!(is_within, "{event:?}, of {first} to {last}");
        }
        for visit in &self.visits {
            let (_, said) = of(&mut found, visit.epoch)?;
            if visit.closed.is_some() { said.closed += 1 } else { said.opened += 1 }
        }
        for epoch in &self.actions {
            of(&mut found, *epoch)?.1.actions += 1;
        }
        let mut said = BTreeSet::new();
        for row in &self.deliveries {
            let ((first, last), epoch) = of(&mut found, row.epoch)?;
            epoch.deliveries += 1;
            let is_within = (*first..=*last).contains(&row.sequence);
            ensure!(is_within, "{row:?}, of {first} to {last}");
            ensure!(said.insert(&row.said), "said twice: {row:?}");
        }
        let wrong = epochs.iter().zip(&found).find(|(row, (_, said))| row.said != *said);
        ensure!(wrong.is_none(), "(an epoch, and what is found of it) {wrong:?}");
        Ok(())
    }

    /// Checks the visits, and counts them.
    ///
    /// # Errors
    /// When one contradicts the events.
    pub(super) fn check_visits(&self) -> anyhow::Result<Visits> {
        let mut instances = BTreeMap::<(u128, u64), Instance>::new();
        for event in &self.events {
            let Some(number) = event.instance else { continue };
            let instance = instances.entry((event.visit, number)).or_default();
            instance.events += u64::from(!event.is_made_up);
            instance.is_ended |= event.is_end;
            let first = instance.first.get_or_insert(event.sequence);
            *first = event.sequence.min(*first);
        }
        let mut visits = Visits::default();
        for row in &self.visits {
            let instance = instances.get_mut(&(row.visit, row.instance));
            let instance = instance.with_context(|| format!("without any event: {row:?}"))?;
            if let Some(reason) = &row.closed {
                instance.closed.push(row.events);
                *visits.closed.entry(reason.clone()).or_default() += 1;
            } else {
                instance.opened += 1;
                visits.opened += 1;
                visits.resumed += u64::from(row.is_resumed);
            }
        }
        let mut later = instances.keys().skip(1);
        for ((visit, number), instance) in &instances {
            let goes_on = later.next().is_some_and(|(later, _)| later == visit);
            let is_closed_right = match &instance.closed[..] {
                [] => !goes_on && !instance.is_ended,
                [events] => *events == instance.events,
                _ => false,
            };
            let is_opened_right = instance.first == Some(*number) && instance.opened == 1;
            ensure!(
                is_closed_right && is_opened_right,
                "visit {visit:X}, instance {number}, another behind it: {goes_on}; {instance:?}"
            );
        }
        Ok(visits)
    }
}

/// What is found of an epoch, one of those that follow each other from the first on.
fn of<T>(found: &mut [T], epoch: u64) -> anyhow::Result<&mut T> {
    let place = usize::try_from(epoch)?.checked_sub(1);
    let found = place.and_then(|at| found.get_mut(at));
    found.with_context(|| format!("a row of epoch {epoch}, which is not there"))
}

fn count(row: &Row, at: usize) -> anyhow::Result<u64> {
    Ok(u64::try_from(row.get_long(at)?)?)
}

fn id(row: &Row, at: usize) -> anyhow::Result<u128> {
    id_of(row.get_string(at)?)
}

/// An id by its hex digits.
///
/// # Errors
/// When it is none of the torture's.
pub(super) fn id_of(hex: &str) -> anyhow::Result<u128> {
    Ok(u128::from_str_radix(hex, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, epoch: u64, instance: u64) -> EventRow {
        let (id, visit) = (sequence.into(), 7);
        let instance = Some(instance);
        let (is_made_up, is_end, is_late) = (false, false, false);
        EventRow { sequence, epoch, id, visit, instance, is_made_up, is_end, is_late }
    }

    fn visit(epoch: u64, instance: u64, closed: Option<(&str, u64)>) -> VisitRow {
        let (reason, events) = closed.unzip();
        VisitRow {
            epoch,
            visit: 7,
            instance,
            is_resumed: instance > 1 && closed.is_none(),
            closed: reason.map(str::to_owned),
            events: events.unwrap_or(1),
        }
    }

    fn epoch(epoch: u64, sequences: (u64, u64), said: [u64; 5]) -> EpochRow {
        let [events, opened, closed, actions, deliveries] = said;
        EpochRow { epoch, sequences, said: Said { events, opened, closed, actions, deliveries } }
    }

    fn delivery(epoch: u64, sequence: u64, outcome: &str) -> DeliveryRow {
        DeliveryRow { epoch, sequence, said: ("AB".to_owned(), outcome.to_owned()) }
    }

    /// A visit of three events that ends, an epoch without any, and the visit's second instance, of
    /// two events, behind a record of a message.
    fn tables() -> Tables {
        let made_up = EventRow { is_made_up: true, id: 100, ..event(1, 1, 1) };
        let end = EventRow { is_end: true, ..event(3, 2, 1) };
        let events =
            vec![made_up, event(1, 1, 1), event(2, 1, 1), end, event(5, 4, 5), event(6, 4, 5)];
        Tables {
            events,
            visits: vec![
                visit(1, 1, None),
                visit(2, 1, Some(("ended", 3))),
                visit(4, 5, None),
                visit(5, 5, Some(("inactive", 2))),
            ],
            epochs: vec![
                epoch(1, (1, 2), [3, 1, 0, 1, 0]),
                epoch(2, (3, 3), [1, 0, 1, 0, 0]),
                epoch(3, (4, 3), [0, 0, 0, 0, 0]),
                epoch(4, (4, 6), [2, 1, 0, 2, 1]),
                epoch(5, (7, 6), [0, 0, 1, 0, 0]),
            ],
            actions: vec![4, 1, 4],
            deliveries: vec![delivery(4, 4, "delivered")],
        }
    }

    fn check(tables: &Tables) -> anyhow::Result<Visits> {
        tables.check_epochs()?;
        tables.check_visits()
    }

    #[test]
    fn tables_that_agree_are_taken_in_any_order() {
        let mut tables = tables();
        tables.events.reverse();
        tables.visits.reverse();
        tables.epochs.reverse();
        let closed = [("ended".to_owned(), 1), ("inactive".to_owned(), 1)].into();
        assert_eq!(check(&tables).expect("right"), Visits { opened: 2, resumed: 1, closed });
        assert_eq!(tables.event_ids(), [1, 2, 3, 5, 6]);
    }

    /// Whatever is taken away, doubled or changed is found.
    #[test]
    fn a_row_too_many_or_too_few_is_found() {
        let find = |what: &str, change: &dyn Fn(&mut Tables)| {
            let mut tables = tables();
            change(&mut tables);
            assert!(check(&tables).is_err(), "{what} is not found");
        };
        for at in 0..6 {
            find("an event gone", &|it| {
                it.events.remove(at);
            });
            find("an event twice", &|it| it.events.push(it.events[at].clone()));
            find("an event of another epoch", &|it| it.events[at].epoch = 5);
            find("an event of another instance", &|it| it.events[at].instance = Some(2));
            find("an event elsewhere", &|it| it.events[at].sequence += 10);
        }
        for at in 0..4 {
            find("a visit's row gone", &|it| {
                it.visits.remove(at);
            });
            find("a visit's row twice", &|it| it.visits.push(it.visits[at].clone()));
            find("another instance", &|it| it.visits[at].instance = 3);
        }
        // What is made up is not counted.
        for at in 1..6 {
            find("an event without an instance", &|it| it.events[at].instance = None);
        }
        for at in [1, 3] {
            find("another count", &|it| it.visits[at].events += 1);
        }
        for at in 0..5 {
            find("an epoch gone", &|it| {
                it.epochs.remove(at);
            });
            find("an epoch twice", &|it| it.epochs.push(it.epochs[at].clone()));
            find("a gap", &|it| it.epochs[at].sequences.0 += 1);
            find("an overlap", &|it| it.epochs[at].sequences.1 -= 1);
        }
        find("a delivery gone", &|it| it.deliveries.clear());
        find("a delivery elsewhere", &|it| it.deliveries[0].sequence = 3);
        find("the same of a message twice", &|it| {
            it.deliveries.push(delivery(4, 5, "delivered"));
            it.epochs[3].said.deliveries += 1;
        });
        for at in 0..3 {
            find("an action gone", &|it| {
                it.actions.remove(at);
            });
            find("an action twice", &|it| it.actions.push(it.actions[at]));
        }
    }

    /// Where the counts of the epochs are as wrong as the rows: what the visits themselves say.
    #[test]
    fn a_visit_that_must_be_closed_once_is_held_to_it() {
        let find = |what: &str, change: &dyn Fn(&mut Tables)| {
            let mut tables = tables();
            change(&mut tables);
            assert!(tables.check_visits().is_err(), "{what} is not found");
        };
        find("closed twice", &|it| it.visits.push(it.visits[1].clone()));
        find("opened twice", &|it| it.visits.push(it.visits[2].clone()));
        find("not opened", &|it| {
            it.visits.remove(0);
        });
        find("not closed, though another follows", &|it| {
            it.events[3].is_end = false;
            it.visits.remove(1);
        });
        find("not closed, though it ended", &|it| {
            it.events[5].is_end = true;
            it.visits.remove(3);
        });
        let mut tables = tables();
        tables.visits.remove(3);
        tables.check_visits().expect("it is open");
    }
}
