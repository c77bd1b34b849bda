//! Dead letters over HTTP: list, show, replay.
//!
//! The store blocks on the disk, so every call of it runs on a blocking thread.

mod replay;

pub(crate) use replay::{Answer as Replayed, Request as ReplayWanted, replay};

use crate::answer::{Refusal, json};
use crate::app::App;
use crate::dead_letters::{DeadLetterError, DeadLetters, Filter, LIST_MAX, LetterHead, LetterId};
use crate::reach::Reach;
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Letters of an answer where the query does not say.
const LIMIT: usize = 100;

/// The query of a list. Unknown names are refused, so that a slip does not list everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    after: Option<LetterId>,
    limit: Option<usize>,
    site: Option<String>,
    key: Option<String>,
    code: Option<String>,
    is_replayed: Option<bool>,
}

/// Letters, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
pub(crate) struct Page {
    letters: Vec<LetterHead>,
    /// The next call's `after`; none at the end.
    #[schema(required)]
    next: Option<LetterId>,
}

/// `GET /v1/dead-letters?after=&limit=&site=&key=&code=&is_replayed=`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(reach): Extension<Reach>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(wanted) = wanted.map_err(|error| bad_query(&error.body_text()))?;
    let limit = wanted.limit.unwrap_or(LIMIT).clamp(1, LIST_MAX);
    let filter = Filter {
        site: reach.narrow(wanted.site)?,
        key: wanted.key,
        code: wanted.code,
        is_replayed: wanted.is_replayed,
    };
    let after = wanted.after.unwrap_or_default();
    let letters = ask(&app, move |letters| letters.list(&filter, after, limit)).await?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|last| last.id);
    Ok(json(StatusCode::OK, &Page { letters, next }))
}

/// `GET /v1/dead-letters/{id}`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(reach): Extension<Reach>,
    id: Result<Path<LetterId>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(|error| bad_query(&error.body_text()))?;
    let letter = ask(&app, move |letters| letters.read(id)).await?;
    match letter.filter(|letter| reach.takes(&letter.head.site)) {
        Some(letter) => Ok(json(StatusCode::OK, &letter)),
        None => {
            let message = format!("there is no dead letter {id}; letters are kept for some days");
            let help = "GET /v1/dead-letters lists them";
            Err(Refusal::new(StatusCode::NOT_FOUND, "letter_unknown", message, help))
        }
    }
}

fn bad_query(message: &str) -> Refusal {
    let help = "after, limit, site, key, code, is_replayed";
    Refusal::new(StatusCode::BAD_REQUEST, "bad_query", message, help)
}

/// Asks the store on a blocking thread.
async fn ask<T: Send + 'static>(
    app: &Arc<App>,
    question: impl FnOnce(&DeadLetters) -> Result<T, DeadLetterError> + Send + 'static,
) -> Result<T, Refusal> {
    let letters = Arc::clone(&app.dead_letters);
    match tokio::task::spawn_blocking(move || question(&letters)).await {
        Ok(answer) => answer.map_err(|error| {
            tracing::error!(%error, "dead letters");
            Refusal::internal("dead letters cannot be read")
        }),
        Err(_) => Err(Refusal::internal("the question to the dead letters failed")),
    }
}
