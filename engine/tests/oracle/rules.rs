//! Random rules, as text: what the parser and the checker make of it is tested as well. They use the
//! whole language of time and windows; those that this version does not run are left out when they
//! are compiled, so that what the matcher learns is covered at once.

use proptest::prelude::*;

/// A random condition over the fields that random events have; often `true`, so that queries of
/// several steps meet events that fill them.
fn condition() -> impl Strategy<Value = String> {
    prop_oneof![Just("true".to_owned()), test()]
}

fn test() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&["p", "q", "r"][..]).prop_map(|c| format!("category == \"{c}\"")),
        prop::sample::select(&["p", "q"][..]).prop_map(|c| format!("category != \"{c}\"")),
        (prop::sample::select(&["<", "<=", "==", "!=", ">", ">="][..]), -1_i64..3)
            .prop_map(|(op, x)| format!("data.x {op} {x}")),
        prop::sample::select(&["u", "v"][..]).prop_map(|k| format!("data.k == \"{k}\"")),
        Just("data.k : \"U*\"".to_owned()),
        Just("data.k like (\"u\", \"?\")".to_owned()),
        Just("data.k regex \"[a-u]\"".to_owned()),
        Just("data.k in (\"v\", \"w\")".to_owned()),
        Just("data.x == null".to_owned()),
        Just("data.k != null".to_owned()),
        Just("data.x + 1 > 2".to_owned()),
        Just("data.x / 2 == 1".to_owned()),
        Just("visitScope == \"Authenticated\"".to_owned()),
        Just("userID == \"user-1\"".to_owned()),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["A", "B", "C", "any", "PageEntered", "VisitStarted"][..])
}

fn term() -> impl Strategy<Value = (String, u32)> {
    (name(), condition(), prop_oneof![3 => Just(1_u32), 1 => 2_u32..4])
        .prop_map(|(name, condition, runs)| (format!("{name} where {condition}"), runs))
}

fn by() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", " by data.k", " by ?data.k", " by category"][..])
}

fn maxspan() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", " with maxspan=2s", " with maxspan=1m"][..])
}

/// One to three steps; where they are named, the last compares itself with the first.
fn sequence() -> impl Strategy<Value = String> {
    let across = prop::bool::weighted(0.3);
    (by(), maxspan(), prop::collection::vec(term(), 1..4), across).prop_map(
        |(by, maxspan, terms, across)| {
            let mut text = format!("sequence{by}{maxspan}");
            let last = terms.len() - 1;
            for (index, (filter, runs)) in terms.iter().enumerate() {
                let runs = if last == 0 { *runs + 1 } else { *runs };
                let names_first = across && index == last && last > 0;
                let condition = if names_first { " and data.x >= first.data.x" } else { "" };
                text.push_str(&format!(" [ {filter}{condition} ]"));
                if runs > 1 {
                    text.push_str(&format!(" with runs={runs}"));
                }
                if across && index == 0 && last > 0 {
                    text.push_str(" as first");
                }
            }
            text
        },
    )
}

/// A term that random events often satisfy: a missing event must meet a match to refuse it.
fn frequent_term() -> impl Strategy<Value = (String, u32)> {
    let name = prop::sample::select(&["A", "A", "B", "B", "C", "any"][..]);
    let condition = prop_oneof![5 => Just("true".to_owned()), 1 => test()];
    let runs = prop_oneof![6 => Just(1_u32), 1 => Just(2_u32)];
    (name, condition, runs)
        .prop_map(|(name, condition, runs)| (format!("{name} where {condition}"), runs))
}

/// One or two steps with missing events before, between and behind them.
fn absence() -> impl Strategy<Value = String> {
    let maxspan = prop::sample::select(&[" with maxspan=4s", " with maxspan=1m"][..]);
    let name = prop::sample::select(&["A", "B", "C", "D", "any"][..]);
    let condition = prop_oneof![4 => Just("true".to_owned()), 1 => test()];
    let missing = (prop::bool::weighted(0.6), name, condition, prop::bool::weighted(0.3));
    let missing = missing.prop_map(|(is_there, name, condition, names_first)| {
        let across = if names_first { " and data.x >= first.data.x" } else { "" };
        let text = |across| format!(" ![ {name} where {condition}{across} ]");
        if is_there { (text(""), text(across)) } else { <(String, String)>::default() }
    });
    let steps = prop::collection::vec(frequent_term(), 1..3);
    let by = prop_oneof![3 => Just(""), 2 => by()];
    (by, maxspan, steps, prop::collection::vec(missing, 3)).prop_map(
        |(by, maxspan, steps, missing)| {
            let [(start, _), (_, between), (_, end)] = missing.as_slice() else {
                panic!("three");
            };
            let step = |(filter, runs): &(String, u32)| format!(" [ {filter} ] with runs={runs}");
            let first = step(&steps[0]);
            let second = steps.get(1).map(|second| format!("{between}{}", step(second)));
            let second = second.unwrap_or_default();
            // A query of one step alone would be none.
            let end =
                if second.is_empty() { format!("{end} ![ D where true ]") } else { end.clone() };
            format!("sequence{by}{maxspan}{start}{first} as first{second}{end}")
        },
    )
}

fn until() -> impl Strategy<Value = String> {
    (sequence(), name(), condition()).prop_map(|(sequence, name, condition)| {
        format!("{sequence} until [ {name} where {condition} ]")
    })
}

fn sample() -> impl Strategy<Value = String> {
    let step = frequent_term().prop_map(|(filter, _)| filter);
    (by(), maxspan(), prop::collection::vec(step, 2..4)).prop_map(|(by, maxspan, steps)| {
        let steps = steps.iter().map(|filter| format!(" [ {filter} ]"));
        format!("sample{by}{maxspan}{}", steps.collect::<String>())
    })
}

/// A random query.
pub(crate) fn query() -> impl Strategy<Value = String> {
    let event =
        (name(), condition()).prop_map(|(name, condition)| format!("{name} where {condition}"));
    prop_oneof![2 => event, 6 => sequence(), 5 => absence(), 2 => until(), 3 => sample()]
}

/// The keys of a rule file that decide what matches, in its window.
pub(crate) fn keys() -> impl Strategy<Value = String> {
    let window = prop_oneof![
        1 => Just("visit"),
        1 => prop::sample::select(&["visitor", "user", "user", "site", "global"][..]),
    ];
    let emit = prop_oneof![4 => Just("early"), 1 => Just("final")];
    (any::<bool>(), window, emit).prop_map(|(fires_once, window, emit)| {
        let fire = if fires_once { "once" } else { "every" };
        let bound = if window == "visit" { "" } else { "state_max = 1000\n" };
        format!("fire = \"{fire}\"\nwindow = \"{window}\"\nemit = \"{emit}\"\n{bound}")
    })
}

/// The text of a rule file; `action` is its kind with what that needs.
pub(crate) fn rule_file(name: &str, query: &str, keys: &str, action: &str) -> String {
    format!(
        "name = \"{name}\"\n{keys}query = '''\n{query}\n'''\n\n[action]\n\
         {action}data = {{ k = \"{{{{ event.data.k }}}}\" }}\n"
    )
}

/// Texts of one to five rule files.
pub(crate) fn rules() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((query(), keys()), 1..6).prop_map(|rules| {
        let numbered = rules.iter().enumerate();
        let text = |(index, (query, keys)): (usize, &(String, String))| {
            let action = "type = \"notify\"\nchannel = \"test\"\n";
            rule_file(&format!("rule-{index}"), query, keys, action)
        };
        numbered.map(text).collect()
    })
}
