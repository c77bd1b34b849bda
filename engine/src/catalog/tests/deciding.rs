//! What is taken and what is refused.

use super::*;
use crate::catalog::slots::Slots;
use crate::catalog::{Admission, FolderPackage, NotAdmitted, NotDeployed};
use crate::matcher::CHANGE_EPOCHS;
use std::sync::Mutex;

const SHOP: &str = "com.example.shop";
const WRONG: &str = "any where nothing == 1";

fn life(disk: &SimDisk) -> Life {
    Life::start(disk, 1, "outbox")
}

fn names(life: &Life) -> Vec<String> {
    life.deployer.standing().packages.keys().map(ToString::to_string).collect()
}

#[test]
fn a_package_with_an_error_is_refused_whole_and_the_running_one_stays() {
    let disk = SimDisk::default();
    let mut life = life(&disk);
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    let wrong = package(&[("each", EACH), ("wrong", WRONG)]);
    let before = life.log.durable();
    let refused = life.deployer.deploy(key(SHOP, None), wrong).expect_err("it is wrong");
    let NotDeployed::Wrong(compiled) = refused else { panic!("{refused:?}") };
    let [found] = &compiled.diagnostics[..] else { panic!("{:?}", compiled.diagnostics) };
    assert_eq!(&*found.file, "com.example.shop/wrong.toml");
    assert!(compiled.text(&found.file).is_some_and(|text| text.contains(WRONG)));
    assert_eq!(life.log.durable(), before, "nothing was written");
    life.event(1, "A");
    assert_eq!(life.end(), ["com.example.shop/each a 1: 1"]);
}

fn typed(kind: &str) -> Deployment {
    let mut package = package(&[("each", EACH)]);
    let types = format!("[types]\ndata.price = \"{kind}\"\n");
    package.files.insert("package.toml".into(), types.into());
    package
}

#[test]
fn a_package_that_contradicts_another_is_refused() {
    let life = life(&SimDisk::default());
    life.deployer.deploy(key(SHOP, None), typed("integer")).expect("deployed");
    for name in ["com.example.a", "com.example.z"] {
        let refused = life.deployer.deploy(key(name, None), typed("string"));
        assert!(matches!(refused, Err(NotDeployed::Wrong(_))), "{name}: {refused:?}");
    }
    life.deployer.deploy(key("com.example.a", None), typed("integer")).expect("deployed");
}

/// Wants `data.price` to be no text, and notes what stands, as `before -> now`.
#[derive(Debug, Default)]
struct NoText(Mutex<Vec<String>>);

impl Admission for NoText {
    fn admit(&self, before: &RuleSet, wanted: &RuleSet) -> Result<(), NotAdmitted> {
        let is_text = |rules: &RuleSet| types(rules).contains("string");
        if is_text(before) || !is_text(wanted) {
            return Ok(());
        }
        Err(NotAdmitted { code: "text", message: "no text".to_owned(), help: "a number" })
    }

    fn stand(&self, before: &RuleSet, now: &RuleSet) {
        self.0.lock().expect("no panic").push(format!("{} -> {}", types(before), types(now)));
    }
}

fn types(rules: &RuleSet) -> String {
    let types: Vec<_> = rules.types.iter().map(|(_, kind)| kind.as_str()).collect();
    types.join(" ")
}

#[test]
fn who_must_admit_a_package_is_asked_before_it_is_written_and_told_behind() {
    let disk = SimDisk::default();
    let life = life(&disk);
    let asked = Arc::new(NoText::default());
    let admitting = |life: &Life| {
        let standing = life.log.standing().clone();
        let deployer = Deployer::new(Arc::clone(&life.log.0) as _, event_compiler(), standing);
        deployer.admitting(Arc::clone(&asked) as _)
    };
    let told = || std::mem::take(&mut *asked.0.lock().expect("no panic"));
    let first = admitting(&life);
    let deploy = |name: &str, kind: &str| first.deploy(key(name, None), typed(kind)).map(drop);
    deploy(SHOP, "integer").expect("admitted");
    assert_eq!(told(), [" -> ", " -> integer"]);
    let before = life.log.durable();
    let refused = deploy(SHOP, "string").expect_err("a text");
    assert!(matches!(&refused, NotDeployed::NotAdmitted(why) if why.code == "text"), "{refused:?}");
    assert_eq!((refused.to_string().as_str(), told()), ("no text", vec![]));
    assert_eq!(life.log.durable(), before, "nothing was written");
    assert_eq!(first.compiled().rules.types.len(), 1, "what ran runs on");
    life.log.close();
    let refused = deploy(SHOP, "float");
    assert!(matches!(refused, Err(NotDeployed::Log(_))), "{refused:?}");
    assert_eq!(told(), Vec::<String>::new(), "it stands nowhere");
    drop(first);
    life.end();
    drop(admitting(&self::life(&disk)));
    assert_eq!(told(), [" -> integer"], "told anew after a restart");
}

#[test]
fn what_stands_already_is_not_written_again() {
    let life = life(&SimDisk::default());
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    let before = life.log.durable();
    let again = life.deployer.deploy(key(SHOP, None), package(&[("each", EACH)]));
    assert!(again.expect("right").is_unchanged);
    assert_eq!(life.log.durable(), before);
}

#[test]
fn a_name_is_for_all_sites_or_for_single_ones() {
    let life = life(&SimDisk::default());
    let deploy = |name: &str, site| life.deployer.deploy(key(name, site), package(&[("e", EACH)]));
    deploy(SHOP, Some("a")).expect("deployed");
    deploy(SHOP, Some("b")).expect("deployed");
    assert!(matches!(deploy(SHOP, None), Err(NotDeployed::Taken(_))));
    deploy("com.example.blog", None).expect("deployed");
    assert!(matches!(deploy("com.example.blog", Some("a")), Err(NotDeployed::Taken(_))));
    let unknown = life.deployer.remove(key("com.example.other", None), "ann".into());
    assert!(matches!(unknown, Err(NotDeployed::Unknown(_))));
}

#[test]
fn the_folder_owns_its_packages() {
    let disk = SimDisk::default();
    let life = life(&disk);
    let folder = |packages: &[(&str, &str)]| {
        let one = |(name, query): &(&str, &str)| FolderPackage {
            name: (*name).into(),
            files: [rule("each", query)].into(),
        };
        life.deployer.take_folder(packages.iter().map(one).collect())
    };
    life.deploy(key("com.example.own", None), &[("each", EACH)]);
    life.deploy(key(SHOP, Some("a")), &[("each", EACH)]);
    let both = [(SHOP, EACH), ("com.example.blog", EACH)];
    assert_eq!(folder(&both).expect("taken"), 3, "one of a site gives way");
    assert_eq!(names(&life), ["com.example.blog", "com.example.own", "com.example.shop"]);
    assert_eq!(folder(&both).expect("taken"), 0);
    for site in [None, Some("a")] {
        let refused = life.deployer.deploy(key(SHOP, site), package(&[("each", EACH)]));
        assert!(matches!(refused, Err(NotDeployed::OfFolder(_))), "{refused:?}");
        let refused = life.deployer.remove(key(SHOP, site), "ann".into());
        assert!(matches!(refused, Err(NotDeployed::OfFolder(_))), "{refused:?}");
    }
    let wrong = folder(&[(SHOP, PAIR), ("com.example.blog", WRONG)]);
    assert!(matches!(wrong, Err(NotDeployed::Wrong(_))));
    assert_eq!(folder(&both).expect("taken"), 0, "none of it was taken");
    assert_eq!(folder(&[(SHOP, PAIR)]).expect("taken"), 2);
    assert_eq!(names(&life), ["com.example.own", "com.example.shop"]);
    life.end();
    assert_eq!(names(&self::life(&disk)), ["com.example.own", "com.example.shop"], "restarted");
}

/// An older version took it: the others run all the same.
#[test]
fn a_package_that_no_longer_compiles_runs_nothing() {
    let packages = [("com.example.a", WRONG), (SHOP, EACH), ("com.example.z", "any where (")];
    let one =
        |(name, query): (&str, &str)| (key(name, None), Arc::new(package(&[("each", query)])));
    let compiler: Arc<Compiler> = event_compiler();
    let compiled = compiler.compile(&packages.map(one).into());
    let rules: Vec<_> = compiled.rules.rules.iter().map(|rule| &*rule.package).collect();
    assert_eq!(rules, [SHOP]);
    assert_eq!(compiled.broken, [key("com.example.a", None), key("com.example.z", None)].into());
    assert_eq!(compiled.diagnostics.len(), 2);
}

#[test]
fn a_slot_is_given_again_once_its_state_is_gone() {
    let compiler = event_compiler();
    let rules = |queries: &[(&str, &str)]| {
        let packages = [(key(SHOP, None), Arc::new(package(queries)))];
        Arc::clone(&compiler.compile(&packages.into()).rules)
    };
    let mut slots = Slots::default();
    let mut arrange = |epoch, queries: &[(&str, &str)]| {
        let arranged = slots.arrange(Epoch(epoch), &rules(queries).rules);
        let names: Vec<_> = arranged.rules.iter().map(|rule| rule.name.to_string()).collect();
        (names.join(" "), arranged.retired, arranged.fresh)
    };
    assert_eq!(arrange(1, &[("a", EACH), ("b", EACH)]), ("a b".into(), vec![], vec![0, 1]));
    assert_eq!(arrange(2, &[("a", PAIR), ("b", EACH)]), (" b a".into(), vec![0], vec![2]));
    let last = 2 + CHANGE_EPOCHS;
    assert_eq!(arrange(last - 1, &[("a", PAIR), ("c", EACH)]), ("  a c".into(), vec![1], vec![3]));
    let all = [("a", PAIR), ("c", EACH), ("d", EACH), ("e", EACH)];
    assert_eq!(arrange(last, &all), ("d  a c e".into(), vec![], vec![0, 4]));
}
