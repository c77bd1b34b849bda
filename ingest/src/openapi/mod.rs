//! What the HTTP API is, for programs: OpenAPI 3.1 at `/openapi.json`.
//!
//! The document is made of the table of routes. A route cannot be written without what is said of it
//! ([`About`]): its summary, its parameters, its body, its answers. What follows from the table is said
//! nowhere else: method, path and the parts of the path, who may use it, and what anybody is told who
//! may not (`document`). Answers are described by the types that are serialised, so that the two
//! cannot part; the tests hold every answer they get against the document.

pub(crate) mod about;
mod document;
mod security;

pub(crate) use about::About;

use crate::answer::{Refusal, json_shared};
use crate::app::App;
use crate::table::table;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::fmt;
use std::sync::Arc;
use utoipa::openapi::{RefOr, Schema};

/// Descriptions of JSON, each by its name.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// Routes that another part serves. What is said of them names the schemas of their answers.
#[derive(Clone)]
pub struct Mounted {
    /// Who serves them, by the paths of the table of routes.
    pub router: Router,
    /// What they answer with.
    pub schemas: Schemas,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.schemas.iter().map(|(name, _)| name).collect();
        f.debug_struct("Mounted").field("schemas", &names).finish_non_exhaustive()
    }
}

/// `GET /openapi.json`. Made at the first request, and kept.
pub(crate) async fn document(State(app): State<Arc<App>>) -> Response {
    let made = || {
        let schemas = app.notifications.schemas.iter().chain(&app.webhooks.schemas);
        document::document(table(&app), schemas.cloned()).to_json().map(Into::into)
    };
    match app.document.get_or_init(|| made().ok()) {
        Some(text) => json_shared(text.clone()),
        None => Refusal::internal("the description cannot be written").into_response(),
    }
}
