//! What is taken, what is refused and with which path, and what the server adds.

use super::*;

const VISIT: &str = "44D25DDB78174DEC8F33E28F96428336";
const RECEIVED: i64 = 1_700_000_000_000;

fn site() -> SiteName {
    "shop".into()
}

fn context(site: &SiteName) -> Context<'_> {
    Context {
        site,
        received: ServerTimeMs(RECEIVED),
        sent: None,
        sender: Sender::Server,
        proven_visit: None,
        unproven: Unproven::Record,
        agent: Agent::Said,
        address: None,
        identity: None,
        visit: OfVisit::Named,
    }
}

fn with(rest: &str) -> String {
    format!(r#"{{"eventName":"PageEntered","visitID":"{VISIT}"{rest}}}"#)
}

fn taken(json: &str) -> Normalised {
    Normaliser::default().event(json, &context(&site())).expect("a valid event")
}

#[track_caller]
fn check_rejected(json: &str, reason: RejectReason, path: &str) {
    match Normaliser::default().event(json, &context(&site())) {
        Err(NormaliseError::Rejected(rejection)) => {
            assert_eq!((rejection.reason, &*rejection.path), (reason, path), "{rejection}");
        }
        other => panic!("{json} gave {other:?}"),
    }
}

#[track_caller]
fn check_field(json: &str, name: &str, expected: impl Into<Option<Value>>) {
    assert_eq!(taken(json).event.field(name).cloned(), expected.into(), "{name} of {json}");
}

fn string(text: &str) -> Value {
    Value::Str(text.into())
}

fn strings(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| string(text)).collect())
}

#[test]
fn a_small_event_is_enough() {
    let taken = taken(&with(""));
    assert_eq!(&*taken.event.name, "PageEntered");
    assert_eq!(taken.event.visit.to_string(), VISIT);
    assert_eq!(taken.event.timestamp.0, RECEIVED);
    assert!(taken.has_new_id);
    assert_eq!(taken.event.flags, Flags::default());
    assert!(taken.event.fields.is_empty());
}

#[test]
fn given_ids_are_kept_and_missing_ones_differ() {
    let given = taken(&with(r#","eventID":"00000000-0000-0000-0000-00000000000a""#));
    assert_eq!(given.event.id, EventId(Id::Bits(10)));
    assert!(!given.has_new_id);
    assert_ne!(taken(&with("")).event.id, taken(&with("")).event.id);
}

#[test]
fn required_fields_are_asked_for() {
    check_rejected(r#"{"visitID":"44"}"#, RejectReason::MissingField, "$.eventName");
    check_rejected(r#"{"eventName":"A"}"#, RejectReason::MissingField, "$.visitID");
    check_rejected(r#"{"eventName":"A","visitID":null}"#, RejectReason::MissingField, "$.visitID");
}

#[test]
fn names_have_bounds() {
    let named = |name: &str| format!(r#"{{"eventName":"{name}","visitID":"{VISIT}"}}"#);
    let longest = "\u{fc}".repeat(EVENT_NAME_CHARACTERS_MAX);
    assert_eq!(&*taken(&named(&longest)).event.name, longest.as_str());
    for name in ["", &format!("{longest}x"), r"a\u0007b", r"a\nb"] {
        check_rejected(&named(name), RejectReason::BadEventName, "$.eventName");
    }
}

#[test]
fn the_type_follows_from_the_name() {
    taken(&with(r#","eventType":"SYSTEM""#));
    check_rejected(&with(r#","eventType":"BUSINESS""#), RejectReason::BadEventType, "$.eventType");
    check_rejected(
        &with(r#","eventType":"ACTIONABLE""#),
        RejectReason::ActionableEvent,
        "$.eventType",
    );
}

#[test]
fn ids_and_types_are_checked_with_their_path() {
    for (rest, reason, path) in [
        (r#","pageID":"xyz""#, RejectReason::BadId, "$.pageID"),
        (r#","globalVisitID":7"#, RejectReason::WrongType, "$.globalVisitID"),
        (r#","timestamp":"now""#, RejectReason::WrongType, "$.timestamp"),
        (r#","timestamp":-5"#, RejectReason::BadTimestamp, "$.timestamp"),
        (r#","seq":{}"#, RejectReason::WrongType, "$.seq"),
        (r#","url":"nonsense""#, RejectReason::BadUrl, "$.url"),
        (r#","url":[1]"#, RejectReason::WrongType, "$.url"),
        (r#","data":[1]"#, RejectReason::WrongType, "$.data"),
        (r#","category":["a",1]"#, RejectReason::WrongType, "$.category[1]"),
        (r#","category":true"#, RejectReason::WrongType, "$.category"),
    ] {
        check_rejected(&with(rest), reason, path);
    }
    for json in ["[]", "1", "null", "\"x\"", "true", "-1.5"] {
        check_rejected(json, RejectReason::NotAnObject, "$");
    }
}

#[test]
fn what_is_no_json_is_told_from_what_is_no_event() {
    let normaliser = Normaliser::default();
    for json in ["", "{", "{\"a\":}", "{} {}", "{\"a\":\"\u{1}\"}"] {
        let result = normaliser.event(json, &context(&site()));
        assert!(matches!(result, Err(NormaliseError::Syntax(_))), "{json} gave {result:?}");
    }
    check_rejected(&with(r#","data":{"n":1e999}"#), RejectReason::InvalidJson, "$");
}

#[test]
fn half_an_emoji_does_not_cost_the_event() {
    check_field(&with(r#","title":"a\ud83d""#), "title", Some(string("a\u{fffd}")));
}

#[test]
fn numbers_keep_their_kind() {
    check_field(
        &with(r#","data":{"i":3,"f":3.0,"big":18446744073709551615,"t":true,"n":null}"#),
        "data",
        Some(Value::Map(vec![
            ("i".into(), Value::Int(3)),
            ("f".into(), Value::Float(3.0)),
            ("big".into(), Value::Float(18_446_744_073_709_551_615.0)),
            ("t".into(), Value::Bool(true)),
            ("n".into(), Value::Null),
        ])),
    );
    let seq = taken(&with(r#","seq":7.0,"timestamp":1699999999999.25"#)).event;
    assert_eq!((seq.tie, seq.timestamp.0), (Some(7), 1_699_999_999_999));
}

#[test]
fn categories_are_a_list() {
    check_field(
        &with(r#","category":"shoes; sale;;""#),
        "category",
        Some(strings(&["shoes", "sale"])),
    );
    check_field(
        &with(r#","category":["shoes","a;b"]"#),
        "category",
        Some(strings(&["shoes", "a", "b"])),
    );
    check_field(&with(r#","category":"""#), "category", None);
    let many = |count: usize| with(&format!(r#","category":"{}""#, "a;".repeat(count)));
    taken(&many(CATEGORIES_MAX));
    check_rejected(&many(CATEGORIES_MAX + 1), RejectReason::TooManyCategories, "$.category");
}

#[test]
fn referrer_and_title_are_lifted_and_cleaned() {
    let json =
        with(r#","data":{"referrer":"https://a.example/x?q=1&token=2#f","title":"Shoes","k":1}"#);
    check_field(&json, "referrer", Some(string("https://a.example/x?q=1")));
    check_field(&json, "title", Some(string("Shoes")));
    check_field(&json, "data", Some(Value::Map(vec![("k".into(), Value::Int(1))])));
    let both = with(r#","title":"top","data":{"title":"inner"}"#);
    check_field(&both, "title", Some(string("top")));
    check_field(&both, "data", None);
    let twice = with(
        r#","data":{"title":"a","title":"b","referrer":"https://a/?token=1","referrer":null}"#,
    );
    check_field(&twice, "title", Some(string("b")));
    check_field(&twice, "data", None);
    let odd = taken(&with(r#","referrer":"what""#));
    assert_eq!(odd.dropped, [Box::from("referrer")]);
}

#[test]
fn fields_of_the_server_are_dropped() {
    let taken =
        taken(&with(r#","site":"x","serverTimestamp":1,"isBot":false,"userID":"u","hm":{}"#));
    let names: Vec<&str> = taken.dropped.iter().map(|name| &**name).collect();
    assert_eq!(names, ["site", "serverTimestamp", "isBot", "userID", "hm"]);
    assert_eq!((&*taken.event.site, taken.event.server_timestamp.0), ("shop", RECEIVED));
    assert!(taken.event.fields.is_empty());
}

#[test]
fn the_visits_secret_decides_about_proof() {
    let site = site();
    let shown: u128 = 0x44D2_5DDB_7817_4DEC_8F33_E28F_9642_8336;
    let record = Flags::UNPROVEN.with(Flags::RECORD_ONLY);
    for (sender, proven_visit, unproven, expected) in [
        (Sender::Server, None, Unproven::Record, Flags::default()),
        (Sender::Browser, Some(shown), Unproven::Record, Flags::default()),
        (Sender::Browser, Some(shown + 1), Unproven::Record, record),
        (Sender::Browser, None, Unproven::Record, record),
        (Sender::Browser, None, Unproven::Match, Flags::UNPROVEN),
    ] {
        let context = Context { sender, proven_visit, unproven, ..context(&site) };
        let taken = Normaliser::default().event(&with(""), &context).expect("valid");
        assert_eq!(taken.event.flags, expected, "{sender:?} {proven_visit:?} {unproven:?}");
    }
}

#[test]
fn only_servers_verify_identities() {
    let site = site();
    let json = format!(r#"{{"eventName":"SignIn","visitID":"{VISIT}","data":{{"userID":"u"}}}}"#);
    let flags = |sender| {
        let context = Context { sender, unproven: Unproven::Match, ..context(&site) };
        Normaliser::default().event(&json, &context).expect("valid").event.flags
    };
    assert!(flags(Sender::Server).has(Flags::VERIFIED));
    assert!(!flags(Sender::Browser).has(Flags::VERIFIED));
}

#[test]
fn who_signs_in_is_named() {
    let site = site();
    let judge = |name: &str, data: &str| {
        let json = format!(r#"{{"eventName":"{name}","visitID":"{VISIT}","data":{data}}}"#);
        let taken = Normaliser::default().event(&json, &context(&site));
        taken.map(|taken| taken.event.fields).map_err(|error| error.to_string())
    };
    let user = |text: &str| Value::Map(vec![("userID".into(), Value::Str(text.into()))]);
    for name in ["SignIn", "UserInfo"] {
        for (data, expected) in [(r#"{"userID":"u"}"#, "u"), (r#"{"userID":17}"#, "17")] {
            let fields = judge(name, data).expect("valid");
            assert_eq!(fields.last(), Some(&("data".into(), user(expected))), "{data}");
        }
        for data in ["{}", r#"{"userID":""}"#, r#"{"userID":null}"#, r#"{"userID":[1]}"#] {
            let error = judge(name, data).expect_err("nobody is named");
            assert!(error.contains("data.userID"), "{data}: {error}");
        }
    }
    judge("SignOut", "{}").expect("nobody has to be named");
}

#[test]
fn agent_and_address_come_from_where_they_are_known() {
    let site = site();
    let normaliser = Normaliser::default();
    let agent = UserAgent { name: Some("Firefox".into()), ..UserAgent::default() };
    let address = Some(IpAddr::from([192, 0, 2, 77]));
    let said = with(r#","data":{"userAgent":"curl/8.0"}"#);
    let of = |agent, address| {
        let context = Context { agent, address, ..context(&site) };
        normaliser.event(&said, &context).expect("valid").event
    };
    let browser = of(Agent::Header(&agent), address);
    assert_eq!(browser.field("userAgent.name"), Some(&string("Firefox")));
    assert_eq!(browser.field("isBot"), Some(&Value::Bool(false)));
    assert_eq!(browser.field("ip"), Some(&string("192.0.2.0")));
    let server = of(Agent::Said, None);
    assert_eq!(server.field("isBot"), Some(&Value::Bool(true)));
    assert_eq!(server.field("ip"), None);
    assert_eq!(of(Agent::Apart, None).field("isBot"), None);
}

#[test]
fn addresses_are_truncated() {
    for (whole, kept) in [
        ("203.0.113.9", "203.0.113.0"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
    ] {
        assert_eq!(truncate(whole.parse().expect("an address")), kept);
    }
}

#[test]
fn a_missing_time_is_not_corrected() {
    let site = site();
    let context = Context { sent: Some(EventTimeMs(RECEIVED - 60_000)), ..context(&site) };
    let event = Normaliser::default().event(&with(""), &context).expect("valid").event;
    assert_eq!((event.timestamp.0, event.flags), (RECEIVED, Flags::default()));
}
