//! A process that ends hard, and the one that goes on.

use super::*;

impl Life {
    /// One step of a process: an action, and what comes of the calls that are due. Every third is taken
    /// and the process ends before the log has that, every third is taken, every third fails. Gives what was
    /// taken.
    fn step(&mut self, id: u128) -> Vec<u128> {
        self.act(Op::Assert, id);
        let mut taken = Vec::new();
        for job in self.claim() {
            let message = job.message.0;
            match message % 3 {
                0 => self.queue.done(job.message, Verdict::Delivered, self.now()),
                1 => drop(self.end(message, Verdict::Delivered)),
                _ => drop(self.fail(message, "status_500")),
            }
            taken.extend((message % 3 != 2).then_some(message));
        }
        taken
    }

    /// What the log has as delivered.
    fn delivered(&self) -> Vec<u128> {
        let notices = self.outbox.iter().flat_map(|output| output.notices.iter());
        let said = notices.filter_map(|row| match &*row.notice {
            Notice::Delivery(delivery) => Some(delivery),
            Notice::Message(_) => None,
        });
        let said = said.chain(&self.logged).filter(|it| it.outcome == Outcome::Delivered);
        said.map(|delivery| delivery.message.0).collect()
    }

    /// Makes all calls, each of which is taken; their actions.
    fn call_all(&mut self) -> Vec<u128> {
        let mut called = Vec::new();
        loop {
            let jobs = self.claim();
            if jobs.is_empty() {
                return called;
            }
            for job in jobs {
                called.push(job.message.0);
                self.end(job.message.0, Verdict::Delivered);
            }
        }
    }
}

/// Whenever the process ends, and whichever state was saved last: nothing is lost, and what stands in the
/// log as delivered is not called again.
#[test]
fn a_crash_at_any_time_loses_nothing_and_repeats_only_what_the_log_does_not_have() {
    for (crash_at, save_at) in (1..13).flat_map(|crash| (1..=crash).map(move |save| (crash, save)))
    {
        let context = format!("crash at {crash_at}, saved at {save_at}");
        let mut life = Life::new(config());
        let (mut saved, mut taken) = (None, Vec::new());
        for step in 1..=crash_at {
            if step == save_at {
                saved = Some(life.queue.save());
            }
            taken.extend(life.step(step));
        }
        let in_log = life.delivered();
        life.crash(saved);
        life.now += 60_000;
        let again = life.call_all();
        assert!(again.iter().all(|id| !in_log.contains(id)), "{context}: {again:?} {in_log:?}");
        let all: std::collections::BTreeSet<_> = taken.into_iter().chain(again).collect();
        assert!(all.into_iter().eq(1..=crash_at), "{context}");
    }
}

#[test]
fn what_may_have_been_heard_before_a_crash_is_told_to_be_taken_back() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    assert_eq!(life.ids(), [webhook_id(1)], "on its way when the process ends");
    life.act(Op::Retract, 1);
    life.crash(None);
    assert_eq!(life.ids(), [format!("{}-retracted", webhook_id(1))]);
    // Of one that the log has as delivered, too.
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    life.claim();
    life.end(1, Verdict::Delivered);
    life.act(Op::Retract, 1);
    let saved = life.queue.save();
    for saved in [None, Some(saved)] {
        life.crash(saved);
        assert_eq!(life.ids(), [format!("{}-retracted", webhook_id(1))]);
        life.queue.undone(MessageId(1), life.now());
    }
    // And once that is done it is not said again.
    life.claim();
    assert_eq!(life.end(1, Verdict::Delivered), ["withdrawn 101 retracted"]);
    life.crash(None);
    assert!(life.claim().is_empty());
}

#[test]
fn a_crash_keeps_the_number_of_attempts_and_when_the_next_is_due() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1);
    life.claim();
    life.fail(1, "status_500");
    let due = life.queue.next_due();
    life.crash(None);
    assert_eq!(life.queue.next_due(), due);
    let call = life.queue.calls.get(&MessageId(1)).expect("held");
    assert_eq!((call.attempts, call.tries), (1, 1));
    life.now = due.expect("due").0;
    life.claim();
    assert_eq!(life.fail(1, "status_500"), ["failed 2 status_500"]);
}
