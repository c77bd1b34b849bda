//! Rules over HTTP: deploy a package, remove it, see what is deployed; pause what acts.
//!
//! A package comes whole: `PUT /v1/rules/com.example.shop` with `{"files": {"hot-lead.toml": "..."}}`.
//! It is checked beside all others and refused whole, or answered once its record is on disk. It sees
//! the events of the token's site; a token for all sites may name one with `?site=`. The deployer
//! blocks on the compiler and the disk, so every call of it runs on a blocking thread.

mod answers;
mod said;

pub(crate) use answers::Package as PackageAnswer;
pub(crate) use answers::{Deployed, Named, Packages, Pauses, Reloaded, Wrong};

use crate::answer::{Refusal, json};
use crate::app::App;
use crate::events::read_body;
use crate::object::object;
use crate::tokens::{Scope, TokenInfo};
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beckon_engine::catalog::{Deployer, NotDeployed};
use beckon_engine::log::{Deployment, Owner, PackageKey, PauseKey, Refused};
use beckon_rules::package::is_package_name;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The most files of a package.
const FILES_MAX: usize = 10_000;
/// The longest name of a file.
const FILE_NAME_BYTES_MAX: usize = 128;

/// The query of all these routes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    site: Option<String>,
}

type AskedSite = Result<Query<Asked>, QueryRejection>;

/// A package as it comes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PackageFiles, example = json!({ "files": { "hot-lead.toml": EXAMPLE } }))]
pub(crate) struct Package {
    /// Rule files and `package.toml`, by their names.
    #[schema(value_type = BTreeMap<String, String>)]
    files: BTreeMap<Arc<str>, Arc<str>>,
}

/// What to pause, or to let go on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pausing {
    /// A package; without it everything.
    package: Option<Arc<str>>,
}

/// `PUT /v1/rules/{package}?site=`
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    package: Result<Path<String>, PathRejection>,
    asked: AskedSite,
    request: Request,
) -> Result<Response, Refusal> {
    let key = package_key(&token, package, asked)?;
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head, body, None).await?;
    let files = read_files(&body.bytes)?;
    let deployment = Deployment {
        owner: Owner::Token,
        is_operator: token.grants(Scope::Operator, None),
        by: author(&token),
        files,
    };
    let wanted = key.clone();
    match ask(&app, move |deployer| deployer.deploy(wanted, deployment)).await? {
        Ok(deployed) => {
            let standing = app.deployer.standing();
            Ok(json(StatusCode::OK, &said::deployed(&key, &deployed, &standing)))
        }
        Err(NotDeployed::Wrong(compiled)) => {
            Ok(json(StatusCode::UNPROCESSABLE_ENTITY, &said::refused(&key, &compiled)))
        }
        Err(refused) => Err(refuse(&app, &refused)),
    }
}

/// `DELETE /v1/rules/{package}?site=`
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    package: Result<Path<String>, PathRejection>,
    asked: AskedSite,
) -> Result<Response, Refusal> {
    let key = package_key(&token, package, asked)?;
    let (wanted, by) = (key.clone(), author(&token));
    match ask(&app, move |deployer| deployer.remove(wanted, by)).await? {
        Ok(()) => Ok(json(StatusCode::OK, &said::named(&key))),
        Err(refused) => Err(refuse(&app, &refused)),
    }
}

/// `GET /v1/rules?site=`: all packages that see a site of the token.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    asked: AskedSite,
) -> Result<Response, Refusal> {
    let site = site_of(&token, asked)?;
    Ok(json(
        StatusCode::OK,
        &said::list(&app.deployer, &now(&app, site.as_deref()), site.as_deref()),
    ))
}

/// `GET /v1/rules/{package}?site=`: one, with its files.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    package: Result<Path<String>, PathRejection>,
    asked: AskedSite,
) -> Result<Response, Refusal> {
    let key = package_key(&token, package, asked)?;
    match said::show(&app.deployer, &now(&app, key.site.as_deref()), &key) {
        Some(said) => Ok(json(StatusCode::OK, &said)),
        None => Err(refuse(&app, &NotDeployed::Unknown(key))),
    }
}

fn now<'a>(app: &'a App, site: Option<&'a str>) -> said::Now<'a> {
    said::Now { site, live: app.engine.live(site), engine: &*app.engine }
}

/// `POST /v1/rules/reload`: takes the server's folder as it is now.
pub(crate) async fn reload(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let Some(folder) = app.folder.clone() else {
        let help = "start the server with --rules DIR, or deploy with PUT /v1/rules/PACKAGE";
        let message = "the server has no folder of rules";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no_folder", message, help));
    };
    let taken =
        ask(&app, move |deployer| folder.read().map(|packages| deployer.take_folder(packages)));
    match taken.await? {
        Ok(Ok(changes)) => Ok(json(StatusCode::OK, &Reloaded { changes })),
        Ok(Err(NotDeployed::Wrong(compiled))) => {
            Ok(json(StatusCode::UNPROCESSABLE_ENTITY, &said::refused_all(&compiled)))
        }
        Ok(Err(refused)) => Err(refuse(&app, &refused)),
        Err(message) => {
            let help = "look at the folder on the server";
            Err(Refusal::new(StatusCode::CONFLICT, "folder_unreadable", message, help))
        }
    }
}

/// `POST /v1/actions/pause?site=`: `{"package": "com.example.shop"}`, or everything.
pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    asked: AskedSite,
    request: Request,
) -> Result<Response, Refusal> {
    turn(app, token, asked, request, Deployer::pause).await
}

/// `POST /v1/actions/resume?site=`: the same.
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    Extension(token): Extension<TokenInfo>,
    asked: AskedSite,
    request: Request,
) -> Result<Response, Refusal> {
    turn(app, token, asked, request, Deployer::resume).await
}

async fn turn(
    app: Arc<App>,
    token: TokenInfo,
    asked: AskedSite,
    request: Request,
    turn: fn(&Deployer, PauseKey, Arc<str>) -> Result<(), NotDeployed>,
) -> Result<Response, Refusal> {
    let site = site_of(&token, asked)?;
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head, body, None).await?;
    let bytes = if body.bytes.is_empty() { &b"{}"[..] } else { &body.bytes[..] };
    let Pausing { package } = object(bytes).map_err(|error| bad(&error, PAUSING))?;
    let seen = token.site.clone();
    let (key, by) = (PauseKey { package, site }, author(&token));
    let turned = ask(&app, move |deployer| {
        let before = deployer.standing();
        turn(deployer, key, by)
            .map(|()| said::paused(&before, &deployer.standing(), seen.as_deref()))
    });
    let said = turned.await?.map_err(|error| refuse(&app, &error))?;
    Ok(json(StatusCode::OK, &said))
}

/// A rule for who reads the description.
const EXAMPLE: &str = "name = \"hot-lead\"\nquery = 'PageEntered where category == \"pricing\"'\n\
                       [action]\ntype = \"none\"\n";
const FILES: &str = "{\"files\": {\"hot-lead.toml\": \"...\", \"package.toml\": \"...\"}}";
const PAUSING: &str = "{\"package\": \"com.example.shop\"}, or {} for everything";

fn bad(message: &impl ToString, help: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message.to_string(), help)
}

fn read_files(body: &[u8]) -> Result<BTreeMap<Arc<str>, Arc<str>>, Refusal> {
    let Package { files } = object(body).map_err(|error| bad(&error, FILES))?;
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(bad(&format!("a package has 1 to {FILES_MAX} files"), FILES));
    }
    let is_wrong = |name: &&Arc<str>| {
        !name.ends_with(".toml")
            || name.starts_with('.')
            || name.contains(['/', '\\'])
            || name.chars().any(char::is_control)
            || name.len() > FILE_NAME_BYTES_MAX
    };
    match files.keys().find(is_wrong) {
        Some(name) => Err(bad(&format!("{name:?} is no name of a rule file"), FILES)),
        None => Ok(files),
    }
}

/// Whose events are meant: those of the token's site, or of the one that a token for all sites names.
fn site_of(token: &TokenInfo, asked: AskedSite) -> Result<Option<Arc<str>>, Refusal> {
    let Query(asked) = asked.map_err(|error| bad(&error.body_text(), "?site=SITE or nothing"))?;
    match (&token.site, asked.site) {
        (Some(own), Some(site)) if **own != *site => {
            let message = format!("the token is for the site {own}");
            let help = "leave ?site= out, or use a token of that site";
            Err(Refusal::new(StatusCode::FORBIDDEN, "other_site", message, help))
        }
        (Some(own), _) => Ok(Some(own.to_string().into())),
        (None, site) => Ok(site.map(Into::into)),
    }
}

fn package_key(
    token: &TokenInfo,
    package: Result<Path<String>, PathRejection>,
    asked: AskedSite,
) -> Result<PackageKey, Refusal> {
    let help = "a package is named by a reversed domain, such as com.example.shop";
    let Path(name) = package.map_err(|error| bad(&error.body_text(), help))?;
    if !is_package_name(&name) {
        return Err(bad(&format!("{name:?} is no package name"), help));
    }
    Ok(PackageKey { name: name.into(), site: site_of(token, asked)? })
}

fn author(token: &TokenInfo) -> Arc<str> {
    format!("{} ({})", token.name, token.id).into()
}

/// Asks the deployer on a blocking thread.
async fn ask<T: Send + 'static>(
    app: &Arc<App>,
    question: impl FnOnce(&Deployer) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let deployer = Arc::clone(&app.deployer);
    let answered = tokio::task::spawn_blocking(move || question(&deployer)).await;
    answered.map_err(|_| Refusal::internal("the deployment failed"))
}

fn refuse(app: &App, refused: &NotDeployed) -> Refusal {
    let message = refused.to_string();
    let of = |status, code, help| Refusal::new(status, code, message.clone(), help);
    match refused {
        NotDeployed::OfFolder(_) => of(
            StatusCode::CONFLICT,
            "owned_by_folder",
            "change the file on the server, then POST /v1/rules/reload or beckon rules deploy",
        ),
        NotDeployed::Taken(_) => of(
            StatusCode::CONFLICT,
            "name_taken",
            "a name is for all sites or for single ones: take another, or remove that package",
        ),
        NotDeployed::Unknown(_) => {
            of(StatusCode::NOT_FOUND, "package_unknown", "GET /v1/rules lists them")
        }
        NotDeployed::NotAdmitted(refused) => of(StatusCode::CONFLICT, refused.code, refused.help),
        NotDeployed::Wrong(_) => {
            of(StatusCode::UNPROCESSABLE_ENTITY, "rules_refused", "beckon rules check shows them")
        }
        NotDeployed::Log(refused) => {
            let code = match refused {
                Refused::Busy => "log_busy",
                Refused::LogFull => "log_full",
                Refused::DiskFull => "disk_full",
                Refused::Closed => "log_closed",
            };
            app.unavailable(code, &message)
        }
    }
}
