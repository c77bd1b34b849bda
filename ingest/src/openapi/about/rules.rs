//! What is said of packages of rules.

use super::{About, Tag};
use crate::rules::{
    Deployed, Named, Package, PackageAnswer, Packages, Pauses, Pausing, Reloaded, Wrong,
};

const UNKNOWN: &str = "There is no such package";
const BAD: &str = "The name is none of a package, or the query is not `?site=SITE`";
const WRONG: &str = "The rules are wrong; `diagnostics` say where, and nothing changed";

fn about(id: &str, summary: &str) -> About {
    let of = "The site that is meant; without it that of the token, or all";
    About::new(Tag::Rules, id, summary).query::<String>("site", of)
}

pub(crate) fn list() -> About {
    about("listPackages", "Lists what is deployed, and what came of it")
        .answers::<Packages>(200, "All packages that see the site")
        .refuses(400, "The query is not `?site=SITE`")
}

pub(crate) fn show() -> About {
    about("showPackage", "Shows a package with its files")
        .answers::<PackageAnswer>(200, "The package")
        .refuses(400, BAD)
        .refuses(404, UNKNOWN)
}

pub(crate) fn put() -> About {
    about("deployPackage", "Deploys a whole package")
        .detail("It is checked beside all others, and taken whole or refused whole.")
        .body::<Package>("Its files")
        .answers::<Deployed>(200, "It is on disk: events behind it meet the new rules")
        .refuses(409, "The name is taken, by the folder too; or its types contradict what stands")
        .answers::<Wrong>(422, WRONG)
}

pub(crate) fn remove() -> About {
    about("removePackage", "Removes a package")
        .answers::<Named>(200, "It is gone")
        .refuses(400, BAD)
        .refuses(404, UNKNOWN)
        .refuses(409, "It is the folder's")
}

pub(crate) fn reload() -> About {
    About::new(Tag::Rules, "reloadRules", "Takes what changed in the folder of rules")
        .answers::<Reloaded>(200, "What is deployed is what the folder has")
        .refuses(404, "The server has no folder of rules")
        .refuses(409, "The folder cannot be read, or a package contradicts what stands")
        .answers::<Wrong>(422, WRONG)
}

pub(crate) fn pause() -> About {
    about("pause", "Pauses a package, or everything: what it does is recorded and does not go out")
        .may_have_body::<Pausing>("What; without it everything")
        .answers::<Pauses>(200, "What is paused now")
        .refuses(404, UNKNOWN)
}

pub(crate) fn resume() -> About {
    about("resume", "Lets a package, or everything, act again")
        .may_have_body::<Pausing>("What; without it everything")
        .answers::<Pauses>(200, "What is paused now, and what goes on")
        .refuses(404, UNKNOWN)
}
