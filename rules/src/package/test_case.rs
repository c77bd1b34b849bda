//! `[[test]]`: events at times of their own, and the actions that must come of them.

use super::reader::{Reader, Section};
use crate::ast::Spanned;
use crate::plan::ActionKind;
use serde_json::{Map, Value as Json};
use std::ops::Range;
use toml::de::DeTable;

/// One test of a rule.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// What it shows.
    pub name: Spanned<Box<str>>,
    /// When its clock starts, as written (RFC 3339); `None` for a Monday, 10:00.
    pub start: Option<Spanned<Box<str>>>,
    /// Whether the visitor is in the control group.
    pub holdout: bool,
    /// What happens, in the order of the file.
    pub events: Vec<TestEvent>,
    /// The actions that must come, and no others.
    pub expect: Vec<Expectation>,
}

/// One event of a test.
#[derive(Clone, Debug)]
pub struct TestEvent {
    /// Milliseconds after the start.
    pub at_ms: i64,
    /// The event as on the wire, without `at`.
    pub fields: Map<String, Json>,
    /// Where it stands.
    pub range: Range<usize>,
}

/// One action that must come.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Event time, in milliseconds after the start.
    pub at_ms: i64,
    /// Which.
    pub action: ActionKind,
    /// Where it stands.
    pub range: Range<usize>,
}

impl Reader<'_> {
    /// One `[[test]]`; `None` if it was refused.
    pub(super) fn test(&mut self, table: &DeTable<'_>, range: Range<usize>) -> Option<RuleTest> {
        let keys = ["name", "start", "holdout", "events", "expect"];
        let section = self.section(table, range, "[[test]]", &keys);
        self.require(&section, "name", "say what the test shows: name = \"...\"");
        self.require(&section, "events", "events = [ { at = \"0s\", eventName = \"...\" } ]");
        self.require(&section, "expect", "expect = [] if no action must come");
        let events = self.tables(&section, "events").into_iter();
        let events: Vec<_> =
            events.filter_map(|(table, range)| self.test_event(table, range)).collect();
        let expect = self.tables(&section, "expect").into_iter();
        let expect: Vec<_> =
            expect.filter_map(|(table, range)| self.expectation(table, range)).collect();
        Some(RuleTest {
            start: self.time(&section, "start"),
            holdout: self.boolean(&section, "holdout").is_some_and(|holdout| holdout.node),
            name: self.text(&section, "name")?,
            events,
            expect,
        })
    }

    fn at_ms(&mut self, section: &Section<'_, '_>) -> Option<i64> {
        self.require(section, "at", "when, counted from the start: at = \"0s\"");
        self.duration_ms(section, "at").map(|at| at.node)
    }

    fn test_event(&mut self, table: &DeTable<'_>, range: Range<usize>) -> Option<TestEvent> {
        let section = Section { table, range: range.clone(), title: "an event of a test" };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let fields: Map<String, Json> = entries
            .into_iter()
            .filter(|(key, _)| key.get_ref() != "at")
            .map(|(key, value)| (key.get_ref().as_ref().to_owned(), self.json(value)))
            .collect();
        Some(TestEvent { at_ms: self.at_ms(&section)?, fields, range })
    }

    fn expectation(&mut self, table: &DeTable<'_>, range: Range<usize>) -> Option<Expectation> {
        let title = "an expected action";
        let section = self.section(table, range.clone(), title, &["at", "action"]);
        self.require(&section, "action", "which: action = \"invite\"");
        let at_ms = self.at_ms(&section);
        let action = self.choice(&section, "action", super::rule_file::ACTION_KINDS)?.node;
        Some(Expectation { at_ms: at_ms?, action, range })
    }
}
