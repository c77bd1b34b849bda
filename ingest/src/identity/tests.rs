//! Proofs against those that Python's `hmac` and the `openssl` command made.

use super::*;
use serde::Deserialize;

/// When the tokens of `tokens.toml` begin and end.
const BEGIN_S: i64 = 1_700_000_000;
const END_S: i64 = 1_700_000_600;
const NOW: ServerTimeMs = ServerTimeMs((BEGIN_S + 300) * 1_000);

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the names of algorithms")]
struct Tokens {
    secret: String,
    HS256: String,
    HS512: String,
    RS256: String,
    PS256: String,
    ES256: String,
    EdDSA: String,
    HS256_by_public_key: String,
    without_signature: String,
    without_exp: String,
    without_sub: String,
    rsa: String,
    ec: String,
    ed: String,
}

fn tokens() -> Tokens {
    toml::from_str(include_str!("tokens.toml")).expect("a table of texts")
}

fn by_secret(algorithm: Option<TokenAlgorithm>) -> IdentityConfig {
    let secrets = vec!["another-secret-of-32-bytes-or-more".into(), tokens().secret];
    IdentityConfig { secrets, token_algorithm: algorithm, ..IdentityConfig::default() }
}

fn by_key(algorithm: TokenAlgorithm, pem: &str) -> IdentityConfig {
    IdentityConfig {
        token_algorithm: Some(algorithm),
        token_public_key: Some(pem.into()),
        token_audience: Some("shop".into()),
        ..IdentityConfig::default()
    }
}

fn check(config: &IdentityConfig) -> IdentityCheck {
    IdentityCheck::new(config).expect("a configuration that works")
}

/// The hashes are those of Python's `hmac`.
#[test]
fn a_hash_is_of_one_user_and_one_secret() {
    let check = check(&by_secret(None));
    let (ada, asa) = (
        "ac359624a092a0f2811d7137f72903ba5022b5320be5f619cc89f5b4c8ef0dba",
        "B5F06FD51C307B2B1095C2C136BC78507F12E1892DE47A1896A96FC429F2C154",
    );
    assert_eq!(check.check_hash("ada", ada), Ok(()));
    assert_eq!(check.check_hash("\u{c5}sa", asa), Ok(()));
    for (user, hash) in [("ada", asa), ("Ada", ada), ("ada", "ac359624"), ("ada", ""), ("", ada)] {
        assert_eq!(check.check_hash(user, hash), Err(Doubt::Hash), "{user} {hash}");
    }
    let secrets = vec!["an-identity-secret-of-32-bytes-or-less".to_owned()];
    let other = IdentityConfig { secrets, ..IdentityConfig::default() };
    assert_eq!(self::check(&other).check_hash("ada", ada), Err(Doubt::Hash));
}

#[test]
fn a_token_counts_by_the_algorithm_of_the_site_only() {
    let tokens = tokens();
    let sites = [
        (by_secret(Some(TokenAlgorithm::HS256)), &tokens.HS256),
        (by_secret(Some(TokenAlgorithm::HS512)), &tokens.HS512),
        (by_key(TokenAlgorithm::RS256, &tokens.rsa), &tokens.RS256),
        (by_key(TokenAlgorithm::PS256, &tokens.rsa), &tokens.PS256),
        (by_key(TokenAlgorithm::ES256, &tokens.ec), &tokens.ES256),
        (by_key(TokenAlgorithm::EdDSA, &tokens.ed), &tokens.EdDSA),
    ];
    for (at, (config, _)) in sites.iter().enumerate() {
        for (other, (_, token)) in sites.iter().enumerate() {
            let expected = if at == other { Ok("ada".to_owned()) } else { Err(Doubt::Token) };
            assert_eq!(check(config).user_of(token, NOW), expected, "{at} {other}");
        }
    }
    // Who knows the public key has no secret by it, and who has none signs nothing.
    for token in [&tokens.HS256_by_public_key, &tokens.without_signature] {
        for (config, _) in &sites {
            assert_eq!(check(config).user_of(token, NOW), Err(Doubt::Token));
        }
    }
}

#[test]
fn a_token_of_another_audience_or_without_an_end_or_a_user_proves_nothing() {
    let tokens = tokens();
    let audience = Some("bank".to_owned());
    let other = IdentityConfig {
        token_audience: audience.clone(),
        ..by_key(TokenAlgorithm::ES256, &tokens.ec)
    };
    assert_eq!(check(&other).user_of(&tokens.ES256, NOW), Err(Doubt::Token));
    let site = by_secret(Some(TokenAlgorithm::HS256));
    let asks = IdentityConfig { token_audience: audience, ..site.clone() };
    assert_eq!(check(&asks).user_of(&tokens.HS256, NOW), Err(Doubt::Token), "it has none");
    let site = check(&site);
    let long = format!("{}{}", tokens.HS256, "A".repeat(TOKEN_BYTES_MAX));
    for token in [&tokens.without_exp, &tokens.without_sub, &long, &String::new()] {
        assert_eq!(site.user_of(token, NOW), Err(Doubt::Token), "{token}");
    }
    let no_tokens = check(&by_secret(None));
    assert_eq!(no_tokens.user_of(&tokens.HS256, NOW), Err(Doubt::Token));
}

#[test]
fn a_token_holds_from_its_begin_to_its_end_and_a_minute_around() {
    let (site, token) = (check(&by_secret(Some(TokenAlgorithm::HS256))), tokens().HS256);
    let at = |second: i64| site.user_of(&token, ServerTimeMs(second * 1_000)).err();
    assert_eq!(at(BEGIN_S - 61), Some(Doubt::TokenTime));
    assert_eq!(at(BEGIN_S - 60), None);
    assert_eq!(at(END_S + 59), None);
    assert_eq!(at(END_S + 60), Some(Doubt::TokenTime));
}

#[test]
fn what_can_prove_nothing_is_said() {
    let tokens = tokens();
    let refused = |config: IdentityConfig, expected: &str| {
        let error = IdentityCheck::new(&config).expect_err("refused");
        assert!(error.contains(expected), "{error}");
    };
    refused(IdentityConfig::default(), "needs secrets");
    refused(IdentityConfig { secrets: vec!["x".repeat(31)], ..by_secret(None) }, "32 bytes");
    let hs = Some(TokenAlgorithm::HS256);
    refused(IdentityConfig { token_algorithm: hs, ..IdentityConfig::default() }, "needs secrets");
    let key = Some(tokens.rsa.clone());
    refused(IdentityConfig { token_public_key: key.clone(), ..by_secret(hs) }, "no public key");
    refused(IdentityConfig { token_public_key: key, ..by_secret(None) }, "token_algorithm");
    let rs = TokenAlgorithm::RS256;
    let no_key = IdentityConfig { token_public_key: None, ..by_key(rs, "") };
    refused(no_key, "needs token_public_key");
    refused(IdentityConfig { token_audience: None, ..by_key(rs, &tokens.rsa) }, "token_audience");
    refused(by_key(rs, "-----BEGIN"), "no PEM");
    refused(by_key(TokenAlgorithm::ES256, &tokens.ed), "no PEM");
}
