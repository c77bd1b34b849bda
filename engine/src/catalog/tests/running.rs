//! What runs: from when on, with which state, for how long.

use super::*;
use crate::log::{Control, PauseKey};
use crate::matcher::CHANGE_EPOCHS;
use std::time::Instant;

const SHOP: &str = "com.example.shop";
const BLOG: &str = "com.example.blog";

#[test]
fn a_rule_sees_what_comes_behind_its_deployment() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.event(1, "A");
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    life.event(1, "A");
    life.deployer.remove(key(SHOP, None), "ann".into()).expect("removed");
    life.event(1, "A");
    let backfilled = "com.example.shop/each a 1: 1 suppress backfilled";
    assert_eq!(life.end(), [backfilled, "com.example.shop/each a 1: 2"]);
    check_replay(&disk);
}

const PAIR_1H: &str = "sequence with maxspan=1h [ A where true ] [ B where true ]";

fn on_site(query: &str) -> String {
    format!("{query}'''\nwindow = '''site")
}

/// What was complete before is recorded and does not act; what had begun goes on. Also where its window
/// has an event that waits for the horizon since before.
#[test]
fn a_new_rule_on_a_site_begins_with_what_the_log_has() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deploy(key(SHOP, None), &[("pair", &on_site(PAIR_1H))]);
    life.event(1, "A");
    life.deploy(key(BLOG, None), &[("each", &on_site(EACH)), ("pair", &on_site(PAIR_1H))]);
    life.settle_backfill();
    life.event(2, "B").event(3, "A");
    life.clock.advance(130_000);
    life.event(4, "C");
    let expected = [
        "com.example.blog/each a 1: 1 suppress backfilled",
        "com.example.blog/each a 3: 3",
        "com.example.blog/pair a 2: 1 2",
        "com.example.shop/pair a 2: 1 2",
    ];
    assert_eq!(sorted(life.end().into_iter()), expected);
    check_replay(&disk);
}

/// What its window there names of the past has its place before the events that wait.
#[test]
fn rules_that_are_joined_name_their_own_events() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deploy(key(SHOP, None), &[("pair", &on_site(PAIR_1H))]);
    life.event(1, "A");
    life.clock.advance(130_000);
    life.event(2, "C").event(3, "A");
    life.deploy(key(BLOG, None), &[("pair", &on_site(PAIR_1H))]);
    life.settle_backfill();
    life.event(4, "B");
    let expected = ["com.example.blog/pair a 4: 3 4", "com.example.shop/pair a 4: 3 4"];
    assert_eq!(life.end(), expected);
    check_replay(&disk);
}

/// A rule is shown the log as far back as a match of it may reach, a day at most, and what it says of
/// a time before its deployment acts where the rule wants that.
#[test]
fn a_new_rule_on_a_site_is_shown_as_much_as_it_asks_for() {
    const HOUR_MS: u32 = 60 * 60 * 1_000;
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.event(1, "A");
    life.clock.advance(23 * HOUR_MS);
    life.event(2, "A");
    life.clock.advance(2 * HOUR_MS);
    life.event(3, "B");
    let (name, text) = rule("all", &on_site(EACH));
    let mut package = package(&[("pair", &on_site(PAIR_1H))]);
    package.files.insert(name, format!("backfill = \"act\"\n{text}").into());
    life.deployer.deploy(key(SHOP, None), package).expect("deployed");
    life.settle_backfill();
    let ago = |hours: u32| Some(ServerTimeMs(life.clock.now().0 - i64::from(hours * HOUR_MS)));
    let of = |rule: &str| life.pipeline.backfill(&(key(SHOP, None), rule.into()));
    assert_eq!(of("pair").from, ago(1));
    assert_eq!(of("all").from, ago(24));
    assert!(!of("all").is_under_way);
    life.event(4, "B");
    life.clock.advance(130_000);
    life.event(5, "C");
    assert_eq!(life.end(), ["com.example.shop/all a 2: 2"], "neither of yesterday's");
    check_replay(&disk);
}

/// What is said of a visit that ended since is not acted on, and takes nothing from one that is open.
#[test]
fn a_new_rule_invites_no_visit_that_is_over_by_now() {
    const INVITES: &str = "name = 'invite'\nbackfill = 'act'\nwindow = 'visitor'\nfire = 'every'\n\
                           cooldown = '1h'\nquery = '''any where eventName == \"A\"'''\n[action]\n\
                           type = 'invite'\nchannel = 'chat'\n";
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    let named = |life: &mut Life, visit, visitor, name| {
        let mut event = life.next_event("a", visit, name).unpack().expect("just packed");
        event.visitor = Some(VisitorId(Id::Bits(visitor)));
        RecordBody::Event(PackedEvent::pack(&event))
    };
    let by_visitor = |life: &mut Life, visit, name| {
        let event = named(life, visit, 7, name);
        life.append(vec![event]);
    };
    by_visitor(&mut life, 1, "A");
    life.clock.advance(40 * 60_000);
    by_visitor(&mut life, 2, "A");
    let files = [("invite.toml".into(), INVITES.into())].into();
    let package = Deployment { files, ..package(&[]) };
    life.deployer.deploy(key(SHOP, None), package).expect("deployed");
    life.settle_backfill();
    life.clock.advance(130_000);
    by_visitor(&mut life, 2, "C");
    // As for a rule that was always there: one that ends in the match's own epoch was open.
    let events = ["A", "VisitEnded"].map(|name| named(&mut life, 3, 8, name));
    life.append(events.into());
    let expected = [
        "com.example.shop/invite a 1: 1 suppress visit_ended",
        "com.example.shop/invite a 2: 2",
        "com.example.shop/invite a 3: 4",
    ];
    assert_eq!(sorted(life.end().into_iter()), expected);
    check_replay(&disk);
}

/// Whether it is killed before the rule has caught up or behind that.
#[test]
fn a_rule_that_is_shown_the_log_is_so_again_behind_a_restart() {
    for is_caught_up in [false, true] {
        let disk = SimDisk::default();
        let mut life = Life::start(&disk, 2, "outbox");
        let names = ["A", "C", "C"];
        let events =
            (0..3_000).map(|place| life.next_event("a", 1 + place % 40, names[place as usize % 3]));
        let events = events.map(RecordBody::Event).collect();
        life.append(events);
        life.deploy(key(BLOG, None), &[("pair", &on_site(PAIR_1H))]);
        if is_caught_up {
            life.settle_backfill();
        }
        drop(life);
        let disk = disk.exit();
        let mut life = Life::start(&disk, 1, "outbox");
        life.settle_backfill();
        life.event(2, "B");
        life.clock.advance(130_000);
        life.event(4, "C");
        assert_eq!(life.end(), ["com.example.blog/pair a 2: 2998 3002"], "{is_caught_up}");
        check_replay(&disk);
    }
}

/// A rule goes while it is shown the log, and another comes meanwhile.
#[test]
fn rules_that_are_shown_the_log_come_and_go() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    let event = RecordBody::Event(life.next_event("a", 1, "A"));
    life.append(vec![event]);
    let other = life.next_event("a", 2, "C");
    let put = |name: &str| {
        let package = package(&[("pair", &on_site(PAIR_1H))]);
        RecordBody::Control(Arc::new(Control::Deploy(key(name, None), Arc::new(package))))
    };
    let remove = Control::Remove(key(SHOP, None), "ann".into());
    life.append(vec![put(SHOP), RecordBody::Event(other)]);
    life.append(vec![put(BLOG)]);
    life.append(vec![RecordBody::Control(Arc::new(remove))]);
    life.settle_backfill();
    life.event(3, "B");
    life.clock.advance(130_000);
    life.event(4, "C");
    assert_eq!(life.end(), ["com.example.blog/pair a 3: 1 3"]);
    check_replay(&disk);
}

/// No visit is open: the feeder asks for the epochs all the same, until none waits for the change.
#[test]
fn removing_a_rule_on_a_site_frees_its_window() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    let pair = format!("{PAIR}'''\nstate_max = 9\nwindow = '''site");
    life.deploy(key(SHOP, None), &[("pair", &pair)]);
    life.event(1, "A").event(1, "VisitEnded");
    life.clock.advance(130_000);
    life.event(2, "C").event(2, "VisitEnded");
    life.settle();
    let open = |life: &Life| {
        let stats = life.pipeline.stats().dataflow;
        (stats.stage.visits_open, stats.wide.windows_open, stats.wide.events_waiting)
    };
    assert_eq!(open(&life), (0, 1, 0), "a partial match");
    life.deployer.remove(key(SHOP, None), "ann".into()).expect("removed");
    while open(&life) != (0, 0, 0) {
        std::thread::yield_now();
    }
    assert_eq!(life.pipeline.stats().dataflow.wide.stage.state_bytes, 0);
    assert_eq!(life.end(), [""; 0]);
    check_replay(&disk);
}

/// What was joined is counted once: in a window of its own, and beside what another rule has there.
#[test]
fn removing_a_rule_that_was_shown_the_log_frees_its_window() {
    for others in [0, 1] {
        let disk = SimDisk::default();
        let mut life = Life::start(&disk, 1, "outbox");
        let pair = format!("{PAIR}'''\nstate_max = 9\nwindow = '''site");
        let keys: Vec<_> =
            [SHOP, BLOG].map(|name| key(name, None)).into_iter().take(others).collect();
        keys.iter().for_each(|other| life.deploy(other.clone(), &[("pair", &pair)]));
        life.event(1, "A");
        let late = key("com.example.late", None);
        life.deploy(late.clone(), &[("pair", &pair)]);
        life.settle_backfill();
        life.event(1, "VisitEnded");
        life.clock.advance(130_000);
        life.event(2, "C").event(2, "VisitEnded");
        life.settle();
        for gone in keys.into_iter().chain([late]) {
            life.deployer.remove(gone, "ann".into()).expect("removed");
        }
        let wide = |life: &Life| life.pipeline.stats().dataflow.wide;
        while wide(&life).windows_open > 0 {
            std::thread::yield_now();
        }
        assert_eq!(wide(&life).stage.state_bytes, 0, "beside {others} others");
        assert_eq!(life.end(), [""; 0]);
        check_replay(&disk);
    }
}

/// Events of the epoch in which a record stands meet what was before, on either side of it.
#[test]
fn a_record_takes_effect_behind_its_epoch() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    let events: Vec<_> = (1..=4).map(|visit| life.next_event("a", visit, "A")).collect();
    let events: Vec<_> = events.into_iter().map(RecordBody::Event).collect();
    let [one, two, three, four] = &events[..] else { panic!("four") };
    let shop = key(SHOP, None);
    let deploy = Control::Deploy(shop.clone(), Arc::new(package(&[("each", EACH)])));
    let remove = Control::Remove(shop, "ann".into());
    let [deploy, remove] = [deploy, remove].map(|it| RecordBody::Control(Arc::new(it)));
    life.append(vec![one.clone(), deploy, two.clone()]);
    life.append(vec![remove, three.clone()]);
    life.append(vec![four.clone()]);
    assert_eq!(later(&life.end()), ["com.example.shop/each a 3: 3"]);
    check_replay(&disk);
}

#[test]
fn an_unchanged_rule_keeps_what_it_has_half_finished() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.event(1, "A").event(2, "A");
    life.deploy(key(BLOG, None), &[("each", EACH)]);
    life.event(1, "B");
    // A name in front of it, so that it is no longer the first of its package.
    life.deploy(key(SHOP, None), &[("each", EACH), ("pair", PAIR)]);
    life.event(2, "B");
    life.deployer.remove(key(BLOG, None), "ann".into()).expect("removed");
    life.event(3, "A");
    let said = life.end();
    let pairs = ["com.example.shop/pair a 1: 1 3", "com.example.shop/pair a 2: 2 4"];
    assert_eq!(later(&said), [&pairs[..], &["com.example.shop/each a 3: 5"]].concat());
    check_replay(&disk);
}

#[test]
fn a_package_of_a_site_sees_that_site_alone() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.deploy(key(SHOP, Some("a")), &[("each", EACH)]);
    life.deploy(key(SHOP, Some("b")), &[("other", EACH)]);
    life.event_on("a", 1, "A").event_on("b", 1, "A").event_on("c", 1, "A");
    assert_eq!(life.end(), ["com.example.shop/each a 1: 1", "com.example.shop/other b 1: 2"]);
    check_replay(&disk);
}

#[test]
fn what_is_paused_is_recorded_until_it_goes_on() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    let pause = |package: Option<&str>, site: Option<&str>| PauseKey {
        package: package.map(Into::into),
        site: site.map(Into::into),
    };
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    life.deployer.pause(pause(Some(SHOP), Some("a")), "ann".into()).expect("paused");
    life.event_on("a", 1, "A").event_on("b", 1, "A");
    life.deployer.pause(pause(None, None), "ann".into()).expect("paused");
    life.event_on("b", 2, "A");
    life.deployer.resume(pause(None, None), "ann".into()).expect("resumed");
    life.event_on("a", 3, "A");
    let expected = [
        "com.example.shop/each a 1: 1 suppress paused",
        "com.example.shop/each b 1: 2",
        "com.example.shop/each b 2: 3 suppress paused",
        "com.example.shop/each a 3: 4",
    ];
    assert_eq!(life.end(), expected);
    check_replay(&disk);
}

/// A new rule sees what visits did before, before their next event.
#[test]
fn a_new_rule_begins_with_what_visits_did_before() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.event(1, "A").event(2, "A").event(2, "B").event(3, "A").event(4, "C");
    let mut acting = package(&[]);
    let (name, text) = rule("act", PAIR);
    acting.files.insert(name, format!("backfill = \"act\"\n{text}").into());
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.deployer.deploy(key(BLOG, None), acting).expect("deployed");
    life.event(1, "B").event(2, "C").event(4, "B").event(4, "A").event(4, "B");
    let expected = [
        "com.example.blog/act a 1: 1 6",
        "com.example.shop/pair a 1: 1 6",
        "com.example.blog/act a 2: 2 3",
        "com.example.shop/pair a 2: 2 3 suppress backfilled",
        "com.example.blog/act a 4: 9 10",
        "com.example.shop/pair a 4: 9 10",
    ];
    assert_eq!(sorted(life.end().into_iter()), sorted(expected.into_iter().map(str::to_owned)));
    check_replay(&disk);
}

/// The match's last event was there, and another came late: it was not complete before, on no window,
/// however early it is said.
#[test]
fn what_a_late_event_completes_behind_the_deployment_acts() {
    let absent = "sequence with maxspan=1m [ A where true ] [ B where true ] ![ Z where true ]";
    let queries = [
        ("absent", absent.to_owned()),
        ("final", format!("{PAIR_1H}'''\nemit = '''final")),
        ("pair", PAIR.to_owned()),
        ("site-absent", on_site(absent)),
        ("site-final", format!("{}'''\nemit = '''final", on_site(PAIR_1H))),
        ("site-pair", on_site(PAIR_1H)),
    ];
    let rules: Vec<_> = queries.iter().map(|(name, query)| (*name, &**query)).collect();
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.late_event(1, "B", 20_000);
    life.clock.advance(50_000);
    // By the time of the deployment the watermark has passed the deadline.
    life.event(2, "C");
    life.deploy(key(SHOP, None), &rules);
    life.settle_backfill();
    life.late_event(1, "A", 70_010);
    life.clock.advance(130_000);
    life.event(2, "C");
    let expected = queries.map(|(name, _)| format!("com.example.shop/{name} a 1: 3 1"));
    assert_eq!(sorted(life.end().into_iter()), expected);
    check_replay(&disk);
}

/// Nobody writes: each partition has its turn all the same. A deadline that passes behind the
/// deployment is no match of before.
#[test]
fn a_deployment_reaches_visits_without_events() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    for visit in 1..=20 {
        life.event(visit, "A");
    }
    let absence =
        |span: &str| format!("sequence with maxspan={span} [ A where true ] ![ B where true ]");
    let (short, long) = (absence("1m"), absence("20m"));
    life.clock.advance(600_000);
    life.event(99, "C");
    life.deploy(key(SHOP, None), &[("each", EACH), ("long", &long), ("short", &short)]);
    life.settle();
    let deployed = life.changed();
    life.reach(Epoch(deployed.0 + CHANGE_EPOCHS));
    assert_eq!(life.pipeline.stats().dataflow.stage.backfills, 21);
    life.clock.advance(700_000);
    life.event(99, "C");
    let said = life.end();
    let of = |rule: &str, end: &str| {
        let is_of = |line: &&String| line.contains(rule) && line.ends_with(end);
        said.iter().filter(is_of).count()
    };
    assert_eq!(
        (of("/each ", " suppress backfilled"), of("/short ", " suppress backfilled")),
        (20, 20)
    );
    assert_eq!(said.len(), 60, "{said:?}");
    assert_eq!(later(&said).len(), 20, "those of the long one");
    check_replay(&disk);
}

/// The visit opens behind the deployment, in an epoch that is under way when the feeder looks.
#[test]
fn a_deployment_goes_on_for_a_visit_that_opens_behind_it() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    let deployed = life.changed();
    let begun = Instant::now();
    life.event(1, "C");
    life.reach(Epoch(deployed.0 + CHANGE_EPOCHS));
    assert!(begun.elapsed() < LONG / 2, "it waited for a tick");
    assert_eq!(life.end(), [""; 0]);
    check_replay(&disk);
}

/// A version that replaces another begins with what visits did, and what it says is not sent again.
#[test]
fn a_new_version_of_a_rule_does_not_act_twice() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 1, "outbox");
    let other = "sequence [ A where eventType == null or true ] [ B where true ]";
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.event(1, "A").event(1, "B").event(2, "A");
    life.deploy(key(SHOP, None), &[("pair", other)]);
    life.event(1, "C").event(2, "B");
    let expected = [
        "com.example.shop/pair a 1: 1 2",
        "com.example.shop/pair a 1: 1 2 suppress backfilled",
        "com.example.shop/pair a 2: 3 5",
    ];
    assert_eq!(life.end(), expected);
    check_replay(&disk);
}

/// What a removed rule held is gone once each partition had its turn, and its slot is then another's.
#[test]
fn removing_a_rule_frees_its_state() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    let absence = "sequence by eventID with maxspan=20m [ A where true ] ![ B where true ]";
    for visit in 1..=300 {
        life.event(visit, "C").event(visit, "C").event(visit, "A");
    }
    life.settle();
    let bytes = |life: &Life| life.pipeline.stats().dataflow.stage.state_bytes;
    let empty = bytes(&life);
    drop(life.end());

    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deploy(key(SHOP, None), &[("pair", PAIR), ("absence", absence)]);
    for visit in 1..=300 {
        life.event(visit, "C").event(visit, "C").event(visit, "A");
    }
    life.settle();
    let full = bytes(&life);
    assert!(full > empty + 300 * 100, "{full} bytes with rules, {empty} without");
    life.deployer.remove(key(SHOP, None), "ann".into()).expect("removed");
    // Nobody writes: the feeder asks for the epochs itself, a turn each.
    let removed = life.changed();
    life.reach(Epoch(removed.0 + CHANGE_EPOCHS));
    assert_eq!(bytes(&life), empty);
    assert_eq!(life.end(), [""; 0], "what waited for its deadline waits no more");
    check_replay(&disk);
}
