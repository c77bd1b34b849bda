//! Random rules, as text: what the parser and the checker make of it is tested as well.

use proptest::prelude::*;

/// A random condition over the fields that random events have.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
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

/// A random query.
fn query() -> impl Strategy<Value = String> {
    let event =
        (name(), condition()).prop_map(|(name, condition)| format!("{name} where {condition}"));
    let by = prop::sample::select(&["", " by data.k", " by ?data.k", " by category"][..]);
    let maxspan = prop::sample::select(&["", "", " with maxspan=2s", " with maxspan=1m"][..]);
    let across = prop::bool::weighted(0.3);
    let sequence = (by, maxspan, prop::collection::vec(term(), 1..4), across).prop_map(
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
    );
    prop_oneof![1 => event, 3 => sequence]
}

/// The text of a rule file.
pub(crate) fn rule_file(index: usize, query: &str, fires_once: bool) -> String {
    let fire = if fires_once { "once" } else { "every" };
    format!(
        "name = \"rule-{index}\"\nfire = \"{fire}\"\nquery = '''\n{query}\n'''\n\n[action]\n\
         type = \"notify\"\nchannel = \"test\"\ndata = {{ k = \"{{{{ event.data.k }}}}\" }}\n"
    )
}

/// Texts of one to five rule files.
pub(crate) fn rules() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((query(), any::<bool>()), 1..6).prop_map(|rules| {
        let numbered = rules.iter().enumerate();
        numbered.map(|(index, (query, once))| rule_file(index, query, *once)).collect()
    })
}
