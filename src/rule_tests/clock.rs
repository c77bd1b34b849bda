//! One test: a fresh engine with one rule, and a clock that goes from one thing that is due to the
//! next.
//!
//! Before each event, and after the last, the clock stops wherever a deadline or a visit's end is
//! due, so that what acts then is judged (opening hours, cooldown, an ended visit) as it would be
//! on a server.

use super::{Acted, TestEngine, event::event};
use anyhow::Context;
use beckon_engine::matcher::{Matcher, Router, Wide, WideSetup};
use beckon_engine::model::{
    Epoch, EpochMark, EventTimeMs, LogSeq, LoggedEvent, Op, PackedEvent, ServerTimeMs,
};
use beckon_engine::stage::{Effect, Stage};
use beckon_engine::suppress::{Presence, SuppressClock, SuppressConfig, Suppressor};
use beckon_rules::package::RuleTest;
use beckon_rules::plan::{RulePlan, RuleSet};
use jiff::Timestamp;
use std::sync::Arc;

/// What the rule `plan` (of `all`, which say what fields are) does in a test, in the order of time.
///
/// # Errors
/// When the start or an event is none.
pub(super) fn run(
    (plan, all): (&Arc<RulePlan>, &RuleSet),
    test: &RuleTest,
    engine: &TestEngine,
) -> anyhow::Result<Vec<Acted>> {
    let start_ms = match &test.start {
        None => start_default_ms(plan.timezone.as_deref().unwrap_or(&engine.suppress.timezone))?,
        Some(text) => text
            .node
            .parse::<Timestamp>()
            .with_context(|| format!("start \"{}\" is no time", text.node))?
            .as_millisecond(),
    };
    let mut clock = Clock::new((plan, all), test.holdout, engine, start_ms)?;
    let mut events: Vec<_> = test.events.iter().collect();
    events.sort_by_key(|event| event.at_ms);
    for one in events {
        let event = event(&one.fields, start_ms + one.at_ms, clock.seq)?;
        clock.advance(event.timestamp);
        let logged = LoggedEvent { seq: clock.seq, event: PackedEvent::pack(&event) };
        let mut effects = Vec::new();
        clock.matcher.event(&logged, &mut effects);
        clock.end_epoch(event.timestamp, effects);
    }
    clock.advance(EventTimeMs::MAX);
    clock.end_epoch(EventTimeMs::MAX, Vec::new());
    clock.acted.sort();
    Ok(clock.acted)
}

/// A Monday, 10:00 in a time zone.
fn start_default_ms(timezone: &str) -> anyhow::Result<i64> {
    let monday = jiff::civil::date(2024, 1, 1).at(10, 0, 0, 0);
    let start = monday.in_tz(timezone)?;
    Ok(start.timestamp().as_millisecond())
}

struct Clock {
    matcher: Matcher,
    /// Where the rule is on a window other than the visit.
    wide: Option<(Router, Wide)>,
    suppressor: Suppressor,
    lateness_ms: i64,
    start_ms: i64,
    watermark: EventTimeMs,
    seq: LogSeq,
    acted: Vec<Acted>,
}

impl Clock {
    fn new(
        (plan, all): (&Arc<RulePlan>, &RuleSet),
        is_control: bool,
        engine: &TestEngine,
        start_ms: i64,
    ) -> anyhow::Result<Self> {
        let alone = Arc::new(RuleSet {
            fields: all.fields.clone(),
            rules: vec![Arc::clone(plan)],
            types: all.types.clone(),
        });
        let suppress = SuppressConfig {
            clock: SuppressClock::Watermark,
            is_control: Some(is_control),
            ..engine.suppress.clone()
        };
        let config = engine.matcher;
        Ok(Self {
            suppressor: Suppressor::new(&alone, suppress)?,
            wide: WideSetup::new(&alone, config).map(|setup| (setup.router(), setup.stage())),
            matcher: Matcher::new(alone, config),
            lateness_ms: config.lateness_ms,
            start_ms,
            watermark: EventTimeMs::MIN,
            seq: LogSeq(1),
            acted: Vec::new(),
        })
    }

    /// Stops at everything that is due before `end`; each stop is later than the one before.
    fn advance(&mut self, end: EventTimeMs) {
        while let Some(watermark) = self.due() {
            if watermark >= end || watermark <= self.watermark {
                return;
            }
            self.end_epoch(watermark, Vec::new());
        }
    }

    /// The watermark at which something is due.
    fn due(&self) -> Option<EventTimeMs> {
        let due_ms = self.matcher.stats().next_timer_ms;
        let due = due_ms.map(|ms| EventTimeMs(ms).saturating_add(self.lateness_ms));
        due.into_iter().chain(self.wide.as_ref().and_then(|(_, wide)| wide.stats().due)).min()
    }

    fn end_epoch(&mut self, watermark: EventTimeMs, mut effects: Vec<Effect>) {
        let mark = EpochMark {
            epoch: Epoch(self.seq.0),
            first_seq: self.seq,
            last_seq: self.seq,
            now: ServerTimeMs(watermark.0),
            watermark,
        };
        self.matcher.end_epoch(&mark, &mut effects);
        if let Some((router, wide)) = &mut self.wide {
            let mut inputs = Vec::new();
            router.route(&effects, &mut inputs);
            wide.epoch(&mark, inputs, &mut effects);
        }
        let seen = effects.iter().filter_map(|effect| match effect {
            Effect::Visit(row) => Presence::of(row),
            Effect::Event(_) | Effect::Match(..) => None,
        });
        self.suppressor.seen(seen.collect());
        let facts = effects.into_iter().filter_map(|effect| match effect {
            Effect::Match(fact, sign) => Some((*fact, sign)),
            Effect::Event(_) | Effect::Visit(_) => None,
        });
        let rows = self.suppressor.epoch(&mark, facts.collect()).into_iter();
        let said = rows.filter(|row| matches!(row.op, Op::Assert | Op::Suppress));
        self.acted.extend(said.map(|row| Acted {
            at_ms: row.fact.decided.0 - self.start_ms,
            action: (*row.fact.kind).into(),
            suppressed: row.fact.suppressed,
        }));
        self.watermark = watermark;
        self.seq = self.seq.next();
    }
}
