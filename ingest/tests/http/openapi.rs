//! The description of the API has every route, with who may use it, and no other.

use crate::support::{bench, config, get};
use beckon_ingest::{Access, ServerConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn described(demo_site: Option<&str>) -> Value {
    let demo_site = demo_site.map(str::to_owned);
    let answer = get("/openapi.json").send(&bench(&ServerConfig { demo_site, ..config() })).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("application/json"))
    );
    answer.json()
}

/// Operations by method and path.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            all.push((method.to_uppercase(), path.as_str(), operation));
        }
    }
    all
}

#[tokio::test]
async fn it_says_what_it_is_of() {
    let document = described(None).await;
    assert_eq!(document["openapi"], "3.1.0");
    let info = json!({
        "title": "Beckon",
        "description": document["info"]["description"],
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!((&document["info"], &document["servers"]), (&info, &json!([{ "url": "/" }])));
}

/// What opens a route, as the document has it.
fn security_of(access: Access) -> Value {
    let token = |scope: &dyn ToString| {
        let scope = scope.to_string();
        vec![json!({ "token": [scope] }), json!({ "tokenAsPassword": [scope] })]
    };
    match access {
        Access::Public => json!([]),
        Access::WriteKey => {
            json!([{ "writeKey": [] }, { "writeKeyInQuery": [] }, { "origin": [] }, {}])
        }
        Access::Token(scope)
        | Access::SiteToken(scope)
        | Access::SiteTokenOrDemo(scope)
        | Access::SiteVisit(scope) => token(&scope).into(),
        Access::SiteTokenOrOrigin(scope) => {
            [token(&scope), vec![json!({ "origin": [] })]].concat().into()
        }
        Access::Visit => json!([
            { "visitToken": [] },
            { "visitSecret": [], "writeKeyInQuery": [] },
            { "origin": [], "visitSecret": [] },
        ]),
    }
}

#[tokio::test]
async fn it_has_every_route_with_who_may_use_it_and_no_other() {
    for demo_site in [None, Some("demo")] {
        let document = described(demo_site).await;
        let described: BTreeSet<_> = operations(&document)
            .into_iter()
            .map(|(method, path, of)| (method, path.to_owned(), of["security"].to_string()))
            .collect();
        let config = ServerConfig { demo_site: demo_site.map(str::to_owned), ..config() };
        let routes: BTreeSet<_> = bench(&config)
            .server
            .routes()
            .into_iter()
            .map(|(method, path, access)| {
                (method.to_string(), path.to_owned(), security_of(access).to_string())
            })
            .collect();
        assert_eq!(described, routes);
    }
}

#[tokio::test]
async fn an_operation_has_a_name_of_its_own_and_a_tag_that_is_explained() {
    let document = described(Some("demo")).await;
    let tags = document["tags"].as_array().expect("tags");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name), "{name} is the name of two");
        assert!(operation["summary"].is_string(), "{method} {path}");
        let tag = &operation["tags"][0];
        assert!(tags.iter().any(|of| of["name"] == *tag), "{tag} of {method} {path}");
    }
}

/// The parts of a path are parameters, and what follows from who may ask and from a body is there.
#[tokio::test]
async fn what_follows_from_the_table_is_said() {
    let document = described(None).await;
    let package = &document["paths"]["/v1/rules/{package}"]["put"];
    assert_eq!(package["parameters"][0]["name"], "package");
    assert_eq!(package["parameters"][0]["in"], "path");
    let statuses: Vec<_> =
        package["responses"].as_object().expect("answers").keys().map(String::as_str).collect();
    let expected = ["200", "400", "401", "403", "408", "409", "413", "415", "422", "429", "503"];
    assert_eq!(statuses, expected);
    let later = &package["responses"]["429"];
    assert_eq!(later["headers"]["Retry-After"]["schema"]["type"], "integer");
    let refusal = &later["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(*refusal, "#/components/schemas/Refusal");
}
