//! Rejected events become dead letters, without keys and secrets.
//!
//! After the append, never before: a request that ends in 503 comes again, and its rejected events
//! with it.

use super::judge::{Judged, Verdict};
use crate::app::App;
use crate::body::Batch;
use crate::dead_letters::{NewLetter, strip_secrets};
use crate::normalise::{Context, truncate};
use crate::sites::WriteKey;
use std::sync::Arc;

/// What the request showed and must not be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) keys: [Option<&'a str>; 3],
    pub(super) secret: Option<&'a str>,
    pub(super) user_agent: Option<&'a str>,
}

pub(super) fn keep(
    app: &App,
    key: &WriteKey,
    (batch, judged): (&Batch<'_>, &Judged),
    context: &Context<'_>,
    shown: Shown<'_>,
) {
    let secrets: Vec<&str> = shown.keys.into_iter().chain([shown.secret]).flatten().collect();
    for (piece, verdict) in batch.events.iter().zip(&judged.verdicts) {
        let Verdict::Rejected(rejection) = verdict else { continue };
        app.dead_letters.append(NewLetter {
            received: context.received,
            site: Arc::clone(&key.site),
            key: Arc::clone(&key.name),
            address: context.address.map(|address| truncate(address).into()),
            user_agent: shown.user_agent.map(Into::into),
            sent: context.sent,
            proven_visit: context.proven_visit,
            code: rejection.reason.as_str().into(),
            path: rejection.path.clone(),
            message: rejection.message.clone(),
            original: strip_secrets(piece.raw, &secrets),
        });
    }
}
