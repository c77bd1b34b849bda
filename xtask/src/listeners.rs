//! What idle listeners to messages cost: memory of the server for each open stream, and processor time
//! while nothing is said.
//!
//! A visit of its own for each stream, over HTTP/1.1, so a connection each: both ends of them need a file
//! descriptor (`ulimit -n`).

use crate::torture::Server;
use anyhow::Context;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The bound that is held.
const BYTES_MAX: u64 = 20 << 10;
/// Streams that are opened before the measurement: what is allocated once is there then.
const WARM_UP: usize = 200;
/// How long the idle server is watched.
const WATCHED: Duration = Duration::from_secs(10);
const KEY: &str = "a-secret-of-16-characters-or-more";

#[derive(Debug, clap::Args)]
pub(crate) struct ListenersArgs {
    /// Streams that are open at once
    #[arg(long, default_value_t = 10_000)]
    count: usize,
}

/// Measures, and prints the figures.
///
/// # Errors
/// When a stream costs more than [`BYTES_MAX`], or the server does not serve so many.
pub(crate) fn run(root: &std::path::Path, args: &ListenersArgs) -> anyhow::Result<()> {
    let binary = crate::build_beckon(root)?;
    let folder = tempfile::tempdir()?;
    let most = args.count + WARM_UP + 100;
    let config = format!(
        "[server]\ndata = \"{data}\"\n[log]\ndisk_free_bytes_min = 0\n[limits]\n\
         connections_max = {most}\naddress_requests_per_second_max = 0\n[notification]\n\
         streams_max = {most}\n[sites.shop]\n\
         keys = [{{ name = \"k\", kind = \"server\", key = \"{KEY}\" }}]\n",
        data = folder.path().join("data").display()
    );
    std::fs::write(folder.path().join("beckon.toml"), config)?;
    let token = token(&binary, &folder.path().join("data"))?;
    let address = crate::free_address()?;
    let mut server = Server::new(binary, folder.path(), address.clone());
    server.start(1)?;
    wait_for(&address)?;
    let warm = open(&address, &token, 0..WARM_UP)?;
    let before = server.resident()?.now_bytes;
    let streams = open(&address, &token, WARM_UP..WARM_UP + args.count)?;
    let after = server.resident()?.now_bytes;
    let each = after.saturating_sub(before) / streams.len() as u64;
    let ticks = server.processor_ticks()?;
    let until = Instant::now() + WATCHED;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    let used_ms = (server.processor_ticks()? - ticks) * 10;
    crate::say(&format!(
        "{} idle streams: {each} bytes each, {used_ms} ms of processor in {} s",
        streams.len(),
        WATCHED.as_secs()
    ));
    anyhow::ensure!(each < BYTES_MAX, "{each} bytes for each, {BYTES_MAX} are allowed");
    drop((warm, streams));
    server.stop()
}

/// A token of the server for tokens of visits.
fn token(binary: &std::path::Path, data: &std::path::Path) -> anyhow::Result<String> {
    let create = ["token", "create", "--scope", "visits:token", "--data"];
    let output = std::process::Command::new(binary).args(create).arg(data).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().next().context("a token")?.to_owned())
}

fn wait_for(address: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while ureq::get(format!("http://{address}/readyz")).call().is_err() {
        anyhow::ensure!(Instant::now() < deadline, "it is not ready");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

/// Opens a stream for each number, and waits until each is there.
fn open(
    address: &str,
    token: &str,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<BufReader<TcpStream>>> {
    let one = |number: usize| -> anyhow::Result<_> {
        let visit = format!("{number:032X}");
        let mut answer = ureq::post(format!("http://{address}/v1/visits/{visit}/token"))
            .header("authorization", format!("Bearer {token}"))
            .send_empty()?;
        let json: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        let of_visit = json["token"].as_str().context("a token")?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            stream,
            "GET /v1/visits/{visit}/notifications HTTP/1.1\r\nhost: localhost\r\n\
             authorization: Bearer {of_visit}\r\n\r\n"
        )?;
        // A small buffer: there are thousands of them on this side, too.
        let mut stream = BufReader::with_capacity(128, stream);
        let mut line = String::new();
        while !line.starts_with("retry:") {
            line.clear();
            anyhow::ensure!(stream.read_line(&mut line)? > 0, "stream {number} ended");
        }
        Ok(stream)
    };
    numbers.map(one).collect()
}
