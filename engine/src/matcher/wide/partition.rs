//! The windows of one virtual partition.

use super::super::closed::spread;
use super::super::turns::{Turn, Turns};
use super::window::OpenWindow;
use super::{Shared, WideEvent, WideKey, place};
use crate::model::{EventTimeMs, Instance};
use crate::stage::Effect;
use hashbrown::HashTable;

#[derive(Debug)]
struct Slot {
    hash: u64,
    window: Box<OpenWindow>,
}

/// The windows, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Partition {
    windows: HashTable<Slot>,
    /// By the first watermark that an event or match waits for.
    due: Turns,
    /// Those that may be forgotten, by last event.
    idle: Turns,
    /// Those that had something of this epoch, each once.
    listed: Vec<(u64, Instance)>,
}

impl Partition {
    /// Takes an event, in log order.
    pub(super) fn event(
        &mut self,
        (hash, key): (u64, WideKey),
        event: WideEvent,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = place(&event) else { return };
        let is_known = self.windows.find(spread(hash), is_of(hash, &key)).is_some();
        if !is_known {
            self.open((hash, key.clone()), &event, shared, out);
        }
        let slot = self.windows.find_mut(spread(hash), is_of(hash, &key));
        let Some(Slot { window, .. }) = slot else { return };
        window.take(place, event, shared, out);
        if !std::mem::replace(&mut window.is_listed, true) {
            self.listed.push((hash, window.opened()));
        }
    }

    fn open(
        &mut self,
        (hash, key): (u64, WideKey),
        event: &WideEvent,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        self.make_room(&key, shared, out);
        if let Some(window) = OpenWindow::open(key, &event.row, shared) {
            self.insert(hash, window, shared.lateness_ms);
        }
    }

    /// Forgets windows where one more would be too many.
    fn make_room(&mut self, key: &WideKey, shared: &mut Shared, out: &mut Vec<Effect>) {
        while key.is_forgotten() && self.windows.len() >= shared.config.partition_windows_max() {
            if !self.forget(|_| true, shared, out) {
                break;
            }
        }
    }

    /// Says what the epoch's events mean.
    pub(super) fn end_epoch(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let Self { windows, due, listed, .. } = self;
        for (hash, opened) in listed.drain(..) {
            let found = windows.find_mut(spread(hash), is_opened(hash, opened));
            let Some(Slot { window, .. }) = found else { continue };
            window.is_listed = false;
            window.end_epoch(shared, out);
            schedule(due, window, hash, shared.lateness_ms);
        }
    }

    /// The windows with the hashes of their keys, in no order.
    pub(super) fn windows(&self) -> impl Iterator<Item = (u64, &OpenWindow)> {
        self.windows.iter().map(|slot| (slot.hash, &*slot.window))
    }

    /// Takes a window out.
    pub(super) fn take(&mut self, hash: u64, key: &WideKey) -> Option<OpenWindow> {
        let entry = self.windows.find_entry(spread(hash), is_of(hash, key)).ok()?;
        Some(*entry.remove().0.window)
    }

    /// Takes out those of which the hash of the key says so, in the order in which they were opened.
    pub(super) fn take_all(&mut self, is_asked: impl Fn(u64) -> bool) -> Vec<(u64, OpenWindow)> {
        let taken = self.windows.extract_if(|slot| is_asked(slot.hash));
        let mut taken: Vec<_> = taken.map(|slot| (slot.hash, *slot.window)).collect();
        taken.sort_unstable_by_key(|(hash, window)| (window.opened(), *hash));
        taken
    }

    /// Joins a window that lay apart, of these rules alone and at the same horizon, and says what its
    /// events mean that wait.
    pub(super) fn join(
        &mut self,
        (hash, mut past): (u64, OpenWindow),
        rules: &[u32],
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        match self.windows.find_mut(spread(hash), is_of(hash, &past.key)) {
            Some(Slot { window, .. }) => {
                window.join(past, rules, shared, out);
                schedule(&mut self.due, window, hash, shared.lateness_ms);
            }
            None => {
                self.make_room(&past.key, shared, out);
                past.joined(rules, shared, out);
                self.insert(hash, past, shared.lateness_ms);
            }
        }
    }

    /// Adds a window.
    pub(super) fn insert(&mut self, hash: u64, mut window: OpenWindow, lateness_ms: i64) {
        schedule(&mut self.due, &mut window, hash, lateness_ms);
        if window.key.is_forgotten() {
            let (time, instance) = (window.last_event(), window.opened());
            self.idle.push(Turn { time, instance, hash });
        }
        let slot = Slot { hash, window: Box::new(window) };
        self.windows.insert_unique(spread(hash), slot, |slot| spread(slot.hash));
    }

    /// A visit is over that sent events to a window.
    pub(super) fn ended(&mut self, hash: u64, key: &WideKey, instance: Instance) {
        if let Some(slot) = self.windows.find_mut(spread(hash), is_of(hash, key)) {
            slot.window.visit_ended(instance);
        }
    }

    /// Lets the windows go on by the watermark and the horizon of the epoch's end.
    pub(super) fn advance(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        while let Some(turn) = self.due.pop_first(|time| shared.watermark > time) {
            let found = self.windows.find_mut(spread(turn.hash), is_scheduled(&turn));
            let Some(Slot { window, .. }) = found else { continue };
            window.scheduled = None;
            window.advance(shared, out);
            schedule(&mut self.due, window, turn.hash, shared.lateness_ms);
            if window.is_empty(shared)
                && let Ok(entry) = self.windows.find_entry(spread(turn.hash), is_at(&turn))
            {
                entry.remove().0.window.leave(shared);
            }
        }
        let (horizon, memory_ms) = (shared.horizon, shared.config.window_memory_ms);
        if horizon < EventTimeMs::MAX {
            while self.forget(|last| horizon > last.saturating_add(memory_ms), shared, out) {}
        }
    }

    /// Forgets the window that is idle longest, if `is_over` says so of its last event.
    fn forget(
        &mut self,
        is_over: impl Fn(EventTimeMs) -> bool,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Self { windows, due, idle, .. } = self;
        let last_event = |turn: &Turn| {
            let slot = windows.find(spread(turn.hash), is_at(turn))?;
            Some(slot.window.last_event())
        };
        let Some(turn) = idle.pop(is_over, last_event) else { return false };
        let Ok(entry) = windows.find_entry(spread(turn.hash), is_at(&turn)) else { return false };
        let mut window = entry.remove().0.window;
        window.push_out(shared, out);
        window.leave(shared);
        if !shared.is_past {
            shared.owners.forget_window(turn.hash);
        }
        shared.stats.windows_forgotten += 1;
        due.sweep(windows.len(), |turn| {
            windows.find(spread(turn.hash), is_scheduled(turn)).is_some()
        });
        true
    }

    /// Forgets rules that are no longer deployed, and windows in which nothing is left.
    pub(super) fn forget_rules(&mut self, slots: &[u32], shared: &mut Shared) {
        self.windows.iter_mut().for_each(|slot| slot.window.forget_rules(slots, shared));
        let empty = self.windows.extract_if(|slot| slot.window.is_empty(shared));
        let empty: Vec<Slot> = empty.collect();
        empty.into_iter().for_each(|slot| slot.window.leave(shared));
    }

    /// Nothing waits for a watermark before this.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.due.first()
    }
}

/// Puts a window into the order of those in which something waits, if it waits for an earlier time
/// than its place says.
fn schedule(due: &mut Turns, window: &mut OpenWindow, hash: u64, lateness_ms: i64) {
    let Some(time) = window.first_due(lateness_ms) else { return };
    if window.scheduled.is_none_or(|scheduled| time < scheduled) {
        window.scheduled = Some(time);
        due.push(Turn { time, instance: window.opened(), hash });
    }
}

fn is_of(hash: u64, key: &WideKey) -> impl Fn(&Slot) -> bool {
    move |slot| slot.hash == hash && slot.window.key == *key
}

/// Whether this is the window of an entry.
fn is_at(turn: &Turn) -> impl Fn(&Slot) -> bool + use<> {
    is_opened(turn.hash, turn.instance)
}

fn is_opened(hash: u64, opened: Instance) -> impl Fn(&Slot) -> bool {
    move |slot| slot.hash == hash && slot.window.opened() == opened
}

/// The same, and no earlier time has overtaken the entry.
fn is_scheduled(turn: &Turn) -> impl Fn(&Slot) -> bool {
    move |slot| is_at(turn)(slot) && slot.window.scheduled == Some(turn.time)
}
