//! Rules that come and go: over random rules, streams and places in them, a rule that comes later says
//! what it would have said of the visits that were open then had it always been there, one that goes
//! has said what it means up to there, and the outbox is the same with one worker and with two.
//!
//! Visit windows only: what other windows did before is not told to a new rule.

use super::*;
use beckon_engine::catalog::{Catalog, Compiler, event_compiler};
use beckon_engine::dataflow::Behind;
use beckon_engine::log::{Control, Deployment, Owner, PackageKey};
use beckon_engine::model::Epoch;
use beckon_rules::plan::Window;
use proptest::sample::Index;

/// What becomes of a rule, and behind which epoch.
#[derive(Clone, Debug)]
enum Turn {
    Comes(Index),
    Goes(Index),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => any::<Index>().prop_map(Turn::Comes),
        1 => any::<Index>().prop_map(Turn::Goes),
    ]
}

/// A rule in a package of its own.
struct Lone {
    key: PackageKey,
    deployment: Arc<Deployment>,
    turn: Turn,
}

impl Lone {
    fn new(number: usize, text: &str, turn: Turn) -> Self {
        let key = PackageKey { name: format!("com.example.r{number}").into(), site: None };
        let files = [("rule.toml".into(), text.into())].into();
        let by = "oracle".into();
        let deployment = Deployment { owner: Owner::Token, is_operator: true, by, files };
        Self { key, deployment: Arc::new(deployment), turn }
    }

    fn comes(&self) -> Control {
        Control::Deploy(self.key.clone(), Arc::clone(&self.deployment))
    }

    /// The record that stands in an epoch.
    fn control(&self, index: usize, epochs: usize) -> Option<Arc<Control>> {
        let control = match &self.turn {
            Turn::Comes(at) if at.index(epochs) == index => self.comes(),
            Turn::Goes(at) if at.index(epochs) == index => {
                Control::Remove(self.key.clone(), "oracle".into())
            }
            Turn::Comes(_) | Turn::Goes(_) => return None,
        };
        Some(Arc::new(control))
    }
}

/// The end of what was before the first epoch.
const BEFORE: EpochMark = EpochMark {
    epoch: Epoch(0),
    first_seq: LogSeq(1),
    last_seq: LogSeq(0),
    now: ServerTimeMs(0),
    watermark: EventTimeMs::MIN,
};

/// What the engine says, epoch by epoch, while rules come and go.
fn changing(
    rules: &[Lone],
    compiler: &Arc<Compiler>,
    epochs: &[EpochInput],
    workers: usize,
) -> Vec<EpochOutput> {
    let suppress = SuppressConfig::default();
    let mut catalog = Catalog::new(Arc::clone(compiler), suppress).expect("a time zone");
    let first = rules.iter().filter(|rule| matches!(rule.turn, Turn::Goes(_)));
    let first: Vec<_> = first.map(|rule| Arc::new(rule.comes())).collect();
    let first = catalog.apply(&BEFORE, &first);
    let mut suppressor = suppressor(&RuleSet::default());
    let prepared = first.map(|first| {
        suppressor.set_rules(&first.suppress);
        Arc::clone(&first.rules)
    });
    let config = matcher_config(500);
    let make = move |_| -> Box<dyn Stage> {
        Box::new(match &prepared {
            Some(prepared) => Matcher::with(Arc::clone(prepared), config),
            None => Matcher::new(Arc::default(), config),
        })
    };
    let dataflow = DataflowConfig { workers, suppressor, ..DataflowConfig::default() };
    outputs(dataflow, Arc::new(make), |dataflow| {
        for (index, epoch) in epochs.iter().enumerate() {
            let controls = rules.iter().filter_map(|rule| rule.control(index, epochs.len()));
            let change = catalog.apply(&epoch.mark, &controls.collect::<Vec<_>>());
            let behind = Behind { change, cuts: Vec::new() };
            dataflow.submit_with(epoch.clone(), behind).expect("the dataflow runs");
        }
    })
}

/// What it should have said.
fn expected(rules: &[Lone], compiler: &Compiler, epochs: &[EpochInput]) -> ReferenceOutput {
    let config = matcher_config(500);
    let mut expected = reference(&RuleSet::default(), config, epochs);
    for rule in rules {
        let packages = [(rule.key.clone(), Arc::clone(&rule.deployment))].into();
        let alone = Arc::clone(&compiler.compile(&packages).rules);
        let prefix = |at: &Index| &epochs[..=at.index(epochs.len())];
        expected.matches.extend(match &rule.turn {
            Turn::Goes(at) => reference(&alone, config, prefix(at)).matches,
            Turn::Comes(at) => {
                let before = reference(&RuleSet::default(), config, prefix(at)).visits;
                let is_over = |instance| {
                    before.iter().any(|it| it.instance == instance && it.closed.is_some())
                };
                let mut matches = reference(&alone, config, epochs).matches;
                matches.retain(|one| match one.window {
                    WindowKey::Visit(_, instance) => !is_over(instance),
                    _ => panic!("visit windows only"),
                });
                matches
            }
        });
    }
    expected.matches.sort();
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 2, ..ProptestConfig::default() })]

    #[test]
    fn rules_that_come_and_go_say_what_they_mean(
        texts in rules::rules(),
        turns in prop::collection::vec(turn(), 5),
        drafts in prop::collection::vec(stream::draft(), 1..60),
    ) {
        let is_run = |text: &&String| {
            compiled(std::slice::from_ref(text)).rules.iter().any(|it| it.window == Window::Visit)
        };
        let numbered = texts.iter().filter(is_run).zip(turns).enumerate();
        let lone = |(number, (text, turn)): (usize, (&String, Turn))| Lone::new(number, text, turn);
        let rules: Vec<Lone> = numbered.map(lone).collect();
        let (compiler, epochs) = (event_compiler(), stream::epochs(&drafts));
        let one = changing(&rules, &compiler, &epochs, 1);
        prop_assert_eq!(net(&one), expected(&rules, &compiler, &epochs));
        let two = changing(&rules, &compiler, &epochs, 2);
        let bytes = |outputs: &[EpochOutput]| postcard::to_stdvec(outputs).expect("encodes");
        prop_assert!(bytes(&one) == bytes(&two), "two workers say {two:?}, one says {one:?}");
    }
}
