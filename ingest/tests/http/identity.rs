//! Who a browser says it is counts where the site's server has proven it.

use crate::support::{
    Ask, BROWSER_KEY, Bench, MATCHING_KEY, ORIGIN, VISIT, bench, config, get, post,
};
use beckon_engine::model::{Flags, Value};
use beckon_ingest::identity::{IdentityConfig, TokenAlgorithm};
use beckon_ingest::tokens::Scope;
use serde_json::json;

const SECRET: &str = "an-identity-secret-of-32-bytes-or-more";
/// HMAC-SHA256 of `ada` with the secret, by Python's `hmac`.
const HASH: &str = "ac359624a092a0f2811d7137f72903ba5022b5320be5f619cc89f5b4c8ef0dba";

fn site() -> Bench {
    let identity = IdentityConfig {
        secrets: vec![SECRET.into()],
        token_algorithm: Some(TokenAlgorithm::HS256),
        ..IdentityConfig::default()
    };
    let mut config = config();
    config.sites.get_mut("shop").expect("the site").identity = Some(identity);
    bench(&config)
}

fn sign_in(data: &serde_json::Value) -> Ask {
    let event = json!({"eventName": "SignIn", "visitID": VISIT, "data": data});
    post(event.to_string()).bearer(MATCHING_KEY).header("origin", ORIGIN)
}

/// What the answer says of the proof, whether the event is verified, and its data.
async fn outcome(bench: &Bench, ask: Ask) -> (serde_json::Value, bool, Vec<(Box<str>, Value)>) {
    let answer = ask.send(bench).await.json()["results"][0].clone();
    assert_eq!(answer["status"], "ok", "{answer}");
    let event = bench.log.events().pop().expect("the event");
    let data = event.fields.iter().find(|(name, _)| &**name == "data").map(|(_, data)| data);
    let Some(Value::Map(data)) = data else { panic!("data: {:?}", event.fields) };
    (answer["unverified"].clone(), event.flags.has(Flags::VERIFIED), data.clone())
}

/// A token of `tokens.toml`'s making, for as long as a test runs: signed by the library's other half.
fn token(user: &str) -> String {
    #[derive(serde::Serialize)]
    struct Claims<'a> {
        sub: &'a str,
        exp: i64,
    }
    let claims = Claims { sub: user, exp: crate::support::NOW_MS / 1_000 + 60 };
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("signed")
}

#[tokio::test]
async fn a_proof_verifies_and_is_not_recorded() {
    let bench = site();
    let ada = vec![("userID".into(), Value::Str("ada".into()))];
    let proofs = [
        json!({"userID": "ada", "userHash": HASH}),
        json!({"userID": "ada", "userToken": token("ada")}),
        json!({"userToken": token("ada")}),
        json!({"userID": null, "userToken": token("ada")}),
        json!({"userID": "ada", "userHash": HASH, "userToken": token("eve")}),
    ];
    for proof in proofs {
        let (doubt, verified, mut data) = outcome(&bench, sign_in(&proof)).await;
        data.retain(|(_, value)| *value != Value::Null);
        assert_eq!((doubt, verified, &data), (serde_json::Value::Null, true, &ada), "{proof}");
    }
    bench.check_figures(&["beckon_unverified_sign_ins_total 0"]).await;
}

#[tokio::test]
async fn a_sign_in_without_a_good_proof_is_recorded_as_hearsay_and_told_so() {
    let bench = site();
    let eve = vec![("userID".into(), Value::Str("eve".into()))];
    let doubts = [
        (json!({"userID": "eve"}), "no_proof"),
        (json!({"userID": "eve", "userHash": HASH}), "wrong_hash"),
        (json!({"userID": "eve", "userHash": 7}), "no_proof"),
        (json!({"userID": "eve", "userToken": token("ada")}), "wrong_token"),
        (json!({"userID": "eve", "userToken": "a.b.c", "verified": true}), "wrong_token"),
    ];
    for (data, expected) in doubts {
        let (doubt, verified, mut left) = outcome(&bench, sign_in(&data)).await;
        left.retain(|(name, _)| &**name == "userID");
        assert_eq!((doubt, verified, &left), (expected.into(), false, &eve), "{data}");
    }
    bench.check_figures(&["beckon_unverified_sign_ins_total 5"]).await;
}

/// A site without identity: a browser proves nothing, and nobody told it to.
#[tokio::test]
async fn without_a_secret_no_browser_is_believed_and_a_server_is() {
    let bench = bench(&config());
    let data = json!({"userID": "ada", "userHash": HASH});
    let (doubt, verified, left) = outcome(&bench, sign_in(&data)).await;
    assert_eq!((doubt, verified, left.len()), (serde_json::Value::Null, false, 1));
    let event = json!({"eventName": "UserInfo", "visitID": VISIT, "data": data});
    let (doubt, verified, left) = outcome(&bench, post(event.to_string()).by_server()).await;
    assert_eq!((doubt, verified, left.len()), (serde_json::Value::Null, true, 1));
}

#[tokio::test]
async fn a_dead_letter_has_no_proof() {
    let bench = site();
    let event = json!({"eventName": "SignIn", "visitID": "none",
        "data": {"userID": "ada", "userHash": HASH, "userToken": token("ada")}});
    let ask = post(event.to_string()).bearer(BROWSER_KEY).header("origin", ORIGIN);
    assert_eq!(ask.send(&bench).await.results(), ["bad_id"]);
    bench.letters.flush();
    let token_of_api = bench.token(Scope::DeadLetters);
    let list = get("/v1/dead-letters").bearer(&token_of_api).send(&bench).await.json();
    let path = format!("/v1/dead-letters/{}", list["letters"][0]["id"]);
    let text = get(&path).bearer(&token_of_api).send(&bench).await.text;
    assert!(text.contains("userHash") && !text.contains(HASH), "{text}");
    assert!(!text.contains(&token("ada")), "{text}");
}
