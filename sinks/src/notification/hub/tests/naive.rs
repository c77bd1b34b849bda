//! What is said to a visit's pages, worked out from the whole outbox, message by message, without
//! cursor, indexes or bounds in bytes.

use super::*;

#[derive(Clone, Debug)]
struct Note {
    id: u128,
    visit: u128,
    page: Option<PageId>,
    expires: i64,
    forget: i64,
    /// Its place among all that is said; another one once it is taken back.
    place: usize,
    is_delivered: bool,
    is_retracted: bool,
    is_telling: bool,
    ended: Option<Outcome>,
}

impl Note {
    fn is_said(&self) -> bool {
        self.is_telling || self.ended.is_none()
    }
}

/// All messages, as they stand at the end of the outbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    notes: Vec<Note>,
    places: usize,
}

fn bits(visit: &VisitId) -> u128 {
    match &visit.0 {
        Id::Bits(bits) => *bits,
        Id::Text(_) => panic!("the tests have no texts"),
    }
}

impl Naive {
    pub(super) fn of(outbox: &[EpochOutput], config: &HubConfig) -> Self {
        let mut naive = Self::default();
        outbox.iter().for_each(|output| naive.epoch(output, config));
        naive
    }

    fn epoch(&mut self, output: &EpochOutput, config: &HubConfig) {
        let now = output.mark.now.0;
        for note in &mut self.notes {
            if note.expires <= now && note.ended.is_none() {
                note.ended = Some(Outcome::Expired);
            }
        }
        self.notes.retain(|note| now < note.forget);
        for row in &output.notices {
            match &*row.notice {
                Notice::Message(it) => {
                    let times = (now + it.expires_ms, now + config.remembered_ms);
                    self.add((it.id.0, bits(&it.visit)), it.page.clone(), times, config);
                }
                Notice::Delivery(it) => self.delivery(it),
            }
        }
        for row in &output.events {
            let view = row.event.view().expect("whole");
            for note in &mut self.notes {
                let is_its = note.page.is_some() && note.page == view.page();
                if is_its && note.visit == bits(&view.visit()) && note.ended.is_none() {
                    note.ended = Some(Outcome::Withdrawn);
                }
            }
        }
        for row in &output.actions {
            let (id, visit) = (row.fact.action.0, bits(&row.fact.visit));
            match row.op {
                Op::Assert => {
                    let kind = Kind::of(&row.fact.kind).expect("the tests have no others");
                    let expires_ms = row.fact.expires_ms.unwrap_or(config.expires_ms(kind));
                    let times = (now + expires_ms, now + config.remembered_ms);
                    self.add((id, visit), None, times, config);
                }
                Op::Retract => self.retract(id),
                Op::Suppress | Op::Correct => {}
            }
        }
    }

    fn add(
        &mut self,
        (id, visit): (u128, u128),
        page: Option<PageId>,
        (expires, remembered): (i64, i64),
        config: &HubConfig,
    ) {
        self.places += 1;
        self.notes.push(Note {
            id,
            visit,
            page,
            expires,
            forget: expires.max(remembered),
            place: self.places,
            is_delivered: false,
            is_retracted: false,
            is_telling: false,
            ended: None,
        });
        let waits = |note: &&mut Note| note.visit == visit && note.ended.is_none();
        let waiting: Vec<_> = self.notes.iter_mut().filter(waits).collect();
        let over = waiting.len().saturating_sub(config.visit_messages_max);
        for note in waiting.into_iter().take(over) {
            note.ended = Some(Outcome::Failed);
        }
    }

    fn retract(&mut self, id: u128) {
        self.places += 1;
        let place = self.places;
        for note in self.notes.iter_mut().filter(|note| note.id == id) {
            note.is_retracted = true;
            let could_have = note.is_delivered
                && matches!(
                    note.ended,
                    None | Some(Outcome::Expired | Outcome::Acknowledged | Outcome::Failed)
                );
            if could_have {
                (note.is_telling, note.place) = (true, place);
            }
            if could_have || note.ended.is_none() {
                note.ended = Some(Outcome::Withdrawn);
            }
        }
    }

    fn delivery(&mut self, delivery: &Delivery) {
        self.places += 1;
        let place = self.places;
        for note in self.notes.iter_mut().filter(|note| note.id == delivery.message.0) {
            match delivery.outcome {
                Outcome::Delivered => {
                    note.is_delivered = true;
                    let is_unaware = note.is_retracted
                        && matches!(
                            note.ended,
                            Some(Outcome::Withdrawn | Outcome::Expired | Outcome::Failed)
                        );
                    if is_unaware && !note.is_telling {
                        (note.is_telling, note.place) = (true, place);
                        note.ended = Some(Outcome::Withdrawn);
                    }
                }
                Outcome::Acknowledged => {
                    if matches!(note.ended, None | Some(Outcome::Expired | Outcome::Failed)) {
                        note.is_delivered = true;
                        note.ended = Some(Outcome::Acknowledged);
                    }
                }
                outcome => {
                    note.ended.get_or_insert(outcome);
                }
            }
        }
    }

    /// What a page of a visit is told, in order, and whether as taken back.
    pub(super) fn said(&self, visit: u128, of: Option<u128>) -> Vec<(u128, bool)> {
        let page = of.map(page);
        let is_its = |note: &&Note| {
            note.visit == visit && note.is_said() && (note.page.is_none() || note.page == page)
        };
        let mut said: Vec<_> = self.notes.iter().filter(is_its).collect();
        said.sort_by_key(|note| note.place);
        said.into_iter().map(|note| (note.id, note.is_telling)).collect()
    }
}
