//! A server that speaks TLS, and one that must not listen without.

use super::support::{
    STEP_MAX, Server, beckon, configured, configured_with, figure, operator, printed, refused,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::path::Path;
use std::time::Instant;

const SECTION: &str = "[server]\ncertificate = 'a.pem'\ncertificate_key = 'a.key'\n";

/// Writes a certificate for this machine that nobody else signed; the file is its own authority.
fn certify(folder: &Path) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("a.pem"), cert.pem()).expect("written");
    std::fs::write(folder.join("a.key"), signing_key.serialize_pem()).expect("written");
}

#[test]
fn commands_ask_by_tls_and_a_new_certificate_is_taken() {
    let folder = configured_with(SECTION);
    let path = folder.path();
    certify(path);
    let token = operator(path);
    let mut server = Server::start(beckon(path), &["--data", "data"]);
    server.hear("by TLS alone");
    let url = format!("https://{}", server.address());
    let asks = |ca: &str| -> Vec<String> {
        let all = ["dead-letters", "list", "--server", &url, "--token", &token, "--ca", ca];
        all.map(str::to_owned).to_vec()
    };
    let list = |ca: &str| {
        let output = beckon(path).args(asks(ca)).output().expect("the binary");
        output.status.success()
    };
    std::fs::copy(path.join("a.pem"), path.join("first.pem")).expect("copied");
    assert!(list("first.pem"), "its authority is named");
    let stranger = ["dead-letters", "list", "--server", &url, "--token", &token];
    assert!(refused(path, &stranger).contains("certificate"), "{}", refused(path, &stranger));
    assert!(server.ask("GET /healthz", "", "").is_err(), "no word without TLS");
    certify(path);
    let begun = Instant::now();
    while !list("a.pem") {
        assert!(begun.elapsed() < STEP_MAX, "the new certificate was never taken");
    }
    assert!(!list("first.pem"), "the old one is gone");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn without_tls_it_is_not_reached_from_outside() {
    let folder = configured();
    let outside = ["--data", "data", "--listen", "0.0.0.0:0"];
    let said = Server::refused(beckon(folder.path()), &outside);
    for part in ["plain text", "server.certificate", "server.tls = \"proxy\""] {
        assert!(said.contains(part), "{said}");
    }
    let folder = configured_with("[server]\ntls = 'proxy'\n");
    let token = operator(folder.path());
    let mut server = Server::start(beckon(folder.path()), &outside);
    server.hear("without server.trusted_proxies");
    assert_eq!(figure(&server, &token, "beckon_tls_handshakes_failed_total"), 0);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn half_a_certificate_is_refused_by_its_key() {
    for (section, expected) in [
        ("certificate = 'a.pem'", "needs server.certificate_key"),
        ("certificate_key = 'a.key'", "needs server.certificate"),
        ("certificate = 'a.pem'\ncertificate_key = 'a.key'\ntls = 'proxy'", "contradict"),
        ("certificate = 'a.pem'\ncertificate_key = 'a.key'", "the certificate a.pem"),
    ] {
        let folder = configured_with(&format!("[server]\n{section}\n"));
        let said = Server::refused(beckon(folder.path()), &["--data", "data"]);
        assert!(said.contains(expected), "{section}: {said}");
    }
    let folder = configured_with("[server]\ntls = 'proxy'\naddresses = 'kept'\n");
    assert!(printed(folder.path(), &["config"]).contains("server.addresses"));
}
