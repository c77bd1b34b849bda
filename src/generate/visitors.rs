//! A seeded stream of visitors as a shop sees them.
//!
//! Pages follow Zipf's law, the length of a visit is geometric, visitors come back, some events
//! come late or twice, and a few visitors are bots that never pause. The same seed and start give
//! the same events, byte for byte.

use super::zipf::Zipf;
use serde_json::{Value, json};

/// What the stream is like.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Says which stream it is.
    pub(crate) seed: u64,
    /// Timestamp of the first event, milliseconds since 1970.
    pub(crate) start_ms: i64,
    /// Events a second of event time.
    pub(crate) events_per_second: f64,
    /// Visits under way at a time.
    pub(crate) visits_open: usize,
    /// Pages of the shop.
    pub(crate) pages: u32,
    /// Mean events of a visit.
    pub(crate) visit_events_mean: f64,
    /// Share of events whose timestamp lies up to `late_ms_max` back.
    pub(crate) late_share: f64,
    /// How late a late event is at most.
    pub(crate) late_ms_max: i64,
    /// Share of events that are sent a second time.
    pub(crate) duplicate_share: f64,
    /// Share of visits that are bots.
    pub(crate) bot_share: f64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            seed: 1,
            start_ms: 1_767_225_600_000,
            events_per_second: 1_000.0,
            visits_open: 1_000,
            pages: 2_000,
            visit_events_mean: 12.0,
            late_share: 0.01,
            late_ms_max: 5_000,
            duplicate_share: 0.005,
            bot_share: 0.02,
        }
    }
}

const CATEGORIES: &[&str] = &[
    "lamps", "chairs", "tables", "pricing", "delivery", "sale", "beds", "shelves", "rugs", "help",
];
/// A bot has so many times the events of a visitor.
const BOT_EVENTS: f64 = 10.0;
const RECENT_EVENTS: usize = 64;
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/140.0.0.0 Safari/537.36";
const BOT: &str = "Mozilla/5.0 (compatible; examplebot/2.1; +https://bot.example/)";

#[derive(Debug)]
struct Visit {
    id: u128,
    visitor: u128,
    page: u128,
    url: String,
    category: &'static str,
    is_bot: bool,
    is_new: bool,
    cart: u32,
}

/// The stream; it has no end.
#[derive(Debug)]
pub(crate) struct Visitors {
    profile: Profile,
    random: fastrand::Rng,
    pages: Zipf,
    visits: Vec<Visit>,
    returning: Vec<u128>,
    recent: Vec<Value>,
    clock_ms: f64,
    seq: i64,
}

impl Visitors {
    /// A stream from its start.
    pub(crate) fn new(profile: Profile) -> Self {
        let mut stream = Self {
            random: fastrand::Rng::with_seed(profile.seed),
            pages: Zipf::new(profile.pages),
            visits: Vec::new(),
            returning: Vec::new(),
            recent: Vec::new(),
            clock_ms: 0.0,
            seq: 0,
            profile,
        };
        for _ in 0..stream.profile.visits_open.max(1) {
            let visit = stream.new_visit();
            stream.visits.push(visit);
        }
        stream
    }

    /// The next event of the stream.
    pub(crate) fn next_event(&mut self) -> Value {
        if !self.recent.is_empty() && self.random.f64() < self.profile.duplicate_share {
            let index = self.random.usize(..self.recent.len());
            return self.recent[index].clone();
        }
        self.advance();
        let index = self.random.usize(..self.visits.len());
        let event = self.step(index);
        if self.recent.len() < RECENT_EVENTS {
            self.recent.push(event.clone());
        } else {
            let slot = self.random.usize(..RECENT_EVENTS);
            self.recent[slot] = event.clone();
        }
        event
    }

    /// Exponential gaps: arrivals of many independent visitors are a Poisson process.
    fn advance(&mut self) {
        let gap_s = -(1.0 - self.random.f64()).ln() / self.profile.events_per_second;
        self.clock_ms += gap_s * 1_000.0;
    }

    fn new_visit(&mut self) -> Visit {
        let visitor = if !self.returning.is_empty() && self.random.f64() < 0.3 {
            self.returning[self.random.usize(..self.returning.len())]
        } else {
            self.random.u128(..)
        };
        if self.returning.len() < 10_000 {
            self.returning.push(visitor);
        }
        Visit {
            id: self.random.u128(..),
            visitor,
            page: 0,
            url: String::new(),
            category: "",
            is_bot: self.random.f64() < self.profile.bot_share,
            is_new: true,
            cart: 0,
        }
    }

    fn step(&mut self, index: usize) -> Value {
        let Visit { is_bot, is_new, .. } = self.visits[index];
        let longer = if is_bot { BOT_EVENTS } else { 1.0 };
        let ends = self.random.f64() < 1.0 / (longer * self.profile.visit_events_mean.max(1.0));
        if ends && !is_new {
            let event = self.event(index, "VisitEnded", json!({}));
            self.visits[index] = self.new_visit();
            // A bot goes without a word.
            if !is_bot {
                return event;
            }
        }
        if self.visits[index].is_new {
            self.visits[index].is_new = false;
            self.turn_page(index);
            let agent = if self.visits[index].is_bot { BOT } else { BROWSER };
            return self.event(index, "VisitStarted", json!({ "userAgent": agent }));
        }
        self.act(index)
    }

    fn act(&mut self, index: usize) -> Value {
        let dice = self.random.f64();
        let price = f64::from(self.random.u32(5..500)) + 0.5;
        if self.visits[index].is_bot || dice < 0.70 {
            self.turn_page(index);
            let title = self.visits[index].category;
            return self.event(index, "PageEntered", json!({ "title": title }));
        }
        if dice < 0.80 {
            return self.event(index, "PageExited", json!({}));
        }
        if dice < 0.90 {
            self.visits[index].cart += 1;
            let sku = format!("S{}", self.random.u32(..500));
            let name = format!("{} {sku}", self.visits[index].category);
            let data = json!({ "sku": sku, "name": name, "price": price });
            return self.event(index, "AddToCart", data);
        }
        if dice < 0.95 {
            return self.event(index, "Search", json!({ "terms": "reading lamp" }));
        }
        if dice < 0.97 {
            let user = format!("user-{}", self.random.u32(..5_000));
            return self.event(index, "SignIn", json!({ "userID": user }));
        }
        let items = self.visits[index].cart;
        self.event(index, "Checkout", json!({ "items": items, "total": price }))
    }

    fn turn_page(&mut self, index: usize) {
        let page = self.pages.draw(&mut self.random);
        let id = self.random.u128(..);
        let visit = &mut self.visits[index];
        visit.category = CATEGORIES[page % CATEGORIES.len()];
        visit.url = format!("https://shop.example/{}/{page}", visit.category);
        visit.page = id;
    }

    fn event(&mut self, index: usize, name: &str, data: Value) -> Value {
        self.seq += 1;
        let late = if self.random.f64() < self.profile.late_share {
            self.random.i64(0..=self.profile.late_ms_max.max(0))
        } else {
            0
        };
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a run fit 52 bits")]
        let timestamp = self.profile.start_ms + self.clock_ms as i64 - late;
        let visit = &self.visits[index];
        let mut event = json!({
            "eventName": name,
            "eventID": hex(self.random.u128(..)),
            "visitID": hex(visit.id),
            "globalVisitID": hex(visit.visitor),
            "pageID": hex(visit.page),
            "timestamp": timestamp,
            "seq": self.seq,
            "url": visit.url,
            "category": visit.category,
            "languageCode": "en-US",
        });
        event["data"] = data;
        if visit.is_bot {
            // A server key's event says its agent itself, each of them.
            event["userAgent"] = BOT.into();
        }
        event
    }
}

fn hex(id: u128) -> String {
    format!("{id:032X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let draw = |seed| {
            let mut visitors = Visitors::new(Profile { seed, ..Profile::default() });
            (0..1_000).map(|_| visitors.next_event().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn shares_are_near_what_the_profile_says() {
        let profile = Profile {
            late_share: 0.1,
            duplicate_share: 0.1,
            visits_open: 100,
            ..Profile::default()
        };
        let mut visitors = Visitors::new(profile);
        let mut seen = std::collections::BTreeSet::new();
        let mut duplicates = 0;
        let mut newest = i64::MIN;
        let (mut late, mut bots) = (0, 0);
        let mut visits = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let event = visitors.next_event();
            if !seen.insert(event["eventID"].to_string()) {
                duplicates += 1;
                continue;
            }
            let timestamp = event["timestamp"].as_i64().expect("a number");
            late += i32::from(timestamp < newest.saturating_sub(10));
            newest = newest.max(timestamp);
            if event["userAgent"].as_str() == Some(BOT) {
                bots += 1;
            } else {
                visits.insert(event["visitID"].to_string());
            }
        }
        assert!((1_800..2_200).contains(&duplicates), "{duplicates} duplicates");
        assert!((1_500..2_000).contains(&late), "{late} late");
        // 2 visits of 100 with ten times the events: 17 % of all.
        let events = seen.len() as f64;
        assert!((0.1..0.25).contains(&(f64::from(bots) / events)), "{bots} of bots");
        let mean = (events - f64::from(bots)) / visits.len() as f64;
        assert!((10.0..14.0).contains(&mean), "{mean} events a visit");
    }
}
