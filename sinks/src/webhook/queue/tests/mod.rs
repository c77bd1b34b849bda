//! The queue alone: epochs, times and verdicts in, jobs and records out.

mod crash;

use super::*;
use crate::webhook::EndpointConfig;
use crate::webhook::queue::{Job, Verdict};
use beckon_engine::model::{
    ActionFact, ActionId, EventTimeMs, Id, Instance, LogSeq, MatchId, NoticeRow, VisitId, WindowKey,
};

/// When the first epoch of a test ends.
pub(in crate::webhook) const NOON: i64 = 1_700_000_000_000;
/// A secret of the specification's examples.
pub(in crate::webhook) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An endpoint on this machine.
pub(in crate::webhook) fn endpoint(url: &str) -> EndpointConfig {
    EndpointConfig {
        url: url.to_owned(),
        secrets: vec![SECRET.to_owned()],
        allow_private: true,
        ..EndpointConfig::default()
    }
}

/// The endpoint `crm`, which no test of the queue connects to.
pub(in crate::webhook) fn config() -> WebhooksConfig {
    let endpoints = [("crm".to_owned(), endpoint("http://127.0.0.1:9/"))];
    WebhooksConfig { endpoints: endpoints.into(), ..WebhooksConfig::default() }
}

/// What the engine says of a match.
pub(in crate::webhook) fn action(op: Op, id: u128, endpoint: &str) -> ActionRow {
    let fact = ActionFact {
        window: WindowKey::Visit,
        site: "shop".into(),
        visit: VisitId(Id::Bits(7)),
        instance: Instance(LogSeq(1)),
        package: "com.example".into(),
        rule: "hot-lead".into(),
        action: ActionId(id),
        matched: MatchId(id),
        version: 1,
        suppressed: None,
        visitor: None,
        timestamp: EventTimeMs(NOON),
        seq: LogSeq(1),
        events: Vec::new(),
        kind: KIND.into(),
        channel: None,
        expires_ms: None,
        endpoint: Some(endpoint.into()),
        data: Some("{\"a\":1}".into()),
        has_null_placeholder: false,
        priority: 0,
        decided: EventTimeMs(NOON),
        is_visit_open: true,
        is_backfilled: false,
    };
    ActionRow { fact, op, replaced: None }
}

/// An epoch of these.
pub(in crate::webhook) fn epoch(
    number: u64,
    now: ServerTimeMs,
    (actions, notices): (Vec<ActionRow>, Vec<Delivery>),
) -> EpochOutput {
    let row =
        |delivery| NoticeRow { seq: LogSeq(number), notice: Notice::Delivery(delivery).into() };
    EpochOutput {
        mark: EpochMark {
            epoch: Epoch(number),
            first_seq: LogSeq(number),
            last_seq: LogSeq(number),
            now,
            watermark: EventTimeMs(now.0),
        },
        events: Vec::new(),
        visits: Vec::new(),
        actions,
        notices: notices.into_iter().map(row).collect(),
    }
}

/// A queue, the outbox that it folds, and the log that it writes to.
struct Life {
    config: Arc<WebhooksConfig>,
    queue: Queue,
    outbox: Vec<EpochOutput>,
    /// In the log, and in no epoch yet.
    logged: Vec<Delivery>,
    now: i64,
}

impl Life {
    fn new(config: WebhooksConfig) -> Self {
        let config = Arc::new(config);
        let queue = Queue::new(Arc::clone(&config), Epoch(0));
        Self { config, queue, outbox: Vec::new(), logged: Vec::new(), now: NOON }
    }

    fn now(&self) -> ServerTimeMs {
        ServerTimeMs(self.now)
    }

    /// An epoch of these, and of what is in the log.
    fn epoch(&mut self, actions: Vec<ActionRow>) {
        let logged = std::mem::take(&mut self.logged);
        let output = epoch(self.outbox.len() as u64 + 1, self.now(), (actions, logged));
        self.queue.fold(&output);
        self.outbox.push(output);
    }

    fn act(&mut self, op: Op, id: u128) {
        self.epoch(vec![action(op, id, "crm")]);
    }

    /// What begins now, by its `webhook-id`.
    fn claim(&mut self) -> Vec<Job> {
        self.queue.claim(self.now())
    }

    fn ids(&mut self) -> Vec<String> {
        self.claim().into_iter().map(|job| job.webhook_id).collect()
    }

    /// Ends an attempt; the log takes what is said of it.
    fn end(&mut self, id: u128, verdict: Verdict) -> Vec<String> {
        self.queue.done(MessageId(id), verdict, self.now());
        self.log()
    }

    fn fail(&mut self, id: u128, reason: &str) -> Vec<String> {
        self.end(id, Verdict::Failed { reason: reason.into(), retry_after_ms: None })
    }

    /// The log takes all records; they read `outcome attempt reason`.
    fn log(&mut self) -> Vec<String> {
        let records = self.queue.unrecorded();
        self.queue.answered(&records, true);
        let text = |(_, it): &(u64, Delivery)| {
            let attempt = it.attempt.map_or("-".to_owned(), |attempt| attempt.to_string());
            format!("{} {attempt} {}", it.outcome.as_str(), it.reason.as_deref().unwrap_or("-"))
        };
        let said = records.iter().map(text).collect();
        self.logged.extend(records.into_iter().map(|(_, delivery)| delivery));
        said
    }

    /// The process ends hard, and the next one folds what lies behind the state that was saved.
    fn crash(&mut self, saved: Option<Saved>) {
        // What reached the log stands in an epoch.
        self.epoch(Vec::new());
        let ready_at = self.outbox.last().map_or(Epoch(0), |output| output.mark.epoch);
        self.queue = Queue::new(Arc::clone(&self.config), ready_at);
        let from = saved.as_ref().map_or(Epoch(0), |saved| saved.position().epoch);
        if let Some(saved) = saved {
            self.queue.restore(saved, ServerTimeMs(self.now));
        }
        for output in self.outbox.iter().filter(|output| output.mark.epoch > from) {
            assert!(self.queue.claim(ServerTimeMs(self.now)).is_empty(), "before all is read");
            self.queue.fold(output);
        }
    }

    fn letters(&self) -> Vec<(u128, String)> {
        let letters = self.queue.letters().after(0);
        letters.map(|(_, letter)| (letter.call.id.0, letter.reason.to_string())).collect()
    }
}

fn webhook_id(id: u128) -> String {
    MessageId(id).to_string()
}

#[test]
fn an_action_is_called_once_and_its_end_is_recorded() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    life.act(Op::Suppress, 2);
    life.act(Op::Correct, 1);
    let jobs = life.claim();
    assert_eq!(jobs.len(), 1);
    assert_eq!((&*jobs[0].endpoint, &*jobs[0].webhook_id), ("crm", &*webhook_id(1)));
    let body: serde_json::Value = serde_json::from_str(&jobs[0].body).expect("JSON");
    assert_eq!(body["type"], "action.asserted");
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(body["data"]["action"], *webhook_id(1));
    assert_eq!(
        (&body["data"]["rule"], &body["data"]["data"]["a"]),
        (&"hot-lead".into(), &1.into())
    );
    assert!(life.claim().is_empty(), "it is under way");
    assert_eq!(life.end(1, Verdict::Delivered), ["delivered 1 -"]);
    assert!(life.claim().is_empty());
    assert_eq!(life.queue.next_due(), None);
}

#[test]
fn what_fails_comes_again_by_the_schedule_until_it_is_given_up() {
    let mut life = Life::new(WebhooksConfig { age_ms_max: i64::MAX, ..config() });
    life.act(Op::Assert, 1);
    for attempt in 1..=10 {
        assert_eq!(life.ids(), [webhook_id(1)], "attempt {attempt}");
        let said = life.fail(1, "status_500");
        assert_eq!(said[0], format!("failed {attempt} status_500"));
        if attempt == 10 {
            assert_eq!(said[1..], ["failed - given_up".to_owned()]);
            continue;
        }
        let due = life.queue.next_due().expect("one more");
        let wait =
            crate::webhook::schedule::wait_ms(&life.config.retries_ms, attempt, MessageId(1));
        let by_schedule = life.now + wait.expect("one more");
        // The breaker may hold it for longer, never for less.
        assert!(due.0 >= by_schedule && due.0 <= by_schedule.max(life.now + 30_000), "{due}");
        life.now = due.0 - 1;
        assert!(life.claim().is_empty(), "a millisecond early");
        life.now = due.0;
    }
    assert_eq!(life.letters(), [(1, "given_up".to_owned())]);
    assert!(life.claim().is_empty());
}

#[test]
fn what_nobody_heard_of_is_withdrawn_and_what_may_have_been_heard_is_told() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    life.act(Op::Retract, 1);
    assert_eq!(life.log(), ["withdrawn - retracted"]);
    assert!(life.claim().is_empty());
    // Delivered, and taken back later.
    life.act(Op::Assert, 2);
    assert_eq!(life.ids(), [webhook_id(2)]);
    life.end(2, Verdict::Delivered);
    life.act(Op::Retract, 2);
    let jobs = life.claim();
    assert_eq!(jobs[0].webhook_id, format!("{}-retracted", webhook_id(2)));
    assert!(jobs[0].body.starts_with("{\"type\":\"action.retracted\""), "{}", jobs[0].body);
    assert_eq!(life.end(2, Verdict::Delivered), ["withdrawn 101 retracted"]);
    // Taken back while it was under way: either way the endpoint is told.
    for (id, verdict) in [
        (3, Verdict::Delivered),
        (4, Verdict::Failed { reason: "timeout".into(), retry_after_ms: None }),
    ] {
        life.act(Op::Assert, id);
        assert_eq!(life.ids(), [webhook_id(id)]);
        life.act(Op::Retract, id);
        assert!(life.claim().is_empty(), "one at a time");
        life.end(id, verdict);
        assert_eq!(life.ids(), [format!("{}-retracted", webhook_id(id))]);
        assert_eq!(life.end(id, Verdict::Delivered), ["withdrawn 101 retracted"]);
    }
    // One that never acted.
    let mut never = action(Op::Retract, 5, "crm");
    never.fact.suppressed = Some(beckon_engine::model::SuppressReason::Holdout);
    life.epoch(vec![never]);
    assert!(life.claim().is_empty() && life.log().is_empty());
}

#[test]
fn an_endpoint_that_is_gone_is_not_called_until_somebody_says_so() {
    let mut life = Life::new(config());
    (1..=6).for_each(|id| life.act(Op::Assert, id));
    assert_eq!(life.ids().len(), 4, "in_flight_max");
    let said = life.end(1, Verdict::Gone);
    assert_eq!(said[..2], ["failed 1 status_410".to_owned(), "failed - gone".to_owned()]);
    // What is under way ends as it ends.
    life.end(2, Verdict::Delivered);
    life.fail(3, "status_500");
    life.end(4, Verdict::Gone);
    life.act(Op::Assert, 7);
    let dead: Vec<_> = life.letters().into_iter().map(|(id, _)| id).collect();
    assert_eq!(dead, [1, 5, 6, 3, 4, 7]);
    assert!(life.claim().is_empty());
    assert_eq!(life.queue.replay(MessageId(1), life.now()), "gone");
    // It stays so over a restart, unless it is configured otherwise.
    let saved = life.queue.save();
    life.crash(Some(saved.clone()));
    life.act(Op::Assert, 8);
    assert!(life.claim().is_empty());
    assert!(life.queue.enable("crm") && !life.queue.enable("erp"));
    assert_eq!(life.queue.replay(MessageId(8), life.now()), "waiting");
    assert_eq!(life.ids(), [webhook_id(8)]);
    let mut other = (*life.config).clone();
    other.endpoints.get_mut("crm").expect("there").url = "http://127.0.0.1:10/".to_owned();
    life.config = Arc::new(other);
    life.crash(Some(saved));
    life.act(Op::Assert, 9);
    assert!(life.ids().contains(&webhook_id(9)));
}

#[test]
fn retry_after_leaves_the_endpoint_alone_within_its_bound() {
    let mut life = Life::new(config());
    for (asked, followed) in [(60_000, 60_000), (i64::MAX, 3_600_000), (-5, 5_000)] {
        life.act(Op::Assert, 1);
        assert_eq!(life.ids().len(), 1);
        let reason = "status_429".into();
        life.end(1, Verdict::Failed { reason, retry_after_ms: Some(asked) });
        life.act(Op::Assert, 2);
        let wait = life.queue.next_due().expect("two wait").0 - life.now;
        if asked > 0 {
            assert_eq!(wait, followed, "the other call waits, too");
            life.now += wait;
        }
        assert!(life.ids().contains(&webhook_id(2)));
        life = Life::new(config());
    }
}

#[test]
fn an_endpoint_that_fails_in_a_row_rests_and_is_tried_by_one() {
    let mut life = Life::new(config());
    (1..=8).for_each(|id| life.act(Op::Assert, id));
    assert_eq!(life.ids().len(), 4);
    (1..=4).for_each(|id| drop(life.fail(id, "timeout")));
    assert_eq!(life.ids().len(), 4);
    life.fail(5, "timeout");
    assert_eq!(life.queue.stats().endpoints[0].1.breaker, "open");
    (6..=8).for_each(|id| drop(life.fail(id, "timeout")));
    life.act(Op::Assert, 9);
    assert!(life.claim().is_empty(), "it rests");
    assert_eq!(life.queue.next_due(), Some(ServerTimeMs(life.now + 30_000)));
    life.now += 30_000;
    assert_eq!(life.ids(), [webhook_id(9)], "what was due first");
    assert_eq!(life.queue.next_due(), None, "until that one is back");
    life.fail(9, "timeout");
    assert!(life.claim().is_empty(), "it rests again");
    life.now += 30_000;
    let [tried] = &life.ids()[..] else { panic!("one") };
    let tried = u128::from_str_radix(tried, 16).expect("an id");
    life.end(tried, Verdict::Delivered);
    assert_eq!(life.ids().len(), 4, "it is called as before");
}

#[test]
fn each_bound_makes_dead_letters_and_dead_letters_have_bounds() {
    let bytes = CALL_AND_BODY;
    let mut life = Life::new(WebhooksConfig { waiting_max: 2, dead_letters_max: 2, ..config() });
    (1..=5).for_each(|id| life.act(Op::Assert, id));
    assert_eq!(life.letters(), [(4, "too_many".to_owned()), (5, "too_many".to_owned())]);
    let stats = life.queue.stats();
    assert_eq!((stats.letters_written, stats.letters_dropped), (3, 1));
    assert_eq!(life.log(), vec!["failed - too_many"; 3]);
    assert_eq!(life.queue.replay(MessageId(4), life.now()), "too_many");
    assert_eq!(life.queue.replay(MessageId(3), life.now()), "unknown");
    // By bytes.
    let bounded = WebhooksConfig { waiting_bytes_max: 2 * bytes, ..config() };
    let mut life = Life::new(bounded);
    (1..=9).for_each(|id| life.act(Op::Assert, id));
    let held = life.queue.stats().endpoints[0].1;
    assert!(held.waiting == 2 && held.bytes <= 2 * bytes as u64, "{held:?}");
    let mut life = Life::new(WebhooksConfig { dead_letter_bytes_max: 2 * bytes, ..config() });
    (1..=9).for_each(|id| life.epoch(vec![action(Op::Assert, id, "erp")]));
    assert_eq!(life.letters(), [(8, "no_endpoint".to_owned()), (9, "no_endpoint".to_owned())]);
    let mut life = Life::new(WebhooksConfig { call_bytes_max: 10, ..config() });
    life.act(Op::Assert, 1);
    assert_eq!((life.log(), life.letters()), (vec!["failed - too_large".to_owned()], vec![]));
    // By age.
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    life.now += life.config.age_ms_max + 1;
    assert!(life.claim().is_empty());
    assert_eq!(life.letters(), [(1, "too_old".to_owned())]);
    life.now += life.config.dead_letter_days_max * 24 * 3_600_000;
    life.claim();
    assert_eq!(life.letters().len(), 1);
    life.now += 1;
    life.claim();
    let stats = life.queue.stats();
    assert_eq!((stats.letters, stats.letter_bytes, stats.letters_dropped), (0, 0, 1));
    assert_eq!(life.queue.stats().endpoints[0].1.bytes, 0);
}

/// What a call of these tests is counted with, within a few bytes.
const CALL_AND_BODY: usize = 512 + 330;

#[test]
fn what_the_log_does_not_take_is_given_again_and_bounded() {
    let mut life = Life::new(config());
    life.epoch(vec![action(Op::Assert, 1, "erp")]);
    let records = life.queue.unrecorded();
    assert_eq!((records.len(), life.queue.unrecorded().len()), (1, 0));
    life.queue.answered(&records, false);
    assert_eq!(life.queue.unrecorded().len(), 1);
    let over = records::RECORDS_MAX as u128 + 1;
    (2..=over).for_each(|id| life.epoch(vec![action(Op::Assert, id, "erp")]));
    let stats = life.queue.stats();
    assert_eq!((stats.records_waiting, stats.records_lost), (records::RECORDS_MAX as u64, 1));
    assert_eq!(life.queue.unrecorded().len(), records::RECORDS_MAX);
}

#[test]
fn a_dead_letter_is_called_again_under_its_id() {
    let mut life = Life::new(WebhooksConfig { retries_ms: Vec::new(), ..config() });
    life.act(Op::Assert, 1);
    let first = life.claim();
    assert_eq!(life.fail(1, "status_500"), ["failed 1 status_500", "failed - given_up"]);
    assert_eq!(life.queue.replay(MessageId(1), life.now()), "waiting");
    assert_eq!(life.queue.replay(MessageId(1), life.now()), "unknown", "it is none any more");
    assert_eq!(life.claim(), first, "the same id, the same body");
    assert_eq!(life.end(1, Verdict::Delivered), ["delivered 2 -"]);
    assert!(life.letters().is_empty());
}
