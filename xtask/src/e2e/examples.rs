//! The example readers (`examples/reports`), run as they lie there over Parquet that was just written.
//!
//! Over a log that is made here the answers follow from how it was made. Over the public sample, where
//! it lies beside the project, they must be what the pages show, to the letter.

use super::tools;
use crate::beside::beside;
use anyhow::Context;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const READERS: [&str; 2] = ["read_duckdb.py", "read_spark.py"];
const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0";
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
/// People that the made log has; each becomes a hot lead and then meets a missing page.
const PEOPLE: u32 = 9;
/// Robots that the made log has; each reads two pages.
const ROBOTS: u32 = 4;

/// What each reader prints of the made log: its rows, a space between cells.
const OF_MADE_LOG: [&str; 2] = [
    "rule kind matches visitors
varchar varchar int64 int64
evaluates-a-project invite 9 9
url_path steps leads
varchar int64 int64
/files/tool/docs/ 9 9
/projects/tool-0/ 3 3
/projects/tool-1/ 3 3
/projects/tool-2/ 3 3
robot visits events seconds
boolean int64 double double
false 9 3.0 40.0
true 4 2.0 10.0
url_path status times
varchar int64 int64
/missing-1 404 5
/missing-0 404 4
",
    "rule kind matches visitors
evaluates-a-project invite 9 9
event events visits
PageEntered 26 13
RequestFailed 9 9
",
];

/// Runs the test.
///
/// # Errors
/// When a reader prints something else, or cannot be had.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let examples = Examples {
        root,
        binary,
        python: super::python(root)?,
        reports: folder.path().join("reports"),
    };
    tools::program("java", &["default-jre-headless"])?;
    let log = folder.path().join("made.log");
    std::fs::write(&log, made_log()?)?;
    examples.replay(&log)?;
    for (reader, expected) in READERS.into_iter().zip(OF_MADE_LOG) {
        let printed = rows(&examples.print(reader)?)?;
        anyhow::ensure!(printed == expected, "{reader} of the made log:\n{printed}");
    }
    let Some(sample) = beside("data/elastic_apache_logs.log") else { return Ok(()) };
    std::fs::remove_dir_all(&examples.reports)?;
    examples.replay(&sample)?;
    examples.check_pages()
}

struct Examples<'a> {
    root: &'a Path,
    binary: &'a Path,
    python: PathBuf,
    reports: PathBuf,
}

impl Examples<'_> {
    fn replay(&self, log: &Path) -> anyhow::Result<()> {
        let rules = self.root.join("examples/access-log/rules");
        let paths = [log, &rules, &self.reports].map(|path| path.to_string_lossy());
        let args = ["replay", &*paths[0], "--rules", &*paths[1], "--reports", &*paths[2]];
        tools::run(&self.binary.to_string_lossy(), &args).map(drop)
    }

    fn print(&self, reader: &str) -> anyhow::Result<String> {
        let script = self.root.join("examples/reports").join(reader);
        let args = [&*script, &*self.reports].map(Path::to_string_lossy);
        tools::run(&self.python.to_string_lossy(), &[&*args[0], &*args[1]])
    }

    /// The pages show what the readers print of the sample.
    fn check_pages(&self) -> anyhow::Result<()> {
        let page = std::fs::read_to_string(self.root.join("examples/README.md"))?;
        let readme = std::fs::read_to_string(self.root.join("README.md"))?;
        let shown = readme.lines().skip_while(|line| !line.starts_with("rule  "));
        let shown: Vec<Vec<&str>> = shown
            .take_while(|line| *line != "```")
            .map(|line| line.split_whitespace().collect())
            .collect();
        for reader in READERS {
            let printed = self.print(reader)?;
            let is_shown = page.contains(&format!("```text\n{}\n```\n", printed.trim()));
            anyhow::ensure!(
                is_shown,
                "examples/README.md does not show what {reader} prints:\n{printed}"
            );
            let rows = rows(&printed)?;
            let rules = rows.lines().filter(|row| !row.starts_with("varchar"));
            let rules: Vec<Vec<&str>> =
                rules.take(shown.len()).map(|row| row.split(' ').collect()).collect();
            anyhow::ensure!(rules == shown, "README.md shows {shown:?}, {reader} prints {rules:?}");
        }
        anyhow::ensure!(shown.len() == 9, "README.md shows {shown:?}");
        crate::say("the public sample: the readers print what the pages show");
        Ok(())
    }
}

/// The rows of all printed tables, a space between cells.
fn rows(printed: &str) -> anyhow::Result<String> {
    let mut rows = String::new();
    for line in printed.lines() {
        let Some(border) = line.chars().next().filter(|first| ['|', '\u{2502}'].contains(first))
        else {
            continue;
        };
        let cells: Vec<&str> = line.trim_matches(border).split(border).map(str::trim).collect();
        writeln!(rows, "{}", cells.join(" ")).context("memory")?;
    }
    Ok(rows)
}

/// A log of [`PEOPLE`] and [`ROBOTS`], whose visits begin a minute apart.
fn made_log() -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for person in 1..=PEOPLE {
        let start = person * 60;
        let missing = format!("/missing-{}", person % 2);
        lines.push((start, person, format!("/projects/tool-{}/", person % 3), 200, PERSON));
        lines.push((start + 20, person, "/files/tool/docs/".to_owned(), 200, PERSON));
        lines.push((start + 40, person, missing, 404, PERSON));
    }
    for robot in 1..=ROBOTS {
        let start = robot * 60 + 5;
        lines.push((start, 100 + robot, "/a".to_owned(), 200, ROBOT));
        lines.push((start + 10, 100 + robot, "/b".to_owned(), 200, ROBOT));
    }
    let mut log = String::new();
    for (second, host, path, status, agent) in lines {
        let (minutes, seconds) = (second / 60, second % 60);
        writeln!(
            log,
            "10.0.0.{host} - - [17/May/2015:10:{minutes:02}:{seconds:02} +0000] \
             \"GET {path} HTTP/1.1\" {status} 10 \"-\" \"{agent}\""
        )
        .context("memory")?;
    }
    Ok(log)
}
