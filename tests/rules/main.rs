//! `beckon rules check` and `beckon rules test` as an author runs them. What they print is held to
//! the files beside this one, word for word.

use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A rule with tests of which only the first holds.
const RULE: &str = include_str!("three-pages.toml");
const WARNS: &str =
    "name = \"warns\"\nquery = 'PageEntered where 1 == 1'\n[action]\ntype = \"none\"\n";

fn folder(rules: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("rules/com.example.shop");
    std::fs::create_dir_all(&package).expect("a temporary folder");
    for (name, text) in rules {
        std::fs::write(package.join(name), text).expect("a temporary file");
    }
    folder
}

fn beckon(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beckon"));
    command.current_dir(folder).arg("rules").args(arguments).output().expect("the binary")
}

/// Runs a command and compares its exit code, and what it prints and complains of.
fn check(rules: &[(&str, &str)], arguments: &[&str], code: i32, printed: &str, error: &str) {
    let folder = folder(rules);
    let output = beckon(folder.path(), arguments);
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>()
    };
    assert_eq!(text(&output.stdout), printed, "{arguments:?}");
    assert_eq!(text(&output.stderr), error, "{arguments:?}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
}

#[test]
fn warnings_fail_a_check_that_denies_them() {
    let rules = [("warns.toml", WARNS)];
    let folder = folder(&rules);
    let shown = beckon(folder.path(), &["check", "rules"]);
    assert_eq!(shown.status.code(), Some(0));
    let told = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(told.contains("1 rule is good, 1 warning, no tests"), "{told}");
    let denied = beckon(folder.path(), &["check", "rules", "--deny-warnings"]);
    assert_eq!(denied.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&denied.stderr), "error: 0 errors, 1 warning\n");
}

#[test]
fn tests_that_fail_are_drawn_on_a_line_of_time() {
    let rules = [("three-pages.toml", RULE)];
    let error = "error: 4 of 5 tests of rules failed\n";
    check(&rules, &["test", "rules"], 1, include_str!("failed.txt"), error);
}

#[test]
fn programs_read_the_same_as_json() {
    let rules = [("three-pages.toml", RULE), ("warns.toml", WARNS)];
    let arguments = ["test", "rules", "--format", "json", "--filter", "too early"];
    let error = "error: 1 of 1 tests of rules failed\n";
    check(&rules, &arguments, 1, include_str!("failed.json"), error);
}

#[test]
fn a_filter_chooses_by_title() {
    let printed = "PASS  com.example.shop/three-pages: fires at the third page\n\n\
        1 test: 1 passed, 0 failed, 4 filtered out\n";
    let rules = [("three-pages.toml", RULE)];
    check(&rules, &["test", "rules", "--filter", "third page"], 0, printed, "");
}

#[test]
fn where_no_test_is_found_that_is_said() {
    let rule = RULE.split("[[test]]").next().expect("a rule");
    let error = "error: no tests found: no rule in rules has a [[test]] table\n";
    check(&[("a.toml", rule)], &["test", "rules"], 1, "", error);
    let error = "error: no tests found: none of 5 has \"nowhere\" in its title\n";
    check(&[("a.toml", RULE)], &["test", "rules", "--filter", "nowhere"], 1, "", error);
}

#[test]
fn a_mapping_beside_the_rules_is_named_where_they_do_not_fit() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop");
    for command in ["test", "check"] {
        let output = beckon(&shop, &[command, "rules"]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, advice) = error.trim_end().split_once("--source ").expect("advice");
        let output = beckon(&shop, &[command, "rules", "--source", advice]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn rules_with_errors_are_shown_and_not_run() {
    let wrong = RULE.replace("where category", "where categori");
    let rules = [("three-pages.toml", wrong.as_str())];
    let error = "error: 1 error, 0 warnings\n";
    check(&rules, &["test", "rules"], 1, include_str!("wrong.txt"), error);
}

/// Only where the configuration says so is it ten o'clock in Tokyo and may a visit be invited twice.
#[test]
fn tests_run_by_the_configuration_of_the_server() {
    let rule = "name = \"twice\"\nfire = \"every\"\nquery = \"A where true\"\n\
        schedule = \"Mo 10:00-10:10\"\n[action]\ntype = \"invite\"\n[[test]]\nname = \"two of a visit\"\n\
        start = \"2024-01-01T01:00:00Z\"\n\
        events = [ { at = \"0s\", eventName = \"A\" }, { at = \"9m\", eventName = \"A\" } ]\n\
        expect = [ { at = \"0s\", action = \"invite\" }, { at = \"9m\", action = \"invite\" } ]\n";
    let folder = folder(&[("twice.toml", rule)]);
    let passes = |arguments: &[&str]| beckon(folder.path(), arguments).status.success();
    let write = |text: &str| std::fs::write(folder.path().join("tokyo.toml"), text);
    assert!(!passes(&["test", "rules"]), "by default it is one at night");
    let limits = "[engine]\ntimezone = \"Asia/Tokyo\"\ninvitations_per_visit";
    write(&format!("{limits} = 1")).expect("a file");
    assert!(!passes(&["test", "rules", "--config", "tokyo.toml"]));
    write(&format!("{limits} = 2")).expect("a file");
    assert!(passes(&["test", "rules", "--config", "tokyo.toml"]));
    assert!(passes(&["check", "rules", "--config", "tokyo.toml"]));
    std::fs::rename(folder.path().join("tokyo.toml"), folder.path().join("beckon.toml"))
        .expect("a file");
    assert!(passes(&["test", "rules"]), "the folder's beckon.toml");
}

/// All three commands take the configuration's folder where none is named.
#[test]
fn the_folder_is_the_configurations_where_none_is_named() {
    let folder = folder(&[("warns.toml", WARNS)]);
    let error_of = |arguments: &[&str]| {
        let output = beckon(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for command in ["check", "test", "deploy"] {
        let error = error_of(&[command]);
        assert!(error.starts_with("error: no folder of rules: name one"), "{error}");
    }
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nrules = \"rules\"\n";
    std::fs::write(folder.path().join("beckon.toml"), text).expect("a file");
    assert!(beckon(folder.path(), &["check"]).status.success());
    assert_eq!(
        error_of(&["test"]),
        "error: no tests found: no rule in rules has a [[test]] table\n"
    );
    let error = error_of(&["deploy"]);
    assert!(error.contains("127.0.0.1:1"), "the packages are read: {error}");
}

/// What `docs/rules.md` shows of the language.
#[test]
fn the_queries_of_the_documentation_are_right() {
    let page = include_str!("../../docs/rules.md");
    let shown = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let queries: Vec<_> = shown.expect("queries").split("\n\n").collect();
    assert_eq!(queries.len(), 2);
    let rule = |number: usize| {
        let query = queries[number];
        let action = "[action]\ntype = \"none\"\n";
        format!("name = \"shown-{number}\"\nquery = \'\'\'\n{query}\n\'\'\'\n{action}")
    };
    let folder = folder(&[("one.toml", &rule(0)), ("two.toml", &rule(1))]);
    let checked = beckon(folder.path(), &["check", "rules", "--deny-warnings"]);
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{told}");
    assert!(told.contains("2 rules are good"), "{told}");
}
