//! Random event streams, cut into random epochs.
//!
//! Small worlds on purpose: few names, few values, few visits, so that rules meet often, and
//! times that stand still, jump, and sometimes lie behind: by less than the lateness, or by more.

use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent,
    PackedEvent, ServerTimeMs, Value, VisitId, VisitorId,
};
use proptest::prelude::*;

/// A random event before it has a place in time.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    name: &'static str,
    visit: u8,
    visitor: Option<u8>,
    pub(crate) step_ms: i64,
    /// How far it lies behind.
    late_ms: i64,
    categories: Vec<&'static str>,
    x: Option<i64>,
    k: Option<&'static str>,
    user: u8,
    flags: u16,
    pub(crate) ends_epoch: bool,
    /// An epoch without events follows, with the watermark so far ahead.
    tick_ms: Option<i64>,
    tie: Option<i64>,
}

impl Draft {
    /// The same, not late.
    pub(crate) fn in_order(self) -> Self {
        Self { late_ms: 0, tie: None, ..self }
    }
}

/// When the first event happens, or nearly so.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

const NAMES: &[&str] = &["A", "A", "B", "B", "C", "D"];
const SYSTEM: &[&str] =
    &["VisitStarted", "VisitEnded", "SignIn", "SignIn", "SignOut", "UserInfo", "PageEntered"];

/// One draft.
pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    let name = prop_oneof![8 => prop::sample::select(NAMES), 2 => prop::sample::select(SYSTEM)];
    let step_ms = prop_oneof![
        8 => Just(0_i64),
        24 => 1_i64..2_000,
        4 => 2_000_i64..70_000,
        1 => 1_700_000_i64..2_000_000,
    ];
    let late_ms = prop_oneof![
        20 => Just(0_i64),
        6 => 1_i64..3_000,
        2 => 3_000_i64..100_000,
        1 => 100_000_i64..200_000,
    ];
    let tick_ms = prop_oneof![4 => 0_i64..200_000, 1 => 1_700_000_i64..3_000_000];
    let what = (
        name,
        (0_u8..4, prop::option::weighted(0.8, 7_u8..9)),
        (step_ms, late_ms),
        prop::collection::vec(prop::sample::select(&["p", "q", "r"][..]), 0..3),
    );
    let data = (
        prop::option::of(-2_i64..4),
        prop::option::of(prop::sample::select(&["u", "v"][..])),
        0_u8..3,
    );
    let place = (
        prop_oneof![8 => Just(0_u16), 1 => Just(1_u16), 1 => Just(3_u16), 6 => Just(4_u16)],
        (prop::bool::weighted(0.3), prop::option::weighted(0.3, tick_ms)),
        prop::option::of(0_i64..3),
    );
    (what, data, place).prop_map(
        |(
            (name, (visit, visitor), (step_ms, late_ms), categories),
            (x, k, user),
            (flags, (ends_epoch, tick_ms), tie),
        )| Draft {
            name,
            visit,
            visitor,
            step_ms,
            late_ms,
            categories,
            x,
            k,
            user,
            flags,
            ends_epoch,
            tick_ms,
            tie,
        },
    )
}

/// The drafts as a log: epochs with replay marks, a timer epoch here and there, and the end.
pub(crate) fn epochs(drafts: &[Draft]) -> Vec<EpochInput> {
    let mut clock_ms = START_MS;
    let mut watermark = EventTimeMs::MIN;
    let mut epochs = Vec::new();
    let mut events = Vec::new();
    let mut first_seq = LogSeq(1);
    for (index, draft) in drafts.iter().enumerate() {
        clock_ms += draft.step_ms;
        let seq = LogSeq(index as u64 + 1);
        watermark = watermark.max(EventTimeMs(clock_ms));
        events.push(LoggedEvent { seq, event: PackedEvent::pack(&event(draft, seq.0, clock_ms)) });
        if draft.ends_epoch {
            let ended = mark(epochs.len(), first_seq, seq, watermark);
            epochs.push(EpochInput { mark: ended, events: std::mem::take(&mut events) });
            first_seq = seq.next();
            if let Some(tick_ms) = draft.tick_ms {
                watermark = watermark.saturating_add(tick_ms);
                let tick = mark(epochs.len(), first_seq, seq, watermark);
                epochs.push(EpochInput { mark: tick, events: Vec::new() });
            }
        }
    }
    let last_seq = LogSeq(drafts.len() as u64);
    let mark = mark(epochs.len(), first_seq, last_seq, EventTimeMs::MAX);
    epochs.push(EpochInput { mark, events });
    epochs
}

/// The same, and the server's time goes on with the events.
pub(crate) fn in_time(mut epochs: Vec<EpochInput>) -> Vec<EpochInput> {
    let mut now = ServerTimeMs(START_MS);
    for EpochInput { mark, .. } in &mut epochs {
        if mark.watermark < EventTimeMs::MAX {
            now = now.max(ServerTimeMs(mark.watermark.0));
        }
        mark.now = now;
    }
    epochs
}

fn mark(index: usize, first_seq: LogSeq, last_seq: LogSeq, watermark: EventTimeMs) -> EpochMark {
    let epoch = Epoch(index as u64 + 1);
    let now = ServerTimeMs(START_MS + i64::try_from(index).expect("few epochs"));
    EpochMark { epoch, first_seq, last_seq, now, watermark }
}

/// The event of a draft that comes at a time; its number is its id.
pub(crate) fn event(draft: &Draft, number: u64, clock_ms: i64) -> Event {
    let happened_ms = clock_ms - draft.late_ms;
    let text = |text: &str| Value::Str(text.into());
    let mut data: Vec<(Box<str>, Value)> = Vec::new();
    if let Some(x) = draft.x {
        let value = if x == 3 { Value::Float(2.5) } else { Value::Int(x) };
        data.push(("x".into(), value));
    }
    if let Some(k) = draft.k {
        data.push(("k".into(), text(k)));
    }
    if draft.user > 0 {
        data.push(("userID".into(), text(&format!("user-{}", draft.user))));
    }
    let categories: Vec<Value> = draft.categories.iter().map(|name| text(name)).collect();
    let mut fields: Vec<(Box<str>, Value)> = vec![("data".into(), Value::Map(data))];
    if !categories.is_empty() {
        fields.push(("category".into(), Value::List(categories)));
    }
    // Most of those who sign in are proven, so that windows of users have events.
    let is_plain_sign_in = draft.name == "SignIn" && draft.flags == 0;
    Event {
        flags: if is_plain_sign_in { Flags::VERIFIED } else { Flags(draft.flags) },
        site: if draft.visit == 3 { "other".into() } else { "shop".into() },
        name: draft.name.into(),
        id: EventId(Id::Bits(u128::from(number))),
        visit: VisitId(Id::Bits(u128::from(draft.visit % 3))),
        visitor: draft.visitor.map(|visitor| VisitorId(Id::Bits(visitor.into()))),
        page: None,
        timestamp: EventTimeMs(happened_ms),
        server_timestamp: ServerTimeMs(clock_ms),
        client_timestamp: None,
        tie: draft.tie,
        fields,
    }
}
