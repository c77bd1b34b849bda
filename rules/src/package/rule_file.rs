//! A rule file: all keys of a rule.

use super::place::TextPlace;
use super::reader::{Reader, Section};
use super::{
    ActionFile, Backfill, QueryText, RULE_FILE_BYTES_MAX, RuleFile, RuleTest, is_rule_name,
};
use crate::ast::{Span, Spanned};
use crate::diagnostic::Diagnostic;
use crate::plan::{ActionKind, Emit, Fire, Window};
use crate::syntax;
use std::ops::RangeInclusive;
use toml::de::DeTable;

/// `expires` of an action: from a second to a day.
const EXPIRES_MS: RangeInclusive<i64> = 1_000..=86_400_000;

/// `type` of an action.
pub(super) const ACTION_KINDS: &[(&str, ActionKind)] = &[
    ("invite", ActionKind::Invite),
    ("content", ActionKind::Content),
    ("notify", ActionKind::Notify),
    ("webhook", ActionKind::Webhook),
    ("none", ActionKind::None),
];

pub(super) const KEYS: &[&str] = &[
    "name",
    "description",
    "query",
    "enabled",
    "window",
    "fire",
    "emit",
    "priority",
    "schedule",
    "timezone",
    "cooldown",
    "holdout",
    "state_max",
    "backfill",
    "action",
    "test",
];

pub(super) const ACTION_KEYS: &[&str] = &["type", "channel", "expires", "endpoint", "data"];

/// Reads a rule file.
///
/// The rule is there when its name, query and action could be read, even if something else is
/// wrong, so that the query can be checked and all diagnostics come at once. It is right only if
/// there are no diagnostics.
#[must_use]
pub fn parse_rule_file(file: &str, text: &str) -> (Option<RuleFile>, Vec<Diagnostic>) {
    let mut reader = Reader::new(file, text);
    let rule = reader.document(RULE_FILE_BYTES_MAX).and_then(|table| reader.rule(&table));
    (rule, reader.diagnostics)
}

/// What stands for a value that the file leaves out.
fn default<T>(node: T) -> Spanned<T> {
    Spanned { node, span: Span::default() }
}

impl Reader<'_> {
    fn rule(&mut self, table: &DeTable<'_>) -> Option<RuleFile> {
        let section = self.section(table, 0..0, "a rule", KEYS);
        let name = self.rule_name(&section);
        let query = self.query(&section);
        let action = self.action(&section);
        let tests = self.tests(&section);
        let priority_bounds = (i64::from(i32::MIN), i64::from(i32::MAX));
        let priority = self.integer(&section, "priority", priority_bounds);
        let priority = priority.map_or(0, |priority| {
            i32::try_from(priority.node).expect("the bounds are those of the type")
        });
        let fires = [("once", Fire::Once), ("every", Fire::Every)];
        let emits = [("early", Emit::Early), ("final", Emit::Final)];
        let description = self.text(&section, "description");
        let enabled = self.boolean(&section, "enabled");
        let window = self.choice(&section, "window", Window::ALL);
        let fire = self.choice(&section, "fire", &fires);
        let emit = self.choice(&section, "emit", &emits);
        let schedule = self.text(&section, "schedule");
        let timezone = self.text(&section, "timezone");
        let cooldown_ms = self.duration_ms(&section, "cooldown");
        let holdout = self.share(&section, "holdout");
        let state_max = self.integer(&section, "state_max", (1, i64::from(u32::MAX)));
        let backfill = self.choice(&section, "backfill", &[("act", Backfill::Act)]);
        Some(RuleFile {
            file: self.file.into(),
            name: name?,
            description: description.map(|text| text.node).unwrap_or_default(),
            query: query?,
            enabled: enabled.is_none_or(|enabled| enabled.node),
            window: window.unwrap_or(default(Window::Visit)),
            fire: fire.map_or(Fire::Once, |fire| fire.node),
            emit: emit.unwrap_or(default(Emit::Early)),
            priority,
            schedule,
            timezone,
            cooldown_ms,
            holdout,
            state_max,
            backfill,
            action: action?,
            tests,
        })
    }

    fn rule_name(&mut self, section: &Section<'_, '_>) -> Option<Spanned<Box<str>>> {
        self.require(section, "name", "write name = \"my-rule\"");
        let name = self.text(section, "name")?;
        if !is_rule_name(&name.node) {
            let message = "the name of a rule has 1 to 100 of the characters a-z, 0-9 and `-`";
            let range = name.span.range();
            self.error("bad-value", range, message);
        }
        Some(name)
    }

    fn query(&mut self, section: &Section<'_, '_>) -> Option<QueryText> {
        self.require(section, "query", "write query = '''...'''");
        let text = self.text(section, "query")?;
        let whole = text.span.range();
        let place = TextPlace::new(self.text, whole, &text.node);
        match syntax::parse(&text.node) {
            Ok(tree) => Some(QueryText { tree, place }),
            Err(errors) => {
                for error in errors {
                    let range = place.range(error.span);
                    self.error_with_help("syntax", range, error.message, error.help);
                }
                None
            }
        }
    }

    fn action(&mut self, section: &Section<'_, '_>) -> Option<ActionFile> {
        let help = "a rule that only records its matches has type = \"none\" under [action]";
        self.require(section, "action", help);
        let (table, range) = self.table(section, "action")?;
        let section = self.section(table, range, "[action]", ACTION_KEYS);
        self.require(&section, "type", "one of invite, content, notify, webhook, none");
        let kind = self.choice(&section, "type", ACTION_KINDS);
        let channel = self.text(&section, "channel");
        let expires_ms = self.expires_ms(&section);
        let endpoint = self.text(&section, "endpoint");
        let data = self.table(&section, "data").is_some();
        let data = section.value("data").filter(|_| data).map(|value| self.template(value));
        let kind = kind?;
        self.check_action_keys(&section, kind.node);
        Some(ActionFile { kind, channel, expires_ms, endpoint, data })
    }

    /// How long a message holds; the hub keeps it so long, so there is a bound.
    fn expires_ms(&mut self, section: &Section<'_, '_>) -> Option<Spanned<i64>> {
        let expires_ms = self.duration_ms(section, "expires")?;
        if !EXPIRES_MS.contains(&expires_ms.node) {
            let message = "`expires` is a time from 1s to 1d".to_owned();
            self.error("bad-value", expires_ms.span.range(), message);
        }
        Some(expires_ms)
    }

    /// A webhook has an endpoint and no channel; what goes to a page has no endpoint.
    fn check_action_keys(&mut self, section: &Section<'_, '_>, kind: ActionKind) {
        let is_webhook = kind == ActionKind::Webhook;
        let is_message =
            matches!(kind, ActionKind::Invite | ActionKind::Content | ActionKind::Notify);
        for (key, is_right) in
            [("channel", is_message), ("expires", is_message), ("endpoint", is_webhook)]
        {
            if let (Some(value), false) = (section.value(key), is_right) {
                let message = format!("an action of type `{}` has no `{key}`", kind.as_str());
                self.error("bad-value", value.span(), message);
            }
        }
        if is_webhook {
            let help = "the name of an endpoint of the server's configuration, not an address";
            self.require(section, "endpoint", help);
        }
    }

    fn tests(&mut self, section: &Section<'_, '_>) -> Vec<RuleTest> {
        let tables = self.tables(section, "test").into_iter();
        tables.filter_map(|(table, range)| self.test(table, range)).collect()
    }
}
