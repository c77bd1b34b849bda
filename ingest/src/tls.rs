//! TLS in front of the routes: a certificate and its key from files, read again when they change.
//!
//! Who renews certificates writes the files and tells nobody. So the files' times are looked at when a
//! client comes, at most once in [`LOOK_EVERY`]: an idle server wakes for nothing. A pair that cannot
//! be used, as one that is half written, is named in the log, and the last good one stays.
//!
//! TLS 1.2 and 1.3, HTTP/1.1 and 2 (ALPN), by rustls with ring.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::TlsAcceptor;

/// How often the files' times are looked at, at most.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that sign it up to the root's, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why TLS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of what it should.
    #[error("{what} {}: {why}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// The two do not belong together, or the key is of no known kind.
    #[error("the certificate {} and the key {}: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        why: String,
    },
}

/// What accepts TLS connections, with the certificate of the moment.
pub(crate) fn acceptor(files: TlsFiles) -> Result<TlsAcceptor, TlsError> {
    acceptor_looking(files, LOOK_EVERY)
}

fn acceptor_looking(files: TlsFiles, every: Duration) -> Result<TlsAcceptor, TlsError> {
    let certificates = Arc::new(Certificates::read(files, every)?);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the suites of TLS 1.2 and 1.3");
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The pair in force.
#[derive(Debug)]
struct Certificates {
    files: TlsFiles,
    every: Duration,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    pair: Arc<CertifiedKey>,
    /// When the two files that were tried last had been written.
    stamp: Stamp,
    looked: Instant,
}

/// When a file was written, and its length; of each of the two.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    fn read(files: TlsFiles, every: Duration) -> Result<Self, TlsError> {
        let stamp = files.stamp();
        let current = Current { pair: Arc::new(files.read()?), stamp, looked: Instant::now() };
        Ok(Self { files, every, current: Mutex::new(current) })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= self.every {
            current.looked = Instant::now();
            let stamp = self.files.stamp();
            if stamp != current.stamp {
                current.stamp = stamp;
                match self.files.read() {
                    Ok(pair) => {
                        current.pair = Arc::new(pair);
                        tracing::info!("a new certificate is in force");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the certificate before stays in force");
                    }
                }
            }
        }
        Arc::clone(&current.pair)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl TlsFiles {
    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let known = std::fs::metadata(path).ok()?;
            Some((known.modified().ok()?, known.len()))
        };
        [of(&self.certificate), of(&self.key)]
    }

    fn read(&self) -> Result<CertifiedKey, TlsError> {
        let refuse = |what, path: &PathBuf, why: String| {
            let path = path.clone();
            TlsError::File { what, path, why }
        };
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refuse("the certificate", &self.certificate, error.to_string()))?;
        if certificates.is_empty() {
            let why = "it holds no certificate in PEM".to_owned();
            return Err(refuse("the certificate", &self.certificate, why));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| refuse("the certificate's key", &self.key, error.to_string()))?;
        let pair = CertifiedKey::from_der(certificates, key, &ring::default_provider());
        pair.map_err(|error| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            why: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
    use tempfile::TempDir;

    fn files(folder: &TempDir) -> TlsFiles {
        let [certificate, key] = ["a.pem", "a.key"].map(|name| folder.path().join(name));
        TlsFiles { certificate, key }
    }

    fn made(name: &str) -> (String, String) {
        let Made { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (cert.pem(), signing_key.serialize_pem())
    }

    fn write(files: &TlsFiles, (certificate, key): &(String, String)) {
        std::fs::write(&files.certificate, certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
    }

    #[test]
    fn a_new_pair_is_taken_and_a_broken_one_is_not() {
        let folder = TempDir::new().expect("a folder");
        let files = files(&folder);
        let (first, second) = (made("a.example"), made("another.example"));
        write(&files, &first);
        let certificates = Certificates::read(files.clone(), Duration::ZERO).expect("good");
        let leaf = || certificates.current().cert[0].clone();
        let of_first = leaf();
        write(&files, &(second.0.clone(), first.1));
        assert_eq!(leaf(), of_first, "half of the pair is the old one");
        write(&files, &(second.0.clone(), "nothing".to_owned()));
        assert_eq!(leaf(), of_first);
        write(&files, &second);
        assert_ne!(leaf(), of_first);
    }

    #[test]
    fn the_files_are_looked_at_once_in_a_while() {
        let folder = TempDir::new().expect("a folder");
        let files = files(&folder);
        write(&files, &made("a.example"));
        let hour = Duration::from_secs(3_600);
        let certificates = Certificates::read(files.clone(), hour).expect("good");
        let before = certificates.current().cert[0].clone();
        write(&files, &made("another.example"));
        assert_eq!(certificates.current().cert[0], before);
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_file() {
        let folder = TempDir::new().expect("a folder");
        let files = files(&folder);
        let say = |files: &TlsFiles| {
            let error = acceptor(files.clone()).err().expect("refused");
            error.to_string()
        };
        assert!(say(&files).contains("the certificate ") && say(&files).contains("a.pem"));
        let (first, second) = (made("a.example"), made("b.example"));
        write(&files, &(first.0.clone(), String::new()));
        assert!(say(&files).contains("a.key"), "{}", say(&files));
        write(&files, &(String::new(), first.1.clone()));
        assert!(say(&files).contains("no certificate"), "{}", say(&files));
        write(&files, &(first.0, second.1));
        assert!(say(&files).starts_with("the certificate "), "{}", say(&files));
    }
}
