//! Over a real port: connections, slow senders, and the end.

use crate::support::{Bench, SERVER_KEY, limited, numbered};
use beckon_ingest::limits::Limits;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
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
    assert!(answer.ends_with(r#"{"results":[{"status":"ok"}]}"#), "{answer}");
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
