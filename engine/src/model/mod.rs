//! The event as every part of Beckon sees it after ingest.
//!
//! [`Event`] is the owned form that ingest and replay build; [`PackedEvent`] is the same event as
//! bytes, the only form that is logged, exchanged between workers, kept in a visit and read by
//! sinks; [`EventView`] reads those bytes without allocating.
//!
//! **Invariant:** what is packed was validated before. Unpacking therefore fails only on damaged
//! bytes, and says so as [`UnpackError`], never by a panic.

mod event;
mod identity;
mod ids;
mod json;
mod mark;
mod notice;
mod packed;
mod rows;
mod time;
mod value;
mod view;

pub use event::{Event, Flags, SiteName, system};
pub use identity::{RuleWindow, made_up_visit_started};
pub use ids::{
    EventId, ID_TEXT_BYTES_MAX, Id, IdError, PARTITIONS, PageId, PartitionId, VisitId, VisitorId,
    partition_of, window_hash,
};
pub use json::{write_json, write_json_str};
pub use mark::{EpochInput, EpochMark, LoggedEvent};
pub use notice::{Delivery, Message, MessageId, Notice, NoticeRow, Outcome, SinkName};
pub use packed::{PackedEvent, PackedFields, UnpackError, WELL_KNOWN_FIELDS};
pub use rows::{
    ActionFact, ActionId, ActionRow, CloseReason, EpochOutput, EventRow, Fate, Identity, Instance,
    MatchId, Op, SuppressReason, VisitChange, VisitRow, VisitScope, WindowKey,
};
pub use time::{Epoch, EventTimeMs, LogSeq, ServerTimeMs};
pub use value::{DEPTH_MAX, ListIter, MapIter, Value, ValueView};
pub use view::{EventView, FieldName};
