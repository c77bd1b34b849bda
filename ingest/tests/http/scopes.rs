//! Scopes as a table of role and route: a token opens the routes of its scope and no other.

use crate::support::{Bench, bench, config, get};
use beckon_ingest::Access;
use beckon_ingest::tokens::Scope;

/// The routes that ask for a token, and the scope that each of them wants.
fn guarded(bench: &Bench) -> Vec<(&'static str, String, Scope, bool)> {
    let routes = bench.server.routes().into_iter().filter_map(|(method, path, access)| {
        let (scope, is_for_sites) = match access {
            Access::Public | Access::WriteKey | Access::Visit => return None,
            Access::Token(scope) => (scope, false),
            Access::SiteToken(scope)
            | Access::SiteTokenOrDemo(scope)
            | Access::SiteTokenOrOrigin(scope)
            | Access::SiteVisit(scope) => (scope, true),
        };
        let path = path.replace("{id}", "1").replace("{package}", "com.example.shop");
        let path = path.replace("{visitID}", "1").replace("{endpoint}", "crm");
        let method: &'static str = String::leak(method.to_string());
        Some((method, path, scope, is_for_sites))
    });
    routes.collect()
}

#[tokio::test]
async fn a_token_opens_the_routes_of_its_scope_and_no_other() {
    let bench = bench(&config());
    let routes = guarded(&bench);
    let (mut let_in, mut refused) = (0, 0);
    for role in Scope::ALL {
        let token = bench.token(role);
        for (method, path, wanted, _) in &routes {
            // An open stream has no end; `live.rs` listens to it.
            if role.implies(*wanted) && path == "/v1/live" {
                continue;
            }
            let answer = get(path).method(method).bearer(&token).send(&bench).await;
            if role == *wanted || role == Scope::Operator {
                // Refused for another reason, if at all: nothing is in the body.
                let is_scope = answer.status == 403 && answer.text.contains("scope_missing");
                let is_refused = answer.status == 401 || is_scope;
                assert!(!is_refused, "{role}: {method} {path}");
                let_in += 1;
            } else {
                answer.check_error(403, "scope_missing");
                refused += 1;
            }
        }
    }
    assert!(let_in > 2 * routes.len() - 4, "each by its role and by the operator: {let_in}");
    assert_eq!(refused, routes.len() * (Scope::ALL.len() - 2) + operators(&routes), "{routes:?}");
}

/// A route that the operator alone may use has one role less.
fn operators(routes: &[(&str, String, Scope, bool)]) -> usize {
    routes.iter().filter(|(.., scope, _)| *scope == Scope::Operator).count()
}

/// What concerns all sites is not for who has one.
#[tokio::test]
async fn a_token_of_a_site_opens_no_route_of_all_sites() {
    let bench = bench(&config());
    let mut held = 0;
    for (method, path, wanted, is_for_sites) in guarded(&bench) {
        let token = bench.token_for(wanted, Some("shop"));
        if !is_for_sites {
            let answer = get(&path).method(method).bearer(&token).send(&bench).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            held += 1;
        }
    }
    assert!(held > 5, "{held}");
}
