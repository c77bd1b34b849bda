//! What of the server's configuration a replay goes by.

use super::{line, write};
use serde_json::Value;
use std::process::Command;

/// A replay of last month's log meets the rules as the server's events do.
#[test]
fn query_parameters_and_tables_are_those_of_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(&folder, "access.log", &line(0, 7, "/a?model=x"));
    let rule = "name = \"model\"\nquery = 'any where url.query.model == \"x\"'\n\
                [action]\ntype = \"none\"\n";
    write(&folder, "rules/com.example.model/model.toml", rule);
    let fired = |sections: &str| {
        write(&folder, "beckon.toml", sections);
        let mut command = Command::new(env!("CARGO_BIN_EXE_beckon"));
        command.args(["replay", "--format", "json", &log, "--rules", "rules"]);
        command.args(["--reports", "reports"]).current_dir(folder.path());
        let output = command.output().expect("the binary");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut days = std::fs::read_dir(folder.path().join("reports/events")).expect("a table");
        let day = days.next().expect("a day").expect("an entry").path();
        let names = std::fs::read_dir(day).expect("folders of names").count();
        std::fs::remove_dir_all(folder.path().join("reports")).expect("a folder");
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (result["rules"][0]["fired"].as_u64().expect("a count"), names)
    };
    let (before, names) = fired("");
    assert_eq!(before, 0);
    assert!(names > 1, "each event name has a folder");
    let sections = "[server]\nquery_parameters = [\"model\"]\n[reports]\nevent_folders_max = 0\n";
    assert_eq!(fired(sections), (1, 1));
}
