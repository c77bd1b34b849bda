//! One call: what is said to which endpoint, and how far that has come.

use crate::webhook::body::Said;
use beckon_engine::model::{MessageId, ServerTimeMs, VisitId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a call is counted with beside its body.
const CALL_BYTES: usize = 512;

/// A call. In the state file, version 1: a field is added by a new version only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::webhook) struct Call {
    /// The action's.
    pub(in crate::webhook) id: MessageId,
    pub(in crate::webhook) endpoint: Arc<str>,
    pub(in crate::webhook) site: Arc<str>,
    pub(in crate::webhook) visit: VisitId,
    pub(in crate::webhook) said: Said,
    pub(in crate::webhook) body: Arc<str>,
    /// From when its age is counted.
    pub(in crate::webhook) since: ServerTimeMs,
    pub(in crate::webhook) due: ServerTimeMs,
    /// The last attempt's number in the log.
    pub(in crate::webhook) attempts: u32,
    /// Attempts by the schedule.
    pub(in crate::webhook) tries: u32,
    /// The endpoint took the assertion.
    pub(in crate::webhook) is_told: bool,
    /// It may have been under way when the process before ended.
    pub(in crate::webhook) is_doubtful: bool,
    #[serde(skip)]
    pub(in crate::webhook) is_sending: bool,
    /// It was taken back while it was under way.
    pub(in crate::webhook) retraction: Option<Arc<str>>,
}

/// Attempts to tell that an action was taken back have numbers behind this one, so that none has the
/// number of an attempt to tell of the action: of each number the log keeps one.
pub(super) const RETRACTION_FROM: u32 = 100;

impl Call {
    /// From now on it says that the action was taken back.
    pub(super) fn turn_back(&mut self, body: Arc<str>) {
        (self.said, self.body, self.tries) = (Said::Retracted, body, 0);
        self.attempts = self.attempts.max(RETRACTION_FROM);
    }

    /// What it is counted with.
    pub(in crate::webhook) fn bytes(&self) -> usize {
        CALL_BYTES + self.body.len()
    }
}
