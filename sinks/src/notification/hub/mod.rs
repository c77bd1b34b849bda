//! What pages have to be told: a fold over the outbox.
//!
//! Messages are the asserted actions of kind `invite`, `content` and `notify`, and what servers send
//! themselves. What became of each is a record of the log and comes back by the outbox, so that the
//! state after a restart is that of before: the outbox is folded again from the cursor, which stays
//! behind the oldest message held. No file, no clock and no thread here: whoever asks gives the time.
//!
//! ```text
//!               +-- page gone, taken back before anybody had it --> withdrawn
//! waiting ------+-- time --> expired          +-- over visit_messages_max --> failed
//!   |           +-- a page says so --> acknowledged, withdrawn, failed
//!   | given to a page: delivered
//!   +-- taken back --> telling (the page is told `withdrawn`) --> over
//! ```
//!
//! **Invariants.** A message is held until its expiry and `remembered_ms` are over and what became of
//! it stands in the log. Where the log takes nothing for [`RECORD_GRACE_MS`] longer, the record is
//! given up and counted: the cursor must move on. After a row that says how a message ended none is
//! asked for that says otherwise, but for its being taken back.
//!
//! **Bounds.** `visit_messages_max` of a visit, `message_bytes_max` of a message, `bytes_max` of all;
//! what is over goes before what waits, and what the log does not take may double the last.

mod held;
mod outcome;
mod room;
#[cfg(test)]
mod tests;

use super::{HubConfig, Kind, Said, VisitKey};
use beckon_engine::model::{
    ActionRow, Epoch, EpochMark, EpochOutput, EventRow, LogSeq, MessageId, Notice, Op, Outcome,
    PageId, ServerTimeMs, SinkName, system,
};
use beckon_engine::outbox::Position;
use held::{Held, Outcomes, State};
pub use outcome::{Answer, Word};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a record may wait for the log when its message is needed no more.
pub const RECORD_GRACE_MS: i64 = 10 * 60 * 1_000;

/// How long an expiry waits for a page's word that is on its way into the log.
const ANSWER_MS: i64 = 1_000;

/// What the hub holds and has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Messages that wait for a page, or of which one is to be told that they are taken back.
    pub waiting: u64,
    /// Messages held, those that are over too.
    pub held: u64,
    /// What they are counted with, in bytes.
    pub bytes: u64,
    /// Messages since the start, by the outbox.
    pub messages: u64,
    /// Out by `visit_messages_max`.
    pub over_visit: u64,
    /// Out by `bytes_max`.
    pub over_bytes: u64,
    /// Refused by `message_bytes_max`.
    pub too_large: u64,
    /// Records that the log did not take in time.
    pub records_lost: u64,
}

/// The messages of a visit.
#[derive(Clone, Debug, Default)]
struct Mail {
    held: BTreeMap<MessageId, Held>,
    /// What is said, by its place.
    said: BTreeMap<u64, MessageId>,
    /// The places of what waits: what is only told to be taken back is none of those that are counted.
    waiting: BTreeSet<u64>,
}

/// A message's place in the hub.
type At = (Arc<VisitKey>, MessageId);

/// The messages of all visits.
#[derive(Clone, Debug)]
pub struct Hub {
    config: HubConfig,
    visits: BTreeMap<Arc<VisitKey>, Mail>,
    /// What is said, of all visits.
    said: BTreeMap<u64, At>,
    due: BTreeSet<(ServerTimeMs, Arc<VisitKey>, MessageId)>,
    /// What is over and recorded, by when it is forgotten: it goes first where room is needed.
    settled: BTreeSet<(ServerTimeMs, Arc<VisitKey>, MessageId)>,
    /// What is over and not recorded, alike.
    owed: BTreeSet<(ServerTimeMs, Arc<VisitKey>, MessageId)>,
    /// How many messages of an epoch are held, and the last number of the log before it.
    epochs: BTreeMap<Epoch, (usize, LogSeq)>,
    /// What has something for the log.
    unrecorded: BTreeSet<At>,
    last: Position,
    /// Of what was asserted up to here it is not known whether a page has it: the process before may have
    /// ended between giving it and recording that.
    doubtful: Epoch,
    next_place: u64,
    stats: HubStats,
}

/// A message as it comes in.
struct Incoming {
    id: MessageId,
    kind: Kind,
    page: Option<PageId>,
    channel: Option<Arc<str>>,
    data: Option<Arc<str>>,
    expires_ms: i64,
}

impl Hub {
    /// A hub that holds nothing yet.
    #[must_use]
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            visits: BTreeMap::new(),
            said: BTreeMap::new(),
            due: BTreeSet::new(),
            settled: BTreeSet::new(),
            owed: BTreeSet::new(),
            epochs: BTreeMap::new(),
            unrecorded: BTreeSet::new(),
            last: Position::default(),
            doubtful: Epoch(0),
            next_place: 1,
            stats: HubStats::default(),
        }
    }

    /// Goes on behind the cursor. The outbox holds what another process gave to pages, up to `doubtful`.
    pub fn begin(&mut self, cursor: Position, doubtful: Epoch) {
        (self.last, self.doubtful) = (cursor, doubtful);
    }

    /// Takes what the engine said of the next epoch. Gives the visits whose pages have something to
    /// be told.
    pub fn fold(&mut self, output: &EpochOutput) -> BTreeSet<Arc<VisitKey>> {
        let mark = &output.mark;
        self.expire(mark.now);
        let mut touched = BTreeSet::new();
        for row in &output.notices {
            match &*row.notice {
                Notice::Message(message) => {
                    let key = VisitKey::new(&message.site, &message.visit);
                    let incoming = Incoming {
                        id: message.id,
                        kind: Kind::Notify,
                        page: message.page.clone(),
                        channel: Some(Arc::clone(&message.channel)),
                        data: Some(Arc::clone(&message.data)),
                        expires_ms: message.expires_ms,
                    };
                    touched.insert(self.insert(key, incoming, mark));
                }
                Notice::Delivery(delivery) if delivery.sink == SinkName::Notification => {
                    self.recorded(delivery);
                }
                Notice::Delivery(_) => {}
            }
        }
        for row in &output.events {
            self.event(row);
        }
        for row in &output.actions {
            touched.extend(self.action(row, mark));
        }
        self.last = Position { epoch: mark.epoch, seq: mark.last_seq };
        touched
    }

    /// A page that was left gets nothing more.
    fn event(&mut self, row: &EventRow) {
        if self.visits.is_empty() {
            return;
        }
        let Ok(view) = row.event.view() else { return };
        if view.name != system::PAGE_EXITED {
            return;
        }
        let Some(page) = view.page() else { return };
        let key = VisitKey { site: view.site.into(), visit: view.visit() };
        let Some((key, mail)) = self.visits.get_key_value(&key) else { return };
        let key = Arc::clone(key);
        let is_its = |id: &&MessageId| {
            mail.held.get(*id).is_some_and(|held| held.page.as_ref() == Some(&page))
        };
        let gone: Vec<_> = mail.said.values().filter(is_its).copied().collect();
        for id in gone {
            self.end(&key, id, Outcome::Withdrawn, Some("page_gone"));
        }
    }

    fn action(&mut self, row: &ActionRow, mark: &EpochMark) -> Option<Arc<VisitKey>> {
        let fact = &row.fact;
        let kind = Kind::of(&fact.kind)?;
        let key = VisitKey::new(&fact.site, &fact.visit);
        match row.op {
            Op::Assert => {
                let incoming = Incoming {
                    id: fact.action.into(),
                    kind,
                    page: None,
                    channel: fact.channel.clone(),
                    data: fact.data.clone(),
                    expires_ms: fact.expires_ms.unwrap_or_else(|| self.config.expires_ms(kind)),
                };
                Some(self.insert(key, incoming, mark))
            }
            Op::Retract => self.retract(&key, fact.action.into()),
            Op::Suppress | Op::Correct => None,
        }
    }

    /// Takes a message in; one that is held already stays as it is.
    fn insert(&mut self, key: VisitKey, incoming: Incoming, mark: &EpochMark) -> Arc<VisitKey> {
        let found = self.visits.get_key_value(&key).map(|(key, _)| Arc::clone(key));
        let key = found.unwrap_or_else(|| Arc::new(key));
        let Incoming { id, kind, page, channel, data, expires_ms } = incoming;
        if self.visits.get(&key).is_some_and(|mail| mail.held.contains_key(&id)) {
            return key;
        }
        let place = self.next_place;
        self.next_place += 1;
        let after = |ms: i64| ServerTimeMs(mark.now.0.saturating_add(ms));
        let expires = after(expires_ms);
        let held = Held {
            id,
            kind,
            page,
            channel,
            data,
            asserted: mark.epoch,
            expires,
            forget: after(expires_ms.max(self.config.remembered_ms)),
            due: expires,
            place,
            state: State::Waiting,
            is_delivered: false,
            is_retracted: false,
            is_told: false,
            receiver: None,
            reason: None,
            wanted: Outcomes::default(),
            known: Outcomes::default(),
            asked: Outcomes::default(),
        };
        let is_large = held.text_bytes() > self.config.message_bytes_max;
        self.stats.messages += 1;
        self.stats.bytes += held.bytes() as u64;
        let before = LogSeq(mark.first_seq.0.saturating_sub(1));
        self.epochs.entry(mark.epoch).or_insert((0, before)).0 += 1;
        self.due.insert((expires, Arc::clone(&key), id));
        self.said.insert(place, (Arc::clone(&key), id));
        let mail = self.visits.entry(Arc::clone(&key)).or_default();
        mail.held.insert(id, held);
        mail.said.insert(place, id);
        mail.waiting.insert(place);
        if is_large {
            self.stats.too_large += 1;
            self.end(&key, id, Outcome::Failed, Some("too_large"));
        }
        self.make_room(&key);
        key
    }

    /// An action does not hold any more.
    fn retract(&mut self, key: &VisitKey, id: MessageId) -> Option<Arc<VisitKey>> {
        let key = self.visits.get_key_value(key).map(|(key, _)| Arc::clone(key))?;
        let doubtful = self.doubtful;
        let held = self.held(&key, id).filter(|held| !held.is_forgotten())?;
        held.is_retracted = true;
        let may_have_it = held.is_delivered || held.asserted <= doubtful;
        let is_open = match held.state {
            State::Waiting => true,
            State::Over(Outcome::Expired | Outcome::Acknowledged | Outcome::Failed) => may_have_it,
            State::Over(_) | State::Telling => false,
        };
        if !is_open {
            return None;
        }
        if may_have_it {
            self.tell(&key, id);
        } else {
            self.end(&key, id, Outcome::Withdrawn, Some("retracted"));
        }
        Some(key)
    }

    /// From now on pages are told that it is taken back.
    fn tell(&mut self, key: &Arc<VisitKey>, id: MessageId) {
        self.leave(key, id, State::Telling);
        let place = self.next_place;
        self.next_place += 1;
        let held = self.held(key, id).expect("who calls has it");
        held.place = place;
        held.reason = Some("retracted");
        held.wanted.add(Outcome::Withdrawn);
        self.said.insert(place, (Arc::clone(key), id));
        let mail = self.visits.get_mut(key).expect("it has a message");
        mail.said.insert(place, id);
        self.refresh(key, id);
    }

    /// A message is over, and that is to be recorded.
    fn end(
        &mut self,
        key: &Arc<VisitKey>,
        id: MessageId,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) {
        let Some(held) = self.held(key, id) else { return };
        // That it was taken back is recorded; the page that is told no more has lost nothing else.
        let is_telling = held.state == State::Telling;
        if !is_telling {
            held.reason = reason;
            held.wanted.add(outcome);
        }
        self.leave(key, id, State::Over(if is_telling { Outcome::Withdrawn } else { outcome }));
        self.refresh(key, id);
    }

    /// Takes a message out of what is said.
    fn leave(&mut self, key: &Arc<VisitKey>, id: MessageId, state: State) {
        let Some(mail) = self.visits.get_mut(key) else { return };
        let Some(held) = mail.held.get_mut(&id) else { return };
        let before = held.bytes();
        held.state = state;
        mail.waiting.remove(&held.place);
        held.channel = None;
        held.data = None;
        mail.said.remove(&held.place);
        self.said.remove(&held.place);
        self.stats.bytes -= (before - held.bytes()) as u64;
        let (was_due, due) = (held.due, held.forget.max(held.due));
        held.due = due;
        if self.due.remove(&(was_due, Arc::clone(key), id)) {
            self.due.insert((due, Arc::clone(key), id));
        }
    }

    fn held(&mut self, key: &VisitKey, id: MessageId) -> Option<&mut Held> {
        self.visits.get_mut(key)?.held.get_mut(&id)
    }

    /// Notes whether there is something for the log, and whether it may be forgotten.
    fn refresh(&mut self, key: &Arc<VisitKey>, id: MessageId) {
        let Some(held) = self.held(key, id) else { return };
        let is_unrecorded = !held.unrecorded().is_empty();
        let is_over = matches!(held.state, State::Over(_));
        let is_recorded = held.is_recorded();
        let place = (held.forget, Arc::clone(key), id);
        if is_unrecorded {
            self.unrecorded.insert((Arc::clone(key), id));
        } else {
            self.unrecorded.remove(&(Arc::clone(key), id));
        }
        self.settled.remove(&place);
        self.owed.remove(&place);
        match (is_over, is_recorded) {
            (true, true) => self.settled.insert(place),
            (true, false) => self.owed.insert(place),
            (false, _) => false,
        };
    }

    /// Ends what has expired, and forgets what nobody needs.
    pub fn expire(&mut self, now: ServerTimeMs) {
        while let Some((due, key, id)) = self.due.first().cloned().filter(|(due, ..)| *due <= now) {
            let held = self.held(&key, id).expect("what is due is held");
            if held.state == State::Waiting {
                if held.is_answered() {
                    // A page's word is on its way into the log.
                    let later = ServerTimeMs(now.0.saturating_add(ANSWER_MS));
                    held.due = later;
                    self.due.remove(&(due, Arc::clone(&key), id));
                    self.due.insert((later, key, id));
                    continue;
                }
                self.end(&key, id, Outcome::Expired, None);
                continue;
            }
            let last = ServerTimeMs(held.forget.0.saturating_add(RECORD_GRACE_MS));
            if held.is_recorded() || due >= last {
                self.remove(&key, id);
                continue;
            }
            held.due = last;
            self.due.remove(&(due, Arc::clone(&key), id));
            self.due.insert((last, key, id));
        }
    }

    /// Forgets a message.
    fn remove(&mut self, key: &Arc<VisitKey>, id: MessageId) {
        let Some(mail) = self.visits.get_mut(key) else { return };
        let Some(held) = mail.held.remove(&id) else { return };
        mail.said.remove(&held.place);
        mail.waiting.remove(&held.place);
        if mail.held.is_empty() {
            self.visits.remove(key);
        }
        self.said.remove(&held.place);
        self.due.remove(&(held.due, Arc::clone(key), id));
        let place = (held.forget, Arc::clone(key), id);
        self.settled.remove(&place);
        self.owed.remove(&place);
        self.unrecorded.remove(&(Arc::clone(key), id));
        self.stats.bytes -= held.bytes() as u64;
        self.stats.records_lost += held.wanted.without(held.known).iter().count() as u64;
        if let Some((count, _)) = self.epochs.get_mut(&held.asserted) {
            *count -= 1;
            if *count == 0 {
                self.epochs.remove(&held.asserted);
            }
        }
    }

    /// When something expires or is forgotten next.
    #[must_use]
    pub fn next_due(&self) -> Option<ServerTimeMs> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// From behind here the outbox is folded again after a restart.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.epochs.first_key_value().map_or(self.last, |(epoch, (_, before))| Position {
            epoch: Epoch(epoch.0.saturating_sub(1)),
            seq: *before,
        })
    }

    /// How far it has come.
    #[must_use]
    pub fn folded(&self) -> Epoch {
        self.last.epoch
    }

    /// The place of a message among what is said to a visit's pages; `None` for one that is not.
    #[must_use]
    pub fn place_of(&self, key: &VisitKey, id: MessageId) -> Option<u64> {
        self.visits.get(key)?.held.get(&id).map(|held| held.place)
    }

    /// Gives a page what is said behind a place. A message that no page had before is delivered by it.
    pub fn hand(
        &mut self,
        key: &Arc<VisitKey>,
        page: Option<&PageId>,
        (after, now): (u64, ServerTimeMs),
    ) -> Vec<Said> {
        let Some(mail) = self.visits.get_mut(key) else { return Vec::new() };
        let (mut said, mut first) = (Vec::new(), Vec::new());
        for id in mail.said.range(after + 1..).map(|(_, id)| *id) {
            let held = mail.held.get_mut(&id).expect("what is said is held");
            if !held.is_for(page) || !held.is_said(now) {
                continue;
            }
            let is_withdrawn = held.state == State::Telling;
            said.push(Said {
                id,
                place: held.place,
                kind: (!is_withdrawn).then_some(held.kind),
                page: held.page.clone(),
                channel: held.channel.clone(),
                data: held.data.clone(),
                expires: held.expires,
            });
            if is_withdrawn {
                held.is_told = true;
            } else if !held.is_delivered {
                held.is_delivered = true;
                held.receiver = page.cloned();
                held.wanted.add(Outcome::Delivered);
                first.push(id);
            }
        }
        first.into_iter().for_each(|id| self.refresh(key, id));
        said
    }

    /// What it holds and has counted.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let held = self.visits.values().map(|mail| mail.held.len() as u64).sum();
        HubStats { waiting: self.said.len() as u64, held, ..self.stats }
    }
}
