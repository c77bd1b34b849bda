//! Checks of Rust sources and pages.
//!
//! Sizes are counted on rustfmt's layout, tests like all else: a function ends at the first closing
//! brace that stands as far in as its head.

use super::{Finding, Tree, tree::File};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Where nothing is said in the order of a map, so that one without order may stand.
const UNORDERED: &[&str] = &["rules/", "ingest/", "src/", "tests/", "xtask/", "benches/"];

/// Crates that the code of one folder alone names, in whatever way; and who looks for that.
const CRATES: &[&str] = &["timely", "differential_dataflow"];
const CRATES_HOMES: [&str; 2] = ["engine/src/dataflow/", "xtask/src/tidy/"];

/// Words that no source holds, where they may stand all the same, and why not.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("HashMap", UNORDERED, "its order may reach the output: BTreeMap, or hashbrown's HashTable"),
    ("HashSet", UNORDERED, "its order may reach the output: BTreeSet, or hashbrown's HashTable"),
    ("#[ignore", &[], "a test runs or does not exist"),
    ("todo!(", &[], "nothing is left open behind a closed issue"),
    ("unimplemented!(", &[], "nothing is left open behind a closed issue"),
    ("#[allow(", &[], "#[expect(..., reason = \"...\")]"),
    ("TODO", &[], "write an issue"),
    ("FIXME", &[], "write an issue"),
];

/// What lies beside the project, which may be missing and is named by nothing but the one helper
/// through which tests read it.
const BESIDE: &[&str] = &["../shared", "rule-language", "design.md", "gwe.md"];
const BESIDE_HOME: &str = "tests/beside/";

/// All findings in sources and pages.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(".rs") {
        head(file, &mut findings);
        sizes(file, &mut findings);
        if file.path != "xtask/src/tidy/source.rs" {
            words(file, &mut findings);
        }
    }
    for file in &tree.files {
        if file.path != "xtask/src/tidy/source.rs" && !file.path.starts_with(BESIDE_HOME) {
            beside(file, &mut findings);
        }
    }
    for page in tree.ending(".md") {
        links(page, tree, &mut findings);
    }
    findings
}

fn finding(file: &File, line: usize, what: impl Into<String>) -> Finding {
    Finding { file: file.path.clone(), line, what: what.into() }
}

fn head(file: &File, findings: &mut Vec<Finding>) {
    if !file.text.starts_with("//!") {
        findings.push(finding(file, 1, "the first line is //! and says what the file is for"));
    }
}

fn sizes(file: &File, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = file.text.lines().collect();
    let count = lines.len();
    if count > FILE_LINES_MAX {
        findings.push(finding(file, 0, format!("{count} lines, more than {FILE_LINES_MAX}")));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(indent) = function_indent(line) else { continue };
        if !has_body(&lines[start..], &indent) {
            continue;
        }
        let close = format!("{indent}}}");
        let length = lines.iter().skip(start).position(|line| *line == close).unwrap_or(0);
        if length > FUNCTION_LINES_MAX {
            let what = format!("a function of {length} lines, more than {FUNCTION_LINES_MAX}");
            findings.push(finding(file, start + 1, what));
        }
    }
}

/// The white space before a function's head, where the line is one.
fn function_indent(line: &str) -> Option<String> {
    let rest = line.trim_start();
    let indent: String = line.chars().take_while(|char| *char == ' ').collect();
    let head = ["pub(crate) ", "pub(super) ", "pub ", "async ", "const "]
        .iter()
        .fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    head.starts_with("fn ").then_some(indent)
}

/// Whether the head that begins these lines, on one of them or more, has a body of several lines.
fn has_body(lines: &[&str], indent: &str) -> bool {
    let mut heads = lines.iter().filter(|line| {
        line.strip_prefix(indent).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '))
    });
    let end = heads.find(|line| ["{", ";", "}"].iter().any(|end| line.ends_with(end)));
    end.is_some_and(|line| line.ends_with('{'))
}

fn words(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        for (word, homes, why) in FORBIDDEN {
            let at_home = homes.iter().any(|home| file.path.starts_with(home));
            if line.contains(word) && !at_home {
                findings.push(finding(file, number + 1, format!("`{word}`: {why}")));
            }
        }
        for name in CRATES.iter().filter(|name| names(line, name)) {
            if !CRATES_HOMES.iter().any(|home| file.path.starts_with(home)) {
                let what = format!("`{name}` is named in {} alone", CRATES_HOMES[0]);
                findings.push(finding(file, number + 1, what));
            }
        }
        if !line.is_ascii() {
            findings.push(finding(file, number + 1, "sources are ASCII; write \\u{...}"));
        }
    }
}

/// Whether a line's code has this name; what stands in a comment may.
fn names(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == name)
}

fn beside(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        for name in BESIDE.iter().filter(|name| line.contains(**name)) {
            let what = format!(
                "`{name}` lies beside the project: say it here, or read it by {BESIDE_HOME}"
            );
            findings.push(finding(file, number + 1, what));
        }
    }
}

/// Relative links of a page lead somewhere.
fn links(page: &File, tree: &Tree, findings: &mut Vec<Finding>) {
    let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (number, line) in page.text.lines().enumerate() {
        for piece in line.split("](").skip(1) {
            let target = piece.split([')', '#', ' ']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !tree.paths.contains(&resolve(folder, target)) {
                findings.push(finding(page, number + 1, format!("the link {target} is dead")));
            }
        }
    }
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let paths = [path.to_owned()].into();
        let tree = Tree { files: vec![file], paths };
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let long = format!("//! Head.\nfn long() {{\n{}}}\n", "    x();\n".repeat(71));
        assert_eq!(check_text("a.rs", &long).len(), 1, "function size");
        let body = "        x();\n".repeat(71);
        let test =
            format!("//! Head.\n#[cfg(test)]\nmod tests {{\n    fn long() {{\n{body}    }}\n}}\n");
        assert_eq!(check_text("a.rs", &test).len(), 1, "size of a test");
        let head = "    fn short(\n        a: u8,\n    )";
        let long_head = format!("//! Head.\nmod it {{\n{head} {{\n{body}    }}\n}}\n");
        assert_eq!(check_text("a.rs", &long_head).len(), 1, "size behind a head of several lines");
        let others =
            format!("//! Head.\ntrait It {{\n{head};\n\n    fn one() {{}}\n{body}    }}\n");
        assert!(check_text("a.rs", &others).is_empty(), "no body, or one of one line");
        let large = format!("//! Head.\n#[cfg(test)]\n{}", "// x\n".repeat(799));
        assert_eq!(check_text("a.rs", &large).len(), 1, "file size with tests");
        let large = format!("//! Head.\n{}", "// x\n".repeat(801));
        assert_eq!(check_text("a.rs", &large).len(), 1, "file size");
        assert_eq!(check_text("a.rs", "fn f() {}\n").len(), 1, "head");
        let map = "//! Head.\nuse std::collections::HashMap;\n";
        assert_eq!(check_text("engine/src/dataflow/mod.rs", map).len(), 1, "no order");
        assert!(check_text("ingest/src/rate.rs", map).is_empty(), "nothing is said in its order");
        assert_eq!(check_text("a.rs", "//! \u{e4}\n").len(), 1, "not ASCII");
        assert_eq!(check_text("a.toml", "# ../shared/a\n").len(), 1, "beside");
        assert!(check_text("tests/beside/a.rs", "//! ../shared\n").is_empty(), "beside, at home");
        assert_eq!(check_text("README.md", "[a](nowhere.md)\n").len(), 1, "dead link");
        assert!(check_text("README.md", "[a](README.md#x) [b](https://x.example)\n").is_empty());
    }

    #[test]
    fn the_dataflow_is_named_in_its_folder_alone() {
        for code in [
            "use timely::worker::Worker;",
            "use timely as t;",
            "use {timely as t, std::io};",
            "use ::timely;",
            "extern crate timely;",
            "fn f(x: timely::Worker) {} // timely",
            "use differential_dataflow as d;",
            "differential_dataflow::operators::Threshold::distinct(x);",
        ] {
            let text = format!("//! Head.\n{code}\n");
            assert_eq!(check_text("engine/src/log/mod.rs", &text).len(), 1, "{code}");
            assert!(check_text("engine/src/dataflow/mod.rs", &text).is_empty(), "{code}");
        }
        for text in ["//! No timely.\n", "//! Head.\nlet untimely_end = 1; // timely\n"] {
            assert!(check_text("engine/src/log/mod.rs", text).is_empty(), "{text}");
        }
    }
}
