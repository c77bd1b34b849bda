//! Commands that work in the data folder find it where the server does.

use crate::support::{
    Server, bearer, beckon, cells, configured_with, event, names, printed, refused,
};
use std::path::Path;
use std::time::Instant;

const SCOPE: [&str; 4] = ["token", "create", "--scope", "metrics:read"];

fn created(folder: &Path, more: &[&str]) -> (String, String) {
    let text = printed(folder, &[&SCOPE[..], more].concat());
    let mut lines = text.lines();
    let token = lines.next().expect("a token").to_owned();
    let id = lines.find_map(|line| line.strip_prefix("id ")).expect("its id");
    (token, id.split(';').next().expect("the id").to_owned())
}

/// The README's tour: no flag anywhere, the folder stands in `beckon.toml`.
#[test]
fn the_folder_is_where_the_configuration_says() {
    let folder = configured_with("[server]\ndata = \"elsewhere\"\n");
    let folder = folder.path();
    let server = Server::start(beckon(folder), &[]);
    let (token, id) = created(folder, &["--name", "for the dashboard"]);
    let status = || server.get("/metrics", &bearer(&token)).status;
    assert_eq!(status(), 200);
    let list = printed(folder, &["token", "list"]);
    assert_eq!(
        cells(&list)[1],
        [id.as_str(), "for the dashboard", "metrics:read", "all"],
        "{list}"
    );

    assert_eq!(server.send(&event("AddToCart", 1)).expect("an answer").status, 200);
    assert!(printed(folder, &["log", "inspect"]).contains("whole"));

    // Within a second, the command's help says; a busy machine may need more.
    printed(folder, &["token", "revoke", &id]);
    let revoked = Instant::now();
    while status() == 200 {
        assert!(revoked.elapsed() < crate::support::STEP_MAX, "a revoked token still works");
    }
    assert_eq!(cells(&printed(folder, &["token", "list"])).len(), 1);
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(names(folder), ["beckon.toml", "elsewhere"]);
}

#[test]
fn a_variable_a_file_and_a_flag_name_the_folder_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut by_variable = beckon(folder);
    by_variable.args(SCOPE).env("BECKON_SERVER__DATA", "a");
    assert!(by_variable.output().expect("the binary").status.success());
    std::fs::write(folder.join("b.toml"), "[server]\ndata = \"b\"\n").expect("a file");
    created(folder, &["--config", "b.toml"]);
    created(folder, &["--data", "c", "--config", "b.toml"]);
    assert_eq!(names(folder), ["a", "b", "b.toml", "c"]);
}

/// To look into a folder does not make one.
#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [&["token", "list"][..], &["token", "revoke", "7"], &["log", "inspect"]] {
        let error = refused(folder.path(), command);
        assert!(error.contains("there is no data folder beckon-data"), "{error}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
