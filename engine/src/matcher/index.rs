//! The predicate index: which steps of which rules an event satisfies by itself.
//!
//! By event name, then by the hash of an equality constant: of a step's `equals` the one whose
//! field has the most distinct constants among all steps of that name, as the most selective. What
//! the look-up finds is tested in full (a hash may lie), cheap equalities before programs. Steps
//! without equalities are tested one by one. Steps of `any` stand in an index of their own, tried
//! on every event.
//!
//! Cost: one hash and one look-up for each indexed field and value of the event, whatever the
//! number of rules, and one test for each step found.

use super::fields::{Captures, Extractor};
use super::names::Names;
use beckon_rules::ast::Literal;
use beckon_rules::plan::{
    BindingSlot, FieldSlot, MISSING_MAX, QueryPlan, RuleIndex, RulePlan, RuleSet, SequencePlan,
    StepPlan, Window,
};
use beckon_rules::program::{Datum, Fields, Program};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A term of a rule that an event satisfies. In ascending order: by rule, and within a rule as the
/// event is tried: on missing events, on the last step, on those before it, on `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Hit(u64);

/// Which term of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A missing event, by its place in `SequencePlan::missing`.
    Missing(u8),
    /// A positive step; 0 is the first.
    Step(u8),
    /// The event that ends partial matches.
    Until,
}

impl Hit {
    fn new(rule: RuleIndex, role: Role) -> Self {
        let place = match role {
            Role::Missing(place) => place,
            Role::Step(step) => Self::STEP_FIRST - step,
            Role::Until => u8::MAX,
        };
        Self(u64::from(rule.0) << 8 | u64::from(place))
    }

    /// The place of step 0; those of the others are below it, down to that of `STEPS_MAX`.
    const STEP_FIRST: u8 = u8::MAX - 1;

    /// The rule.
    pub(super) fn rule(self) -> usize {
        usize::try_from(self.0 >> 8).expect("an index of the rules")
    }

    /// The rule, as windows name it.
    pub(super) fn rule_number(self) -> u32 {
        u32::try_from(self.0 >> 8).expect("a rule's index has 32 bits")
    }

    /// The term.
    pub(super) fn role(self) -> Role {
        match self.0.to_le_bytes()[0] {
            u8::MAX => Role::Until,
            place if usize::from(place) < MISSING_MAX => Role::Missing(place),
            place => Role::Step(Self::STEP_FIRST - place),
        }
    }
}

/// What is read of events of one name, and what they are tested on.
#[derive(Debug)]
pub(super) struct NameEntry {
    extractor: Extractor,
    /// By field slot: its place in the extractor; `usize::MAX` where no rule reads it here.
    places: Vec<usize>,
    tests: Tests,
}

impl NameEntry {
    /// Takes out of an event what its rules read.
    pub(super) fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    /// The fields as programs read them.
    pub(super) fn fields<'x>(&'x self, captures: &'x Captures<'x>) -> EventFields<'x> {
        EventFields { places: &self.places, captures, bound: &[] }
    }
}

/// The index of a rule set.
#[derive(Debug)]
pub(super) struct Index {
    names: Names<NameEntry>,
    /// For events of a name that no rule mentions.
    other: NameEntry,
    any: Tests,
}

impl Index {
    /// That of the rules on some kinds of window.
    pub(super) fn new(rules: &RuleSet, is_asked: impl Fn(RuleIndex, Window) -> bool) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Vec<Target<'_>>> = BTreeMap::new();
        let numbered = (0_u32..).map(RuleIndex).zip(&rules.rules);
        for (rule, plan) in numbered.filter(|(rule, plan)| is_asked(*rule, plan.window)) {
            for (role, step) in terms(plan) {
                let target = Target { hit: Hit::new(rule, role), step };
                by_name.entry(step.name.as_deref()).or_default().push(target);
            }
        }
        let any = by_name.remove(&None).unwrap_or_default();
        let mut names = Names::default();
        for (name, targets) in by_name {
            let name = name.expect("`None` was taken out");
            names.entry(name, || name_entry(rules, &targets, &any));
        }
        Self { names, other: name_entry(rules, &[], &any), any: Tests::new(&any) }
    }

    /// What is known of events of this name.
    pub(super) fn entry(&self, name: &str) -> &NameEntry {
        self.names.find(name).unwrap_or(&self.other)
    }

    /// Writes the steps that the event satisfies by itself to `hits`: sorted, each once.
    pub(super) fn select(&self, entry: &NameEntry, captures: &Captures<'_>, hits: &mut Vec<Hit>) {
        hits.clear();
        let fields = entry.fields(captures);
        entry.tests.select(&fields, hits);
        self.any.select(&fields, hits);
        hits.sort_unstable();
        hits.dedup();
    }
}

/// The terms of a rule: its steps in order, then missing events and `until`.
fn terms(plan: &RulePlan) -> impl Iterator<Item = (Role, &StepPlan)> {
    let (steps, missing, until) = match &plan.query {
        QueryPlan::Event(step) => (std::slice::from_ref(step), &[][..], None),
        QueryPlan::Sequence(SequencePlan { steps, missing, until, .. }) => {
            (steps.as_slice(), missing.as_slice(), until.as_ref())
        }
        QueryPlan::Sample(sample) => (sample.steps.as_slice(), &[][..], None),
    };
    let missing = (0..).zip(missing).map(|(place, one)| (Role::Missing(place), &one.step));
    let steps = (0..).zip(steps).map(|(step, plan)| (Role::Step(step), plan));
    steps.chain(missing).chain(until.map(|step| (Role::Until, step)))
}

struct Target<'r> {
    hit: Hit,
    step: &'r StepPlan,
}

fn name_entry(rules: &RuleSet, targets: &[Target<'_>], any: &[Target<'_>]) -> NameEntry {
    let read: BTreeSet<FieldSlot> =
        targets.iter().chain(any).flat_map(|target| reads(target.step)).collect();
    let mut places = vec![usize::MAX; rules.fields.len()];
    for (place, slot) in read.iter().enumerate() {
        places[usize::from(slot.0)] = place;
    }
    let paths = read.iter().map(|slot| &rules.fields[usize::from(slot.0)]);
    NameEntry { extractor: Extractor::new(paths), places, tests: Tests::new(targets) }
}

/// The fields that a step reads of its own event.
fn reads(step: &StepPlan) -> BTreeSet<FieldSlot> {
    let mut read: BTreeSet<FieldSlot> = step.equals.iter().map(|(slot, _)| *slot).collect();
    read.extend(step.keys.iter().map(|key| key.field));
    for program in step.condition.iter().chain(&step.across) {
        program.for_each_read(|bound, slot| {
            if bound.is_none() {
                read.insert(slot);
            }
        });
    }
    read
}

/// What events of one name are tested on.
#[derive(Debug)]
struct Tests {
    /// The indexed fields.
    probes: Vec<FieldSlot>,
    /// Hash of an indexed field and constant, to nodes.
    buckets: HashTable<(u64, Vec<usize>)>,
    /// Nodes without an equality.
    unindexed: Vec<usize>,
    nodes: Vec<Node>,
}

/// A step's own conditions.
#[derive(Debug)]
struct Node {
    equals: Vec<(FieldSlot, Literal)>,
    condition: Option<Program>,
    /// The step; all equal steps of `with runs=n`.
    hits: SmallVec<[Hit; 2]>,
}

impl Node {
    fn new(target: &Target<'_>) -> Self {
        Self {
            equals: target.step.equals.clone(),
            condition: target.step.condition.clone(),
            hits: smallvec![target.hit],
        }
    }

    /// Whether this is the same test for another step of the same rule.
    fn is_same(&self, target: &Target<'_>) -> bool {
        let same_condition = match (&self.condition, &target.step.condition) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        let same_rule = self.hits.iter().all(|hit| hit.rule() == target.hit.rule());
        same_rule && same_condition && self.equals == target.step.equals
    }
}

impl Tests {
    fn new(targets: &[Target<'_>]) -> Self {
        let mut constants: BTreeMap<FieldSlot, BTreeSet<u64>> = BTreeMap::new();
        for (slot, constant) in targets.iter().flat_map(|target| &target.step.equals) {
            constants.entry(*slot).or_default().extend(hash(*slot, Datum::of_literal(constant)));
        }
        let mut tests = Self {
            probes: Vec::new(),
            buckets: HashTable::new(),
            unindexed: Vec::new(),
            nodes: Vec::new(),
        };
        for target in targets {
            let selective = target.step.equals.iter().max_by_key(|(slot, _)| constants[slot].len());
            tests.add(target, selective);
        }
        tests.probes.sort_unstable();
        tests.probes.dedup();
        tests
    }

    fn add(&mut self, target: &Target<'_>, selective: Option<&(FieldSlot, Literal)>) {
        if let Some(last) = self.nodes.last_mut()
            && last.is_same(target)
        {
            return last.hits.push(target.hit);
        }
        let node = self.nodes.len();
        self.nodes.push(Node::new(target));
        let indexed = selective
            .and_then(|(slot, constant)| Some((*slot, hash(*slot, Datum::of_literal(constant))?)));
        let Some((slot, hash)) = indexed else {
            self.unindexed.push(node);
            return;
        };
        self.probes.push(slot);
        let entry = self.buckets.entry(hash, |(known, _)| *known == hash, |(known, _)| *known);
        entry.or_insert_with(|| (hash, Vec::new())).into_mut().1.push(node);
    }

    fn select(&self, fields: &EventFields<'_>, hits: &mut Vec<Hit>) {
        for slot in &self.probes {
            match fields.field(*slot) {
                Datum::Many(values) => {
                    for value in values {
                        self.probe(*slot, *value, fields, hits);
                    }
                }
                value => self.probe(*slot, value, fields, hits),
            }
        }
        self.test(&self.unindexed, fields, hits);
    }

    fn probe(
        &self,
        slot: FieldSlot,
        value: Datum<'_>,
        fields: &EventFields<'_>,
        hits: &mut Vec<Hit>,
    ) {
        let Some(hash) = hash(slot, value) else { return };
        if let Some((_, nodes)) = self.buckets.find(hash, |(known, _)| *known == hash) {
            self.test(nodes, fields, hits);
        }
    }

    fn test(&self, nodes: &[usize], fields: &EventFields<'_>, hits: &mut Vec<Hit>) {
        for node in nodes {
            let Node { equals, condition, hits: steps } = &self.nodes[*node];
            let is_hit = equals.iter().all(|(slot, constant)| fields.field(*slot).equals(constant))
                && condition.as_ref().is_none_or(|condition| condition.matches(fields));
            if is_hit {
                hits.extend_from_slice(steps);
            }
        }
    }
}

/// The hash of a field and one value of it: equal values have equal hashes, 1 and 1.0 too. Null has
/// none: nothing equals it.
#[expect(clippy::cast_precision_loss, reason = "what is equal stays equal; the rest is tested")]
fn hash(slot: FieldSlot, value: Datum<'_>) -> Option<u64> {
    let seed = u64::from(slot.0);
    let number = |float: f64| xxh3_64_with_seed(&(float + 0.0).to_bits().to_le_bytes(), seed);
    Some(match value {
        Datum::Null | Datum::Many(_) => return None,
        Datum::Bool(bool) => xxh3_64_with_seed(&[u8::from(bool)], seed),
        Datum::Int(int) => number(int as f64),
        Datum::Float(float) => number(float),
        Datum::Str(text) => xxh3_64_with_seed(text.as_bytes(), seed),
    })
}

/// What is read of the events of one earlier step.
#[derive(Debug)]
pub(super) struct BoundReads {
    /// The step.
    pub(super) step: u8,
    /// Sorted; a slot's place in the extractor is its position.
    slots: Vec<FieldSlot>,
    /// Takes them out.
    pub(super) extractor: Extractor,
}

impl BoundReads {
    /// What the conditions across steps of a rule read, by step.
    pub(super) fn of(rules: &RuleSet, plan: &RulePlan) -> Vec<Self> {
        let mut read: BTreeMap<u8, BTreeSet<FieldSlot>> = BTreeMap::new();
        for across in terms(plan).filter_map(|(_, step)| step.across.as_ref()) {
            across.for_each_read(|bound, slot| {
                if let Some(step) = bound {
                    read.entry(step.0).or_default().insert(slot);
                }
            });
        }
        let reads = read.into_iter().map(|(step, slots)| {
            let paths = slots.iter().map(|slot| &rules.fields[usize::from(slot.0)]);
            Self { step, extractor: Extractor::new(paths), slots: slots.into_iter().collect() }
        });
        reads.collect()
    }
}

/// Fields of an event that an earlier step took.
#[derive(Debug)]
pub(super) struct BoundFields<'x> {
    /// What is read.
    pub(super) reads: &'x BoundReads,
    /// The values.
    pub(super) captures: Captures<'x>,
}

/// An event's captured fields, as programs read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventFields<'x> {
    places: &'x [usize],
    captures: &'x Captures<'x>,
    bound: &'x [BoundFields<'x>],
}

impl<'x> EventFields<'x> {
    /// The same event, with events of earlier steps beside it.
    pub(super) fn with_bound<'y>(self, bound: &'y [BoundFields<'y>]) -> EventFields<'y>
    where
        'x: 'y,
    {
        EventFields { bound, ..self }
    }
}

impl Fields for EventFields<'_> {
    fn field(&self, slot: FieldSlot) -> Datum<'_> {
        self.captures.value(self.places[usize::from(slot.0)])
    }

    fn bound(&self, step: BindingSlot, slot: FieldSlot) -> Datum<'_> {
        let fields = self.bound.iter().find(|fields| fields.reads.step == step.0);
        let value = fields.and_then(|BoundFields { reads, captures }| {
            reads.slots.binary_search(&slot).ok().map(|place| captures.value(place))
        });
        value.unwrap_or(Datum::Null)
    }
}
