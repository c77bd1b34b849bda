//! Over a real port: connections, slow senders, and the end.

use crate::support::{Bench, SERVER_KEY, bench, config, get, limited, numbered, post};
use axum::body::Body;
use axum::http::Request;
use beckon_ingest::ServerConfig;
use beckon_ingest::limits::Limits;
use beckon_ingest::tokens::Scope;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

async fn run(bench: &Bench) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let served = tokio::spawn(bench.server.clone().serve(listener, shutdown));
    Running { address, stop, served }
}

fn request(body: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SERVER_KEY}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.expect("a listening server")
}

/// What a server that never closes is found by.
const WAIT_MAX: Duration = Duration::from_secs(20);

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    tokio::time::timeout(WAIT_MAX, read).await.expect("closed in time").expect("text");
    text
}

#[tokio::test]
async fn events_come_over_a_port() {
    let bench = limited(Limits::default());
    let running = run(&bench).await;
    let mut stream = connect(&running).await;
    stream.write_all(request(&numbered(1)).as_bytes()).await.expect("sent");
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("{\"results\":[{\"status\":\"ok\"}]}\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_503() {
    let bench = limited(Limits { connections_max: 1, ..Limits::default() });
    let running = run(&bench).await;
    let mut first = connect(&running).await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut byte = [0];
    first.read_exact(&mut byte).await.expect("an answer begins");
    let mut second = connect(&running).await;
    second.write_all(request(&numbered(1)).as_bytes()).await.expect("sent");
    let refused = rest(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("too_many_connections"));
    assert!(bench.log.events().is_empty());
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let limits = Limits { head_timeout_ms: 50, body_timeout_ms: 50, ..Limits::default() };
    let bench = limited(limits);
    let running = run(&bench).await;
    let mut head = connect(&running).await;
    head.write_all(b"POST /v1/ev").await.expect("sent");
    let answer = rest(&mut head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut body = connect(&running).await;
    let whole = request(&numbered(1));
    let (most, _) = whole.split_at(whole.len() - 5);
    body.write_all(most.as_bytes()).await.expect("sent");
    let answer = rest(&mut body).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("timeout"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
}

/// The head of a request whose body has so many bytes.
fn head(body_bytes: usize, more: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SERVER_KEY}\r\n{more}\
         content-length: {body_bytes}\r\n\r\n"
    )
}

/// Reads an answer by its length; the connection stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let start = text.len();
        let line = tokio::time::timeout(WAIT_MAX, reader.read_line(&mut text)).await;
        assert!(line.expect("in time").expect("no reset") > 0, "closed: {text}");
        let line = text.get(start..).unwrap_or_default().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.expect("the whole body");
    text + &String::from_utf8(body).expect("text")
}

/// A refusal comes before the body has been read: a client that writes on must neither fail nor
/// lose the answer to a reset.
async fn check_refused(bench: &Bench, bytes: usize, status: u16) {
    let running = run(bench).await;
    let status = format!("HTTP/1.1 {status}");
    let body = vec![b' '; bytes];
    for more in ["", "connection: close\r\n"] {
        // All at once, and the answer read only then.
        let mut whole = connect(&running).await;
        whole.write_all(head(bytes, more).as_bytes()).await.expect("sent");
        whole.write_all(&body).await.expect("the whole body is sent");
        let said = answer(&mut whole).await;
        assert!(said.starts_with(&status), "{said}");
        // The second half when the answer is already there.
        let (first, second) = body.split_at(bytes / 2);
        let mut halves = connect(&running).await;
        halves.write_all(head(bytes, more).as_bytes()).await.expect("sent");
        halves.write_all(first).await.expect("the first half is sent");
        let said = answer(&mut halves).await;
        assert!(said.starts_with(&status), "{said}");
        halves.write_all(second).await.expect("the second half is sent");
        if more.is_empty() {
            // Behind it the connection is as good as new.
            halves.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
            let said = answer(&mut halves).await;
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        }
    }
    bench.check_figures(&["beckon_bodies_cut_off_total 0"]).await;
}

#[tokio::test]
async fn who_sends_too_much_reads_the_413() {
    check_refused(&limited(Limits::default()), 8 << 20, 413).await;
}

#[tokio::test]
async fn who_sends_too_often_reads_the_429() {
    let bench = limited(Limits { key_requests_per_second_max: 1, ..Limits::default() });
    for _ in 0..2 {
        assert!(post("[]").by_server().send(&bench).await.results().is_empty());
    }
    check_refused(&bench, 1 << 20, 429).await;
}

#[tokio::test]
async fn who_sends_into_overload_reads_the_503() {
    let bench = limited(Limits::default());
    bench.engine.lag.store(u64::MAX, Ordering::Relaxed);
    check_refused(&bench, 1 << 20, 503).await;
}

#[tokio::test]
async fn a_head_has_a_size() {
    let bench = limited(Limits::default());
    let running = run(&bench).await;
    for (padding, status) in [(60 << 10, "HTTP/1.1 200"), (128 << 10, "HTTP/1.1 431")] {
        let mut stream = connect(&running).await;
        let request = format!(
            "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-padding: {}\r\n\r\n",
            "x".repeat(padding)
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let said = rest(&mut stream).await;
        assert!(said.starts_with(status), "{padding}: {said}");
    }
}

/// Many small fields, by either version; those who send few go on.
#[tokio::test]
async fn a_head_has_a_number_of_fields() {
    let bench = limited(Limits::default());
    let running = run(&bench).await;
    let fields = |count: u32| (0..count).map(|number| (format!("x-{number}"), "x".repeat(200)));
    for (count, status) in [(50, 200_u16), (2_000, 431)] {
        let mut stream = connect(&running).await;
        let mut request = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
        fields(count).for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("sent");
        let said = rest(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{count}: {said}");

        let stream = TokioIo::new(connect(&running).await);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let _connection = tokio::spawn(connection);
        let request = Request::get("http://x/healthz");
        let request = fields(count).fold(request, |it, (name, value)| it.header(name, value));
        let request = request.body(Body::empty()).expect("a request");
        // One that sends so much more than it may is not answered: the connection ends.
        let said = sender.send_request(request).await.map(|said| said.status().as_u16());
        assert_eq!(said.unwrap_or(431), status, "{count} by HTTP/2");
    }
}

/// No path leads out of what is served: all files of the server are in its binary.
#[tokio::test]
async fn no_path_leads_to_files() {
    let bench = bench(&ServerConfig { demo_site: Some("demo".into()), ..config() });
    let running = run(&bench).await;
    let paths = [
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/demo/../../../../etc/passwd",
        "/demo/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/demo/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/demo/%252e%252e%252fetc%252fpasswd",
        "/demo/..%5c..%5cetc%5cpasswd",
        "/demo/%2fetc%2fpasswd",
        "/demo/main.js%00.css",
        "/v1/rules/..%2f..%2fetc%2fpasswd",
        "/v1/visits/..%2f..%2f/notifications",
    ];
    for path in paths {
        let mut stream = connect(&running).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost:8080\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let said = rest(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 4"), "{path}: {said}");
        assert!(!said.contains("root:"), "{path}: {said}");
    }
}

/// What is read behind a refusal has a bound in bytes and one in time.
#[tokio::test]
async fn a_refused_body_without_end_is_cut_off() {
    let bench = limited(Limits { body_timeout_ms: 50, ..Limits::default() });
    bench.engine.lag.store(u64::MAX, Ordering::Relaxed);
    let running = run(&bench).await;
    let mut slow = connect(&running).await;
    slow.write_all(head(10, "").as_bytes()).await.expect("sent");
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 503"), "closed behind the answer");
    bench.check_figures(&["beckon_bodies_cut_off_total 1"]).await;

    let bench = limited(Limits { body_timeout_ms: 3_600_000, ..Limits::default() });
    let running = run(&bench).await;
    let mut endless = connect(&running).await;
    endless.write_all(head(1 << 40, "").as_bytes()).await.expect("sent");
    let mut sent_bytes = 0;
    while endless.write_all(&[b' '; 1 << 16]).await.is_ok() {
        sent_bytes += 1 << 16;
    }
    assert!(sent_bytes > 16 << 20, "{sent_bytes} bytes");
    bench.check_figures(&["beckon_bodies_cut_off_total 1"]).await;
}

/// Its only time limit is `idle_timeout_ms`.
fn idle_only() -> Limits {
    const NEVER_MS: u64 = 3_600_000;
    let (head_timeout_ms, body_timeout_ms) = (NEVER_MS, NEVER_MS);
    Limits { head_timeout_ms, body_timeout_ms, idle_timeout_ms: 50, ..Limits::default() }
}

/// The metric, until it says `expected`: it is counted after the client has seen the end.
async fn counted_idle(bench: &Bench, expected: u64) {
    let token = bench.token(Scope::MetricsRead);
    let line = format!("\nbeckon_connections_idle_total {expected}\n");
    while !get("/metrics").bearer(&token).send(bench).await.text.contains(&line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_without_requests_are_closed() {
    let bench = limited(Limits { connections_max: 1, ..idle_only() });
    let running = run(&bench).await;
    for (told, said) in [
        ("", ""),
        ("PRI * HTTP/2", ""),
        ("POST /v1/ev", ""),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK"),
    ] {
        let mut stream = connect(&running).await;
        stream.write_all(told.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(said) && answer.is_empty() == said.is_empty(), "{answer}");
    }
    counted_idle(&bench, 4).await;
}

#[tokio::test]
async fn an_http_2_connection_without_requests_is_closed() {
    let bench = limited(Limits { connections_max: 1, ..idle_only() });
    let running = run(&bench).await;
    for closed in 1..=2 {
        let stream = TokioIo::new(connect(&running).await);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = Request::get("http://x/healthz").body(Body::empty()).expect("a request");
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
        let closed_in_time = tokio::time::timeout(WAIT_MAX, connection).await;
        let ended = closed_in_time.expect("closed in time").expect("no panic");
        ended.expect("closed with a goodbye");
        counted_idle(&bench, closed).await;
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle() {
    let bench = limited(idle_only());
    let running = run(&bench).await;
    bench.log.hold_back();
    let mut used = connect(&running).await;
    used.write_all(request(&numbered(1)).as_bytes()).await.expect("sent");
    while bench.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(&mut connect(&running).await).await, "", "the idle time is over");
    bench.log.release();
    let answer = rest(&mut used).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn the_end_closes_connections_without_requests() {
    let bench = limited(Limits { idle_timeout_ms: 3_600_000, ..idle_only() });
    let running = run(&bench).await;
    let mut silent = connect(&running).await;
    let mut kept = connect(&running).await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    kept.read_exact(&mut [0]).await.expect("an answer begins");
    running.stop.send(()).expect("still serving");
    assert_eq!(rest(&mut silent).await, "");
    assert!(rest(&mut kept).await.starts_with("TTP/1.1 200 OK"));
    running.served.await.expect("no panic").expect("served");
}

#[tokio::test]
async fn the_end_waits_for_open_requests() {
    let bench = limited(Limits::default());
    let running = run(&bench).await;
    bench.log.hold_back();
    let mut stream = connect(&running).await;
    stream.write_all(request(&numbered(1)).as_bytes()).await.expect("sent");
    while bench.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    running.stop.send(()).expect("still serving");
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!running.served.is_finished());
    bench.log.release();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    running.served.await.expect("no panic").expect("served");
}
