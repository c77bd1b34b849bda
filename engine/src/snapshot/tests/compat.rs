//! The form of a snapshot is that of the fixture, which stays.

use super::super::file::{encode_piece, encode_rest, header};
use super::super::{Cut, Part, Piece, Pieces, Rest, SnapshotFile};
use crate::catalog::tests::{key, package};
use crate::catalog::{Catalog, event_compiler};
use crate::dataflow::{Behind, Dataflow, DataflowConfig};
use crate::disk::Disk;
use crate::live::LiveConfig;
use crate::log::Control;
use crate::matcher::{Matcher, MatcherConfig, WideSetup};
use crate::model::{
    Epoch, EpochInput, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent,
    PARTITIONS, PackedEvent, PartitionId, ServerTimeMs, Value, VisitId, VisitorId,
};
use crate::suppress::{SuppressConfig, Suppressor};
use crate::testing::{disk_with, fixture, set_version};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// One of each kind of state.
const QUERIES: [(&str, &str); 6] = [
    ("pair", "sequence by data.k [ A where true ] as a [ B where data.k == a.data.k ]"),
    ("absent", "sequence with maxspan=1h [ A where true ] ![ Z where true ]"),
    ("leading", "sequence with maxspan=1h ![ Z where true ] [ B where true ] [ Y where true ]"),
    ("sample", "sample by data.k [ A where true ] [ Y where true ]"),
    ("each", "A where true"),
    ("site", "sequence [ A where true ] [ Y where true ]'''\nstate_max = 9\nwindow = '''site"),
];

fn mark(epoch: u64, last_seq: u64) -> EpochMark {
    let now = 1_000_000 + i64::try_from(epoch).expect("small") * 1_000;
    EpochMark {
        epoch: Epoch(epoch),
        first_seq: LogSeq(last_seq + 1),
        last_seq: LogSeq(last_seq),
        now: ServerTimeMs(now),
        watermark: EventTimeMs(now),
    }
}

fn event(seq: u64, name: &str, visit: u128, time: i64) -> LoggedEvent {
    let event = PackedEvent::pack(&Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: name.into(),
        id: EventId(Id::Bits(u128::from(seq))),
        visit: VisitId(Id::Bits(visit)),
        visitor: Some(VisitorId(Id::Text("ada".into()))),
        page: None,
        timestamp: EventTimeMs(1_000_000 + time),
        server_timestamp: ServerTimeMs(1_000_000 + time),
        client_timestamp: None,
        tie: None,
        fields: vec![("data".into(), Value::Map(vec![("k".into(), Value::Int(7))]))],
    });
    LoggedEvent { seq: LogSeq(seq), event }
}

/// Late ones among them, and a visit that ended.
fn events() -> Vec<EpochInput> {
    let names = [("A", 1, 0), ("B", 2, 10), ("A", 2, 900), ("Z", 2, 500), ("VisitEnded", 3, 20)];
    let epochs = (1_u64..).zip(names).map(|(number, (name, visit, time))| EpochInput {
        mark: mark(number, number),
        events: vec![event(number, name, visit, time)],
    });
    epochs.collect()
}

/// All pieces of a dataflow, behind the last epoch, and the catalog.
fn pieces() -> (Vec<Piece>, Catalog) {
    let mut catalog =
        Catalog::new(event_compiler(), SuppressConfig::default()).expect("a time zone");
    let deploy = Control::Deploy(key("com.example.shop", None), Arc::new(package(&QUERIES)));
    let change = catalog.apply(&mark(0, 0), &[Arc::new(deploy)]);
    assert_eq!(catalog.rules().rules.slots(), QUERIES.len(), "the rules compile");
    let taken = Arc::new(Mutex::new(Vec::new()));
    let pieces = Arc::clone(&taken);
    let config = DataflowConfig {
        live: Some(LiveConfig::default()),
        wide: Some(WideSetup::empty(MatcherConfig::default())),
        suppressor: Suppressor::new(&Default::default(), SuppressConfig::default()).expect("UTC"),
        on_piece: Arc::new(move |piece| pieces.lock().expect("no panic").push(piece)),
        ..DataflowConfig::default()
    };
    let make =
        Arc::new(|_| Box::new(Matcher::new(Arc::default(), MatcherConfig::default())) as Box<_>);
    let dataflow = Dataflow::start(config, make, Box::new(|_| ())).expect("it starts");
    let empty = |number| EpochInput { mark: mark(number, 5), events: Vec::new() };
    let first = EpochInput { mark: mark(0, 0), events: Vec::new() };
    dataflow.submit_with(first, Behind { change, ..Behind::default() }).expect("it runs");
    for epoch in events() {
        dataflow.submit(epoch).expect("it runs");
    }
    let partitions = || (0..PARTITIONS).map(|it| PartitionId(u8::try_from(it).expect("256")));
    let of = |part| partitions().map(move |partition| Cut { part, partition });
    let cuts = [Part::Visits, Part::Windows, Part::Visitors].into_iter().flat_map(of);
    let behind = Behind { cuts: cuts.chain([Cut::LIVE]).collect(), ..Behind::default() };
    dataflow.submit_with(empty(6), behind).expect("it runs");
    dataflow.finish().expect("it ends");
    let mut taken = taken.lock().expect("no panic");
    let mut pieces = std::mem::take(&mut *taken);
    pieces.sort_by_key(|piece| piece.cut);
    // What has nothing in it is not worth its place in a fixture.
    pieces.retain(|piece| piece.bytes.len() > 9);
    (pieces, catalog)
}

fn bytes() -> Vec<u8> {
    let (pieces, catalog) = pieces();
    let mut bytes = header();
    for piece in &pieces {
        let mut encoded = Vec::new();
        encode_piece(piece, &mut encoded);
        bytes.extend(encoded);
    }
    let mut rest = Vec::new();
    encode_rest(
        &Rest { base: mark(6, 5), through: mark(6, 5), catalog: catalog.save() },
        &mut rest,
    );
    bytes.extend(rest);
    bytes
}

fn check(bytes: &[u8]) -> Result<SnapshotFile, String> {
    let path = Path::new("a.snap");
    let file = disk_with(path, bytes).open(path).expect("there");
    SnapshotFile::check(file).map_err(|flaw| flaw.to_string())
}

#[test]
fn version_5_is_read() {
    let bytes = fixture("snapshot-v5.snap", &bytes());
    let file = check(&bytes).expect("whole");
    let (pieces, catalog) = pieces();
    assert_eq!(file.rest().catalog, catalog.save());
    for part in [Part::Visits, Part::Windows, Part::Visitors, Part::LiveEvents, Part::LiveActions] {
        assert!(!file.of(part).is_empty(), "nothing of {part:?}");
    }
    for piece in pieces {
        assert_eq!(file.read(piece.cut).expect("read"), piece);
    }
}

#[test]
fn whatever_byte_is_wrong_it_is_no_snapshot() {
    let whole = bytes();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(check(&bytes).is_err(), "byte {at} of {}", whole.len());
        assert!(check(&whole[..at]).is_err(), "cut at {at}");
    }
    assert!(check(&[&whole[..], &[0]].concat()).is_err(), "more behind it");
    let mut newer = whole;
    set_version(&mut newer[..16], 6);
    let said = check(&newer).expect_err("another version");
    assert_eq!(said, "it has version 6, this beckon reads version 5");
}
