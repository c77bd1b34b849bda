//! Rejected events become dead letters, without keys and secrets.
//!
//! After the append, never before: a request that ends in 503 comes again, and its rejected events
//! with it.

use super::judge::{Judged, Verdict};
use crate::app::App;
use crate::body::Batch;
use crate::dead_letters::{NewLetter, strip_secrets};
use crate::normalise::{Context, OfVisit};
use crate::sites::WriteKey;
use std::net::IpAddr;
use std::sync::Arc;

/// What letters say of their request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) key: &'a WriteKey,
    pub(super) client: IpAddr,
    pub(super) user_agent: Option<&'a str>,
    /// Taken out of what is kept, as is the visit's secret.
    pub(super) shown_keys: [Option<&'a str>; 3],
}

pub(super) fn keep(
    app: &App,
    request: &Request<'_>,
    batch: &Batch<'_>,
    judged: &Judged,
    context: &Context<'_>,
) {
    let secret = batch.secret.as_deref();
    let secrets: Vec<&str> = request.shown_keys.into_iter().chain([secret]).flatten().collect();
    for (piece, verdict) in batch.events.iter().zip(&judged.verdicts) {
        let Verdict::Rejected(rejection) = verdict else { continue };
        app.dead_letters.append(NewLetter {
            received: context.received,
            site: Arc::clone(&request.key.site),
            key: Arc::clone(&request.key.name),
            address: app.normaliser.addresses().keep(request.client),
            user_agent: request.user_agent.map(Into::into),
            sent: context.sent,
            proven_visit: context.proven_visit,
            visit: match &context.visit {
                OfVisit::This(visit) => Some(visit.to_string().into()),
                OfVisit::Named | OfVisit::NamedOrNew => None,
            },
            code: rejection.reason.as_str().into(),
            path: rejection.path.clone(),
            message: rejection.message.clone(),
            original: strip_secrets(piece.raw, &secrets),
        });
    }
}
