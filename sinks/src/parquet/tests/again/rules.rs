//! Rules that read every column of an event in some way, on every kind of window.

use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use std::sync::Arc;

const TYPES: &str = "[types]\ndata.price = \"float\"\ndata.rooms = \"integer\"\n\
    data.note = \"string\"\ndata.gift = \"boolean\"\ndata.at = \"date\"\n";

const EVERY: &str = "fire = \"every\"\n";
const INVITE: &str = "type = \"invite\"\nchannel = \"chat\"\n";
const NOTIFY: &str = "type = \"notify\"\nchannel = \"test\"\n";

/// Name, keys, query, action.
const RULES: &[(&str, &str, &str, &str)] = &[
    ("odd-note", EVERY, "any where data.note == \"e\u{301} \u{1f6d2}\"", NOTIFY),
    ("odd-part", EVERY, "any where data.note : \"*\u{202e}*\" and length(data.note) > 2", NOTIFY),
    (
        "pair",
        EVERY,
        "sequence by data.sku with maxspan=10m [ PageEntered where true ] with runs=2 \
         [ AddToCart where data.price >= 10 ] as cart",
        NOTIFY,
    ),
    (
        "abandoned",
        EVERY,
        "sequence with maxspan=2m [ AddToCart where true ] as cart \
         ![ Checkout where data.sku == cart.data.sku ]",
        NOTIFY,
    ),
    (
        "strict",
        EVERY,
        "sequence [ Search where true ] ![ any where true ] [ A where true ]",
        NOTIFY,
    ),
    (
        "until",
        "",
        "sequence with maxspan=10m [ PageEntered where true ] [ Search where true ] \
         until [ Checkout where true ]",
        NOTIFY,
    ),
    (
        "of-visitor",
        "fire = \"every\"\nwindow = \"visitor\"\nstate_max = 100\n",
        "sequence [ VisitStarted where true ] [ Checkout where true ]",
        NOTIFY,
    ),
    (
        "of-user",
        "fire = \"every\"\nwindow = \"user\"\nstate_max = 100\n",
        "sequence [ SignIn where true ] [ AddToCart where true ]",
        NOTIFY,
    ),
    (
        "of-site",
        "fire = \"every\"\nwindow = \"site\"\n",
        "sample with maxspan=1m [ PageEntered where category == \"pricing\" ] \
         [ Checkout where true ]",
        NOTIFY,
    ),
    (
        "of-all",
        "fire = \"every\"\nwindow = \"global\"\n",
        "sequence with maxspan=5s [ Checkout where true ] with runs=2",
        "type = \"webhook\"\nendpoint = \"crm\"\n",
    ),
    ("old", EVERY, "any where data.at < \"1970-01-01\"", NOTIFY),
    ("exact", EVERY, "any where data.big == 9007199254740993", NOTIFY),
    ("least", EVERY, "any where data.big < -9223372036854775807", NOTIFY),
    ("rooms", EVERY, "any where data.rooms / 2 == 1 and data.gift", NOTIFY),
    ("nested", EVERY, "any where data.nested.total > 10.5 and data.nested.list == null", NOTIFY),
    ("listed", EVERY, "any where data.nested.list == \"b\" or data.tiny < 0.1", NOTIFY),
    (
        "fields",
        EVERY,
        "PageEntered where url.path : \"/SHOP/*\" and url.query.q == \"a b\" and isBot == false \
         and userAgent.name == \"Firefox\" and campaign.source != null",
        NOTIFY,
    ),
    ("heads", EVERY, "any where seq == 1 and pageID != null and title != referrer", NOTIFY),
    ("other", EVERY, "any where globalVisitID == null and languageCode == \"pt-BR\"", NOTIFY),
    ("signed-in", EVERY, "any where visitScope == \"Authenticated\" and userID == \"ann\"", NOTIFY),
    (
        "final",
        "fire = \"every\"\nemit = \"final\"\n",
        "sequence with maxspan=30s [ AddToCart where true ] [ Checkout where true ]",
        NOTIFY,
    ),
    (
        "invited",
        "priority = 50\nholdout = 0.3\ncooldown = \"1h\"\n",
        "AddToCart where true",
        INVITE,
    ),
    (
        "invited-too",
        "priority = 10\nschedule = \"Mo-Fr 13:30-15:00\"\ntimezone = \"Europe/Paris\"\n",
        "sequence [ PageEntered where true ] ![ Search where true ] [ AddToCart where true ]",
        INVITE,
    ),
    ("nothing", "", "VisitStarted where true", "type = \"none\"\n"),
];

fn file((name, keys, query, action): &(&str, &str, &str, &str)) -> SourceFile {
    let data = if action.contains("none") {
        ""
    } else {
        "data = { note = \"{{ event.data.note }}\", price = \"{{ event.data.price }}\" }\n"
    };
    let text =
        format!("name = \"{name}\"\n{keys}query = '''\n{query}\n'''\n[action]\n{action}{data}");
    SourceFile { file: format!("{name}.toml"), text }
}

pub(super) fn compiled() -> Arc<RuleSet> {
    let package = PackageSources {
        name: "com.example.again".into(),
        package_file: Some(SourceFile { file: "package.toml".into(), text: TYPES.into() }),
        rules: RULES.iter().map(file).collect(),
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    Arc::new(rules.unwrap_or_else(|| panic!("{diagnostics:?}")))
}
