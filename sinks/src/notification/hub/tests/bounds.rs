//! Each bound of the hub, at the bound.

use super::*;

#[test]
fn a_visit_has_so_many_messages_and_the_oldest_goes() {
    let mut life = Life::new(HubConfig { visit_messages_max: 3, ..config() });
    for id in 10..13 {
        life.act(Op::Assert, 1, id, "content");
    }
    life.act(Op::Assert, 2, 20, "content");
    assert_eq!(life.peek(1, None), [(10, false), (11, false), (12, false)]);
    assert_eq!(life.hub.stats().over_visit, 0);
    life.act(Op::Assert, 1, 13, "content");
    assert_eq!(life.peek(1, None), [(11, false), (12, false), (13, false)]);
    assert_eq!(life.peek(2, None), [(20, false)]);
    assert_eq!(life.hub.stats().over_visit, 1);
    life.settle();
    assert_eq!(life.outcomes(10), [("failed", Some("too_many".to_owned()))]);
    assert!(life.say(1, 11, Outcome::Acknowledged));
    life.act(Op::Assert, 1, 14, "content");
    assert_eq!(life.hub.stats().over_visit, 1, "there was room again");
}

#[test]
fn a_message_of_so_many_bytes_is_taken_and_no_larger_one() {
    let bytes = "chat".len() + "{\"a\":1}".len();
    let mut life = Life::new(HubConfig { message_bytes_max: bytes, ..config() });
    life.act(Op::Assert, 1, 10, "content");
    assert_eq!(life.peek(1, None), [(10, false)]);
    let mut life = Life::new(HubConfig { message_bytes_max: bytes - 1, ..config() });
    life.act(Op::Assert, 1, 10, "content");
    assert_eq!((life.peek(1, None), life.hub.stats().too_large), (Vec::new(), 1));
    life.settle();
    assert_eq!(life.outcomes(10), [("failed", Some("too_large".to_owned()))]);
}

#[test]
fn all_messages_together_take_so_many_bytes() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "content");
    let one = life.hub.stats().bytes;
    let bytes_max = usize::try_from(3 * one).expect("small");
    let mut life = Life::new(HubConfig { bytes_max, ..config() });
    for visit in 1..4 {
        life.act(Op::Assert, visit, visit * 10, "content");
    }
    assert_eq!((life.hub.stats().over_bytes, life.hub.stats().bytes), (0, 3 * one));
    for visit in 4..100 {
        life.act(Op::Assert, visit, visit * 10, "content");
        life.record();
        assert!(life.hub.stats().bytes <= 4 * one, "{:?}", life.hub.stats());
        assert_eq!(life.peek(visit, None), [(visit * 10, false)], "the newest is there");
    }
    let stats = life.hub.stats();
    assert!(stats.over_bytes >= 96 && stats.records_lost == 0, "{stats:?}");
    assert_eq!(life.peek(1, None), [], "the oldest is out");
    life.settle();
    assert_eq!(life.outcomes(10), [("failed", Some("too_many".to_owned()))]);
}

/// Where the log takes nothing, what waits for it has as much room again, and no more.
#[test]
fn records_that_wait_for_the_log_are_bounded_too() {
    let mut life = Life::new(HubConfig { bytes_max: 4 << 10, ..config() });
    for visit in 1..100 {
        life.act(Op::Assert, visit, visit * 10, "content");
        assert!(life.hub.stats().bytes <= 8 << 10, "{:?}", life.hub.stats());
    }
    assert!(life.hub.stats().records_lost > 0);
}

#[test]
fn a_record_that_the_log_never_takes_is_given_up_and_counted() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    life.pass(30_000);
    let refused = life.hub.unrecorded();
    assert_eq!(refused.len(), 1);
    assert_eq!(life.hub.unrecorded(), [], "it is on its way");
    life.hub.not_recorded(&refused[0]);
    assert_eq!(life.hub.unrecorded(), refused, "and is given again");
    life.pass(270_000);
    assert_eq!(life.hub.stats().held, 1, "what became of it is not in the log");
    life.pass(RECORD_GRACE_MS - 1);
    assert_eq!((life.hub.stats().held, life.hub.stats().records_lost), (1, 0));
    life.pass(1);
    assert_eq!((life.hub.stats().held, life.hub.stats().records_lost), (0, 1));
    assert_eq!(life.hub.durable().epoch, Epoch(1), "the cursor moves on");
}
