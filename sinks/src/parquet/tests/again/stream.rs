//! A seeded stream of visitors who send whatever an event may hold.

use super::super::NOON;
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, PackedEvent, PageId, ServerTimeMs, Value, VisitId,
    VisitorId,
};

pub(super) const SITE: &str = "shop";
const EVENTS: u64 = 3_000;
const NAMES: &[&str] = &[
    "PageEntered",
    "PageEntered",
    "PageEntered",
    "AddToCart",
    "AddToCart",
    "Checkout",
    "Search",
    "Search",
    "A",
    "SignIn",
    "SignOut",
    "UserInfo",
    "VisitStarted",
    "VisitEnded",
    "a b/\u{fc}",
];
/// Texts that readers and writers stumble over: controls, what looks like JSON or hex, writing from
/// right to left, combined and astral characters, and none.
const TEXTS: &[&str] = &[
    "e\u{301} \u{1f6d2}",
    "\u{202e}abc",
    "",
    "null",
    "\"\\\u{0}\u{1f}\u{7f}",
    "\u{feff}\u{2028}",
    "{\"a\":1}",
    "44D25DDB78174DEC8F33E28F96428336",
    "\u{e9}",
    "\r\n\t",
    "0",
    "\u{10ffff}",
];
const DATES: &[&str] =
    &["1969-12-31T23:59:59.999Z", "2026-02-29", "2026-11-25T13:00:00+05:30", "1815-12-10", "soon"];

/// What the server does at a time: it takes events, or looks at the clock alone.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) now: ServerTimeMs,
    pub(super) events: Vec<PackedEvent>,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn ms(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).expect("small")
    }

    /// Whether it is one of so many.
    fn one_of(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }
}

/// Batches in the order of time; some are of no event, and some lie half an hour apart.
pub(super) fn steps(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let mut now_ms = NOON;
    let mut number = 0;
    let mut steps = Vec::new();
    while number < EVENTS {
        now_ms += random.ms(3_000);
        let count = random.below(8);
        if random.one_of(80) {
            now_ms += 31 * 60_000;
        }
        let mut next = || {
            number += 1;
            if random.one_of(500) {
                PackedEvent::from_bytes(&[9, number.to_le_bytes()[0]])
            } else {
                PackedEvent::pack(&event(&mut random, number, now_ms))
            }
        };
        let events = (0..count).map(|_| next()).collect();
        steps.push(Step { now: ServerTimeMs(now_ms), events });
    }
    // The horizon passes all of it, then the end of visits does.
    for after_ms in [150_000, 40 * 60_000] {
        steps.push(Step { now: ServerTimeMs(now_ms + after_ms), events: Vec::new() });
    }
    steps
}

fn event(random: &mut Random, number: u64, now_ms: i64) -> Event {
    let visit = random.below(24);
    let late_ms = match random.below(20) {
        0 => random.ms(400_000),
        1..4 => random.ms(100_000),
        _ => random.ms(1_500),
    };
    let name = random.pick(NAMES);
    let flags = match random.below(12) {
        0 => Flags::UNPROVEN,
        1 => Flags::UNPROVEN.with(Flags::RECORD_ONLY),
        2 => Flags::CLAMPED,
        3 => Flags::SKEW_CORRECTED,
        4..9 => Flags::VERIFIED,
        _ => Flags::default(),
    };
    let client = flags.has(Flags::CLAMPED) || flags.has(Flags::SKEW_CORRECTED);
    Event {
        flags,
        site: if visit.is_multiple_of(7) { "other" } else { SITE }.into(),
        name: name.into(),
        id: EventId(id(number, random.one_of(9))),
        visit: VisitId(id(visit, visit.is_multiple_of(5))),
        visitor: (!visit.is_multiple_of(4))
            .then(|| VisitorId(id(visit % 11, visit.is_multiple_of(3)))),
        page: random.one_of(2).then(|| PageId(id(number / 3, random.one_of(5)))),
        timestamp: EventTimeMs(now_ms - late_ms),
        server_timestamp: ServerTimeMs(now_ms - random.ms(3)),
        client_timestamp: client.then(|| EventTimeMs(now_ms - random.ms(1 << 40))),
        tie: random.one_of(3).then(|| random.ms(4) - 1),
        fields: fields(random),
    }
}

/// As hex digits if it is a text, so that they alone do not tell.
fn id(number: u64, is_text: bool) -> Id {
    let bits = u128::from(number) << 70 | 0xAB;
    if is_text { Id::Text(format!("{bits:032X}").into()) } else { Id::Bits(bits) }
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

fn fields(random: &mut Random) -> Vec<(Box<str>, Value)> {
    let mut fields: Vec<(Box<str>, Value)> = vec![("data".into(), data(random))];
    let mut add = |name: &str, value: Value| fields.push((name.into(), value));
    if random.one_of(2) {
        add("url", text("https://shop.example/shop/lamps?q=a%20b"));
        add("url.path", text("/shop/lamps"));
        add("url.host", text("shop.example"));
        add("url.query.q", text("a b"));
        add("userAgent.name", text("Firefox"));
        add("isBot", Value::Bool(random.one_of(3)));
        add("campaign.source", text(random.pick(TEXTS)));
    }
    if random.one_of(3) {
        add("title", text(random.pick(TEXTS)));
        add("referrer", text("https://other.example/"));
        add("languageCode", text("pt-BR"));
        add("ip", text("192.0.2.0"));
    }
    let categories = ["pricing", "lamps", ""].into_iter().filter(|_| random.one_of(3));
    let categories: Vec<Value> = categories.map(text).collect();
    match random.below(4) {
        0 => {}
        // Of another type than its column.
        1 => add("category", Value::Null),
        _ => add("category", Value::List(categories)),
    }
    if random.one_of(9) {
        add("campaign.term", Value::List(vec![Value::Int(1), Value::Null]));
        add("screen.\"width\"", Value::Float(-0.0));
    }
    fields
}

fn data(random: &mut Random) -> Value {
    let mut data: Vec<(Box<str>, Value)> = Vec::new();
    let mut add = |name: &str, value: Value| data.push((name.into(), value));
    add("sku", text(random.pick(&TEXTS[..4])));
    add("userID", text(random.pick(&["ann", "bob", "\u{1f47b}"])));
    match random.below(6) {
        0 => add("price", Value::Int(12)),
        1 => add("price", Value::Float(9.75)),
        2 => add("price", text("12")),
        3 => add("price", Value::Null),
        _ => add("price", Value::Float(1e300)),
    }
    add("note", text(random.pick(TEXTS)));
    match random.below(4) {
        0 => add("at", Value::Int(random.ms(10) - 5)),
        1 => add("at", Value::Float(1.5)),
        _ => add("at", text(random.pick(DATES))),
    }
    match random.below(8) {
        0 => add("big", Value::Int(9_007_199_254_740_993)),
        1 => add("big", Value::Int(i64::MIN)),
        2 => add("big", Value::Float(9_007_199_254_740_992.0)),
        _ => {}
    }
    add("rooms", if random.one_of(2) { Value::Int(2) } else { Value::Float(3.0) });
    add("gift", if random.one_of(5) { Value::Int(1) } else { Value::Bool(random.one_of(2)) });
    if random.one_of(4) {
        let list = vec![text("b"), Value::Null, Value::List(vec![]), Value::Map(vec![])];
        let nested = vec![
            ("total".into(), Value::Float(10.0 + f64::from(u8::from(random.one_of(2))))),
            ("list".into(), if random.one_of(2) { Value::List(list) } else { Value::Null }),
            ("".into(), text("no name")),
            ("a.b".into(), Value::Map(vec![("\u{0}".into(), Value::Bool(false))])),
        ];
        add("nested", Value::Map(nested));
        add("tiny", Value::Float(5e-324));
    }
    Value::Map(data)
}
