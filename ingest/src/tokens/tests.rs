//! Tests of the token store, on a disk in memory.

use super::*;
use beckon_engine::clock::ManualClock;
use beckon_engine::disk::SimDisk;

const DIR: &str = "/data/tokens";

struct Fixture {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    store: TokenStore,
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::default();
        let clock = Arc::new(ManualClock::new(ServerTimeMs(1_000)));
        let store = open(&disk, &clock);
        Self { disk, clock, store }
    }

    /// Another process on the same folder.
    fn other(&self) -> TokenStore {
        open(&self.disk, &self.clock)
    }
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> TokenStore {
    TokenStore::open(Arc::new(disk.clone()), DIR, clock.clone()).expect("opened")
}

fn new(scopes: &[Scope]) -> NewToken {
    NewToken { name: "test".into(), scopes: scopes.iter().copied().collect(), site: None }
}

fn secret_of(token: &Token) -> &str {
    token.as_str().strip_prefix("bkn_").expect("a token")
}

#[test]
fn what_was_made_is_valid_and_nothing_else_is() {
    let fixture = Fixture::new();
    let (token, info) = fixture.store.create(new(&[Scope::LiveRead])).expect("made");
    let (second, _) = fixture.store.create(new(&[Scope::Operator])).expect("made");
    assert_ne!(token, second);
    assert_eq!(token.as_str().len(), 68);
    assert_eq!(format!("{token:?}"), "Token(..)");
    assert_eq!(fixture.store.verify(token.as_str()), Some(info.clone()));
    let prefixed = format!("bkn_{}", info.sha256);
    for wrong in ["", "bkn_", &info.sha256, &prefixed, secret_of(&token)] {
        assert_eq!(fixture.store.verify(wrong), None, "{wrong}");
    }
}

#[test]
fn the_folder_holds_no_token() {
    let fixture = Fixture::new();
    let (token, info) = fixture.store.create(new(&[Scope::LiveRead])).expect("made");
    let path = Path::new(DIR).join(file_name(&info.id));
    let file = fixture.disk.open(&path).expect("written");
    let mut bytes = vec![0; 4096];
    let filled = file.read_at(0, &mut bytes).expect("read");
    let text = String::from_utf8(bytes[..filled].to_vec()).expect("JSON");
    assert!(text.contains(&info.sha256) && !text.contains(secret_of(&token)), "{text}");
}

#[test]
fn a_running_server_sees_at_once_what_is_made_and_within_a_second_what_is_revoked() {
    let fixture = Fixture::new();
    let (token, info) = fixture.other().create(new(&[Scope::LiveRead])).expect("made");
    assert!(fixture.store.verify(token.as_str()).is_some(), "unknown until it was looked for");
    fixture.other().revoke(&info.id).expect("revoked");
    assert!(fixture.store.verify(token.as_str()).is_some(), "looked less than a second ago");
    fixture.clock.advance(1_000);
    assert_eq!(fixture.store.verify(token.as_str()), None);
}

#[test]
fn a_flood_of_wrong_tokens_looks_ten_times_a_second() {
    let fixture = Fixture::new();
    let wrong = format!("{PREFIX}{}", "0".repeat(64));
    assert_eq!(fixture.store.verify(&wrong), None);
    let (token, _) = fixture.other().create(new(&[Scope::LiveRead])).expect("made");
    fixture.clock.advance(99);
    assert_eq!(fixture.store.verify(&wrong), None);
    assert_eq!(fixture.store.verify(token.as_str()), None, "looked less than 100 ms ago");
    fixture.clock.advance(1);
    // What is no token at all does not make anybody look.
    assert_eq!(fixture.store.verify("bkn_"), None);
    assert!(fixture.store.verify(token.as_str()).is_some());
}

#[test]
fn a_token_survives_a_power_failure() {
    let fixture = Fixture::new();
    let (token, info) = fixture.store.create(new(&[Scope::LiveRead])).expect("made");
    let after = open(&fixture.disk.crash(7), &fixture.clock);
    assert_eq!(after.verify(token.as_str()), Some(info.clone()));
    after.revoke(&info.id).expect("revoked");
    assert!(matches!(after.revoke(&info.id), Err(TokenError::Unknown(_))));
    assert!(matches!(after.revoke("../log/1"), Err(TokenError::Unknown(_))));
}

#[test]
fn a_damaged_file_opens_nothing_and_closes_nothing() {
    let fixture = Fixture::new();
    let (token, info) = fixture.store.create(new(&[Scope::LiveRead])).expect("made");
    let stolen = serde_json::to_vec(&info).expect("JSON");
    for (name, bytes) in [("0.json", &b"{"[..]), ("1.json", &stolen[..]), ("2.new", b"")] {
        let file = fixture.disk.create(&Path::new(DIR).join(name)).expect("made");
        file.write_at(0, bytes).expect("written");
    }
    let after = fixture.other();
    assert!(after.verify(token.as_str()).is_some());
    assert_eq!(after.list().expect("listed"), [info]);
}

#[test]
fn scopes_and_sites_bound_what_a_token_may_do() {
    let info = |scope, site: Option<&str>| TokenInfo {
        version: VERSION,
        id: String::new(),
        name: String::new(),
        scopes: [scope].into(),
        site: site.map(Into::into),
        created_ms: ServerTimeMs(0),
        sha256: String::new(),
    };
    let all = info(Scope::LiveRead, None);
    assert!(all.grants(Scope::LiveRead, None) && all.grants(Scope::LiveRead, Some("a")));
    assert!(!all.grants(Scope::RulesRead, Some("a")));
    let one = info(Scope::LiveRead, Some("a"));
    assert!(one.grants(Scope::LiveRead, Some("a")));
    assert!(!one.grants(Scope::LiveRead, Some("b")) && !one.grants(Scope::LiveRead, None));
    let operator = info(Scope::Operator, None);
    assert!(
        operator.grants(Scope::RulesRead, None) && operator.grants(Scope::RulesRead, Some("b"))
    );
    let of_site = info(Scope::Operator, Some("a"));
    assert!(of_site.grants(Scope::RulesRead, Some("a")));
    assert!(
        !of_site.grants(Scope::RulesRead, Some("b")) && !of_site.grants(Scope::RulesRead, None)
    );
}

#[test]
fn tokens_are_bounded_and_checked() {
    let fixture = Fixture::new();
    assert!(matches!(fixture.store.create(new(&[])), Err(TokenError::NoScope)));
    for name in ["", "a\nb", &"x".repeat(65)] {
        let new = NewToken { name: name.to_owned(), ..new(&[Scope::LiveRead]) };
        assert!(matches!(fixture.store.create(new), Err(TokenError::BadName)), "{name}");
    }
    for _ in 0..TOKENS_MAX {
        fixture.store.create(new(&[Scope::LiveRead])).expect("made");
    }
    assert!(matches!(fixture.store.create(new(&[Scope::LiveRead])), Err(TokenError::TooMany)));
    let id = fixture.store.list().expect("listed")[0].id.clone();
    fixture.store.revoke(&id).expect("revoked");
    fixture.store.create(new(&[Scope::LiveRead])).expect("room for one");
}

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/token-v1.json");

/// `BECKON_WRITE_FIXTURES=1` writes the fixture of the present version; a released one stays.
#[test]
fn version_1_is_written_and_read() {
    let fixture = Fixture::new();
    let token = format!("bkn_{}", "ab".repeat(32));
    let info = TokenInfo {
        version: VERSION,
        id: "0123456789abcdef".into(),
        name: "of the fixture".into(),
        scopes: [Scope::LiveRead, Scope::MetricsRead].into(),
        site: Some("shop".into()),
        created_ms: ServerTimeMs(1_000),
        sha256: hex(&digest(&token)),
    };
    fixture.store.write(&info).expect("written");
    let path = Path::new(DIR).join(file_name(&info.id));
    let file = fixture.disk.open(&path).expect("there");
    let mut written = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
    file.read_at(0, &mut written).expect("read");
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        std::fs::write(FIXTURE, &written).expect("written");
    }
    let kept = std::fs::read(FIXTURE).expect("the fixture");
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&kept));
    let old = Fixture::new();
    let file = old.disk.create(&path).expect("made");
    file.write_at(0, &kept).expect("written");
    assert_eq!(old.other().verify(&token), Some(info));
}

#[test]
fn an_unknown_version_opens_nothing() {
    let fixture = Fixture::new();
    let (token, info) = fixture.store.create(new(&[Scope::Operator])).expect("made");
    let newer = TokenInfo { version: VERSION + 1, ..info.clone() };
    fixture.store.write(&newer).expect("written");
    assert_eq!(fixture.other().verify(token.as_str()), None);
    let why = fixture.store.read(&file_name(&info.id)).expect_err("unknown");
    assert_eq!(why, "version 2 is unknown, this Beckon reads 1");
}
