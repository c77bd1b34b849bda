//! The document, from the table of routes.
//!
//! What no operation answers is not in it: 404 of other paths, 405 of other methods, and what is said before
//! a request is one (414, 431). 500 is not in it either, since no answer is meant to be that.

use super::about::{About, Tag, collect, refusal};
use super::{Schemas, security};
use crate::answer::RefusalBody;
use crate::routes::Access;
use crate::table::Route;
use axum::http::Method;
use beckon_rules::package::PACKAGE_NAME_BYTES_MAX;
use std::collections::BTreeMap;
use utoipa::openapi::path::{
    HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::response::ResponsesBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::server::Server;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr, Required, Schema};

const WHAT: &str = "Recognises in milliseconds the moment that matters on a website, and acts";
const OVERLOAD: &str = "Overload, or the server ends; nothing of the request was taken";
/// What is said of who sends a browser's password without saying that it is JSON.
const BASIC_IS_JSON: &str = "With `Basic` what writes must be `application/json`";
/// What is said where a body is read.
const OF_BODIES: [(u16, &str); 4] = [
    (400, "The body is not what is expected here; `message` says where"),
    (408, "The body was too long in coming"),
    (413, "The body, or what it inflates to, is too large"),
    (415, "The content encoding is not known; with `Basic`, a body that is no `application/json`"),
];

/// Describes these routes. `schemas` are those of the mounted parts.
///
/// # Panics
/// Where two schemas have one name.
pub(super) fn document(
    routes: Vec<Route>,
    schemas: impl Iterator<Item = (String, RefOr<Schema>)>,
) -> OpenApi {
    let mut all: Schemas = schemas.collect();
    collect::<RefusalBody<'_>>(&mut all);
    let mut paths = Paths::new();
    let mut tags = Vec::new();
    for route in routes {
        let Route { method, path, access, mut about, .. } = route;
        all.append(&mut about.schemas);
        tags.push(about.tag);
        let operation = operation(&method, path, access, about);
        paths.add_path_operation(path, vec![http_method(&method)], operation);
    }
    let tags = Tag::ALL.into_iter().filter(|tag| tags.contains(tag)).map(|tag| {
        let (name, what) = tag.words();
        TagBuilder::new().name(name).description(Some(what)).build()
    });
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let info = InfoBuilder::new()
        .title("Beckon")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(WHAT))
        .license(Some(license));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .tags(Some(tags))
        .paths(paths)
        .components(Some(security::components(distinct(all))))
        .build()
}

/// Each schema once.
fn distinct(schemas: Schemas) -> Schemas {
    let mut named = BTreeMap::new();
    for (name, schema) in schemas {
        match named.get(&name) {
            Some(other) => assert!(*other == schema, "two schemas have the name {name}"),
            None => drop(named.insert(name, schema)),
        }
    }
    named.into_iter().collect()
}

fn operation(method: &Method, path: &str, access: Access, about: About) -> Operation {
    let About { operation, mut answers, reads_body, .. } = about;
    for (status, what) in refusals(method, access, reads_body) {
        answers.entry(status).or_insert_with(|| refusal(status, what));
    }
    let answers = answers.into_iter().map(|(status, of)| (status.to_string(), RefOr::T(of)));
    let answers = ResponsesBuilder::new().responses_from_iter(answers);
    let mut operation = operation.responses(answers.build()).build();
    // First those of the path, in its order, then the others.
    let mut parameters: Vec<_> = parts(path).map(|name| RefOr::T(part(path, name))).collect();
    parameters.append(&mut operation.parameters.unwrap_or_default());
    operation.parameters = (!parameters.is_empty()).then_some(parameters);
    // An empty list would say nothing; an open route says so.
    operation.security = Some(security::requirements(access));
    operation
}

/// Refusals that follow from the table.
fn refusals(
    method: &Method,
    access: Access,
    reads_body: bool,
) -> impl Iterator<Item = (u16, &'static str)> {
    let by_password = access.scope().is_some() && *method != Method::GET;
    let bodies = if reads_body { &OF_BODIES[..] } else { &[] };
    let password = by_password.then_some((415, BASIC_IS_JSON));
    let of_all = bodies.iter().copied().chain(password).chain([(503, OVERLOAD)]);
    security::refusals(access).iter().copied().chain(of_all)
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        _ => unreachable!("the table has no route of {method}"),
    }
}

/// The names in `{}` of a path.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A part of a path. What a name means is said once, here.
fn part(path: &str, name: &str) -> Parameter {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let visit = "A visit: 32 hex digits, or the text by which a mapped source names it";
    let (schema, what) = match (name, path) {
        ("visitID", _) => (text(), visit),
        ("id", path) if path.starts_with("/v1/dead-letters/") => {
            let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
            (number, "A dead letter")
        }
        ("id", path) if path.starts_with("/server/data/visits/") => {
            (text().pattern(Some(HEX)), "A visit")
        }
        ("id", _) => (text(), "A message: 32 hex digits"),
        ("package", _) => {
            let package = text().pattern(Some(PACKAGE)).max_length(Some(PACKAGE_NAME_BYTES_MAX));
            (package, "A package, by a reversed domain: com.example.shop")
        }
        ("endpoint", _) => (text(), "An endpoint of the configuration, by its name"),
        ("file", _) => (text(), "A file of the demo"),
        _ => unreachable!("{name} of {path} is not described"),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(schema))
        .description(Some(what))
        .build()
}

/// An id of events, visits, messages.
const HEX: &str = "^[0-9A-Fa-f]{32}$";
/// A name of a package: labels between dots, as `is_package_name` has it.
const PACKAGE: &str =
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$";
