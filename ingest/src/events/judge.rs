//! Judges each event of a batch, and writes what each is told.

use super::NOT_JSON_HELP;
use crate::answer::Refusal;
use crate::app::App;
use crate::body::{Batch, Piece};
use crate::identity::Doubt;
use crate::metrics::EventCounts;
use crate::normalise::{Context, NormaliseError, Normalised, RejectReason, Rejection, is_owned};
use crate::record::record_of;
use axum::http::StatusCode;
use beckon_engine::log::{Appended, NewRecord};
use beckon_engine::model::{EventId, Flags, PackedFields};

/// What was decided of one event.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the next of the records.
    Taken {
        /// The id that the server gave it.
        new_id: Option<EventId>,
        /// Input fields that were not taken.
        dropped: Vec<Box<str>>,
        /// Why a sign-in is not proven.
        doubt: Option<Doubt>,
    },
    /// It is not taken.
    Rejected(Rejection),
}

/// A judged batch.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// In the batch's order.
    pub(crate) verdicts: Vec<Verdict>,
    /// Of the events that were taken, in order.
    pub(crate) records: Vec<NewRecord>,
    counts: EventCounts,
}

/// Judges all events.
///
/// # Errors
/// 400 when an element is no JSON, because then the whole body is none (lines stand for
/// themselves).
pub(crate) fn judge(
    app: &App,
    batch: &Batch<'_>,
    context: &Context<'_>,
    shared: &PackedFields,
) -> Result<Judged, Refusal> {
    let count = batch.events.len();
    let mut judged = Judged {
        verdicts: Vec::with_capacity(count),
        records: Vec::with_capacity(count),
        counts: EventCounts::default(),
    };
    for (index, piece) in batch.events.iter().enumerate() {
        match judge_one(app, piece, context) {
            Ok(taken) => judged.take(taken, shared),
            Err(NormaliseError::Rejected(rejection)) => judged.reject(app, rejection),
            Err(NormaliseError::Syntax(what)) if batch.is_by_line => {
                judged.reject(app, Rejection::whole(RejectReason::InvalidJson, what));
            }
            Err(NormaliseError::Syntax(what)) => {
                let message = format!("the body is not JSON: event {index}: {what}");
                let status = StatusCode::BAD_REQUEST;
                return Err(Refusal::new(status, "not_json", message, NOT_JSON_HELP));
            }
        }
    }
    Ok(judged)
}

/// Judges one event, its size and depth first.
pub(crate) fn judge_one(
    app: &App,
    piece: &Piece<'_>,
    context: &Context<'_>,
) -> Result<Normalised, NormaliseError> {
    let (bytes, bytes_max) = (piece.raw.len(), app.limits.event_bytes_max);
    if bytes > bytes_max {
        let message = format!("the event has {bytes} bytes, at most {bytes_max} are taken");
        return Err(Rejection::whole(RejectReason::TooLarge, message).into());
    }
    let depth_max = app.limits.json_depth_max;
    if piece.depth > depth_max {
        let message =
            format!("the event nests {} levels deep, at most {depth_max} are taken", piece.depth);
        return Err(Rejection::whole(RejectReason::TooDeep, message).into());
    }
    app.normaliser.event(piece.text, context)
}

impl Judged {
    fn take(&mut self, taken: Normalised, shared: &PackedFields) {
        let flags = taken.event.flags;
        let counts = &mut self.counts;
        counts.unproven += u64::from(flags.has(Flags::UNPROVEN));
        counts.clamped += u64::from(flags.has(Flags::CLAMPED));
        counts.skewed += u64::from(flags.has(Flags::SKEW_CORRECTED));
        counts.doubted += u64::from(taken.doubt.is_some());
        for name in &taken.dropped {
            if is_owned(name) {
                counts.dropped_owned += 1;
            } else {
                counts.dropped_unknown += 1;
            }
        }
        self.records.push(record_of(&taken.event, shared));
        let new_id = taken.has_new_id.then_some(taken.event.id);
        let Normalised { dropped, doubt, .. } = taken;
        self.verdicts.push(Verdict::Taken { new_id, dropped, doubt });
    }

    fn reject(&mut self, app: &App, rejection: Rejection) {
        app.metrics.rejected(rejection.reason);
        self.counts.rejected += 1;
        self.verdicts.push(Verdict::Rejected(rejection));
    }

    /// Takes none of the events after all.
    pub(crate) fn reject_all(&mut self, app: &App, rejection: &Rejection) {
        let verdicts = std::mem::take(self).verdicts;
        verdicts.iter().for_each(|_| self.reject(app, rejection.clone()));
    }

    /// The answer, once the records are on disk; counts what became of the events.
    pub(crate) fn finish(mut self, app: &App, site: &str, appended: &[Appended]) -> String {
        let mut text = String::with_capacity(16 + self.verdicts.len() * 24);
        text.push_str("{\"results\":[");
        let mut appended = appended.iter();
        for (index, verdict) in self.verdicts.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match verdict {
                Verdict::Taken { new_id, dropped, doubt } => {
                    let is_duplicate = matches!(appended.next(), Some(Appended::Duplicate));
                    if is_duplicate {
                        self.counts.duplicate += 1;
                    } else {
                        self.counts.ok += 1;
                    }
                    write_taken(&mut text, is_duplicate, new_id.as_ref(), dropped, *doubt);
                }
                Verdict::Rejected(rejection) => write_rejected(&mut text, rejection),
            }
        }
        text.push_str("]}");
        app.metrics.events(site, self.counts);
        text
    }
}

fn write_taken(
    text: &mut String,
    is_duplicate: bool,
    new_id: Option<&EventId>,
    dropped: &[Box<str>],
    doubt: Option<Doubt>,
) {
    text.push_str("{\"status\":\"");
    text.push_str(if is_duplicate { "duplicate" } else { "ok" });
    text.push('"');
    if let Some(id) = new_id {
        text.push_str(",\"eventID\":\"");
        text.push_str(&id.to_string());
        text.push('"');
    }
    if !dropped.is_empty() {
        text.push_str(",\"dropped\":");
        push_json(text, &dropped);
    }
    if let Some(doubt) = doubt {
        text.push_str(",\"unverified\":\"");
        text.push_str(doubt.as_str());
        text.push('"');
    }
    text.push('}');
}

fn write_rejected(text: &mut String, rejection: &Rejection) {
    text.push_str("{\"status\":\"rejected\",\"reason\":\"");
    text.push_str(rejection.reason.as_str());
    text.push_str("\",\"path\":");
    push_json(text, &rejection.path);
    text.push_str(",\"message\":");
    push_json(text, &rejection.message);
    text.push('}');
}

fn push_json(text: &mut String, value: &impl serde::Serialize) {
    // Texts and lists of texts always have a JSON form.
    text.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::about::event::{
        EventRejected, EventResult, EventTaken, RejectedStatus, TakenStatus,
    };

    #[track_caller]
    fn check(written: &str, described: &EventResult) {
        assert_eq!(written, serde_json::to_string(described).expect("JSON"));
    }

    #[test]
    fn results_are_what_is_said_of_them() {
        let mut text = String::new();
        write_taken(&mut text, false, None, &[], None);
        let status = TakenStatus::Ok;
        let taken = EventTaken { status, event_id: None, dropped: None, unverified: None };
        check(&text, &EventResult::Taken(taken));
        let (mut text, id) = (String::new(), crate::dead_letters::LetterId(7).event_id());
        write_taken(&mut text, true, Some(&id), &["a\"b".into()], Some(Doubt::Hash));
        let taken = EventTaken {
            status: TakenStatus::Duplicate,
            event_id: Some(id.to_string()),
            dropped: Some(vec!["a\"b".into()]),
            unverified: Some(Doubt::Hash.as_str().into()),
        };
        check(&text, &EventResult::Taken(taken));
        let mut text = String::new();
        let rejection = Rejection::field(RejectReason::BadUrl, "url", "no \"address\"");
        write_rejected(&mut text, &rejection);
        let rejected = EventRejected {
            status: RejectedStatus::Rejected,
            reason: rejection.reason,
            path: rejection.path.into(),
            message: rejection.message.into(),
        };
        check(&text, &EventResult::Rejected(rejected));
    }
}
