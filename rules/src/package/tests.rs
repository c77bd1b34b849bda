//! What rule files become, and what is said about wrong ones.

use super::{RuleFile, is_package_name, parse_package_file, parse_rule_file};
use crate::ast::QueryBody;
use crate::plan::{ActionKind, Emit, Fire, Window};
use crate::template::{Piece, Template};
use std::fmt::Write;

const WHOLE: &str = r#"
name        = "abandoned-cart"
description = "Looked at pricing three times, and has not checked out"
query = '''
sequence with maxspan=30m
  [ PageEntered where category == "pricing" ] with runs=3
  [ AddToCart   where data.price >= 100 ] as cart
 ![ Checkout    where data.sku == cart.data.sku ]
'''
enabled  = false
window   = "visitor"
fire     = "every"
emit     = "final"
priority = 50
schedule = "Mo-Fr 09:00-18:00"
timezone = "Europe/Paris"
cooldown = "7d"
holdout  = 0.10
state_max = 1000
backfill = "act"

[action]
type    = "invite"
channel = "chat"
expires = "2m"
data    = { greeting = "Can we help with {{ cart.data.name }}?", tries = 3 }

[[test]]
name   = "fires when 30 minutes have passed"
start  = 2026-01-05T10:00:00Z
holdout = true
events = [
  { at = "0s",  eventName = "PageEntered", category = "pricing" },
  { at = "5m",  eventName = "AddToCart", data = { sku = "A1", price = 1.5, tags = ["x"] } },
]
expect = [ { at = "30m", action = "invite" } ]
"#;

const LEAST: &str = "name = \"a\"\nquery = 'A where true'\n[action]\ntype = \"none\"\n";

fn rule(text: &str) -> RuleFile {
    let (rule, diagnostics) = parse_rule_file("rule.toml", text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    rule.expect("a rule without diagnostics")
}

/// The diagnostics as lines: code, the text that it is about, message, help.
fn check(text: &str, expected: &[(&str, &str, &str, &str)]) {
    let (_, diagnostics) = parse_rule_file("rule.toml", text);
    let found: Vec<_> = diagnostics
        .iter()
        .map(|one| {
            let about = text.get(one.range.clone()).expect("a place in the file");
            (one.code, about, &*one.message, one.help.as_deref().unwrap_or_default())
        })
        .collect();
    assert_eq!(found, expected, "{text}");
}

/// The least rule with a line more above `[action]`.
fn with(line: &str) -> String {
    LEAST.replace("[action]", &format!("{line}\n[action]"))
}

#[test]
fn every_key_is_read() {
    let rule = rule(WHOLE);
    assert_eq!(&*rule.name.node, "abandoned-cart");
    assert!(rule.description.starts_with("Looked at"));
    let QueryBody::Sequence(sequence) = &rule.query.tree.body else { panic!("no sequence") };
    assert_eq!(sequence.terms.len(), 3);
    assert!(!rule.enabled);
    assert_eq!((rule.window.node, rule.fire), (Window::Visitor, Fire::Every));
    assert_eq!(rule.emit.node, Emit::Final);
    assert_eq!(rule.priority, 50);
    assert_eq!(rule.schedule.as_ref().map(|text| &*text.node), Some("Mo-Fr 09:00-18:00"));
    assert_eq!(rule.timezone.as_ref().map(|text| &*text.node), Some("Europe/Paris"));
    assert_eq!(rule.cooldown_ms.map(|time| time.node), Some(7 * 86_400_000));
    assert_eq!(rule.holdout.map(|share| share.node), Some(0.1));
    assert_eq!(rule.state_max.map(|count| count.node), Some(1_000));
    assert_eq!(rule.backfill.map(|backfill| backfill.node), Some(super::Backfill::Act));
    assert_eq!(rule.action.kind.node, ActionKind::Invite);
    assert_eq!(rule.action.channel.as_ref().map(|text| &*text.node), Some("chat"));
    assert_eq!(rule.action.expires_ms.map(|time| time.node), Some(120_000));
}

#[test]
fn places_lead_back_into_the_file() {
    let rule = rule(WHOLE);
    let QueryBody::Sequence(sequence) = &rule.query.tree.body else { panic!("no sequence") };
    let name = sequence.terms[1].name.as_ref().expect("a name");
    assert_eq!(WHOLE.get(rule.query.range(name.span)), Some("cart"));
    assert_eq!(WHOLE.get(rule.window.span.range()), Some("\"visitor\""));
    let Some(Template::Object(entries)) = &rule.action.data else { panic!("no object") };
    let (_, Template::Text(pieces)) = &entries[0] else { panic!("no text") };
    let Piece::Field(path) = &pieces[1] else { panic!("no field") };
    assert_eq!(WHOLE.get(path.span.range()), Some("cart.data.name"));
    assert_eq!(entries[1].1, Template::Constant("3".into()));
}

#[test]
fn tests_are_read() {
    let rule = rule(WHOLE);
    let [test] = rule.tests.as_slice() else { panic!("not one test") };
    assert_eq!(&*test.name.node, "fires when 30 minutes have passed");
    assert_eq!(test.start.as_ref().map(|start| &*start.node), Some("2026-01-05T10:00:00Z"));
    assert!(test.holdout);
    assert_eq!(test.events[1].at_ms, 300_000);
    let fields = serde_json::json!({
        "eventName": "AddToCart", "data": { "sku": "A1", "price": 1.5, "tags": ["x"] }
    });
    assert_eq!(serde_json::Value::Object(test.events[1].fields.clone()), fields);
    assert_eq!((test.expect[0].at_ms, test.expect[0].action), (1_800_000, ActionKind::Invite));
}

#[test]
fn what_is_left_out_has_a_default() {
    let rule = rule(LEAST);
    assert!(rule.enabled);
    assert_eq!((rule.window.node, rule.fire), (Window::Visit, Fire::Once));
    assert_eq!(rule.emit.node, super::Emit::Early);
    assert_eq!(rule.priority, 0);
    assert!(rule.holdout.is_none() && rule.cooldown_ms.is_none() && rule.tests.is_empty());
}

#[test]
fn unknown_keys() {
    check(
        &with("prioritty = 1"),
        &[(
            "unknown-key",
            "prioritty",
            "a rule has no key `prioritty`",
            "did you mean `priority`?",
        )],
    );
    check(
        &LEAST.replace("type =", "chanel = \"chat\"\ntype ="),
        &[("unknown-key", "chanel", "[action] has no key `chanel`", "did you mean `channel`?")],
    );
}

#[test]
fn wrong_values() {
    let one = |line: &str, code, about, message, help| {
        check(&with(line), &[(code, about, message, help)]);
    };
    let found = "found a value of type";
    let message = format!("`enabled` is true or false, {found} string");
    one("enabled = \"yes\"", "wrong-type", "\"yes\"", &message, "");
    let message = format!("`holdout` is a number from 0 to 1, {found} float");
    one("holdout = 1.5", "wrong-type", "1.5", &message, "");
    let message = "`window` is one of visit, visitor, user, site, global, found \"vist\"";
    one("window = \"vist\"", "bad-value", "\"vist\"", message, "did you mean `visit`?");
    let message = "`cooldown` is a time such as \"30m\", found \"a week\"";
    let help = "a whole number and a unit: ms, s, m, h, d";
    one("cooldown = \"a week\"", "bad-value", "\"a week\"", message, help);
    let message = "the name of a rule has 1 to 100 of the characters a-z, 0-9 and `-`";
    check(&LEAST.replace("\"a\"", "\"A b\""), &[("bad-value", "\"A b\"", message, "")]);
}

#[test]
fn missing_keys_come_together() {
    check(
        "",
        &[
            ("missing-key", "", "a rule lacks the key `name`", "write name = \"my-rule\""),
            ("missing-key", "", "a rule lacks the key `query`", "write query = '''...'''"),
            (
                "missing-key",
                "",
                "a rule lacks the key `action`",
                "a rule that only records its matches has type = \"none\" under [action]",
            ),
        ],
    );
}

#[test]
fn an_endpoint_is_for_webhooks_and_a_channel_for_pages() {
    let action = |lines: &str| LEAST.replace("type = \"none\"", lines);
    let help = "the name of an endpoint of the server's configuration, not an address";
    let (rule, diagnostics) = parse_rule_file("x", &action("type = \"webhook\""));
    assert!(rule.is_some());
    assert_eq!(diagnostics[0].help.as_deref(), Some(help));
    let message = "an action of type `webhook` has no `channel`";
    let text = action("type = \"webhook\"\nendpoint = \"crm\"\nchannel = \"chat\"");
    check(&text, &[("bad-value", "\"chat\"", message, "")]);
    let message = "an action of type `webhook` has no `expires`";
    let text = action("type = \"webhook\"\nendpoint = \"crm\"\nexpires = \"2m\"");
    check(&text, &[("bad-value", "\"2m\"", message, "")]);
    let message = "an action of type `none` has no `endpoint`";
    check(&action("type = \"none\"\nendpoint = \"x\""), &[("bad-value", "\"x\"", message, "")]);
}

/// `docs/rules.md` says what each key means.
#[test]
fn the_documentation_has_every_key() {
    let page = include_str!("../../../docs/rules.md");
    let (rule, action) = page.split_once("\n`[action]`:\n").expect("two tables");
    let has = |table: &str, key: &str| table.contains(&format!("\n| `{key}` |"));
    let tables = [&"action", &"test"];
    for key in super::rule_file::KEYS.iter().filter(|key| !tables.contains(key)) {
        assert!(has(rule, key), "{key}");
    }
    for key in super::rule_file::ACTION_KEYS {
        assert!(has(action, key), "{key}");
    }
}

#[test]
fn a_message_expires_within_a_day() {
    let action =
        |time: &str| LEAST.replace("\"none\"", &format!("\"invite\"\nexpires = \"{time}\""));
    for (time, ms) in [("1s", 1_000), ("1d", 86_400_000)] {
        let rule = rule(&action(time));
        assert_eq!(rule.action.expires_ms.map(|time| time.node), Some(ms), "{time}");
    }
    let message = "`expires` is a time from 1s to 1d";
    for time in ["999ms", "25h"] {
        check(&action(time), &[("bad-value", &format!("\"{time}\""), message, "")]);
    }
}

#[test]
fn errors_in_the_query_have_their_place_in_the_file() {
    let message = "expected `where` after the name of the event, found `wher`";
    let expected = [("syntax", "wher", message, "did you mean `where`?")];
    for literal in ["'A wher x'", "\"\"\"\nA wher x\"\"\"", "\"\\u0041 wher x == \\\"y\\\"\""] {
        check(&LEAST.replace("'A where true'", literal), &expected);
    }
}

#[test]
fn errors_in_templates_have_their_place_in_the_file() {
    let text = format!("{LEAST}data = {{ x = [\"\\\"{{{{ event. }}}}\"] }}\n");
    let message = "between `{{` and `}}` stands the path of a field, nothing else";
    let help = "write `{{ event.field }}` or `{{ name.field }}`";
    check(&text, &[("template", " event. ", message, help)]);
}

#[test]
fn a_file_that_is_not_toml() {
    let (rule, diagnostics) = parse_rule_file("x", "name = \nquery = [\n");
    assert!(rule.is_none());
    assert!(!diagnostics.is_empty() && diagnostics.iter().all(|one| one.code == "toml"));
    let long = |bytes: usize| parse_rule_file("x", &" ".repeat(bytes)).1[0].code;
    assert_eq!(long(super::RULE_FILE_BYTES_MAX + 1), "too-long");
    assert_eq!(long(super::RULE_FILE_BYTES_MAX), "missing-key");
}

#[test]
fn declared_types() {
    let text =
        "domain_separation = true\n[types]\ndata.price = \"float\"\n\"data.a.b\" = \"date\"\n";
    let (package, diagnostics) = parse_package_file("package.toml", text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let package = package.expect("a package");
    assert_eq!(package.domain_separation.map(|on| on.node), Some(true));
    let mut all = String::new();
    for one in &package.types {
        write!(all, "{}={} ", one.path.node.parts.join("."), one.type_name.node).expect("text");
    }
    assert_eq!(all, "data.a.b=date data.price=float ");
}

#[test]
fn wrong_package_files() {
    let code = |text: &str| parse_package_file("package.toml", text).1[0].code;
    assert_eq!(code("tpyes = 1"), "unknown-key");
    assert_eq!(code("[types]\ncategory = \"float\""), "bad-value");
    assert_eq!(code("[types]\ndata.price = 1"), "wrong-type");
}

#[test]
fn names_of_packages() {
    for right in ["com.example", "com.example.shop-2"] {
        assert!(is_package_name(right), "{right}");
    }
    for wrong in ["shop", "com..x", "Com.example", "com.-x", "com.x_y", ""] {
        assert!(!is_package_name(wrong), "{wrong}");
    }
    assert!(!is_package_name(&format!("com.{}", "a".repeat(64))));
}
