//! What any [`Log`] does, as tests: an implementation calls [`check_all`] with a way to open one.
//!
//! The helpers here are the ones that the tests of the embedded log use too.

use super::{Appended, CommitMark, Group, Log, LogError, NewRecord, RecordBody, Refused};
use crate::log::{Control, PauseKey, dedup_key};
use crate::model::{
    Epoch, Event, EventId, EventTimeMs, Flags, Id, LogSeq, Notice, Outcome, PackedEvent,
    ServerTimeMs, VisitId,
};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Longer than anything that a test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs every check, each on a new log. `open(name)` opens the log of that name: a new one the
/// first time, the same one later.
pub(crate) fn check_all(open: &dyn Fn(&str) -> Box<dyn Log>) {
    an_empty_log_is_empty(&*open("empty"));
    records_are_numbered_and_read_as_they_were_appended(&*open("numbered"));
    what_is_appended_together_stands_together(&*open("together"));
    duplicates_are_told_and_not_stored(&|| open("duplicates"));
    a_tick_makes_a_group_without_records(&*open("tick"));
    a_reader_starts_behind_any_epoch(&*open("after"));
    a_reader_waits_for_what_comes(&*open("waits"));
    a_log_goes_on_where_it_was_closed(&|| open("goes-on"));
    what_is_released_is_still_known(&*open("released"));
    a_closed_log_takes_nothing(&*open("closed"));
}

/// An event of about `bytes` bytes that is told apart by its number.
pub(crate) fn packed(number: u64, bytes: usize) -> PackedEvent {
    PackedEvent::pack(&Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: "PageEntered".into(),
        id: EventId(Id::Bits(number.into())),
        visit: VisitId(Id::Bits(1)),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(1_700_000_000_000),
        server_timestamp: ServerTimeMs(1_700_000_000_000),
        client_timestamp: None,
        tie: None,
        fields: vec![("title".into(), crate::model::Value::Str("x".repeat(bytes).into()))],
    })
}

/// The record of [`packed`].
pub(crate) fn record(number: u64, bytes: usize) -> NewRecord {
    NewRecord {
        site: "shop".into(),
        visitor_hash: number,
        dedup: Some(dedup_key("shop", &EventId(Id::Bits(number.into())))),
        body: RecordBody::Event(packed(number, bytes)),
    }
}

/// The answer to an append, once it comes.
pub(crate) type Answer = Receiver<Result<Vec<Appended>, Refused>>;

/// Appends without waiting.
pub(crate) fn start(log: &dyn Log, records: Vec<NewRecord>) -> Result<Answer, Refused> {
    let (told, answer) = sync_channel(1);
    log.append(records, Box::new(move |result| told.send(result).expect("the test listens")))?;
    Ok(answer)
}

/// Appends and waits for the answer.
pub(crate) fn append(log: &dyn Log, records: Vec<NewRecord>) -> Result<Vec<Appended>, Refused> {
    start(log, records)?.recv_timeout(LONG).expect("every append is answered")
}

/// All groups on disk behind an epoch.
pub(crate) fn read_after(log: &dyn Log, after: Option<Epoch>) -> Vec<Group> {
    let last = log.durable().map_or(Epoch(0), |mark| mark.epoch);
    let mut reader = log.reader(after).expect("readable");
    let mut groups = Vec::new();
    while groups.last().map_or(after.unwrap_or(Epoch(0)), |it: &Group| it.mark.epoch) < last {
        groups.push(reader.next(LONG).expect("readable").expect("on disk"));
    }
    groups
}

/// All records on disk.
pub(crate) fn read_all(log: &dyn Log) -> Vec<(LogSeq, RecordBody)> {
    let groups = read_after(log, None);
    let records = groups.into_iter().flat_map(|group| group.records);
    records.map(|record| (record.seq, record.body)).collect()
}

fn stored(seqs: impl IntoIterator<Item = u64>) -> Result<Vec<Appended>, Refused> {
    Ok(seqs.into_iter().map(|seq| Appended::Stored(LogSeq(seq))).collect())
}

fn an_empty_log_is_empty(log: &dyn Log) {
    assert_eq!(log.durable(), None);
    let mut reader = log.reader(None).expect("readable");
    assert_eq!(reader.next(Duration::ZERO).expect("readable"), None);
    assert_eq!(append(log, Vec::new()), Ok(Vec::new()), "nothing is appended at once");
    assert_eq!(log.durable(), None);
    assert!(matches!(log.reader(Some(Epoch(1))), Err(LogError::Ahead(Epoch(1)))));
}

fn records_are_numbered_and_read_as_they_were_appended(log: &dyn Log) {
    assert_eq!(append(log, vec![record(1, 10), record(2, 10_000)]), stored([1, 2]));
    let tombstone = NewRecord { body: RecordBody::Tombstone, dedup: None, ..record(3, 0) };
    assert_eq!(append(log, vec![tombstone]), stored([3]));
    let resume = PauseKey { package: Some("com.example.shop".into()), site: None };
    let control = RecordBody::Control(Control::Resume(resume, "ann".into()).into());
    let decided = NewRecord { body: control.clone(), dedup: None, ..record(4, 0) };
    assert_eq!(append(log, vec![decided]), stored([4]));
    let said = Notice::Delivery(super::notice::tests::delivery(5, Outcome::Delivered));
    assert_eq!(append(log, vec![said.clone().into()]), stored([5]));
    let expected = [
        (LogSeq(1), RecordBody::Event(packed(1, 10))),
        (LogSeq(2), RecordBody::Event(packed(2, 10_000))),
        (LogSeq(3), RecordBody::Tombstone),
        (LogSeq(4), control),
        (LogSeq(5), RecordBody::Notice(said.into())),
    ];
    assert_eq!(read_all(log), expected);
    let durable = log.durable().expect("not empty");
    assert_eq!((durable.epoch, durable.last_seq), (Epoch(4), LogSeq(5)));
}

fn what_is_appended_together_stands_together(log: &dyn Log) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..25 {
                    let first = (thread * 25 + round) * 3;
                    let records = (first..first + 3).map(|number| record(number, 20)).collect();
                    let answer = append(log, records).expect("taken");
                    let Appended::Stored(seq) = answer[0] else { panic!("{answer:?}") };
                    assert_eq!(Ok(answer), stored(seq.0..seq.0 + 3));
                }
            });
        }
    });
    let records = read_all(log);
    assert!(records.iter().map(|(seq, _)| seq.0).eq(1..=300), "no gap, no double");
    let bodies = records.iter().map(|(_, body)| format!("{body:?}")).collect::<BTreeSet<_>>();
    assert_eq!(bodies.len(), 300, "each once");
}

fn duplicates_are_told_and_not_stored(open: &dyn Fn() -> Box<dyn Log>) {
    let log = open();
    let twice = append(&*log, vec![record(1, 10), record(1, 10), record(2, 10)]);
    let expected = [Appended::Stored(LogSeq(1)), Appended::Duplicate, Appended::Stored(LogSeq(2))];
    assert_eq!(twice, Ok(expected.to_vec()));
    let durable = log.durable();
    assert_eq!(append(&*log, vec![record(2, 10)]), Ok(vec![Appended::Duplicate]));
    assert_eq!(log.durable(), durable, "nothing new, so no group");
    let unkeyed = || NewRecord { dedup: None, ..record(2, 10) };
    assert_eq!(append(&*log, vec![unkeyed(), unkeyed()]), stored([3, 4]));
    drop(log);
    let log = open();
    assert_eq!(append(&*log, vec![record(1, 10)]), Ok(vec![Appended::Duplicate]), "reopened");
    assert_eq!(append(&*log, vec![record(3, 10)]), stored([5]));
    assert_eq!(read_all(&*log).len(), 5);
}

fn a_tick_makes_a_group_without_records(log: &dyn Log) {
    let mut reader = log.reader(None).expect("readable");
    log.tick();
    let group = reader.next(LONG).expect("readable").expect("a group");
    assert_eq!(group.records, []);
    let CommitMark { epoch, first_seq, last_seq, .. } = group.mark;
    assert_eq!((epoch, first_seq, last_seq), (Epoch(1), LogSeq(1), LogSeq(0)));
    assert_eq!(append(log, vec![record(1, 10)]), stored([1]));
    let group = reader.next(LONG).expect("readable").expect("a group");
    assert_eq!((group.mark.epoch, group.mark.last_seq), (Epoch(2), LogSeq(1)));
    log.tick();
    let group = reader.next(LONG).expect("readable").expect("a group");
    assert_eq!((group.mark.first_seq, group.mark.last_seq), (LogSeq(2), LogSeq(1)));
}

fn a_reader_starts_behind_any_epoch(log: &dyn Log) {
    for number in 1..=20 {
        append(log, vec![record(number, 100)]).expect("taken");
    }
    for after in 0..=20 {
        let groups = read_after(log, Some(Epoch(after)));
        assert!(groups.iter().map(|group| group.mark.epoch.0).eq(after + 1..=20), "{after}");
    }
    assert!(matches!(log.reader(Some(Epoch(21))), Err(LogError::Ahead(Epoch(21)))));
    for Group { mark, .. } in read_after(log, None) {
        assert!(log.epoch_before(mark.now) < mark.epoch, "{mark:?}");
    }
}

fn a_reader_waits_for_what_comes(log: &dyn Log) {
    let mut reader = log.reader(None).expect("readable");
    assert_eq!(reader.next(Duration::from_millis(1)).expect("readable"), None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let group = reader.next(LONG).expect("readable").expect("a group");
            assert_eq!(group.records.len(), 1);
            assert!(matches!(reader.next(LONG), Err(LogError::Closed)), "closed while it waits");
        });
        assert_eq!(append(log, vec![record(1, 10)]), stored([1]));
        log.close();
        waiting.join().expect("the reader ends");
    });
}

fn a_log_goes_on_where_it_was_closed(open: &dyn Fn() -> Box<dyn Log>) {
    let mut marks = Vec::new();
    for round in 0..5 {
        let log = open();
        assert_eq!(log.durable(), marks.last().copied(), "round {round}");
        assert_eq!(append(&*log, vec![record(round, 10)]), stored([round + 1]));
        let mark = log.durable().expect("not empty");
        assert_eq!(mark.epoch, Epoch(round + 1));
        assert!(marks.last().is_none_or(|last| last.now <= mark.now), "time went back");
        marks.push(mark);
    }
    let read = read_after(&*open(), None).iter().map(|group| group.mark).collect::<Vec<_>>();
    assert_eq!(read, marks);
}

fn what_is_released_is_still_known(log: &dyn Log) {
    for number in 1..=20 {
        append(log, vec![record(number, 200)]).expect("taken");
    }
    let mut early = log.reader(None).expect("readable");
    early.next(LONG).expect("readable").expect("a group");
    for through in [0, 7, 3, 19, 20, 30] {
        log.release(Epoch(through));
        for after in through.min(20)..=20 {
            let groups = read_after(log, Some(Epoch(after)));
            assert!(groups.iter().map(|group| group.mark.epoch.0).eq(after + 1..=20), "{after}");
        }
    }
    match early.next(LONG) {
        Ok(group) => assert_eq!(group.map(|group| group.mark.epoch), Some(Epoch(2))),
        Err(error) => assert!(matches!(error, LogError::Gone(Epoch(2))), "{error}"),
    }
    let again = append(log, (1..=21).map(|number| record(number, 10)).collect()).expect("taken");
    assert_eq!(again[..20], [Appended::Duplicate; 20], "ids outlive their records");
    assert_eq!(again[20], Appended::Stored(LogSeq(21)));
}

fn a_closed_log_takes_nothing(log: &dyn Log) {
    let answers = (0..50).map(|number| start(log, vec![record(number, 10)]).expect("taken"));
    let answers = answers.collect::<Vec<_>>();
    assert_eq!(log.admits(10), Ok(()));
    log.close();
    for answer in answers {
        answer.try_recv().expect("close waits").expect("what was taken is written");
    }
    assert_eq!(append(log, vec![record(99, 10)]), Err(Refused::Closed));
    assert_eq!(log.admits(10), Err(Refused::Closed));
    assert_eq!(read_all(log).len(), 50, "a closed log is still read");
}
