//! What is made ready ahead is taken where it was guessed right, and says the same.

use super::*;
use crate::log::Control;

const SHOP: &str = "com.example.shop";
const BLOG: &str = "com.example.blog";

fn on_site(query: &str) -> String {
    format!("{query}'''\nwindow = '''site")
}

/// How many were guessed right, once all that is on disk was worked through.
fn guessed(life: &Life) -> u64 {
    life.settle();
    life.deployer.compiler().guessed()
}

#[test]
fn what_the_deployer_made_ready_is_taken() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deploy(key(SHOP, None), &[("each", EACH), ("pair", PAIR)]);
    assert_eq!(guessed(&life), 1);
    life.event(1, "A");
    life.deploy(key(BLOG, None), &[("each", EACH)]);
    assert_eq!(guessed(&life), 2);
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    assert_eq!(guessed(&life), 3);
    life.deployer.remove(key(BLOG, None), "ann".into()).expect("removed");
    life.event(1, "B");
    assert_eq!(guessed(&life), 4);
    let said = life.end();
    assert_eq!(later(&said), ["com.example.shop/each a 1: 1", "com.example.shop/pair a 1: 1 2"]);
    check_replay(&disk);
}

/// The feeder comes to them when all are on disk; each was guessed behind the one before.
#[test]
fn records_that_follow_each_other_are_guessed() {
    let disk = SimDisk::default();
    let life = Life::start(&disk, 1, "outbox");
    for number in 0..3 {
        life.deploy(key(&format!("com.example.p{number}"), None), &[("each", EACH)]);
    }
    assert_eq!(guessed(&life), 3);
    life.end();
    check_replay(&disk);
}

/// A record that nobody checked here, as in a replay.
#[test]
fn what_was_not_guessed_is_made_ready_all_the_same() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    let put = Control::Deploy(key(SHOP, None), Arc::new(package(&[("each", EACH)])));
    life.append(vec![RecordBody::Control(Arc::new(put))]);
    life.event(1, "A");
    assert_eq!(guessed(&life), 0);
    // It knows nothing of the other package.
    life.deploy(key(BLOG, None), &[("each", EACH)]);
    life.event(2, "A");
    assert_eq!(guessed(&life), 0);
    let expected = [
        "com.example.shop/each a 1: 1",
        "com.example.blog/each a 2: 2",
        "com.example.shop/each a 2: 2",
    ];
    assert_eq!(later(&life.end()), expected);
    check_replay(&disk);
}

/// Nothing was before it: it is not shown the log, as the deployer guesses.
#[test]
fn a_guess_of_what_is_shown_the_log_may_be_wrong() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.deploy(key(SHOP, None), &[("each", &on_site(EACH))]);
    assert_eq!(guessed(&life), 0);
    life.event(1, "A");
    assert_eq!(life.end(), ["com.example.shop/each a 1: 1"]);
    check_replay(&disk);
}

/// Once the rules have caught up with the log; the thread that makes them ready may come too late.
#[test]
fn rules_that_are_shown_the_log_are_made_ready_for_its_end() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.event(1, "A");
    life.deploy(key(SHOP, None), &[("each", &on_site(EACH))]);
    life.settle_backfill();
    assert!((1..=2).contains(&guessed(&life)));
    life.event(2, "A");
    let expected =
        ["com.example.shop/each a 1: 1 suppress backfilled", "com.example.shop/each a 2: 2"];
    assert_eq!(life.end(), expected);
    check_replay(&disk);
}
