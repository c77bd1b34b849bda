//! Restarts: over random rules, streams and places, a dataflow that goes on from a round of pieces, taken
//! behind one epoch after the other, says what the one would have said that took them, byte for byte,
//! with another number of workers too; and it shows the same counts live.

use super::acting::{acting_rules, packaged};
use super::*;
use beckon_engine::dataflow::Behind;
use beckon_engine::live::{LiveConfig, LiveCount};
use beckon_engine::matcher::Prepared;
use beckon_engine::model::{Epoch, PARTITIONS, PartitionId};
use beckon_engine::snapshot::{Cut, Part, Piece, Pieces, Restored};
use beckon_engine::stage::RuleChange;
use beckon_engine::suppress::SuppressRules;
use proptest::sample::Index;
use std::io;

/// A round: where it begins, and over how many of the epochs behind it goes.
#[derive(Clone, Copy, Debug)]
struct Round {
    first: Index,
    span: usize,
}

fn round() -> impl Strategy<Value = Round> {
    (any::<Index>(), 0_usize..12).prop_map(|(first, span)| Round { first, span })
}

/// All cuts of a round, in order.
fn cuts() -> Vec<Cut> {
    let of = |part| {
        let partitions = (0..PARTITIONS).map(|it| u8::try_from(it).expect("256 of them"));
        partitions.map(move |partition| Cut { part, partition: PartitionId(partition) })
    };
    let partitioned = [Part::Visits, Part::Windows, Part::Visitors].into_iter().flat_map(of);
    partitioned.chain([Cut::LIVE]).collect()
}

impl Round {
    /// The cuts behind an epoch.
    fn behind(&self, index: usize, epochs: usize) -> Vec<Cut> {
        let first = self.first.index(epochs);
        let last = (first + self.span).min(epochs - 1);
        if !(first..=last).contains(&index) {
            return Vec::new();
        }
        let cuts = cuts();
        let place = |of: usize| cuts.len() * (of - first) / (last - first + 1);
        cuts[place(index)..place(index + 1)].to_vec()
    }
}

/// What a round took.
#[derive(Debug, Default)]
struct Taken(Mutex<BTreeMap<Cut, Piece>>);

impl Taken {
    fn all(&self) -> BTreeMap<Cut, Piece> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Pieces for Taken {
    fn of(&self, part: Part) -> Vec<Cut> {
        self.all().into_keys().filter(|cut| cut.part == part).collect()
    }

    fn read(&self, cut: Cut) -> io::Result<Piece> {
        Ok(self.all().remove(&cut).expect("it was asked for"))
    }
}

/// How a dataflow is set up.
struct Setup {
    rules: Arc<RuleSet>,
    config: MatcherConfig,
}

/// What it said, and what it showed in the end.
type Said = (Vec<EpochOutput>, BTreeMap<Arc<str>, i64>, Vec<LiveCount>);

impl Setup {
    fn dataflow(&self, workers: usize) -> DataflowConfig {
        DataflowConfig {
            workers,
            suppressor: suppressor(&self.rules),
            wide: Some(WideSetup::empty(self.config)),
            live: Some(LiveConfig { live_interval_ms: 0, ..LiveConfig::default() }),
            ..DataflowConfig::default()
        }
    }

    /// The rules, for stages that were made without any.
    fn change(&self) -> RuleChange {
        let suppress = SuppressRules::new(&self.rules, &SuppressConfig::default());
        RuleChange {
            backfill: None,
            partial: Arc::default(),
            rules: Arc::new(Prepared::new(Arc::clone(&self.rules))),
            retired: Arc::default(),
            fresh: Arc::default(),
            begins: Arc::default(),
            suppress: Arc::new(suppress.expect("a time zone")),
            paused: Arc::default(),
        }
    }

    fn run(&self, config: DataflowConfig, feed: impl FnOnce(&Dataflow)) -> Said {
        let matcher = self.config;
        let make = move |_| -> Box<dyn Stage> { Box::new(Matcher::new(Arc::default(), matcher)) };
        let mut live = None;
        let outputs = outputs(config, Arc::new(make), |dataflow| {
            feed(dataflow);
            live = dataflow.live();
        });
        let shown = live.expect("it is asked for").snapshot();
        (outputs, shown.open_visits, shown.counts)
    }

    /// The run that takes the round.
    fn taking(&self, epochs: &[EpochInput], round: Round, workers: usize) -> (Said, Arc<Taken>) {
        let taken = Arc::new(Taken::default());
        let (pieces, change) = (Arc::clone(&taken), Arc::new(self.change()));
        let on_piece = move |piece: Piece| {
            let known = pieces.0.lock().expect("no panic").insert(piece.cut, piece);
            assert_eq!(known, None, "a piece was taken twice");
        };
        let config = DataflowConfig { on_piece: Arc::new(on_piece), ..self.dataflow(workers) };
        let said = self.run(config, |dataflow| {
            let before = EpochInput { mark: BEFORE, events: Vec::new() };
            let behind = Behind { change: Some(change), ..Behind::default() };
            dataflow.submit_with(before, behind).expect("the dataflow runs");
            for (index, epoch) in epochs.iter().enumerate() {
                let behind =
                    Behind { cuts: round.behind(index, epochs.len()), ..Behind::default() };
                dataflow.submit_with(epoch.clone(), behind).expect("the dataflow runs");
            }
        });
        (said, taken)
    }

    /// The run that goes on from it.
    fn restored(&self, epochs: &[EpochInput], taken: Arc<Taken>, workers: usize) -> Said {
        let at = |epoch: Epoch| {
            let mut marks = epochs.iter().map(|epoch| epoch.mark);
            marks.find(|mark| mark.epoch == epoch).expect("an epoch of the stream")
        };
        let pieces = taken.all();
        let taken_at = || pieces.values().map(|piece| piece.epoch);
        let base = at(taken_at().min().expect("pieces"));
        let through = at(taken_at().max().expect("pieces"));
        let rules = Arc::new(self.change());
        let restored = Restored { base, through, rules, pieces: taken };
        let config = DataflowConfig { restored: Some(restored), ..self.dataflow(workers) };
        self.run(config, |dataflow| {
            for epoch in epochs.iter().filter(|epoch| epoch.mark.epoch > base.epoch) {
                dataflow.submit(epoch.clone()).expect("the dataflow runs");
            }
        })
    }
}

/// The end of what was before the first epoch.
const BEFORE: EpochMark = EpochMark {
    epoch: Epoch(0),
    first_seq: LogSeq(1),
    last_seq: LogSeq(0),
    now: ServerTimeMs(stream::START_MS),
    watermark: EventTimeMs::MIN,
};

/// Rules whose matches act as they come, and rules that are held up by what went before.
fn texts() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    prop_oneof![
        rules::rules().prop_map(|texts| vec![("com.example.oracle", texts)]),
        acting_rules().prop_map(|rules| packaged(&rules)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 4, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_is_restored_goes_on_as_if_nothing_had_been(
        texts in texts(),
        drafts in prop::collection::vec(stream::draft(), 1..60),
        kept_max in prop::sample::select(KEPT_MAX),
        window_max in prop::sample::select(&[2_u32, 1_000][..]),
        round in round(),
        workers in prop::sample::select(&[(1_usize, 2_usize), (2, 1), (2, 3), (1, 1)][..]),
    ) {
        let config = MatcherConfig { window_events_max: window_max, ..matcher_config(kept_max) };
        let setup = Setup { rules: packages(&texts), config };
        let epochs = stream::epochs(&drafts);
        let ((whole, open, counts), taken) = setup.taking(&epochs, round, workers.0);
        let through = taken.all().values().map(|piece| piece.epoch).max();
        let (rest, open_then, counts_then) = setup.restored(&epochs, taken, workers.1);
        let wanted: Vec<_> =
            whole.into_iter().filter(|output| Some(output.mark.epoch) > through).collect();
        let bytes = |outputs: &[EpochOutput]| postcard::to_stdvec(outputs).expect("encodes");
        prop_assert!(bytes(&rest) == bytes(&wanted), "restored: {rest:#?}, whole: {wanted:#?}");
        if !wanted.is_empty() {
            prop_assert_eq!((open_then, counts_then), (open, counts));
        }
    }
}
