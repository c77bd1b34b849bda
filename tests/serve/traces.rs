//! Traces: what a collector gets of requests, what becomes of spans that it does not take, and that log
//! lines stay as they are.

use super::support::{KEY, Server, beckon, configured_with, figure, operator};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Longer than anything that a test waits for.
const LONG: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a collector got: the head of a request, line by line, and its spans.
type Batch = (Vec<String>, ExportTraceServiceRequest);

/// A collector that answers each batch with a status, once no more than `waiting` others were not taken
/// by the test. Gives its address, and what comes over the one connection that it takes.
fn collector(status: &'static str, waiting: usize) -> (String, Receiver<Batch>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (came, batches) = sync_channel(waiting);
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut stream = BufReader::new(stream);
        while let Some((head, body)) = request(&mut stream) {
            let batch = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
            if came.send((head, batch)).is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).expect("answered");
        }
    });
    (format!("http://{address}"), batches)
}

/// A request's head, line by line, and its body.
fn request(stream: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let bytes = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; bytes?.parse().expect("a number")];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn start(endpoint: &str, more: &str) -> (tempfile::TempDir, Server) {
    let sections = format!("[traces]\nendpoint = \"{endpoint}\"\n{more}\n");
    let folder = configured_with(&sections);
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    (folder, server)
}

fn send(server: &Server, headers: &str) {
    let body = "{\"eventName\":\"Search\",\"visitID\":\"0123456789abcdef0123456789abcdef\"}";
    let headers = format!("authorization: Bearer {KEY}\r\n{headers}");
    let answer = server.ask("POST /v1/events", &headers, body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let of = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => Some(text.clone()),
        Some(Value::IntValue(number)) => Some(number.to_string()),
        _ => None,
    };
    attributes.iter().find(|it| it.key == key).and_then(|it| it.value.as_ref()).and_then(of)
}

fn spans(batch: &ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = batch.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.flat_map(|it| it.spans.clone()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_a_part_of_its_callers_trace() {
    let (endpoint, batches) = collector("200 OK", 100);
    let (_folder, server) =
        start(&endpoint, "share = 1.0\n[traces.headers]\nauthorization = \"Bearer collector\"");
    send(&server, &format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n"));
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    let (mut all, mut heads) = (Vec::new(), Vec::new());
    while let Ok((head, batch)) = batches.try_recv() {
        let resource = batch.resource_spans[0].resource.as_ref().expect("a resource");
        assert_eq!(text(&resource.attributes, "service.name").as_deref(), Some("beckon"));
        all.extend(spans(&batch));
        heads.push(head);
    }
    assert!(heads[0][0].starts_with("post /v1/traces "), "{heads:?}");
    assert!(heads[0].contains(&"authorization: bearer collector".to_owned()), "{heads:?}");
    let of = |name: &str| all.iter().find(|span| span.name == name).expect("a span");
    let request = of("POST /v1/events");
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.into(), CALLER.into())
    );
    assert_eq!(request.kind(), SpanKind::Server);
    let said = |key: &str| text(&request.attributes, key);
    assert_eq!(said("http.route").as_deref(), Some("/v1/events"));
    assert_eq!(said("http.request.method").as_deref(), Some("POST"));
    assert_eq!(said("http.response.status_code").as_deref(), Some("200"));
    let append = of("append");
    assert_eq!((&append.trace_id, &append.parent_span_id), (&request.trace_id, &request.span_id));
    // Lines of the log name no span.
    assert!(!ended.said.contains("http.route"), "{}", ended.said);
}

#[test]
fn nothing_is_sent_of_a_trace_that_is_not_kept() {
    let (endpoint, batches) = collector("200 OK", 100);
    let (_folder, server) = start(&endpoint, "share = 0.0");
    send(&server, &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n"));
    assert_eq!(server.stop().code, Some(0));
    assert!(batches.try_recv().is_err());
}

/// Nobody waits for a collector that refuses, and its spans are counted.
#[test]
fn what_the_collector_does_not_take_is_counted() {
    let (endpoint, batches) = collector("503 Service Unavailable", 100);
    let (folder, server) = start(&endpoint, "share = 1.0\nqueue_spans_max = 4");
    send(&server, "");
    drop(batches.recv_timeout(LONG).expect("a batch"));
    let token = operator(folder.path());
    let counted =
        |name: &str| figure(&server, &token, &format!("beckon_traces_spans_{name}_total"));
    while counted("refused") < 2 {
        std::thread::yield_now();
    }
    let (refused, made) = (counted("refused"), counted("made"));
    assert!(made >= refused, "{made} made, {refused} refused");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.said.contains("the collector of traces takes none"), "{}", ended.said);
}

/// A collector that does not answer keeps nobody, and no more than the queue holds is kept for it.
#[test]
fn what_the_queue_does_not_hold_is_dropped() {
    let (endpoint, batches) = collector("200 OK", 0);
    let (folder, server) = start(&endpoint, "share = 1.0\nqueue_spans_max = 4");
    for _ in 0..20 {
        send(&server, "");
    }
    let made = figure(&server, &operator(folder.path()), "beckon_traces_spans_made_total");
    assert!(made >= 40, "{made}");
    let got = move || batches.iter().map(|(_, batch)| spans(&batch).len()).sum::<usize>();
    let got = std::thread::spawn(got);
    assert_eq!(server.stop().code, Some(0));
    let got = got.join().expect("no panic");
    assert!((1..20).contains(&got), "{got} of {made}");
}
