//! The canonical text of a rule, and its version.
//!
//! Two rules of one text behave alike: white space, comments, parentheses, the order of keys and
//! tables, ways of quoting, units of time, defaults written out, descriptions and tests make no
//! difference; whatever changes what the rule does makes one, the declared types of its fields
//! included. It does not try to see that two different conditions mean the same.
//!
//! The version stands in match ids and exports, so the format is published and changes only with
//! its first line. A setting that is not given has no line: a key that a later release adds leaves
//! old rules their versions. Lines, in this order:
//!
//! ```text
//! beckon-rule 1
//! query (sequence maxspan=1800000 [AddToCart where (>= data.price::float 100)] as cart ...)
//! enabled true
//! window visit
//! fire once
//! emit early
//! priority 50
//! schedule "Mo-Fr 09:00-18:00"
//! timezone "Europe/Paris"
//! cooldown_ms 604800000
//! holdout 0.1
//! state_max 1000
//! backfill act
//! domain_separation true
//! action invite
//! channel "chat"
//! endpoint "crm"
//! data {"greeting":"Can we help with {{cart.data.name}}?"}
//! ```

mod query;

use crate::ast::{Path, QueryBody, Spanned};
use crate::package::{Backfill, DeclaredType, PackageFile, RuleFile};
use crate::plan::{Emit, Fire, RuleVersion};
use crate::template::{Piece, Template, json_text};
use query::Writer;
use sha2::{Digest, Sha256};
use std::fmt::Write;

#[cfg(test)]
pub(crate) use query::{expression_text, query_text};

const HEAD: &str = "beckon-rule 1\n";

/// What the rules of a package share, and what is part of their text.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// The types that it declares.
    pub types: Vec<DeclaredType>,
    /// Whether it sees the events of its own hosts only.
    pub domain_separation: bool,
}

impl Shared {
    /// What a package's file says.
    #[must_use]
    pub fn of(file: PackageFile) -> Self {
        let domain_separation = file.domain_separation.is_some_and(|is_on| is_on.node);
        Self { types: file.types, domain_separation }
    }
}

/// The version of a rule: the first 128 bits of SHA-256 of [`text`], most significant first.
#[must_use]
pub fn version(rule: &RuleFile, shared: &Shared) -> RuleVersion {
    let digest = Sha256::digest(text(rule, shared));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.get(..16).expect("SHA-256 has 32 bytes"));
    RuleVersion(u128::from_be_bytes(bytes))
}

/// The canonical text of a rule.
#[must_use]
pub fn text(rule: &RuleFile, shared: &Shared) -> String {
    let mut writer = Writer::new(&shared.types, term_names(rule));
    writer.query(&rule.query.tree);
    let query = std::mem::take(&mut writer.out);
    if let Some(data) = &rule.action.data {
        template(data, &mut writer);
    }
    let fire = match rule.fire {
        Fire::Once => "once",
        Fire::Every => "every",
    };
    let emit = match rule.emit.node {
        Emit::Early => "early",
        Emit::Final => "final",
    };
    let backfill = rule.backfill.as_ref().map(|backfill| match backfill.node {
        Backfill::Act => "act".to_owned(),
    });
    let quoted = |text: &Option<Spanned<Box<str>>>| text.as_ref().map(|text| json_text(&text.node));
    let lines = [
        ("query", Some(query)),
        ("enabled", Some(rule.enabled.to_string())),
        ("window", Some(rule.window.node.as_str().to_owned())),
        ("fire", Some(fire.to_owned())),
        ("emit", Some(emit.to_owned())),
        ("priority", Some(rule.priority.to_string())),
        ("schedule", quoted(&rule.schedule)),
        ("timezone", quoted(&rule.timezone)),
        ("cooldown_ms", rule.cooldown_ms.as_ref().map(|time| time.node.to_string())),
        ("holdout", rule.holdout.as_ref().map(|share| share.node.to_string())),
        ("state_max", rule.state_max.as_ref().map(|count| count.node.to_string())),
        ("backfill", backfill),
        ("domain_separation", shared.domain_separation.then(|| true.to_string())),
        ("action", Some(rule.action.kind.node.as_str().to_owned())),
        ("channel", quoted(&rule.action.channel)),
        ("expires_ms", rule.action.expires_ms.as_ref().map(|time| time.node.to_string())),
        ("endpoint", quoted(&rule.action.endpoint)),
        ("data", rule.action.data.is_some().then_some(writer.out)),
    ];
    let mut out = HEAD.to_owned();
    for (key, value) in lines {
        if let Some(value) = value {
            writeln!(out, "{key} {value}").expect("text takes text");
        }
    }
    out
}

/// The names that terms have.
fn term_names(rule: &RuleFile) -> Vec<&str> {
    match &rule.query.tree.body {
        QueryBody::Event(_) => Vec::new(),
        QueryBody::Sequence(sequence) | QueryBody::Sample(sequence) => {
            let names = sequence.terms.iter().filter_map(|term| term.name.as_ref());
            names.map(|name| &*name.node).collect()
        }
    }
}

/// A template as JSON, names of objects in order, `{{path}}` without white space.
fn template(data: &Template<Spanned<Path>>, writer: &mut Writer<'_>) {
    match data {
        Template::Constant(json) => writer.out.push_str(json),
        Template::Text(pieces) => text_template(pieces, writer),
        Template::List(items) => {
            writer.out.push('[');
            for (index, item) in items.iter().enumerate() {
                writer.out.push_str(if index > 0 { "," } else { "" });
                template(item, writer);
            }
            writer.out.push(']');
        }
        Template::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            writer.out.push('{');
            for (index, (name, value)) in entries.into_iter().enumerate() {
                writer.out.push_str(if index > 0 { "," } else { "" });
                writer.out.push_str(&json_text(name));
                writer.out.push(':');
                template(value, writer);
            }
            writer.out.push('}');
        }
    }
}

fn text_template(pieces: &[Piece<Spanned<Path>>], writer: &mut Writer<'_>) {
    let before = std::mem::take(&mut writer.out);
    for piece in pieces {
        match piece {
            Piece::Text(text) => writer.out.push_str(text),
            Piece::Field(path) => {
                writer.out.push_str("{{");
                writer.path(&path.node);
                writer.out.push_str("}}");
            }
        }
    }
    let text = std::mem::replace(&mut writer.out, before);
    writer.out.push_str(&json_text(&text));
}

#[cfg(test)]
mod tests {
    use super::{Shared, text, version};
    use crate::package::{parse_package_file, parse_rule_file};

    const RULE: &str = r#"
name = "abandoned-cart"
query = '''
sequence with maxspan=30m
  [ AddToCart where data.price >= 100 and (a or b) ] as cart
  [ Checkout  where data.sku == cart.data.sku ] with runs=2
'''
priority = 50
[action]
type = "invite"
channel = "chat"
data = { z = 1, greeting = "Can we help with {{ cart.data.name }}?" }
"#;

    const TYPES: &str = "[types]\ndata.sku = \"string\"\ndata.other = \"float\"\n";

    fn canonical(rule: &str, types: &str) -> String {
        let (rule, diagnostics) = parse_rule_file("rule.toml", rule);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let (package, diagnostics) = parse_package_file("package.toml", types);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        text(&rule.expect("a rule"), &Shared::of(package.expect("a package")))
    }

    /// A change of the rule that is none for its version, or is one.
    fn check(from: &str, to: &str, is_same: bool) {
        let changed = RULE.replace(from, to);
        assert_ne!(RULE, changed, "the rule holds {from}");
        assert_eq!(canonical(RULE, TYPES) == canonical(&changed, TYPES), is_same, "{to}");
    }

    /// The format is published: match ids of deployed rules hang on it.
    #[test]
    fn the_text_and_the_version_stay() {
        let expected = r#"beckon-rule 1
query sequence maxspan=1800000 [AddToCart where (and (>= data.price 100) (or a b))] as cart [Checkout where (== data.sku::string cart.data.sku::string)] runs=2
enabled true
window visit
fire once
emit early
priority 50
action invite
channel "chat"
data {"greeting":"Can we help with {{cart.data.name}}?","z":1}
"#;
        assert_eq!(canonical(RULE, TYPES), expected);
        let rule = parse_rule_file("x", RULE).0.expect("a rule");
        let shared = Shared::of(parse_package_file("y", TYPES).0.expect("a package"));
        assert_eq!(
            format!("{:032X}", version(&rule, &shared).0),
            "F363F352763AC3F2CFC358B6EC472BEE"
        );
    }

    #[test]
    fn what_does_not_change_the_rule() {
        check("sequence with", "sequence  // why\n with", true);
        check("30m", "1800s", true);
        check("data.price >= 100 and (a or b)", "((data.price >= (100)) and (a or b))", true);
        check("priority = 50", "priority = 0x32\nwindow = \"visit\"\nenabled = true", true);
        check("priority = 50", "priority = 50\ndescription = \"new\"", true);
        check("{{ cart.data.name }}", "{{cart . data.name}}", true);
        let reordered = RULE.replace("z = 1, ", "").replace("?\" }", "?\", z = 1 }");
        assert_eq!(canonical(RULE, TYPES), canonical(&reordered, TYPES));
        let more = format!("{TYPES}data.third = \"date\"\n");
        assert_eq!(canonical(RULE, TYPES), canonical(RULE, &more));
    }

    #[test]
    fn what_changes_the_rule() {
        for (from, to) in [
            ("30m", "31m"),
            ("[ AddToCart", "![ Search where true ] [ AddToCart"),
            ("data.price >=", "data.price >"),
            ("100", "100.0"),
            ("(a or b)", "a or b"),
            ("(a ", "(?a "),
            ("(a ", "(true "),
            ("(a ", "(`true` "),
            ("z = 1, ", ""),
            ("as cart", "by k as cart"),
            ("runs=2", "runs=3"),
            ("priority = 50", "priority = 51"),
            ("priority = 50", "priority = 50\nenabled = false"),
            ("priority = 50", "priority = 50\nfire = \"every\""),
            ("priority = 50", "priority = 50\nemit = \"final\""),
            ("priority = 50", "priority = 50\nwindow = \"user\""),
            ("priority = 50", "priority = 50\ncooldown = \"1d\""),
            ("priority = 50", "priority = 50\nholdout = 0.5"),
            ("priority = 50", "priority = 50\nbackfill = \"act\""),
            ("priority = 50", "priority = 50\nstate_max = 5"),
            ("channel =", "expires = \"2m\"\nchannel ="),
            ("priority = 50", "priority = 50\nschedule = \"24/7\""),
            ("priority = 50", "priority = 50\ntimezone = \"Europe/Paris\""),
            ("invite", "notify"),
            ("\"chat\"", "\"chat2\""),
            ("help with", "help you with"),
        ] {
            check(from, to, false);
        }
        let quoted = |name| canonical(&RULE.replace("(a ", name), TYPES);
        assert_ne!(quoted("(true "), quoted("(`true` "));
        let retyped = TYPES.replace("string", "integer");
        assert_ne!(canonical(RULE, TYPES), canonical(RULE, &retyped));
        let separated = format!("domain_separation = true\n{TYPES}");
        assert_ne!(canonical(RULE, TYPES), canonical(RULE, &separated));
        let not_separated = format!("domain_separation = false\n{TYPES}");
        assert_eq!(canonical(RULE, TYPES), canonical(RULE, &not_separated));
    }
}
