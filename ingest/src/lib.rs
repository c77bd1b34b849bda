//! The HTTP doors of Beckon: events in, administration.
//!
//! [`Server`] is the facade: built from a [`ServerConfig`] and the [`Parts`] it works with, it
//! serves until it is told to stop. [`normalise`] stands alone, for replay.
//!
//! **Invariants:** what is refused is refused before work is done; 200 means on disk; every body,
//! table and stream has a bound in [`limits`].

pub mod body;
pub mod client;
pub mod dead_letters;
pub mod identity;
pub mod limits;
pub mod normalise;
pub mod rate;
pub mod sites;
pub mod source;
pub mod tls;
pub mod tokens;
pub mod visits;

mod answer;
mod app;
mod connection;
mod cross_site;
mod demo;
mod events;
mod figures;
mod gwe;
mod health;
mod hex;
mod letters;
mod linger;
mod live;
mod memory;
mod metrics;
mod object;
mod openapi;
mod reach;
mod record;
mod refusals;
mod routes;
mod rules;
mod server;
mod table;

pub use answer::RefusalCode;
pub use app::{EngineView, Parts, Peer, RulesFolder, ServerConfig, ServerError};
pub use figures::{
    EngineFigures, EngineStatus, NotificationFigures, OutboxFigures, ParquetFigures, RuleProgress,
    RuleStatus, StepProgress, VisitProgress, WebhookFigures,
};
pub use live::live_json;
pub use openapi::{Mounted, Schemas};
pub use record::record_of;
pub use routes::Access;
pub use server::Server;
