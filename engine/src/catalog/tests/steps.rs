//! How much of the past goes behind one epoch.

use super::super::{BACKFILL_RECORDS, Backfiller, PastEpochs};
use super::*;
use crate::log::Control;
use crate::matcher::CHANGE_EPOCHS;
use crate::model::{EpochInput, EpochMark, LogSeq, LoggedEvent};

const SECOND_MS: i64 = 1_000;
const RUSH: u64 = 5_000;
const SILENT_S: u64 = 600;

fn mark(epoch: u64, events: u64, now: i64) -> EpochMark {
    let last_seq = LogSeq(RUSH);
    EpochMark {
        epoch: Epoch(epoch),
        first_seq: LogSeq(RUSH + 1 - events),
        last_seq,
        now: ServerTimeMs(now),
        watermark: EventTimeMs(now),
    }
}

/// Many visitors, and ten minutes in which nobody comes. Neither all those minutes go behind one
/// epoch, nor anything behind the moment in which the horizon passes all the visitors.
#[test]
fn silence_behind_a_rush_is_shown_in_steps() {
    let event = |seq: u64| LoggedEvent { seq: LogSeq(seq), event: sample(seq.into()) };
    let rush = EpochInput { mark: mark(1, RUSH, 0), events: (1..=RUSH).map(event).collect() };
    let second = |number: u64| EpochInput {
        mark: mark(number + 1, 0, i64::try_from(number).expect("small") * SECOND_MS),
        events: Vec::new(),
    };
    let mut past: Vec<_> = (1..=SILENT_S).map(second).collect();
    past.insert(0, rush);
    let last = past[past.len() - 1].mark;

    let mut catalog =
        Catalog::new(event_compiler(), SuppressConfig::default()).expect("a time zone");
    let on_site = package(&[("each", &format!("{EACH}'''\nwindow = '''site"))]);
    let put = Control::Deploy(key("com.example.shop", None), Arc::new(on_site));
    catalog.apply(&last, &[Arc::new(put)]).expect("a change");
    let mut backfiller = Backfiller::new(MatcherConfig::default(), 0, BACKFILL_RECORDS);
    let after =
        |number: u64| EpochMark { epoch: Epoch(last.epoch.0 + number), ..mark(0, 0, last.now.0) };
    past.extend((1..=200).map(|number| EpochInput { mark: after(number), events: Vec::new() }));
    let open = |_| Ok(Box::new(past.into_iter().map(Ok)) as PastEpochs);
    backfiller.follow(&catalog, open).expect("no log");

    let (mut ends, mut asked) = (Vec::new(), 0);
    for number in 1.. {
        let step = backfiller.read(&mut catalog, &after(number)).expect("no log").expect("a step");
        if ends.is_empty() && step.epochs.is_empty() {
            asked += 1;
            continue;
        }
        ends.push(ends.last().unwrap_or(&0) + step.epochs.len());
        if step.caught_up.is_some() {
            catalog.apply(&after(number), &[]).expect("the rule runs");
            let until = Epoch(after(number).epoch.0 + CHANGE_EPOCHS);
            let is_changing = |epoch| catalog.is_changing(epoch);
            assert!(is_changing(Epoch(until.0 - 1)), "its windows are joined with the others");
            assert!(!is_changing(until));
            break;
        }
    }
    let steps: Vec<_> = [0].iter().chain(&ends).zip(&ends).map(|(from, to)| to - from).collect();
    assert!(steps.iter().all(|epochs| *epochs <= 25), "{steps:?}");
    assert_eq!((asked, steps[0]), (2 * 16, 1), "then the rush alone");
    // Behind the two minutes for which an event may be late: the first second behind them.
    assert!(ends.contains(&122), "{ends:?}");
    assert!(ends.len() < 50, "it catches up: {}", ends.len());
}

fn sample(number: u128) -> PackedEvent {
    PackedEvent::pack(&Event {
        flags: Flags::default(),
        site: "a".into(),
        name: "A".into(),
        id: EventId(Id::Bits(number)),
        visit: VisitId(Id::Bits(number)),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(0),
        server_timestamp: ServerTimeMs(0),
        client_timestamp: None,
        tie: None,
        fields: Vec::new(),
    })
}
