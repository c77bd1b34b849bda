//! Logs as text: `0s A; 5m B x=1 k=u; mark 10m; end`.
//!
//! An event is a time, a name and what it holds: `visit=2` (1), `visitor=7`, `site=x` (shop),
//! `host=x.example.com`, `id=5` (its place in the log), `tie=1`, `user=u` (`data.userID`), `category=a,b`, `verified`, `unproven`,
//! and any other name below `data`, a number or a text. `mark TIME` ends an epoch with that
//! watermark, `end` ends the input.

use crate::model::{
    Epoch, EpochInput, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent,
    PackedEvent, ServerTimeMs, Value, VisitId, VisitorId,
};
use crate::reference::ReferenceConfig;

/// What times are counted from.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// Lateness of 2 minutes, inactivity of 30.
pub(super) fn config() -> ReferenceConfig {
    ReferenceConfig {
        lateness_ms: 120_000,
        inactivity_ms: Some(1_800_000),
        visit_events_matched_max: 100,
        visit_events_max: usize::MAX,
        makes_visit_started: false,
    }
}

/// Events as their places in the log.
pub(super) fn places(events: &[EventId]) -> String {
    let place = |id: &EventId| match &id.0 {
        Id::Bits(bits) if *bits <= u128::from(u16::MAX) => bits.to_string(),
        _ => "*".to_owned(),
    };
    events.iter().map(place).collect::<Vec<_>>().join(" ")
}

pub(super) fn epochs(text: &str) -> Vec<EpochInput> {
    let mut epochs = Vec::new();
    let mut events = Vec::new();
    let mut seq = LogSeq(1);
    let mut watermark = EventTimeMs::MIN;
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let mut words = item.split_whitespace();
        let mut word = || words.next().expect("a word");
        watermark = match word() {
            "mark" => time(word()),
            "end" => EventTimeMs::MAX,
            at => {
                let event = event(time(at), word(), words, seq);
                events.push(LoggedEvent { seq, event: PackedEvent::pack(&event) });
                seq = seq.next();
                continue;
            }
        };
        epochs.push(epoch(epochs.len(), std::mem::take(&mut events), watermark));
    }
    if !events.is_empty() {
        epochs.push(epoch(epochs.len(), events, watermark));
    }
    epochs
}

fn epoch(index: usize, events: Vec<LoggedEvent>, watermark: EventTimeMs) -> EpochInput {
    let first_seq = events.first().map_or(LogSeq(0), |event| event.seq);
    let last_seq = events.last().map_or(LogSeq(0), |event| event.seq);
    let epoch = Epoch(index as u64 + 1);
    EpochInput {
        mark: EpochMark { epoch, first_seq, last_seq, now: ServerTimeMs(0), watermark },
        events,
    }
}

/// `90s`, `5m`, `1h`, `250ms` behind a point in time.
fn time(text: &str) -> EventTimeMs {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let number: i64 = text.trim_end_matches(unit).parse().expect("a number");
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        other => panic!("no unit: {other}"),
    };
    EventTimeMs(BEGIN_MS + number * unit_ms)
}

/// The seconds of a time.
pub(super) fn seconds(time: EventTimeMs) -> i64 {
    (time.0 - BEGIN_MS) / 1_000
}

fn event<'a>(
    timestamp: EventTimeMs,
    name: &str,
    words: impl Iterator<Item = &'a str>,
    seq: LogSeq,
) -> Event {
    let mut event = Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: name.into(),
        id: EventId(Id::Bits(u128::from(seq.0))),
        visit: VisitId(Id::Bits(1)),
        visitor: None,
        page: None,
        timestamp,
        server_timestamp: ServerTimeMs(timestamp.0),
        client_timestamp: None,
        tie: None,
        fields: Vec::new(),
    };
    let bits = |text: &str| Id::Bits(text.parse().expect("a number"));
    let text = |text: &str| Value::Str(text.into());
    let mut data = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "id" => event.id = EventId(bits(value)),
            "visit" => event.visit = VisitId(bits(value)),
            "visitor" => event.visitor = Some(VisitorId(bits(value))),
            "site" => event.site = value.into(),
            "host" => event.fields.push(("url.host".into(), text(value))),
            "tie" => event.tie = Some(value.parse().expect("a number")),
            "user" => data.push(("userID".into(), text(value))),
            "verified" => event.flags = Flags::VERIFIED,
            "unproven" => event.flags = Flags::RECORD_ONLY,
            "category" => {
                let values = value.split(',').map(text).collect();
                event.fields.push(("category".into(), Value::List(values)));
            }
            key => data.push((key.into(), value.parse().map_or_else(|_| text(value), Value::Int))),
        }
    }
    event.fields.push(("data".into(), Value::Map(data)));
    event
}
