//! What holds of every log: when events come makes no difference within the lateness, and what is
//! final stays.

use super::{matches, rule};
use proptest::prelude::*;

/// An event of a random log.
#[derive(Clone, Debug)]
struct Draft {
    name: &'static str,
    step_ms: u64,
    more: String,
    /// How much later it comes; below the lateness of 120 s.
    delay_ms: u64,
    ends_epoch: bool,
}

/// One whose steps are short enough that no visit closes, or not.
fn draft(closes_visits: bool) -> impl Strategy<Value = Draft> {
    let name = prop::sample::select(&["A", "A", "B", "B", "C", "X"][..]);
    let long_ms = if closes_visits { 1_700_000_u64..2_000_000 } else { 4_000..20_000 };
    let step_ms = prop_oneof![8 => 1_u64..4_000, 2 => 4_000_u64..20_000, 1 => long_ms];
    let more = ("[12]", "[uv]", "[pq](,r)?", 0_u64..3).prop_map(|(visit, k, category, x)| {
        format!("visit={visit} visitor={visit} k={k} category={category} x={x}")
    });
    let delay_ms = prop_oneof![3 => Just(0_u64), 1 => 1_u64..110_000];
    (name, step_ms, more, delay_ms, prop::bool::weighted(0.3)).prop_map(
        |(name, step_ms, more, delay_ms, ends_epoch)| Draft {
            name,
            step_ms,
            more,
            delay_ms,
            ends_epoch,
        },
    )
}

/// The drafts as a log, as they come; or in order and as one epoch. An event's id is its place in
/// time.
fn log(drafts: &[Draft], as_they_come: bool) -> Vec<String> {
    let mut at_ms = 0;
    let mut events: Vec<(u64, u64, String, bool)> = Vec::new();
    for (draft, id) in drafts.iter().zip(1..) {
        at_ms += draft.step_ms;
        let text = format!("{at_ms}ms {} id={id} {}", draft.name, draft.more);
        let comes = at_ms + if as_they_come { draft.delay_ms } else { 0 };
        events.push((comes, at_ms, text, as_they_come && draft.ends_epoch));
    }
    events.sort();
    let mut watermark_ms = 0;
    let mut items = Vec::new();
    for (_, at_ms, text, ends_epoch) in events {
        watermark_ms = watermark_ms.max(at_ms);
        items.push(text);
        if ends_epoch {
            items.push(format!("mark {watermark_ms}ms"));
        }
    }
    items.push("end".to_owned());
    items
}

const QUERIES: &[&str] = &[
    "A where data.x > 0",
    "sequence with maxspan=20s [A where true] [B where true]",
    "sequence by data.k with maxspan=20s [A where true] with runs=2 [B where true] until [C where true]",
    "sequence with maxspan=20s [A where true] as a ![X where data.x >= a.data.x] [B where true]",
    "sequence with maxspan=20s [A where true] [B where true] ![X where true]",
    "sequence by category with maxspan=20s ![X where true] [A where true] [B where true]",
    "sequence by data.k with maxspan=20s ![X where true] [A where true] ![C where true] ![X where data.x == 1]",
    "sample by data.k with maxspan=20s [A where true] [B where true] [any where data.x == 1]",
    "sample by category with maxspan=1h [A where true] [B where true]",
];

/// A random rule: its query and its keys but `emit`.
fn rule_text() -> impl Strategy<Value = (&'static str, String)> {
    let window = prop::sample::select(&["visit", "visitor", "site", "global"][..]);
    let fire = prop::sample::select(&["once", "every"][..]);
    (prop::sample::select(QUERIES), window, fire).prop_map(|(query, window, fire)| {
        (query, format!("window = \"{window}\"\nfire = \"{fire}\""))
    })
}

fn sorted(mut matches: Vec<String>) -> Vec<String> {
    matches.sort();
    matches
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn when_events_come_makes_no_difference(
        (query, keys) in rule_text(),
        drafts in prop::collection::vec(draft(false), 1..40),
    ) {
        let early = rule(query, &keys);
        let in_order = sorted(matches(&early, &log(&drafts, false).join(";")));
        let as_they_come = log(&drafts, true).join(";");
        prop_assert_eq!(&sorted(matches(&early, &as_they_come)), &in_order);
        let last = rule(query, &format!("{keys}\nemit = \"final\""));
        prop_assert_eq!(&sorted(matches(&last, &as_they_come)), &in_order);
    }

    #[test]
    fn what_is_final_stays(
        (query, keys) in rule_text(),
        drafts in prop::collection::vec(draft(true), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let last = rule(query, &format!("{keys}\nemit = \"final\""));
        let whole = log(&drafts, true);
        let cut = cut.index(whole.len());
        let at_the_end = matches(&last, &whole.join(";"));
        for one in matches(&last, &whole[..cut].join(";")) {
            prop_assert!(at_the_end.contains(&one), "{one} went away: {at_the_end:?}");
        }
    }

    #[test]
    fn missing_events_only_refuse(
        (start, between, end) in any::<(bool, bool, bool)>(),
        drafts in prop::collection::vec(draft(true), 1..40),
    ) {
        let log = log(&drafts, false).join(";");
        let query = |start, between, end| {
            let missing = |is_there| if is_there { "![X where data.x < 2]" } else { "" };
            let (start, between, end) = (missing(start), missing(between), missing(end));
            let query = format!(
                "sequence with maxspan=20s {start} [A where true] {between} [B where true] {end}"
            );
            matches(&rule(&query, "fire = \"every\""), &log)
        };
        let all = query(false, false, false);
        for one in query(start, between, end) {
            prop_assert!(all.contains(&one), "{one} is not among {all:?}");
        }
    }
}
