//! Attempts against a receiver on loopback: what it gets, what is made of its answers, and where no
//! connection is made.

use super::client::{Client, Resolve, system_resolver};
use super::config::EndpointConfig;
use super::queue::tests::{NOON, SECRET, endpoint};
use super::queue::{Job, Verdict};
use super::sign::Signer;
use beckon_engine::model::{MessageId, ServerTimeMs};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BODY: &str = "{\"type\":\"action.asserted\"}";

/// Answers one request on each connection, in the order of a script, and the last for ever.
struct Receiver {
    address: SocketAddr,
    /// Each request's head, in lower case, and its body.
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    async fn start(script: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::<Mutex<Vec<(String, String)>>>::default();
        let asked = Arc::clone(&heard);
        drop(tokio::spawn(async move {
            for at in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let request = read(&mut stream).await;
                asked.lock().expect("whole").push(request);
                let answer = script.get(at).or(script.last()).expect("one");
                // Who asks may be gone.
                drop(stream.write_all(answer.as_bytes()).await);
                if answer.is_empty() {
                    // It never answers, and holds on.
                    drop(stream.read_u8().await);
                }
            }
        }));
        Self { address, heard }
    }

    fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("whole").clone()
    }

    fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.address)
    }
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |it| it.parse().expect("a number"));
            if body.len() >= length {
                return (head, body.to_owned());
            }
        }
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return (text, String::new()),
        }
    }
}

fn job() -> Job {
    let message = MessageId(0xAB);
    Job { message, endpoint: "crm".into(), webhook_id: message.to_string(), body: BODY.into() }
}

fn client(endpoint: EndpointConfig, resolve: Resolve) -> Client {
    Client::new(&[("crm".to_owned(), endpoint)].into(), 5_000, resolve).expect("a client")
}

async fn call(client: &Client) -> Verdict {
    client.call(&job(), ServerTimeMs(NOON + 999)).await
}

fn failed(reason: &str) -> Verdict {
    Verdict::Failed { reason: reason.into(), retry_after_ms: None }
}

/// Gives these addresses, one after the other.
fn answering(addresses: &'static [&'static str], port: u16) -> (Resolve, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve: Resolve = Arc::new(move |_, _| {
        let at = count.fetch_add(1, Relaxed);
        let address: IpAddr = addresses[at.min(addresses.len() - 1)].parse().expect("an address");
        Box::pin(async move { Ok(vec![SocketAddr::new(address, port)]) })
    });
    (resolve, asked)
}

#[tokio::test]
async fn a_call_is_signed_and_says_who_it_is() {
    let receiver = Receiver::start(vec![OK.to_owned()]).await;
    let client = client(endpoint(&receiver.url()), system_resolver());
    assert_eq!(call(&client).await, Verdict::Delivered);
    let [(head, body)] = &receiver.heard()[..] else { panic!("one") };
    assert!(head.starts_with("post /hooks?a=b http/1.1\r\n"), "{head}");
    let header = |name: &str| {
        let start = format!("{name}: ");
        head.lines().find_map(|line| line.strip_prefix(&start).map(ToOwned::to_owned))
    };
    let id = MessageId(0xAB).to_string();
    assert_eq!(header("webhook-id"), Some(id.to_lowercase()));
    assert_eq!(header("webhook-timestamp"), Some((NOON / 1_000).to_string()));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("host"), Some(receiver.address.to_string()));
    let signer = Signer::new(&[SECRET.to_owned()]).expect("a secret");
    let signature = signer.sign(&id, NOON / 1_000, BODY);
    assert_eq!(header("webhook-signature"), Some(signature.to_lowercase()));
    assert_eq!(body, BODY);
}

#[tokio::test]
async fn answers_are_judged_by_their_status_alone() {
    // Of a body without an end a bounded part is read.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100 << 10));
    let broken = "SSH-2.0-OpenSSH_9.9\r\n".to_owned();
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let said = [
        (endless, Verdict::Delivered),
        ("HTTP/1.1 410 Gone\r\n\r\n".to_owned(), Verdict::Gone),
        ("HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\nno".to_owned(), failed("status_400")),
        (broken, failed("broken_off")),
        (long_head, failed("broken_off")),
        ("HTTP/1.1 307 Off\r\nlocation: /b\r\n\r\n".to_owned(), failed("status_307")),
    ];
    for (answer, verdict) in said {
        let receiver = Receiver::start(vec![answer.clone()]).await;
        let client = client(endpoint(&receiver.url()), system_resolver());
        assert_eq!(call(&client).await, verdict, "{:?}", answer.lines().next());
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_left() {
    let receiver = Receiver::start(vec![String::new()]).await;
    let endpoints = [("crm".to_owned(), endpoint(&receiver.url()))].into();
    let client = Client::new(&endpoints, 50, system_resolver()).expect("a client");
    assert_eq!(call(&client).await, failed("timeout"));
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn an_address_in_the_machines_network_is_not_connected_to() {
    let receiver = Receiver::start(vec![OK.to_owned()]).await;
    let port = receiver.address.port();
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"] {
        let (resolve, asked) = answering(Box::leak(Box::new([address])), port);
        let public = EndpointConfig {
            allow_private: false,
            ..endpoint(&format!("https://crm.example.com:{port}/"))
        };
        assert_eq!(call(&client(public, resolve)).await, failed("address_refused"), "{address}");
        assert_eq!(asked.load(Relaxed), 1);
    }
    assert!(receiver.heard().is_empty());
    // `http` does not leave that network.
    let (resolve, _) = answering(&["93.184.216.34"], port);
    let inside = endpoint(&format!("http://crm.internal:{port}/"));
    assert_eq!(call(&client(inside, resolve)).await, failed("address_refused"));
}

/// The address that was judged is the one that is connected to, each time anew.
#[tokio::test]
async fn a_name_that_answers_otherwise_the_second_time_is_judged_again() {
    fn admits(address: IpAddr) -> bool {
        address.to_string() == "127.0.0.1"
    }
    let receiver = Receiver::start(vec![OK.to_owned()]).await;
    let port = receiver.address.port();
    let (resolve, asked) = answering(&["127.0.0.1", "127.0.0.2"], port);
    let rebound = endpoint(&format!("http://crm.example.com:{port}/"));
    let client = client(rebound, resolve).admitting(admits);
    assert_eq!(call(&client).await, Verdict::Delivered);
    assert_eq!((asked.load(Relaxed), receiver.heard().len()), (1, 1), "one look-up for an attempt");
    assert_eq!(call(&client).await, failed("address_refused"));
    assert_eq!((asked.load(Relaxed), receiver.heard().len()), (2, 1));
}

#[tokio::test]
async fn redirects_are_followed_within_a_bound_and_each_address_is_judged() {
    let there = Receiver::start(vec![OK.to_owned()]).await;
    let to = |url: &str, status: u16| format!("HTTP/1.1 {status} Off\r\nlocation: {url}\r\n\r\n");
    let follow = |redirects_max, script| async move {
        let receiver = Receiver::start(script).await;
        let endpoint = EndpointConfig { redirects_max, ..endpoint(&receiver.url()) };
        let verdict = call(&client(endpoint, system_resolver())).await;
        (verdict, receiver.heard().len())
    };
    let away = format!("http://{}/away", there.address);
    assert_eq!(follow(1, vec![to(&away, 307)]).await, (Verdict::Delivered, 1));
    let heard = there.heard();
    let [(head, body)] = &heard[..] else { panic!("one") };
    assert!(head.starts_with("post /away http/1.1\r\n") && body == BODY, "{head}");
    assert!(head.contains(&format!("host: {}", there.address)), "{head}");
    // Others are no redirects of what is sent.
    assert_eq!(follow(5, vec![to(&away, 302)]).await, (failed("status_302"), 1));
    assert_eq!(follow(2, vec![to("/round", 308)]).await, (failed("too_many_redirects"), 3));
    for refused in ["ftp://127.0.0.1/", "gopher://x/", "file:///etc/passwd"] {
        assert_eq!(follow(1, vec![to(refused, 307)]).await, (failed("redirect_refused"), 1));
    }
    for refused in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://8.8.8.8/"] {
        assert_eq!(follow(1, vec![to(refused, 307)]).await, (failed("address_refused"), 1));
    }
    assert_eq!(there.heard().len(), 1);
}

#[tokio::test]
async fn a_certificate_is_checked_by_the_name_and_the_authority() {
    let made = rcgen::generate_simple_self_signed(["crm.example.com".to_owned()]).expect("one");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).expect("a file");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not like the certificate is gone.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let (head, _) = read(&mut stream).await;
            let in_the_open =
                format!("HTTP/1.1 307 Off\r\nlocation: http://127.0.0.1:{port}/\r\n\r\n");
            let answer = if head.starts_with("post /away ") { &in_the_open } else { OK };
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.shutdown().await);
        }
    }));
    let ask_at = |host: &str, path: &str, authority: Option<&std::path::Path>| {
        let authority = authority.map(ToOwned::to_owned);
        let endpoint = EndpointConfig {
            authority,
            redirects_max: 1,
            ..endpoint(&format!("https://{host}:{port}{path}"))
        };
        let client = client(endpoint, answering(&["127.0.0.1"], port).0);
        async move { call(&client).await }
    };
    let ask = |host: &str, authority| ask_at(host, "/hooks", authority);
    assert_eq!(ask("crm.example.com", Some(&authority)).await, Verdict::Delivered);
    // What was encrypted stays so.
    let opened = ask_at("crm.example.com", "/away", Some(&authority)).await;
    assert_eq!(opened, failed("redirect_refused"));
    assert_eq!(ask("erp.example.com", Some(&authority)).await, failed("tls_failed"));
    assert_eq!(ask("crm.example.com", None).await, failed("tls_failed"));
    let missing = EndpointConfig {
        authority: Some(folder.path().join("none.pem")),
        ..endpoint("https://crm.example.com/")
    };
    let refused = Client::new(&[("crm".to_owned(), missing)].into(), 1, system_resolver());
    let error = refused.expect_err("no file").to_string();
    assert!(error.starts_with("webhooks.endpoints.crm.authority: "), "{error}");
}
