//! Who may use a route, as OpenAPI says it.

use super::Schemas;
use crate::routes::Access;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, RefOr};

const TOKEN: &str = "token";
const PASSWORD: &str = "tokenAsPassword";
const WRITE_KEY: &str = "writeKey";
const QUERY_KEY: &str = "writeKeyInQuery";
const SECRET: &str = "visitSecret";
const VISIT_TOKEN: &str = "visitToken";
const ORIGIN: &str = "origin";

/// The ways to show who one is, beside the schemas.
pub(super) fn components(schemas: Schemas) -> Components {
    let mut components = Components::new();
    components.schemas.extend(schemas);
    let http = |scheme, what: &str| {
        let mut http = Http::new(scheme);
        http.description = Some(what.to_owned());
        SecurityScheme::Http(http)
    };
    let bearer = |what| http(HttpAuthScheme::Bearer, what);
    let origin = "The page's origin, where a site has a key for it (`default_for_origin`)";
    let query = "A write key in the address, for who can set no header";
    for (name, scheme) in [
        (TOKEN, bearer("An API token (`beckon token create --scope SCOPE`)")),
        (PASSWORD, http(HttpAuthScheme::Basic, "An API token as the password of any user")),
        (WRITE_KEY, bearer("A write key of a site; one of a browser needs a listed `Origin`")),
        (
            QUERY_KEY,
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description("key", query))),
        ),
        (SECRET, bearer("The visit's secret, 64 hex digits; the site is named by a write key")),
        (VISIT_TOKEN, bearer("A token of `POST /v1/visits/{visitID}/token`")),
        (
            ORIGIN,
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("Origin", origin))),
        ),
    ] {
        components.add_security_scheme(name, RefOr::T(scheme));
    }
    components
}

/// What of these opens a route: any one of them. With none the route is open.
pub(super) fn requirements(access: Access) -> Vec<SecurityRequirement> {
    let nothing = SecurityRequirement::default;
    let one = |name: &str| SecurityRequirement::new(name, [""; 0]);
    let scoped = |name: &str| {
        let scope = access.scope().map(|scope| scope.to_string());
        SecurityRequirement::new(name, scope)
    };
    let token = || [scoped(TOKEN), scoped(PASSWORD)];
    match access {
        Access::Public => Vec::new(),
        // The key may stand in the body, too.
        Access::WriteKey => vec![one(WRITE_KEY), one(QUERY_KEY), one(ORIGIN), nothing()],
        Access::Token(_)
        | Access::SiteToken(_)
        | Access::SiteTokenOrDemo(_)
        | Access::SiteVisit(_) => token().to_vec(),
        Access::SiteTokenOrOrigin(_) => [&token()[..], &[one(ORIGIN)]].concat(),
        Access::Visit => vec![
            one(VISIT_TOKEN),
            one(SECRET).add(QUERY_KEY, [""; 0]),
            one(SECRET).add(ORIGIN, [""; 0]),
        ],
    }
}

/// What anybody is told who may not use a route: status and reason.
pub(super) fn refusals(access: Access) -> &'static [(u16, &'static str)] {
    const TOO_MANY: (u16, &str) = (429, "Too many requests of this address or key");
    match access {
        Access::Public => &[],
        Access::WriteKey => &[
            (401, "No write key that is known was shown"),
            (403, "The page's origin is not on the key's list"),
            TOO_MANY,
        ],
        Access::Token(_) | Access::SiteToken(_) | Access::SiteTokenOrDemo(_) => &[
            (401, "No token that is known was shown"),
            (403, "The token has not the scope, or is for another site"),
            TOO_MANY,
        ],
        Access::SiteTokenOrOrigin(_) => &[
            (401, "No token that is known was shown, nor is the page's origin a default one"),
            (403, "The token has not the scope, or is for no site"),
            TOO_MANY,
        ],
        Access::SiteVisit(_) => &[
            (400, "The visit is no id, or its site is not named"),
            (401, "No token that is known was shown"),
            (403, "The token has not the scope, or is for another site"),
            TOO_MANY,
        ],
        Access::Visit => &[
            (401, "Neither the visit's secret nor a token of it was shown"),
            (403, "The page's origin is not on the key's list"),
            TOO_MANY,
        ],
    }
}
