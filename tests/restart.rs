//! What survives a restart: every acknowledged event, once.

use beckon_engine::clock::SystemClock;
use beckon_engine::disk::RealDisk;
use beckon_engine::log::{Appended, EmbeddedLog, Log, LogConfig, Named, NewRecord, OpenLog};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, LogSeq, PackedFields, ServerTimeMs, VisitId,
};
use beckon_ingest::record_of;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(OpenLog {
        disk: Arc::new(RealDisk),
        dir: folder.join("log"),
        clock: Arc::new(SystemClock::new()),
        config: LogConfig { disk_free_bytes_min: 0, ..LogConfig::default() },
        named: Named::default(),
        base: None,
        on_fatal: Arc::new(|reason| panic!("{reason}")),
    })
    .expect("the log opens")
}

fn append(log: &EmbeddedLog, records: Vec<NewRecord>) -> Vec<Appended> {
    let (send, receive) = sync_channel(1);
    let done = Box::new(move |result| send.send(result).expect("the test waits"));
    log.append(records, done).expect("there is room");
    receive.recv().expect("an answer").expect("on disk")
}

fn event(site: &str, id: Id) -> Event {
    Event {
        flags: Flags::default(),
        site: site.into(),
        name: "PageEntered".into(),
        id: EventId(id),
        visit: VisitId(Id::Bits(1)),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(1),
        server_timestamp: ServerTimeMs(1),
        client_timestamp: None,
        tie: None,
        fields: Vec::new(),
    }
}

/// The key under which ingest appends is the one that the log derives when it is opened.
#[test]
fn a_repeated_event_is_a_duplicate_after_a_restart_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = [
        event("shop", Id::Bits(7)),
        event("other", Id::Bits(7)),
        event("shop", Id::Text("seven".into())),
    ];
    let records = || {
        events.iter().map(|event| record_of(event, &PackedFields::default())).collect::<Vec<_>>()
    };
    let log = open(folder.path());
    let stored = [1, 2, 3].map(|seq| Appended::Stored(LogSeq(seq)));
    assert_eq!(append(&log, records()), stored);
    log.close();
    drop(log);
    let log = open(folder.path());
    assert_eq!(append(&log, records()), [Appended::Duplicate; 3]);
}
