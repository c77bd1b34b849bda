//! The tables of what the engine concluded - visits, actions, epochs - and of what became of messages.
//!
//! `actions` is append-only: a line says `assert`, `retract`, `suppress` or `correct` of a match.
//! Lines of one match add up: what holds is the last one said of it. `deliveries` has a line for each
//! thing that a sink said of a message; that of an action has the action's id.

use super::columns::{Batch, Kind};
use super::events::write_identity;
use super::hex::hex_digits;
use beckon_engine::model::{
    ActionRow, Delivery, EpochMark, EpochOutput, EventTimeMs, Id, LogSeq, Notice, NoticeRow, Op,
    VisitChange, VisitRow, WindowKey, partition_of,
};
use std::borrow::Cow;

/// Columns of every visits file, in order. Appended, never changed.
pub(super) const VISIT_COLUMNS: &[(&str, Kind)] = &[
    ("log_sequence", Kind::Sequence),
    ("epoch", Kind::Sequence),
    ("site", Kind::Text),
    ("partition", Kind::Small),
    ("visit_id", Kind::UniqueText),
    ("visit_instance", Kind::Integer),
    ("global_visit_id", Kind::Text),
    ("change", Kind::Text),
    ("resumed", Kind::Boolean),
    ("close_reason", Kind::Text),
    ("started", Kind::Time),
    ("last_event", Kind::Time),
    ("events", Kind::Integer),
    ("user_id", Kind::Text),
    ("visit_scope", Kind::Text),
    ("verified", Kind::Boolean),
];

/// Columns of every actions file, in order. Appended, never changed.
pub(super) const ACTION_COLUMNS: &[(&str, Kind)] = &[
    ("log_sequence", Kind::Sequence),
    ("epoch", Kind::Sequence),
    ("op", Kind::Text),
    ("suppress_reason", Kind::Text),
    ("site", Kind::Text),
    ("partition", Kind::Small),
    ("package", Kind::Text),
    ("rule", Kind::Text),
    ("rule_version", Kind::Text),
    ("window_kind", Kind::Text),
    ("window_key", Kind::UniqueText),
    ("visit_id", Kind::UniqueText),
    ("visit_instance", Kind::Integer),
    ("global_visit_id", Kind::Text),
    ("action_id", Kind::UniqueText),
    ("match_id", Kind::UniqueText),
    ("event_ids", Kind::TextList),
    ("timestamp", Kind::Time),
    ("kind", Kind::Text),
    ("channel", Kind::Text),
    ("endpoint", Kind::Text),
    ("data", Kind::UniqueText),
    ("has_null_placeholder", Kind::Boolean),
    ("priority", Kind::Small),
    ("decided", Kind::Time),
    ("visit_open", Kind::Boolean),
    ("backfilled", Kind::Boolean),
    ("replaced_match_id", Kind::Text),
];

/// Columns of every epochs file, in order. Appended, never changed.
pub(super) const EPOCH_COLUMNS: &[(&str, Kind)] = &[
    ("epoch", Kind::Sequence),
    ("log_sequence_first", Kind::Sequence),
    ("log_sequence_last", Kind::Sequence),
    ("now", Kind::Time),
    ("watermark", Kind::Time),
    ("events", Kind::Integer),
    ("late_events", Kind::Integer),
    ("visits_opened", Kind::Integer),
    ("visits_closed", Kind::Integer),
    ("actions_asserted", Kind::Integer),
    ("actions_retracted", Kind::Integer),
    ("actions_suppressed", Kind::Integer),
    ("actions_corrected", Kind::Integer),
    ("deliveries", Kind::Integer),
];

/// Columns of every deliveries file, in order. Appended, never changed.
pub(super) const DELIVERY_COLUMNS: &[(&str, Kind)] = &[
    ("log_sequence", Kind::Sequence),
    ("epoch", Kind::Sequence),
    ("time", Kind::Time),
    ("site", Kind::Text),
    ("partition", Kind::Small),
    ("visit_id", Kind::UniqueText),
    ("page_id", Kind::Text),
    ("message_id", Kind::UniqueText),
    ("sink", Kind::Text),
    ("endpoint", Kind::Text),
    ("outcome", Kind::Text),
    ("reason", Kind::Text),
    ("attempt", Kind::Integer),
];

/// A visit's line; `log_sequence` is the last one known when it was said.
pub(super) fn append_visit(batch: &mut Batch, row: &VisitRow, mark: &EpochMark) {
    let (change, resumed, reason) = match row.change {
        VisitChange::Opened { resumed } => ("opened", Some(resumed), None),
        VisitChange::Closed(reason) => ("closed", None, Some(reason.as_str())),
    };
    let mut cells = batch.row();
    cells
        .count(Some(mark.last_seq.0))
        .count(Some(mark.epoch.0))
        .text(Some(&row.site))
        .small(Some(i32::from(partition_of(&row.site, &row.visit).0)))
        .id(Some(&row.visit.0))
        .count(Some(row.instance.0.0))
        .id(row.visitor.as_ref().map(|id| &id.0))
        .text(Some(change))
        .boolean(resumed)
        .text(reason)
        .time_ms(Some(row.started.0))
        .time_ms(Some(row.last_event.0))
        .count(Some(row.events));
    write_identity(&mut cells, &row.identity);
    cells.done();
}

/// An action's line; `log_sequence` is that of the match's last event.
pub(super) fn append_action(batch: &mut Batch, row: &ActionRow, mark: &EpochMark) {
    let fact = &row.fact;
    let window_key = match &fact.window {
        WindowKey::Visit => Some(id_text(&fact.visit.0)),
        WindowKey::Visitor(visitor) => Some(id_text(&visitor.0)),
        WindowKey::User(user) => Some(Cow::Borrowed(&**user)),
        WindowKey::Site => Some(Cow::Borrowed(&*fact.site)),
        WindowKey::Global => None,
    };
    batch
        .row()
        .count(Some(fact.seq.0))
        .count(Some(mark.epoch.0))
        .text(Some(row.op.as_str()))
        .text(fact.suppressed.map(|reason| reason.as_str()))
        .text(Some(&fact.site))
        .small(Some(i32::from(partition_of(&fact.site, &fact.visit).0)))
        .text(Some(&fact.package))
        .text(Some(&fact.rule))
        .hex(fact.version)
        .text(Some(fact.window.kind()))
        .text(window_key.as_deref())
        .id(Some(&fact.visit.0))
        .count(Some(fact.instance.0.0))
        .id(fact.visitor.as_ref().map(|id| &id.0))
        .hex(fact.action.0)
        .hex(fact.matched.0)
        .texts(Some(fact.events.iter().map(|id| id_text(&id.0))))
        .time_ms(Some(fact.timestamp.0))
        .text(Some(&fact.kind))
        .text(fact.channel.as_deref())
        .text(fact.endpoint.as_deref())
        .text(fact.data.as_deref())
        .boolean(Some(fact.has_null_placeholder))
        .small(Some(fact.priority))
        .time_ms(Some(fact.decided.0))
        .boolean(Some(fact.is_visit_open))
        .boolean(Some(fact.is_backfilled))
        .optional_hex(row.replaced.map(|id| id.0))
        .done();
}

/// An epoch's line; `watermark` is null before the first event and at the end of the input.
pub(super) fn append_epoch(batch: &mut Batch, output: &EpochOutput) {
    let mark = &output.mark;
    let late = output.events.iter().filter(|row| row.fate.is_late()).count();
    let is_opened = |row: &&VisitRow| matches!(row.change, VisitChange::Opened { .. });
    let opened = output.visits.iter().filter(is_opened).count();
    let said = |op| Some(output.actions.iter().filter(|row| row.op == op).count() as u64);
    let is_time = mark.watermark != EventTimeMs::MAX && mark.watermark != EventTimeMs::MIN;
    batch
        .row()
        .count(Some(mark.epoch.0))
        .count(Some(mark.first_seq.0))
        .count(Some(mark.last_seq.0))
        .time_ms(Some(mark.now.0))
        .time_ms(is_time.then_some(mark.watermark.0))
        .count(Some(output.events.len() as u64))
        .count(Some(late as u64))
        .count(Some(opened as u64))
        .count(Some((output.visits.len() - opened) as u64))
        .count(said(Op::Assert))
        .count(said(Op::Retract))
        .count(said(Op::Suppress))
        .count(said(Op::Correct))
        .count(Some(deliveries(output).count() as u64))
        .done();
}

/// What sinks said of messages in an epoch, by its place in the log.
pub(super) fn deliveries(output: &EpochOutput) -> impl Iterator<Item = (LogSeq, &Delivery)> {
    output.notices.iter().filter_map(|NoticeRow { seq, notice }| match &**notice {
        Notice::Delivery(delivery) => Some((*seq, delivery)),
        Notice::Message(_) => None,
    })
}

/// A line of what became of a message; `time` is the server's clock at the end of its epoch.
pub(super) fn append_delivery(
    batch: &mut Batch,
    (seq, delivery): (LogSeq, &Delivery),
    mark: &EpochMark,
) {
    batch
        .row()
        .count(Some(seq.0))
        .count(Some(mark.epoch.0))
        .time_ms(Some(mark.now.0))
        .text(Some(&delivery.site))
        .small(Some(i32::from(partition_of(&delivery.site, &delivery.visit).0)))
        .id(Some(&delivery.visit.0))
        .id(delivery.page.as_ref().map(|page| &page.0))
        .hex(delivery.message.0)
        .text(Some(delivery.sink.as_str()))
        .text(delivery.sink.endpoint())
        .text(Some(delivery.outcome.as_str()))
        .text(delivery.reason.as_deref())
        .count(delivery.attempt.map(u64::from))
        .done();
}

fn id_text(id: &Id) -> Cow<'_, str> {
    match id {
        Id::Bits(bits) => Cow::Owned(hex_digits(*bits).as_str().to_owned()),
        Id::Text(text) => Cow::Borrowed(text),
    }
}
