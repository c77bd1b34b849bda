//! Messages to the pages of a visit: what rules say and what servers send, until a page has it.
//!
//! ```text
//! outbox --> [sink thread] --> hub --> streams and long polls (the Router) --> pages
//!               |  ^            ^                                               |
//!               |  | clock      +---- acknowledged, withdrawn, failed <---------+
//!               v               |
//!              log <------------+  what became of each, and servers' own messages
//! ```
//!
//! **At least once.** A message is given to every stream of its visit (or its page) until a page
//! acknowledges it by its id, it expires, or it is withdrawn. Over a restart nothing that holds is
//! lost and nothing that was acknowledged comes again: what became of each is in the log, and nobody
//! is told anything before the outbox is read up to where the log ended at the start.
//!
//! **The log is not held up.** The sink's thread folds each epoch in memory; its cursor lies behind the
//! oldest message that is held, which is minutes old at most. A record that the log refuses is given to
//! it again.
//!
//! The hub is plain (`hub`), the Router says who may not; who may, its caller says ([`Admitted`]).

mod config;
mod hub;
mod message;
mod notifications;
mod routes;
mod sink;

pub use config::{HubConfig, NotificationConfig};
pub use hub::{Answer, Hub, HubStats, RECORD_GRACE_MS, Word};
pub use message::{Kind, Said, VisitKey};
pub use notifications::{NotificationStats, Notifications, Parts};
pub use routes::{Admitted, router, schemas};
pub use sink::{SinkParts, run};
