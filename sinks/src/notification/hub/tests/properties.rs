//! Random lives of the hub against the plain reading of its outbox. `BECKON_TEST_SEED=N` runs one alone.

use super::naive::Naive;
use super::*;
use std::panic::catch_unwind;

const VISITS: u128 = 3;
const PAGES: u128 = 3;

/// What a life of the hub did, so that one that does nothing is found.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    told: usize,
    restarts: usize,
    outcomes: BTreeMap<&'static str, usize>,
}

/// What is said in order, and what is taken back: where that stands depends on when it was known that a
/// page has it.
fn parts(said: &[(u128, bool)]) -> [Vec<u128>; 2] {
    let of = |is_asked: bool| {
        let ids = said.iter().filter(|(_, is_taken_back)| *is_taken_back == is_asked);
        ids.map(|(id, _)| *id).collect::<Vec<_>>()
    };
    let (said, mut taken_back) = (of(false), of(true));
    taken_back.sort_unstable();
    [said, taken_back]
}

struct Random {
    rng: fastrand::Rng,
    life: Life,
    /// Actions and messages so far, with their visits.
    ids: Vec<(u128, u128, &'static str)>,
    tally: Tally,
}

impl Random {
    fn new(seed: u64) -> Self {
        let config = HubConfig { visit_messages_max: 4, ..config() };
        let (rng, life) = (fastrand::Rng::with_seed(seed), Life::new(config));
        Self { rng, life, ids: Vec::new(), tally: Tally::default() }
    }

    fn visit(&mut self) -> u128 {
        self.rng.u128(1..=VISITS)
    }

    fn page(&mut self) -> Option<u128> {
        Some(self.rng.u128(0..=PAGES)).filter(|page| *page > 0)
    }

    fn epoch(&mut self) {
        let (mut events, mut actions) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.usize(0..4) {
            let (visit, id) = (self.visit(), self.ids.len() as u128 + 1);
            match self.rng.u8(0..6) {
                0..=2 => {
                    let kind = *self.rng.choice(&["invite", "content", "notify"]).expect("three");
                    self.ids.push((id, visit, kind));
                    actions.push(action(Op::Assert, visit, id, kind));
                }
                3 => {
                    let page = self.page().map(page);
                    self.ids.push((id, visit, "message"));
                    self.life.logged.push(message(visit, id, page));
                }
                4 => events.push(exit(visit, page(self.rng.u128(1..=PAGES)))),
                _ => {
                    let of = self.rng.choice(&self.ids).copied();
                    let is_new =
                        |id| !actions.iter().any(|row: &ActionRow| row.fact.action.0 == id);
                    if let Some((id, visit, kind)) =
                        of.filter(|(id, _, kind)| *kind != "message" && is_new(*id))
                    {
                        actions.push(action(Op::Retract, visit, id, kind));
                    }
                }
            }
        }
        self.life.epoch(events, actions);
    }

    fn step(&mut self) {
        match self.rng.u8(0..12) {
            0..=3 => self.epoch(),
            4 | 5 => {
                let ms = *self.rng.choice(&[1, 500, 20_000, 60_000]).expect("four");
                self.life.pass(ms);
            }
            6 | 7 => {
                let (visit, page) = (self.visit(), self.page());
                self.life.hand(visit, page);
            }
            8 => {
                let Some((id, visit, _)) = self.rng.choice(&self.ids).copied() else { return };
                // A withdrawal that is told and acknowledged is no record.
                if self.life.peek(visit, None).contains(&(id, true)) {
                    return;
                }
                let outcomes = [Outcome::Acknowledged, Outcome::Withdrawn, Outcome::Failed];
                let outcome = *self.rng.choice(&outcomes).expect("three");
                self.life.say(visit, id, outcome);
            }
            9 => self.life.record(),
            10 => {
                // What was given to pages is known to the next process by its record.
                self.life.record();
                self.life.restart();
                self.tally.restarts += 1;
            }
            _ => self.compare(),
        }
    }

    /// Once all is recorded and folded, hub, a new hub and the plain reading say the same.
    fn compare(&mut self) {
        self.life.settle();
        let naive = Naive::of(&self.life.outbox, &self.life.hub.config);
        let mut restarted = self.life.clone();
        restarted.restart();
        for visit in 1..=VISITS {
            for page in [None, Some(1), Some(2), Some(3)] {
                let expected = naive.said(visit, page);
                let said = [self.life.peek(visit, page), restarted.peek(visit, page)];
                for (who, said) in ["live", "restarted"].into_iter().zip(said) {
                    let expected = parts(&expected);
                    assert_eq!(parts(&said), expected, "{who}: visit {visit}, page {page:?}");
                }
                self.tally.told +=
                    expected.iter().filter(|(_, is_taken_back)| *is_taken_back).count();
            }
        }
        self.tally.compared += 1;
    }

    /// In the end each message has ended, by one record of each kind, and nothing is held.
    fn end(mut self) -> Tally {
        self.life.pass(300_000);
        self.life.settle();
        self.life.pass(300_000);
        self.life.settle();
        let stats = self.life.hub.stats();
        assert_eq!((stats.held, stats.bytes, stats.records_lost), (0, 0, 0), "{stats:?}");
        for (id, ..) in &self.ids {
            let outcomes = self.life.said_of(*id);
            let ends: Vec<_> = outcomes.iter().filter(|it| **it != "delivered").collect();
            assert!(!ends.is_empty(), "{id} has not ended: {outcomes:?}");
            let kinds: BTreeSet<_> = outcomes.iter().collect();
            assert_eq!(kinds.len(), outcomes.len(), "{id}: {outcomes:?}");
            for outcome in outcomes {
                *self.tally.outcomes.entry(outcome).or_default() += 1;
            }
        }
        self.tally
    }
}

#[test]
fn any_life_says_what_its_outbox_says() {
    let seeds: Vec<u64> = match std::env::var("BECKON_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=400).collect(),
    };
    let is_one = seeds.len() == 1;
    let mut all = Tally::default();
    for seed in seeds {
        let run = || {
            let mut random = Random::new(seed);
            (0..120).for_each(|_| random.step());
            random.end()
        };
        let tally = catch_unwind(run).unwrap_or_else(|_| panic!("BECKON_TEST_SEED={seed}"));
        all.compared += tally.compared;
        all.told += tally.told;
        all.restarts += tally.restarts;
        for (outcome, times) in tally.outcomes {
            *all.outcomes.entry(outcome).or_default() += times;
        }
    }
    let is_varied = all.compared > 1_000 && all.told > 100 && all.restarts > 1_000;
    let is_whole = Outcome::ALL.iter().all(|it| all.outcomes.contains_key(it.as_str()));
    assert!(is_one || (is_varied && is_whole), "too weak: {all:?}");
}
