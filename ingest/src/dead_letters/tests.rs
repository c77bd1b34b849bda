//! Tests of the dead letters' store, on a disk in memory.

use super::*;
use beckon_engine::clock::ManualClock;
use beckon_engine::disk::SimDisk;
use beckon_engine::model::ServerTimeMs;

const DIR: &str = "/data/dead-letters";
const START: ServerTimeMs = ServerTimeMs(1_700_000_000_000);
const DAY_MS: i64 = 86_400_000;

struct Fixture {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    letters: DeadLetters,
}

impl Fixture {
    fn new(limits: DeadLetterLimits) -> Self {
        let disk = SimDisk::default();
        let clock = Arc::new(ManualClock::new(START));
        let letters = open(&disk, &clock, limits);
        Self { disk, clock, letters }
    }

    fn append(&self, key: &str, original: &str) {
        let received = self.clock.now();
        self.letters.append(letter(key, received, strip_secrets(original.as_bytes(), &[])));
        self.letters.flush();
    }

    fn codes(&self, filter: &Filter) -> Vec<String> {
        let heads = self.letters.list(filter, LetterId(0), LIST_MAX).expect("listed");
        heads.iter().map(|head| head.code.to_string()).collect()
    }
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>, limits: DeadLetterLimits) -> DeadLetters {
    DeadLetters::open(Arc::new(disk.clone()), Path::new(DIR), limits, clock.clone())
        .expect("opened")
}

fn letter(key: &str, received: ServerTimeMs, original: Stripped) -> NewLetter {
    NewLetter {
        received,
        site: "shop".into(),
        key: key.into(),
        address: Some("192.0.2.0".into()),
        user_agent: None,
        sent: None,
        proven_visit: Some(0xAB),
        visit: None,
        code: String::from_utf8_lossy(&original.bytes).into(),
        path: "$".into(),
        message: "no".into(),
        original,
    }
}

fn limits(bytes_max: u64, file_bytes_max: u64) -> DeadLetterLimits {
    DeadLetterLimits { bytes_max, file_bytes_max, ..DeadLetterLimits::default() }
}

#[test]
fn a_letter_is_read_as_it_was_written_also_after_a_restart() {
    let Fixture { disk, clock, letters } = Fixture::new(DeadLetterLimits::default());
    letters.append(letter("shop/a", START, strip_secrets(b"{\"key\":\"k\"}", &[])));
    letters.append(letter("shop/b", START, strip_secrets(b"\xff", &[])));
    letters.flush();
    let heads = letters.list(&Filter::default(), LetterId(0), 10).expect("listed");
    let first = letters.read(heads[0].id).expect("read").expect("there");
    assert_eq!(first.original, Original::Text("{\"key\":null}".into()));
    assert_eq!((first.head.secrets_removed, first.head.came_bytes), (1, 11));
    assert_eq!(first.head.proven_visit.as_deref(), Some("000000000000000000000000000000AB"));
    assert_eq!(first.head, heads[0]);
    let second = letters.read(heads[1].id).expect("read").expect("there");
    assert_eq!(second.original, Original::Hex("ff".into()));
    assert_eq!(letters.read(LetterId(1)).expect("read"), None);
    assert_eq!(letters.read(LetterId(0)).expect("read"), None);
    drop(letters);
    let after = open(&disk.crash(3), &clock, DeadLetterLimits::default());
    assert_eq!(after.list(&Filter::default(), LetterId(0), 10).expect("listed"), heads);
    after.append(letter("shop/a", START, strip_secrets(b"x", &[])));
    after.flush();
    let more = after.list(&Filter::default(), heads[1].id, 10).expect("listed");
    assert_eq!(more.len(), 1, "ids go on behind those before the restart");
}

#[test]
fn lists_are_filtered_and_go_on_where_they_ended() {
    let fixture = Fixture::new(limits(1 << 20, 1_000));
    for number in 0..20 {
        fixture.append(if number % 2 == 0 { "shop/even" } else { "shop/odd" }, &number.to_string());
        fixture.clock.advance(1);
    }
    let all: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(fixture.codes(&Filter::default()), all);
    let even = Filter { key: Some("shop/even".into()), ..Filter::default() };
    assert_eq!(fixture.codes(&even).len(), 10);
    let seven = Filter { code: Some("7".into()), ..Filter::default() };
    assert_eq!(fixture.codes(&seven), ["7"]);
    let nowhere = Filter { site: Some("elsewhere".into()), ..Filter::default() };
    assert!(fixture.codes(&nowhere).is_empty());
    let (mut after, mut walked) = (LetterId(0), Vec::new());
    loop {
        let page = fixture.letters.list(&Filter::default(), after, 3).expect("listed");
        let Some(last) = page.last() else { break };
        after = last.id;
        walked.extend(page.iter().map(|head| head.code.to_string()));
    }
    assert_eq!(walked, all);
}

#[test]
fn what_was_replayed_is_remembered() {
    let fixture = Fixture::new(DeadLetterLimits::default());
    for code in ["a", "b", "c"] {
        fixture.append("shop/k", code);
    }
    let heads = fixture.letters.list(&Filter::default(), LetterId(0), 10).expect("listed");
    assert!(fixture.letters.mark_replayed(heads[1].id).expect("marked"));
    assert!(fixture.letters.mark_replayed(heads[1].id).expect("marked already"));
    assert!(!fixture.letters.mark_replayed(LetterId(5)).expect("no such letter"));
    let open_ones = Filter { is_replayed: Some(false), ..Filter::default() };
    assert_eq!(fixture.codes(&open_ones), ["a", "c"]);
    let after = open(&fixture.disk.crash(1), &fixture.clock, DeadLetterLimits::default());
    let replayed = Filter { is_replayed: Some(true), ..Filter::default() };
    let kept = after.list(&replayed, LetterId(0), 10).expect("listed");
    // The letter itself may be lost with the power; its mark was synced.
    assert!(kept.iter().all(|head| head.id == heads[1].id));
    assert_ne!(heads[0].id.event_id(), heads[1].id.event_id());
}

/// A letter that was replayed and comes back unmarked would be replayed again.
#[test]
fn what_is_marked_stays_marked_after_a_power_failure() {
    let Fixture { disk, clock, letters } = Fixture::new(DeadLetterLimits::default());
    letters.append(letter("shop/k", START, strip_secrets(b"a", &[])));
    drop(letters);
    let letters = open(&disk, &clock, DeadLetterLimits::default());
    let [head] = &letters.list(&Filter::default(), LetterId(0), 10).expect("listed")[..] else {
        panic!("one letter was closed");
    };
    assert!(letters.mark_replayed(head.id).expect("marked"));
    for seed in 0..16 {
        let after = open(&disk.crash(seed), &clock, DeadLetterLimits::default());
        let kept = after.list(&Filter::default(), LetterId(0), 10).expect("listed");
        assert!(matches!(&kept[..], [kept] if kept.is_replayed), "{seed}: {kept:?}");
    }
}

#[test]
fn a_flood_under_one_key_costs_no_other_key_a_letter() {
    let fixture = Fixture::new(limits(20_000, 2_000));
    for number in 0..5 {
        fixture.append("shop/a-quiet", &number.to_string());
    }
    for _ in 0..200 {
        fixture.append("shop/loud", "x");
    }
    let quiet = Filter { key: Some("shop/a-quiet".into()), ..Filter::default() };
    assert_eq!(fixture.codes(&quiet), ["0", "1", "2", "3", "4"]);
    let counters = fixture.letters.counters();
    assert!(counters.bytes <= 20_000, "{counters:?}");
    assert_eq!(counters.written, 205);
    let kept = fixture.codes(&Filter::default()).len() as u64;
    assert_eq!(counters.evicted, 205 - kept);
    assert!(kept > 30, "{kept}");
}

#[test]
fn a_full_queue_takes_from_the_key_that_fills_it() {
    let mut queue = FairQueue::new(4);
    let mut push = |key: &str| queue.push(letter(key, START, strip_secrets(b"", &[])));
    assert_eq!([(); 4].map(|()| push("loud")), [0; 4]);
    assert_eq!(push("loud"), 1);
    assert_eq!([(); 2].map(|()| push("quiet")), [1; 2]);
    assert_eq!(push("quiet"), 1, "both have two, so the third is lost");
    let keys: Vec<_> = queue.take().iter().map(|letter| letter.key.to_string()).collect();
    assert_eq!(keys, ["loud", "loud", "quiet", "quiet"]);
    assert!(queue.is_empty());
}

#[test]
fn the_bounds_are_those_that_are_documented() {
    let limits = DeadLetterLimits::default();
    assert_eq!((limits.bytes_max, limits.days_max), (1 << 30, 30));
    assert_eq!((limits.file_bytes_max, limits.queue_letters_max), (4 << 20, 256));
    assert_eq!(ORIGINAL_BYTES_MAX, 65_536);
}

/// The disk stands still: the writer holds one batch, the queue is full, the rest is lost.
#[test]
fn a_slow_disk_costs_letters_and_no_memory() {
    const WAITING_MAX: usize = 4;
    let limits = DeadLetterLimits { queue_letters_max: WAITING_MAX, ..DeadLetterLimits::default() };
    let fixture = Fixture::new(limits);
    let stands_still = fixture.letters.shared.files();
    for _ in 0..100 {
        fixture.letters.append(letter("shop/k", START, strip_secrets(b"x", &[])));
    }
    let (waiting, lost) = {
        let waiting = fixture.letters.shared.waiting();
        (waiting.queue.len(), waiting.counters.queue_full)
    };
    drop(stands_still);
    assert!(waiting <= WAITING_MAX, "{waiting}");
    assert!(lost >= 100 - 2 * WAITING_MAX as u64, "{lost}");
}

#[test]
fn a_file_ends_before_its_bytes() {
    let fixture = Fixture::new(limits(1 << 20, 1_000));
    for number in 0..20 {
        fixture.append("shop/k", &number.to_string());
        fixture.clock.advance(1);
    }
    let names = fixture.disk.list(Path::new(DIR)).expect("listed");
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let bytes = contents(&fixture.disk, &Path::new(DIR).join(&name)).len();
        assert!(bytes <= 1_000, "{name} has {bytes} bytes");
    }
}

#[test]
fn nothing_is_kept_longer_than_its_days() {
    let Fixture { disk, clock, letters } = Fixture::new(DeadLetterLimits::default());
    letters.append(letter("shop/k", START, strip_secrets(b"old", &[])));
    letters.flush();
    let days = |days: i64| u32::try_from(days * DAY_MS).expect("fits");
    clock.advance(days(29));
    letters.append(letter("shop/k", clock.now(), strip_secrets(b"new", &[])));
    letters.flush();
    drop(letters);
    let open = || open(&disk, &clock, DeadLetterLimits::default());
    let codes = |letters: &DeadLetters| {
        let heads = letters.list(&Filter::default(), LetterId(0), 10).expect("listed");
        heads.iter().map(|head| head.code.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&open()), ["old", "new"]);
    clock.advance(days(1));
    let letters = open();
    letters.append(letter("shop/k", clock.now(), strip_secrets(b"newest", &[])));
    letters.flush();
    assert_eq!(codes(&letters), ["new", "newest"]);
    assert_eq!(letters.counters().expired, 1);
}

#[test]
fn torn_and_damaged_lines_cost_only_themselves() {
    let Fixture { disk, clock, letters } = Fixture::new(DeadLetterLimits::default());
    for code in ["a", "b", "c"] {
        letters.append(letter("shop/k", START, strip_secrets(code.as_bytes(), &[])));
    }
    letters.flush();
    let first = LetterId::at(START);
    let path = Path::new(DIR).join(format!("shop~k.{:016}.letters", first.0));
    let file = disk.open(&path).expect("the file");
    let third = file.bytes().expect("known") / 3;
    disk.flip(&path, usize::try_from(third).expect("small") + 40, 1);
    file.truncate(third * 3 - 5).expect("cut");
    drop(letters);
    let after = open(&disk, &clock, DeadLetterLimits::default());
    after.append(letter("shop/k", START, strip_secrets(b"d", &[])));
    after.flush();
    let heads = after.list(&Filter::default(), LetterId(0), 10).expect("listed");
    let codes: Vec<_> = heads.iter().map(|head| &*head.code).collect();
    assert_eq!(codes, ["a", "d"]);
}

#[test]
fn a_disk_that_refuses_costs_letters_and_nothing_else() {
    let fixture = Fixture::new(DeadLetterLimits::default());
    fixture.append("shop/k", "before");
    fixture.disk.fail_from_change(fixture.disk.changes());
    fixture.append("shop/k", "lost");
    fixture.disk.fail_from_change(u64::MAX);
    fixture.append("shop/k", "behind");
    assert_eq!(fixture.codes(&Filter::default()), ["before", "behind"]);
    let counters = fixture.letters.counters();
    assert_eq!((counters.written, counters.unwritable), (2, 1));
}

#[test]
fn names_of_keys_are_safe_as_names_of_files() {
    let fixture = Fixture::new(DeadLetterLimits::default());
    fixture.append("../..", "a");
    fixture.append("x/y.z", "b");
    let names = fixture.disk.list(Path::new(DIR)).expect("listed");
    assert_eq!(names.len(), 2);
    assert!(
        names[0].starts_with("%2E%2E~%2E%2E.") && names[1].starts_with("x~y%2Ez."),
        "{names:?}"
    );
    let one = Filter { key: Some("x/y.z".into()), ..Filter::default() };
    assert_eq!(fixture.codes(&one), ["b"]);
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn first_file() -> PathBuf {
    Path::new(DIR).join(format!("shop~k.{:016}.letters", LetterId::at(START).0))
}

/// A fixture, which `written` must equal.
fn fixture(name: &str, written: &[u8]) -> Vec<u8> {
    let path = Path::new(FIXTURES).join(name);
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, written).expect("written");
    }
    let fixture = std::fs::read(path).expect("the fixture");
    assert_eq!(String::from_utf8_lossy(written), String::from_utf8_lossy(&fixture));
    fixture
}

fn contents(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("there");
    let mut bytes = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
    file.read_at(0, &mut bytes).expect("read");
    bytes
}

/// `BECKON_WRITE_FIXTURES=1` writes the fixtures of the present versions; a released one stays.
#[test]
fn all_versions_are_read_and_the_last_is_written() {
    let Fixture { disk, clock, letters } = Fixture::new(DeadLetterLimits::default());
    let text = strip_secrets(br#"{"eventName":"A","key":"k-1"}"#, &[]);
    let hex = strip_secrets(b"\xff", &[]);
    for (original, sent) in [(text, None), (hex, Some(beckon_engine::model::EventTimeMs(1)))] {
        let user_agent = sent.map(|_| "curl/8.0".into());
        letters.append(NewLetter { sent, user_agent, ..letter("shop/k", START, original) });
    }
    letters.flush();
    let ids = [0, 1].map(|n| LetterId(LetterId::at(START).0 + n));
    assert!(letters.mark_replayed(ids[1]).expect("marked"));
    let marks_file = first_file().with_extension("replayed");
    let lines = fixture("dead-letters-v1.letters", &contents(&disk, &first_file()));
    let marks = fixture("dead-letters-v2.replayed", &contents(&disk, &marks_file));
    let marks_1 = Path::new(FIXTURES).join("dead-letters-v1.replayed");
    for marks in [marks, std::fs::read(marks_1).expect("the fixture")] {
        let old = SimDisk::default();
        for (path, bytes) in [(first_file(), &lines), (marks_file.clone(), &marks)] {
            old.create(&path).and_then(|file| file.write_at(0, bytes)).expect("written");
        }
        let old = open(&old, &clock, DeadLetterLimits::default());
        let heads = old.list(&Filter::default(), LetterId(0), 10).expect("listed");
        assert_eq!(heads.iter().map(|head| head.is_replayed).collect::<Vec<_>>(), [false, true]);
        for head in heads {
            let read = old.read(head.id).expect("readable");
            assert_eq!(read, letters.read(head.id).expect("readable"));
            assert_eq!(read.map(|letter| letter.head), Some(head));
        }
        assert!(old.mark_replayed(ids[0]).expect("marked behind a mark of any version"));
        let heads = old.list(&Filter::default(), LetterId(0), 10).expect("listed");
        assert!(heads.iter().all(|head| head.is_replayed), "{heads:?}");
    }
}

#[test]
fn an_unknown_version_is_refused() {
    let refused = |end: &str| {
        let fixture = Fixture::new(DeadLetterLimits::default());
        if end == "replayed" {
            fixture.append("shop/k", "a");
        }
        let json = r#"{"version":9,"what":"ever"}"#;
        let line = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
        let file = fixture.disk.create(&first_file().with_extension(end)).expect("made");
        file.write_at(0, line.as_bytes()).expect("written");
        let disk: Arc<dyn Disk> = Arc::new(fixture.disk.clone());
        let clock: Arc<dyn Clock> = fixture.clock.clone();
        let opened = DeadLetters::open(disk, Path::new(DIR), DeadLetterLimits::default(), clock);
        let error = opened.expect_err("another version").to_string();
        assert!(error.contains("unknown version") && error.contains(end), "{error}");
    };
    refused("letters");
    refused("replayed");
}

/// Whatever a crash leaves of a mark, it marks that letter or none, and the next mark is whole.
#[test]
fn a_torn_mark_marks_nothing() {
    let fixture = Fixture::new(DeadLetterLimits::default());
    for code in ["a", "b"] {
        fixture.append("shop/k", code);
    }
    let heads = fixture.letters.list(&Filter::default(), LetterId(0), 10).expect("listed");
    let marks = first_file().with_extension("replayed");
    assert!(fixture.letters.mark_replayed(heads[0].id).expect("marked"));
    let whole = contents(&fixture.disk, &marks);
    for length in 0..whole.len() {
        let torn = fixture.disk.exit();
        torn.remove(&marks).expect("removed");
        let file = torn.create(&marks).expect("made anew");
        file.write_at(0, whole.get(..length).expect("shorter")).expect("written");
        let letters = open(&torn, &fixture.clock, DeadLetterLimits::default());
        let is_replayed = || {
            let heads = letters.list(&Filter::default(), LetterId(0), 10).expect("listed");
            heads.iter().map(|head| head.is_replayed).collect::<Vec<_>>()
        };
        assert_eq!(is_replayed(), [false, false], "{length}");
        assert!(letters.mark_replayed(heads[1].id).expect("marked"));
        // All but the end of the line was there, and that came now.
        assert_eq!(is_replayed(), [length + 1 == whole.len(), true], "{length}");
    }
}
