//! A stream of visitors and rules to match on them, after the workload of the design's prototype.
//!
//! Visits of 40 events on average (geometric), one of a fixed number of live visits picked for each
//! event, a quarter of a minute apart within a visit; pages by Zipf's law over 50,000 addresses in
//! 500 categories; eight events in a hundred are business events. Events are what ingest would log of
//! 290 bytes of JSON. The first thirty rules are hot (a name or a popular category alone), the others
//! selective; a third are counters, the rest sequences and single events.

use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent, PackedEvent, PageId, ServerTimeMs,
    Value, VisitId, VisitorId,
};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;

const URLS: u64 = 50_000;
const CATEGORIES: u64 = 500;
const ITEMS: u64 = 50;
const COLORS: u64 = 20;
const EVENTS_A_VISIT: u64 = 40;
const GAP_MS: u64 = 15_000;

/// A small random generator (splitmix64), the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A rank by Zipf's law with exponent 1, approximately: uniform in the logarithm.
    fn rank(&mut self, ranks: u64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (ranks as f64).powf(uniform);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to ranks")]
        let rank = rank as u64;
        rank.clamp(1, ranks) - 1
    }
}

fn category(url: u64) -> u64 {
    (url.wrapping_mul(2_654_435_761) >> 7) % CATEGORIES
}

fn business(random: &mut Random) -> u64 {
    match random.below(100) {
        0..35 => 0,
        35..47 => 1,
        47..72 => 2,
        other => 3 + other % 9,
    }
}

const BUSINESS: [&str; 12] = [
    "AddToCart",
    "Checkout",
    "Search",
    "Compare",
    "Wishlist",
    "Share",
    "Review",
    "Coupon",
    "Login",
    "Help",
    "Video",
    "Download",
];

/// An endless stream of events in time order.
#[derive(Debug)]
pub struct Visitors {
    random: Random,
    /// Numbers of the live visits.
    live: Vec<u64>,
    next_visit: u64,
    now_us: u64,
    seq: u64,
}

impl Visitors {
    /// So many visits are always live; each that ends is followed by a new one.
    #[must_use]
    pub fn new(live: u64) -> Self {
        Self {
            random: Random(17),
            live: (0..live).collect(),
            next_visit: live,
            now_us: 1_700_000_000_000_000,
            seq: 0,
        }
    }

    /// The time of the last event.
    #[must_use]
    pub fn now(&self) -> EventTimeMs {
        EventTimeMs(i64::try_from(self.now_us / 1_000).expect("a time of this century"))
    }

    /// The next event.
    pub fn event(&mut self) -> LoggedEvent {
        let live = self.live.len() as u64;
        self.now_us += GAP_MS * 1_000 / live;
        self.seq += 1;
        let slot = usize::try_from(self.random.below(live)).expect("an index");
        let visit = self.live[slot];
        if self.random.below(EVENTS_A_VISIT) == 0 {
            self.live[slot] = self.next_visit;
            self.next_visit += 1;
        }
        let event = self.make(visit);
        LoggedEvent { seq: LogSeq(self.seq), event: PackedEvent::pack(&event) }
    }

    fn make(&mut self, visit: u64) -> Event {
        let text = |text: String| Value::Str(text.into());
        let field = |name: &str, value: Value| (name.into(), value);
        let url = self.random.rank(URLS);
        let path = format!("/shop/item/{url}");
        let mut fields = vec![
            field("url", text(format!("https://shop.example{path}"))),
            field("url.path", text(path)),
            field("url.host", text("shop.example".to_owned())),
            field("languageCode", text("en-US".to_owned())),
            field("category", Value::List(vec![text(format!("c{}", category(url)))])),
            field("userAgent.name", text("Firefox".to_owned())),
            field("userAgent.os", text("Linux".to_owned())),
            field("isBot", Value::Bool(false)),
        ];
        let name = if self.random.below(100) < 92 {
            fields.push(field("title", text(format!("Item {url}"))));
            "PageEntered"
        } else {
            let item = text(format!("i{}", self.random.below(ITEMS)));
            let color = text(format!("k{}", self.random.below(COLORS)));
            let data = vec![("item".into(), item), ("color".into(), color)];
            fields.push(field("data", Value::Map(data)));
            BUSINESS[usize::try_from(business(&mut self.random)).expect("an index")]
        };
        let timestamp = self.now();
        let bits = |high: u64, low: u64| Id::Bits(u128::from(high) << 64 | u128::from(low));
        let visit_high = Random(visit).next();
        Event {
            flags: Flags::default(),
            site: "shop".into(),
            name: name.into(),
            id: EventId(bits(self.random.next(), self.seq)),
            visit: VisitId(bits(visit_high, visit)),
            visitor: Some(VisitorId(bits(visit, visit_high))),
            page: Some(PageId(bits(self.random.next(), self.seq))),
            timestamp,
            server_timestamp: ServerTimeMs(timestamp.0 + 40),
            client_timestamp: None,
            tie: None,
            fields,
        }
    }
}

/// So many rules over that stream.
///
/// # Panics
/// When they do not compile.
#[must_use]
pub fn rules(count: u64) -> RuleSet {
    let package = PackageSources {
        name: "com.example.shop".to_owned(),
        package_file: None,
        rules: (0..count).map(file).collect(),
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.unwrap_or_else(|| panic!("{:?}", diagnostics.first()))
}

fn file(number: u64) -> SourceFile {
    SourceFile { file: format!("r{number}.toml"), text: rule(number) }
}

/// The text of one of them.
#[must_use]
pub fn rule(number: u64) -> String {
    let query = query(number);
    format!("name = \"r{number}\"\nquery = '''{query}'''\n[action]\ntype = \"none\"\n")
}

fn query(number: u64) -> String {
    let mut random = Random(number * 104_729 + 5);
    let kind = random.below(100);
    let count = 2 + random.below(3);
    let mut filter = || filter(number, &mut random);
    match kind {
        0..35 => format!("sequence [{}] with runs={count}", filter()),
        35..50 => format!("sequence [{}] [{}]", filter(), filter()),
        50..65 => format!("sequence with maxspan=1m [{}] [{}]", filter(), filter()),
        65..80 => format!("sequence [{}] [{}] [{}]", filter(), filter(), filter()),
        _ => filter(),
    }
}

fn filter(number: u64, random: &mut Random) -> String {
    let name = |random: &mut Random| {
        BUSINESS[usize::try_from(business(random)).expect("an index")].to_owned()
    };
    if number < 30 {
        if random.below(2) == 0 {
            return format!("{} where true", name(random));
        }
        return format!("PageEntered where category == \"c{}\"", category(random.below(10)));
    }
    match random.below(10) {
        0..2 => {
            let name = if random.below(4) == 0 { name(random) } else { "PageEntered".to_owned() };
            format!("{name} where category == \"c{}\"", random.below(CATEGORIES))
        }
        2..8 => format!("PageEntered where url.path == \"/shop/item/{}\"", random.below(URLS)),
        _ => format!(
            "{} where category == \"c{}\" and data.item == \"i{}\"",
            name(random),
            category(random.below(50)),
            random.below(ITEMS)
        ),
    }
}
