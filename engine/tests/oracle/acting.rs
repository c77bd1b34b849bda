//! What a rule file says of when its matches act: drawn at random, as text for the engine and as
//! plain numbers for the model.

use super::rules::{keys, query, rule_file};
use proptest::prelude::*;

const DAY_MIN: i64 = 24 * 60;

/// A rule and its text.
#[derive(Clone, Debug)]
pub(crate) struct ActingRule {
    pub(crate) package: &'static str,
    pub(crate) name: String,
    pub(crate) is_once: bool,
    pub(crate) text: String,
    pub(crate) acting: Acting,
}

/// When a rule's matches act.
#[derive(Clone, Debug)]
pub(crate) struct Acting {
    pub(crate) is_enabled: bool,
    pub(crate) kind: &'static str,
    pub(crate) priority: i64,
    pub(crate) hours: Option<Hours>,
    pub(crate) cooldown_ms: Option<i64>,
    pub(crate) holdout: f64,
}

/// Opening hours on some days of the week, in minutes of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hours {
    text: &'static str,
    /// From Monday, 0.
    days: (i64, i64),
    minutes: (i64, i64),
    zone: Option<Zone>,
}

/// A time zone that does not change its clocks while a test goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone {
    pub(crate) name: &'static str,
    ahead_min: i64,
}

pub(crate) const ZONES: &[Zone] = &[
    Zone { name: "UTC", ahead_min: 0 },
    Zone { name: "Asia/Kolkata", ahead_min: 5 * 60 + 30 },
    Zone { name: "America/New_York", ahead_min: -5 * 60 },
];

/// The streams begin on a Thursday, at midnight in UTC.
const HOURS: &[Hours] = &[
    hours("Mo-Su 00:00-00:05", (0, 6), (0, 5)),
    hours("Th 00:02-20:00", (3, 3), (2, 20 * 60)),
    hours("Mo-Fr 05:30-05:40", (0, 4), (5 * 60 + 30, 5 * 60 + 40)),
    hours("We-Th 18:00-24:00", (2, 3), (18 * 60, DAY_MIN)),
];

const fn hours(text: &'static str, days: (i64, i64), minutes: (i64, i64)) -> Hours {
    Hours { text, days, minutes, zone: None }
}

impl Hours {
    /// Whether it is open, where `zone` is that of rules that name none.
    pub(crate) fn is_open(self, now_ms: i64, zone: Zone) -> bool {
        let ahead_min = self.zone.unwrap_or(zone).ahead_min;
        let local_min = now_ms.div_euclid(60_000) + ahead_min;
        // The first day of 1970 was a Thursday.
        let day = (local_min.div_euclid(DAY_MIN) + 3).rem_euclid(7);
        let minute = local_min.rem_euclid(DAY_MIN);
        (self.days.0..=self.days.1).contains(&day)
            && (self.minutes.0..self.minutes.1).contains(&minute)
    }
}

impl Acting {
    /// Without what goes by visitor.
    fn of_no_visitor(self) -> Self {
        Self { cooldown_ms: None, holdout: 0.0, ..self }
    }

    /// Its keys in the rule file, and its action.
    fn texts(&self) -> (String, String) {
        let Self { is_enabled, kind, priority, hours, cooldown_ms, holdout } = self;
        let mut keys = format!("enabled = {is_enabled}\npriority = {priority}\n");
        if let Some(Hours { text, zone, .. }) = hours {
            keys.push_str(&format!("schedule = \"{text}\"\n"));
            let zone = zone.map(|zone| format!("timezone = \"{}\"\n", zone.name));
            keys.push_str(&zone.unwrap_or_default());
        }
        if let Some(cooldown_ms) = cooldown_ms {
            keys.push_str(&format!("cooldown = \"{cooldown_ms}ms\"\n"));
        }
        if *holdout > 0.0 {
            keys.push_str(&format!("holdout = {holdout:?}\n"));
        }
        let endpoint = if *kind == "webhook" { "endpoint = \"crm\"\n" } else { "" };
        (keys, format!("type = \"{kind}\"\n{endpoint}"))
    }
}

fn acting() -> impl Strategy<Value = Acting> {
    let kind = prop_oneof![
        5 => Just("invite"),
        3 => Just("content"),
        2 => prop::sample::select(&["webhook", "notify", "none"][..]),
    ];
    let zone = prop::option::of(prop::sample::select(ZONES));
    let hours =
        (prop::sample::select(HOURS), zone).prop_map(|(hours, zone)| Hours { zone, ..hours });
    (
        prop::bool::weighted(0.95),
        kind,
        prop::sample::select(&[0_i64, 0, 5, -5, 100][..]),
        prop::option::weighted(0.2, hours),
        prop::option::weighted(0.3, prop::sample::select(&[1_000_i64, 60_000, 3_600_000][..])),
        prop_oneof![8 => Just(0.0), 1 => Just(0.5), 1 => Just(1.0)],
    )
        .prop_map(|(is_enabled, kind, priority, hours, cooldown_ms, holdout)| Acting {
            is_enabled,
            kind,
            priority,
            hours,
            cooldown_ms,
            holdout,
        })
}

/// Those that match often, too: several keys of one event make one action of several matches, and a
/// visit that ends fulfils what is missing.
fn matching() -> impl Strategy<Value = String> {
    let often = prop::sample::select(
        &[
            "any where true",
            "A where true",
            "B where data.x != null",
            "sequence by category [ any where true ] [ any where true ]",
            "sequence by category [ A where true ] [ any where true ]",
            "sequence by category [ any where true ] [ any where category != \"p\" ]",
            "sequence by category [ A where true ] [ B where true ]",
            "sequence with maxspan=1m [ A where true ] ![ D where true ]",
            "sequence with maxspan=1m [ any where true ] ![ C where true ]",
        ][..],
    );
    prop_oneof![1 => query(), 1 => often.prop_map(str::to_owned)]
}

/// Whether keys say that the events of several visitors are seen together.
fn is_shared(keys: &str) -> bool {
    ["site", "global"].iter().any(|window| keys.contains(&format!("window = \"{window}\"")))
}

/// One to six rules of two packages, in which the names are the same, on all windows.
pub(crate) fn acting_rules() -> impl Strategy<Value = Vec<ActingRule>> {
    prop::collection::vec((matching(), keys(), acting()), 1..7).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        let rule = |(index, (query, keys, acting)): (usize, (String, String, Acting))| {
            let acting = if is_shared(&keys) { acting.of_no_visitor() } else { acting };
            let (acting_keys, action) = acting.texts();
            let keys = keys + &acting_keys;
            let name = format!("rule-{}", index / 2);
            let is_once = !keys.contains("fire = \"every\"");
            let text = rule_file(&name, &query, &keys, &action);
            let package = PACKAGES[index % 2];
            ActingRule { package, name, is_once, text, acting }
        };
        numbered.map(rule).collect()
    })
}

/// The texts of rules, by package.
pub(crate) fn packaged(rules: &[ActingRule]) -> Vec<(&'static str, Vec<String>)> {
    let of = |package| {
        let of_package = rules.iter().filter(|rule| rule.package == package);
        (package, of_package.map(|rule| rule.text.clone()).collect())
    };
    PACKAGES.map(of).to_vec()
}

pub(crate) const PACKAGES: [&str; 2] = ["com.example.one", "com.example.two"];
