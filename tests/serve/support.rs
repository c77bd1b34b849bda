//! A server as a process: started on a free port, asked over plain sockets, ended by a signal.
//!
//! Nothing here sleeps: what the server says is read line by line, and its end is the end of its
//! output.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long a step may take on a busy machine before the test fails.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(60);
/// Lines of output that wait for the test.
const LINES_MAX: usize = 10_000;
/// The secret of the configured site.
pub(crate) const KEY: &str = "a-secret-of-16-characters-or-more";

/// `beckon`, with no configuration but what the test gives.
pub(crate) fn beckon(folder: &Path) -> Command {
    isolated(Command::new(env!("CARGO_BIN_EXE_beckon")), folder)
}

/// `beckon` by a shell that sets something up before.
pub(crate) fn beckon_after(setup: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{setup}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_beckon")]);
    isolated(shell, folder)
}

fn isolated(mut command: Command, folder: &Path) -> Command {
    command.current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs `beckon` to its end, which must be a good one, and takes what it printed.
pub(crate) fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = beckon(folder).args(arguments).output().expect("the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs `beckon` to its end, which must be a bad one, and takes what it complained of.
pub(crate) fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = beckon(folder).args(arguments).output().expect("the binary");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// The cells of a printed table that are not empty, row by row, without its borders.
pub(crate) fn cells(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|line| line.starts_with('\u{2502}'));
    rows.map(|row| {
        let cells = row.trim_matches('\u{2502}').split("  ").map(str::trim);
        cells.filter(|cell| !cell.is_empty()).collect()
    })
    .collect()
}

/// A configuration with one site, in a folder of its own.
pub(crate) fn configured() -> tempfile::TempDir {
    configured_with("")
}

/// The same, with other sections.
pub(crate) fn configured_with(sections: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "{sections}[log]\ndisk_free_bytes_min = 0\n[sites.shop]\n\
         keys = [{{ name = \"backend\", kind = \"server\", key = \"{KEY}\" }}]\n"
    );
    std::fs::write(folder.path().join("beckon.toml"), text).expect("a file");
    folder
}

/// A token that may do everything.
pub(crate) fn operator(folder: &Path) -> String {
    let create = ["token", "create", "--scope", "operator", "--data", "data"];
    printed(folder, &create).lines().next().expect("a token").to_owned()
}

/// The header of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// A metric.
pub(crate) fn figure(server: &Server, token: &str, name: &str) -> u64 {
    let figures = server.get("/metrics", &bearer(token)).body;
    let line = figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}:\n{figures}")).parse().expect("a number")
}

/// A running server, or one that may have ended by itself.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    said: String,
    address: String,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Both of its outputs.
    pub(crate) said: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Server {
    /// Starts `beckon serve` and waits until it listens.
    pub(crate) fn start(command: Command, arguments: &[&str]) -> Self {
        let mut server = Self::spawn(command, arguments);
        let line = server.hear("listening");
        let address = match line.split_once("address=") {
            Some((_, address)) => address,
            // As JSON.
            None => line.split("\"address\":\"").nth(1).expect("an address"),
        };
        server.address = address.split('"').next().expect("an address").trim().to_owned();
        server
    }

    /// Starts `beckon serve`, which must end by itself, and takes what it complained of.
    pub(crate) fn refused(command: Command, arguments: &[&str]) -> String {
        let ended = Self::spawn(command, arguments).ended();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        let mut lines = ended.said.lines();
        lines.find(|line| line.starts_with("error: ")).expect("an error").to_owned()
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        let listen: &[&str] =
            if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut child = command
            .arg("serve")
            .args(listen)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let (sender, lines) = sync_channel(LINES_MAX);
        pass_on(child.stdout.take().expect("piped"), sender.clone());
        pass_on(child.stderr.take().expect("piped"), sender);
        Self { child, lines, said: String::new(), address: String::new() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The first line that contains a text, waiting for it if it has not been said.
    pub(crate) fn hear(&mut self, text: &str) -> String {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            if let Some(line) = self.said.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(self.read_line(deadline), "it never said `{text}`:\n{}", self.said);
        }
    }

    /// Waits for its next line. False at the end of its output.
    fn read_line(&mut self, deadline: Instant) -> bool {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.said.push_str(&line);
                self.said.push('\n');
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("{STEP_MAX:?} are over:\n{}", self.said),
        }
    }

    /// How many of its threads have this name.
    pub(crate) fn threads(&self, name: &str) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux");
        let names = tasks.filter_map(|task| {
            // One that has ended meanwhile has none.
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        });
        names.filter(|found| found.trim_end() == name).count()
    }

    /// What it has in memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kilobytes << 10
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> Ended {
        let deadline = Instant::now() + STEP_MAX;
        while self.read_line(deadline) {}
        let code = self.child.wait().expect("it ends").code();
        Ended { code, said: std::mem::take(&mut self.said) }
    }

    /// Asks it to end and waits until it did.
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }

    /// Where commands reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(STEP_MAX))?;
        Ok(stream)
    }

    /// Sends a request with headers (lines, each with its end) and a body.
    pub(crate) fn ask(&self, line: &str, headers: &str, body: &str) -> std::io::Result<Answer> {
        let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
        let length = body.len();
        let mut stream = self.connect()?;
        write!(
            stream,
            "{line} HTTP/1.1\r\n{host}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        read_answer(stream)
    }

    /// Gets a path with headers.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path}"), headers, "").expect("an answer")
    }

    /// Sends events with the site's key.
    pub(crate) fn send(&self, events: &str) -> std::io::Result<Answer> {
        self.ask("POST /v1/events", &format!("authorization: Bearer {KEY}\r\n"), events)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Answer {
    /// The ids of its events, all of which must have this status.
    pub(crate) fn ids(&self, status: &str) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        let results = body["results"].as_array().expect("results").iter();
        results
            .map(|result| {
                assert_eq!(result["status"], status, "{result}");
                result["eventID"].as_str().unwrap_or_else(|| panic!("no id: {result}")).to_owned()
            })
            .collect()
    }
}

/// Reads the rest of a connection as one answer.
pub(crate) fn read_answer(mut stream: TcpStream) -> std::io::Result<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let broken = || std::io::Error::other(format!("broken off: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.ok_or_else(broken)?, body: body.to_owned() })
}

fn pass_on(output: impl Read + Send + 'static, lines: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let line = line.expect("UTF-8");
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// An event of the visit `visit`.
pub(crate) fn event(name: &str, visit: u32) -> String {
    format!("{{\"eventName\":\"{name}\",\"visitID\":\"{visit:032x}\"}}")
}

/// The ids of all events in the Parquet of a data folder that have this name, sorted.
pub(crate) fn ids_in_parquet(data: &Path, name: &str) -> Vec<String> {
    let mut files = Vec::new();
    collect_files(&data.join("reports/events"), &mut files);
    let mut ids = Vec::new();
    for path in files {
        let file = std::fs::File::open(&path).expect("a file");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        let schema = reader.metadata().file_metadata().schema().clone();
        let place = |name: &str| {
            let mut fields = schema.get_fields().iter();
            fields.position(|field| field.name() == name).expect("a column")
        };
        let (id, event_name) = (place("event_id"), place("event_name"));
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            if row.get_string(event_name).expect("text") == name {
                ids.push(row.get_string(id).expect("text").clone());
            }
        }
    }
    ids.sort();
    ids
}

/// What the events of a name in the Parquet of a data folder have in a column, in the order in which
/// their files were written; `None` where a file has no such column.
pub(crate) fn column_in_parquet(data: &Path, name: &str, column: &str) -> Vec<Option<String>> {
    let mut files = Vec::new();
    collect_files(&data.join("reports/events"), &mut files);
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let mut cells = Vec::new();
    for path in files {
        let file = std::fs::File::open(&path).expect("a file");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            let cell = |column: &str| row.get_column_iter().find(|(name, _)| *name == column);
            if cell("event_name").is_some_and(|(_, found)| *found == Field::Str(name.to_owned())) {
                cells.push(cell(column).map(|(_, found)| found.to_string()));
            }
        }
    }
    cells
}

/// Columns of all rows of a table, as text; null is none.
pub(crate) fn rows_in_parquet<const N: usize>(
    table: &Path,
    columns: &[&str; N],
) -> Vec<[String; N]> {
    let mut files = Vec::new();
    collect_files(table, &mut files);
    let mut rows = Vec::new();
    for path in files {
        let file = std::fs::File::open(&path).expect("a file");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            rows.push(columns.map(|column| {
                let cell = row.get_column_iter().find(|(name, _)| *name == column);
                match cell.expect("a column").1 {
                    Field::Null => String::new(),
                    Field::Str(text) => text.clone(),
                    other => other.to_string(),
                }
            }));
        }
    }
    rows
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

/// What lies in a folder, by name.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(name).map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
