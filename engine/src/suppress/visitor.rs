//! What was decided for one visitor, and deciding what comes next.

use super::presence::Span;
use super::{DAY_MS, Setup, Turn};
use crate::model::{
    ActionFact, ActionId, ActionRow, EventTimeMs, Instance, MatchId, Op, PartitionId, ServerTimeMs,
    SuppressReason, VisitId, VisitorId, WindowKey, window_hash,
};
use beckon_rules::plan::ActionKind;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Matches of one action id that are remembered, so that taking one back says what became of it.
pub const STANDING_MAX: usize = 64;

/// A visitor of a site; where none is known, the visit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct VisitorKey {
    site: Arc<str>,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Who {
    Visitor(VisitorId),
    Visit(VisitId),
}

impl VisitorKey {
    pub(super) fn of_visitor(site: &Arc<str>, visitor: VisitorId) -> Self {
        Self { site: Arc::clone(site), who: Who::Visitor(visitor) }
    }

    pub(super) fn of(fact: &ActionFact) -> Self {
        let visitor = fact.visitor.clone().map(Who::Visitor);
        let who = visitor.unwrap_or_else(|| Who::Visit(fact.visit.clone()));
        Self { site: Arc::clone(&fact.site), who }
    }

    pub(super) fn stable_hash(&self) -> u64 {
        let (Who::Visitor(VisitorId(id)) | Who::Visit(VisitId(id))) = &self.who;
        window_hash(&self.site, id)
    }

    pub(super) fn partition(&self) -> PartitionId {
        PartitionId::of(self.stable_hash())
    }
}

/// One visitor's decisions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Visitor {
    /// Its last event of which is known.
    last_event: EventTimeMs,
    actions: BTreeMap<ActionId, Action>,
    /// The keys of `actions`, oldest first.
    by_age: VecDeque<ActionId>,
    /// The last act of each rule, oldest first.
    acts: Vec<Act>,
    /// Invitations of the last 24 hours; never more than one may have.
    invitations: Vec<ServerTimeMs>,
    /// Invitations by visit, oldest visit first.
    invited_visits: VecDeque<(Instance, u32)>,
}

/// When a rule last acted for a visitor: with a cooldown or without, since one may come with a later
/// version. Most visitors have one or two of them, and 16 bytes each are all they cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Act {
    /// The hash of package and name: 64 bits are enough to tell the few rules of one visitor apart.
    rule: u64,
    at: ServerTimeMs,
}

/// What became of an action id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Action {
    has_acted: bool,
    lasts: Lasts,
    /// Its matches that hold, oldest first, and why they do not act.
    standing: VecDeque<(MatchId, Option<SuppressReason>)>,
}

/// How long it is remembered that an action went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Lasts {
    /// It is that of a visit, which comes to an end.
    #[default]
    Visit,
    /// As long as its window may: the visitor's, or one of a user.
    Visitor,
    /// Its window is not forgotten.
    Ever,
}

impl Lasts {
    fn of(window: &WindowKey) -> Self {
        match window {
            WindowKey::Visit => Self::Visit,
            WindowKey::Visitor(_) | WindowKey::User(_) => Self::Visitor,
            WindowKey::Site | WindowKey::Global => Self::Ever,
        }
    }
}

/// One action id's facts of one epoch.
#[derive(Default)]
struct Change {
    /// Those that act first.
    retracted: Vec<ActionFact>,
    asserted: Vec<ActionFact>,
}

impl Visitor {
    /// The visitor was there. Where it was not for longer than it is remembered, what fired once in its
    /// windows may fire again; says whether something could.
    pub(super) fn was_there(&mut self, (from, to): Span, memory_ms: i64) -> bool {
        let is_over = from > self.last_event.saturating_add(memory_ms);
        self.last_event = self.last_event.max(to);
        let mut is_forgotten = false;
        if is_over {
            for action in self.actions.values_mut().filter(|it| it.lasts == Lasts::Visitor) {
                is_forgotten |= std::mem::take(&mut action.has_acted);
            }
        }
        is_forgotten
    }

    /// Keeps what has no end, and rules that may rest yet.
    pub(super) fn free(&mut self, turn: Turn<'_>) {
        self.actions.retain(|_, action| action.lasts == Lasts::Ever && action.has_acted);
        self.actions.values_mut().for_each(|action| action.standing = VecDeque::new());
        self.by_age.retain(|id| self.actions.contains_key(id));
        self.acts.retain(|act| turn.age_ms(act.at) < turn.setup.rules.cooldown_max_ms);
        self.invitations.clear();
        self.invited_visits.clear();
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.acts.is_empty()
    }

    /// Decides the facts; says how many decisions were forgotten for it.
    pub(super) fn epoch(
        &mut self,
        turn: Turn<'_>,
        key: &VisitorKey,
        facts: Vec<(ActionFact, i64)>,
        rows: &mut Vec<ActionRow>,
    ) -> u64 {
        let decisions_max = turn.setup.config.decisions_max;
        self.let_go(turn);
        let mut forgotten = 0;
        let mut found = Vec::new();
        for (action, change) in self.changes(facts) {
            let mut asserted = change.asserted.into_iter();
            for retracted in change.retracted {
                let Some(fact) = asserted.next() else {
                    rows.push(ActionRow { fact: retracted, op: Op::Retract, replaced: None });
                    continue;
                };
                let fact = ActionFact { suppressed: retracted.suppressed, ..fact };
                forgotten += self.remember(action, &fact, decisions_max);
                let replaced = Some(retracted.matched);
                rows.push(ActionRow { fact, op: Op::Correct, replaced });
            }
            found.extend(asserted);
        }
        found.sort_by(|left, right| order(left).cmp(&order(right)));
        let mut is_taken = false;
        for fact in found {
            let suppressed = self.decide(turn, key, &fact, is_taken);
            if suppressed.is_none() {
                is_taken |= is_one_at_a_time(&fact);
                forgotten += self.act(turn, &fact);
            }
            let fact = ActionFact { suppressed, ..fact };
            forgotten += self.remember(fact.action, &fact, decisions_max);
            if let Some(action) = self.actions.get_mut(&fact.action) {
                action.has_acted |= suppressed.is_none();
            }
            let op = if suppressed.is_none() { Op::Assert } else { Op::Suppress };
            rows.push(ActionRow { fact, op, replaced: None });
        }
        forgotten
    }

    /// Invitations that no longer count.
    fn let_go(&mut self, turn: Turn<'_>) {
        self.invitations.retain(|then| turn.age_ms(*then) < DAY_MS);
    }

    /// The facts by action id; those taken back say why they did not act, and are remembered no
    /// more. One that was forgotten is taken back as if it acted: what no sink has is nothing to it.
    fn changes(&mut self, facts: Vec<(ActionFact, i64)>) -> BTreeMap<ActionId, Change> {
        let mut changes = BTreeMap::<_, Change>::new();
        for (fact, sign) in facts {
            let change = changes.entry(fact.action).or_default();
            if sign > 0 {
                change.asserted.push(fact);
            } else {
                let suppressed = self.forget_match(&fact);
                change.retracted.push(ActionFact { suppressed, ..fact });
            }
        }
        for change in changes.values_mut() {
            change.retracted.sort_by_key(|fact| (fact.suppressed, fact.seq, fact.matched));
            change.asserted.sort_by_key(|fact| (fact.seq, fact.matched));
        }
        changes
    }

    fn forget_match(&mut self, fact: &ActionFact) -> Option<SuppressReason> {
        let standing = &mut self.actions.get_mut(&fact.action)?.standing;
        let place = standing.iter().position(|(matched, _)| *matched == fact.matched)?;
        standing.remove(place)?.1
    }

    /// `is_taken`: an invitation or content of the visitor went in this epoch.
    fn decide(
        &self,
        turn: Turn<'_>,
        key: &VisitorKey,
        fact: &ActionFact,
        is_taken: bool,
    ) -> Option<SuppressReason> {
        let Turn { setup, now } = turn;
        if let Some(reason) = setup.rules.check(fact, key, now, &setup.paused) {
            return Some(reason);
        }
        if self.actions.get(&fact.action).is_some_and(|action| action.has_acted) {
            return Some(SuppressReason::Once);
        }
        if self.rests(turn, fact) {
            return Some(SuppressReason::Cooldown);
        }
        let is_invitation = is_invitation(fact);
        if is_invitation && self.is_at_limit(setup, fact.instance) {
            return Some(SuppressReason::Limit);
        }
        if is_taken && setup.config.invitations.is_some() && is_one_at_a_time(fact) {
            return Some(SuppressReason::Priority);
        }
        (is_invitation && !fact.is_visit_open).then_some(SuppressReason::VisitEnded)
    }

    /// Whether the rule acted less than the cooldown ago that it has now.
    fn rests(&self, turn: Turn<'_>, fact: &ActionFact) -> bool {
        let rules = &turn.setup.rules;
        let Some(cooldown_ms) = rules.cooldown_ms(&fact.site, &fact.package, &fact.rule) else {
            return false;
        };
        let rule = rule_hash(fact);
        let last = self.acts.iter().find(|act| act.rule == rule);
        last.is_some_and(|act| turn.age_ms(act.at) < cooldown_ms)
    }

    fn is_at_limit(&self, setup: &Setup, visit: Instance) -> bool {
        let Some(limits) = &setup.config.invitations else { return false };
        let invited = self.invited_visits.iter().find(|(instance, _)| *instance == visit);
        invited.map_or(0, |(_, count)| *count) >= limits.per_visit
            || self.invitations.len() as u64 >= u64::from(limits.per_visitor_per_day)
    }

    /// Remembers that the match acts, for those that come after it.
    fn act(&mut self, turn: Turn<'_>, fact: &ActionFact) -> u64 {
        let decisions_max = turn.setup.config.decisions_max;
        let rule = rule_hash(fact);
        self.acts.retain(|act| act.rule != rule);
        self.acts.push(Act { rule, at: turn.now });
        let mut forgotten = 0;
        if self.acts.len() > decisions_max {
            self.acts.remove(0);
            forgotten += 1;
        }
        if !is_invitation(fact) || turn.setup.config.invitations.is_none() {
            return forgotten;
        }
        self.invitations.push(turn.now);
        let mut visits = self.invited_visits.iter_mut();
        match visits.find(|(instance, _)| *instance == fact.instance) {
            Some((_, count)) => *count += 1,
            None => self.invited_visits.push_back((fact.instance, 1)),
        }
        let is_over = self.invited_visits.len() > decisions_max;
        forgotten + u64::from(is_over && self.invited_visits.pop_front().is_some())
    }

    /// A match holds. One in the place of another is no act, but tells of one that was forgotten.
    fn remember(&mut self, id: ActionId, fact: &ActionFact, decisions_max: usize) -> u64 {
        let mut forgotten = 0;
        let action = self.actions.entry(id).or_insert_with(|| {
            self.by_age.push_back(id);
            let has_acted = fact.suppressed.is_none();
            Action { has_acted, lasts: Lasts::of(&fact.window), ..Action::default() }
        });
        action.standing.push_back((fact.matched, fact.suppressed));
        if action.standing.len() > STANDING_MAX {
            action.standing.pop_front();
            forgotten += 1;
        }
        while self.by_age.len() > decisions_max
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.actions.remove(&oldest);
            forgotten += 1;
        }
        forgotten
    }
}

/// A rule, of whatever version and site.
fn rule_hash(fact: &ActionFact) -> u64 {
    xxh3_64_with_seed(fact.rule.as_bytes(), xxh3_64(fact.package.as_bytes()))
}

/// The highest priority, then the first name, then log order.
fn order(fact: &ActionFact) -> impl Ord + '_ {
    (Reverse(fact.priority), &*fact.rule, &*fact.package, fact.seq, fact.matched)
}

fn is_invitation(fact: &ActionFact) -> bool {
    *fact.kind == *ActionKind::Invite.as_str()
}

/// A visitor gets one of these in an epoch.
fn is_one_at_a_time(fact: &ActionFact) -> bool {
    is_invitation(fact) || *fact.kind == *ActionKind::Content.as_str()
}
