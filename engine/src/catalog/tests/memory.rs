//! What fires once for a visitor, and a long time: matcher and suppression together.

use super::*;
use crate::model::VisitorId;

const SHOP: &str = "com.example.shop";
const DAY_MS: u32 = 24 * 60 * 60 * 1_000;

/// A rule that fires once for a visitor, in a version of it.
fn once(priority: u32) -> Deployment {
    let text = format!(
        "name = \"once\"\npriority = {priority}\nwindow = \"visitor\"\nquery = '''A where true'''\n\
         [action]\ntype = \"webhook\"\nendpoint = \"crm\"\n"
    );
    let mut package = package(&[]);
    package.files.insert("once.toml".into(), text.into());
    package
}

impl Life {
    /// An event of a visitor, some days behind the last.
    fn later(&mut self, days: u32, (visitor, visit): (u128, u128), name: &str) {
        (0..days).for_each(|_| self.clock.advance(DAY_MS));
        let mut event = self.next_event("a", visit, name).unpack().expect("just packed");
        event.visitor = Some(VisitorId(Id::Bits(visitor)));
        self.append(vec![RecordBody::Event(PackedEvent::pack(&event))]);
    }
}

#[test]
fn a_visitor_who_was_away_for_long_is_met_anew() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deployer.deploy(key(SHOP, None), once(1)).expect("deployed");
    life.later(0, (1, 1), "A");
    life.later(89, (1, 2), "A");
    // The mark of another's event says the time.
    life.later(91, (2, 3), "C");
    life.later(0, (1, 4), "A");
    life.later(0, (1, 4), "A");
    assert_eq!(life.end(), ["com.example.shop/once a 1: 1", "com.example.shop/once a 4: 4"]);
    check_replay(&disk);
}

/// Nothing was decided for a hundred days; a new version of the rule does not act again all the same.
#[test]
fn a_visitor_who_was_there_meanwhile_is_not_met_anew() {
    let disk = SimDisk::default();
    let mut life = Life::start(&disk, 2, "outbox");
    life.deployer.deploy(key(SHOP, None), once(1)).expect("deployed");
    life.later(0, (1, 1), "A");
    life.later(50, (1, 2), "C");
    life.later(50, (1, 3), "C");
    life.deployer.deploy(key(SHOP, None), once(2)).expect("deployed");
    life.settle_backfill();
    life.later(1, (1, 4), "A");
    let expected = ["com.example.shop/once a 1: 1", "com.example.shop/once a 4: 4 suppress once"];
    assert_eq!(life.end(), expected);
    check_replay(&disk);
}
