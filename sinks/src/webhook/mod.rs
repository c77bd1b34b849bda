//! Signed calls to other systems: what rules say with `type = "webhook"`, by Standard Webhooks.
//!
//! ```text
//! outbox --> [fold thread] --> queue --> [send thread] --> endpoints
//!               |    ^           |            |
//!               |    | log <-----+------------+  what became of each attempt
//!               v
//!            DATA/webhooks/state (calls that wait, dead letters, position), then the cursor
//! ```
//!
//! **At least once.** A call is made until the endpoint answers 2xx, under one `webhook-id`: the action's
//! id. What was folded is in the state file before the cursor passes it, and what the log says of calls
//! is folded with it, so that a crash forgets none and repeats one only if its record had not reached the
//! log. Nothing is called before the outbox is read up to where the log ended at the start.
//!
//! **The log is not held up.** An endpoint that does not answer fills its own bounded queue; what is over
//! goes to the dead letters, which are bounded too, and the cursor moves on.
//!
//! **No way in.** An address that is not public is not connected to unless the endpoint's configuration
//! allows it, and it is the address that is connected to that is looked at (`address`).
//!
//! The queue is plain (`queue`): no file, no clock, no thread; whoever asks gives the time.

mod address;
mod answers;
mod body;
mod breaker;
mod client;
mod config;
mod error;
mod queue;
mod routes;
mod schedule;
mod send;
mod sign;
mod sink;
mod store;
#[cfg(test)]
mod tests;
mod webhooks;

pub use config::{EndpointConfig, WebhooksConfig};
pub use error::WebhookError;
pub use queue::{EndpointStats, QueueStats};
pub use routes::{router, schemas};
pub use send::send;
pub use sink::{SinkError, SinkParts, run};
pub use store::Store;
pub use webhooks::{Parts, Webhooks};
