//! The sections of the configuration file and their defaults.
//!
//! Every field is a key of `docs/configuration.md`, with the same name and meaning.

use beckon_engine::log::RECORD_BYTES_MAX;
use beckon_ingest::dead_letters::DeadLetterLimits;
use beckon_ingest::limits::Limits;
use beckon_ingest::normalise::{AddressPolicy, QueryPolicy};
use beckon_ingest::sites::SitesConfig;
use beckon_ingest::tls::TlsFiles;
use beckon_sinks::notification::NotificationConfig;
use beckon_sinks::parquet::ParquetConfig;
use beckon_sinks::webhook::WebhooksConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Keys without a default, each with an example.
pub(crate) const OPTIONAL_KEYS: &str = r#"
[server]
rules = "rules"
reports = "reports"
tls = "proxy"
certificate = "certificate.pem"
certificate_key = "certificate.key"

[traces]
endpoint = "http://127.0.0.1:4318"

[traces.headers]
"*" = "..."

[sites."*"]
default_for_origin = false
keys = [{ name = "web", kind = "browser", key = "...", key_sha256 = "...", origins = [], unproven = "record" }]
identity = { secrets = ["..."], token_algorithm = "HS256", token_public_key = "...", token_audience = "..." }

[webhooks.endpoints."*"]
url = "https://crm.example.com/hooks"
secrets = ["whsec_..."]
allow_private = false
redirects_max = 0
authority = "authority.pem"
"#;

/// Numbers that mean something when they are 0; the others must be above.
const MAY_BE_ZERO: [&str; 16] = [
    "engine.watermark_delay_ms",
    "engine.lateness_ms",
    "engine.visit_events_max",
    "engine.closed_visits_max",
    "engine.invitations_per_visit",
    "engine.invitations_per_visitor_per_day",
    "engine.live_names_max",
    "engine.live_recent_max",
    "log.retention_ms",
    "log.disk_free_bytes_min",
    "log.disk_check_interval_ms",
    "log.dedup_ids_max",
    "reports.drain_ms_max",
    "reports.event_folders_max",
    "reports.typed_columns_max",
    "webhooks.dead_letters_max",
];

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// `[server]`
    pub(crate) server: ServerSection,
    /// `[engine]`
    pub(crate) engine: EngineSection,
    /// `[log]`
    pub(crate) log: LogSection,
    /// `[reports]`
    pub(crate) reports: ReportsSection,
    /// `[notification]`
    pub(crate) notification: NotificationConfig,
    /// `[webhooks]`
    pub(crate) webhooks: WebhooksConfig,
    /// `[limits]`
    pub(crate) limits: Limits,
    /// `[traces]`
    pub(crate) traces: TracesSection,
    /// `[dead_letters]`
    pub(crate) dead_letters: DeadLetterLimits,
    /// `[sites.NAME]`
    pub(crate) sites: SitesConfig,
}

/// Address, folders, logging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServerSection {
    pub(crate) listen: String,
    pub(crate) http_threads: usize,
    pub(crate) data: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rules: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reports: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) trusted_proxies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_key: Option<PathBuf>,
    pub(crate) addresses: AddressPolicy,
    pub(crate) query_parameters: QueryPolicy,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7700".to_owned(),
            http_threads: 2,
            data: PathBuf::from("beckon-data"),
            rules: None,
            reports: None,
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            trusted_proxies: Vec::new(),
            tls: None,
            certificate: None,
            certificate_key: None,
            addresses: AddressPolicy::default(),
            query_parameters: QueryPolicy::default(),
        }
    }
}

/// Who speaks TLS where the server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsBy {
    /// A proxy in front of it.
    Proxy,
}

/// How the server's own log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Visits, time and threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EngineSection {
    pub(crate) workers: usize,
    pub(crate) watermark_delay_ms: u32,
    pub(crate) lateness_ms: i64,
    pub(crate) inactivity_ms: i64,
    pub(crate) visit_events_max: u32,
    pub(crate) visit_events_matched_max: u32,
    pub(crate) visits_open_max: u64,
    pub(crate) closed_visits_max: u64,
    pub(crate) rule_partials_max: u32,
    pub(crate) pending_absences_max: u32,
    pub(crate) rule_absences_max: u32,
    pub(crate) rule_hits_max: u32,
    pub(crate) key_combinations_max: u32,
    pub(crate) window_events_max: u32,
    pub(crate) windows_max: u64,
    pub(crate) window_memory_ms: i64,
    pub(crate) invitations_per_visit: u32,
    pub(crate) invitations_per_visitor_per_day: u32,
    pub(crate) visitors_max: u64,
    pub(crate) visitor_decisions_max: usize,
    pub(crate) timezone: Box<str>,
    pub(crate) live_names_max: usize,
    pub(crate) live_recent_max: usize,
    pub(crate) epochs_in_flight_max: usize,
    pub(crate) events_in_flight_max: usize,
    pub(crate) snapshot_records: u64,
    pub(crate) snapshot_interval_ms: i64,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self {
            workers: 1,
            watermark_delay_ms: 2_000,
            lateness_ms: 120_000,
            inactivity_ms: 30 * 60 * 1_000,
            visit_events_max: 500,
            visit_events_matched_max: 10_000,
            visits_open_max: 1_000_000,
            closed_visits_max: 1_000_000,
            rule_partials_max: 256,
            pending_absences_max: 64,
            rule_absences_max: 4_096,
            rule_hits_max: 256,
            key_combinations_max: 64,
            window_events_max: 1_000,
            windows_max: 1_000_000,
            window_memory_ms: 90 * 24 * 60 * 60 * 1_000,
            invitations_per_visit: 1,
            invitations_per_visitor_per_day: 3,
            visitors_max: 1_000_000,
            visitor_decisions_max: 256,
            timezone: "UTC".into(),
            live_names_max: 1_000,
            live_recent_max: 200,
            epochs_in_flight_max: 64,
            events_in_flight_max: 100_000,
            snapshot_records: 250_000,
            snapshot_interval_ms: 60 * 60 * 1_000,
        }
    }
}

/// Where traces go, and which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TracesSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) share: f64,
    pub(crate) queue_spans_max: usize,
}

impl Default for TracesSection {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), share: 0.01, queue_spans_max: 4_096 }
    }
}

/// The durable log and the outbox derived from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogSection {
    pub(crate) segment_bytes: u64,
    pub(crate) retention_ms: u64,
    pub(crate) log_bytes_max: u64,
    pub(crate) disk_free_bytes_min: u64,
    pub(crate) disk_check_interval_ms: u32,
    pub(crate) append_queue_bytes_max: usize,
    pub(crate) group_bytes_max: usize,
    pub(crate) dedup_ids_max: usize,
    pub(crate) outbox_bytes_max: u64,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
            log_bytes_max: 64 << 30,
            disk_free_bytes_min: 1 << 30,
            disk_check_interval_ms: 250,
            append_queue_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            dedup_ids_max: 20_000_000,
            outbox_bytes_max: 64 << 30,
        }
    }
}

/// How the Parquet tables are cut into files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReportsSection {
    pub(crate) file_bytes_max: u64,
    pub(crate) file_rows_max: u64,
    pub(crate) rotation_ms_max: i64,
    pub(crate) open_bytes_max: u64,
    pub(crate) event_folders_max: usize,
    pub(crate) typed_columns_max: usize,
    pub(crate) drain_ms_max: u64,
}

impl Default for ReportsSection {
    fn default() -> Self {
        let tables = ParquetConfig::default();
        Self {
            file_bytes_max: tables.file_bytes_max,
            file_rows_max: tables.file_rows_max,
            rotation_ms_max: tables.rotation_ms_max,
            open_bytes_max: tables.open_bytes_max,
            event_folders_max: tables.event_folders_max,
            typed_columns_max: tables.typed_columns_max,
            drain_ms_max: 60_000,
        }
    }
}

impl Config {
    /// What no type can say.
    ///
    /// # Errors
    /// For the first value that does not make sense.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.check_numbers()?;
        anyhow::ensure!(
            self.log.segment_bytes <= self.log.log_bytes_max / 4,
            "log.log_bytes_max must be at least four times log.segment_bytes: whole segments are \
             removed, and from half of it on"
        );
        self.tls()?;
        self.webhooks.check()?;
        let share = self.traces.share;
        anyhow::ensure!(
            (0.0..=1.0).contains(&share),
            "traces.share is {share}, expected a number from 0 to 1"
        );
        let queue_max = self.log.append_queue_bytes_max;
        anyhow::ensure!(
            queue_max <= RECORD_BYTES_MAX,
            "log.append_queue_bytes_max is {queue_max}, at most {RECORD_BYTES_MAX} are possible"
        );
        Ok(())
    }

    /// Nothing is negative, and what does not work without room has some.
    fn check_numbers(&self) -> anyhow::Result<()> {
        let sections = toml::Table::try_from(self)?;
        for section in [
            "server",
            "engine",
            "log",
            "reports",
            "notification",
            "webhooks",
            "dead_letters",
            "traces",
        ] {
            let keys = sections.get(section).and_then(toml::Value::as_table);
            for (key, value) in keys.into_iter().flatten() {
                let name = format!("{section}.{key}");
                let Some(number) = value.as_integer() else { continue };
                let least = i64::from(!MAY_BE_ZERO.contains(&name.as_str()));
                anyhow::ensure!(number >= least, "{name} is {number}, expected {least} or more");
            }
        }
        Ok(())
    }

    /// How the tables are written; what has a column of its own, packages declare.
    pub(crate) fn tables(&self) -> ParquetConfig {
        ParquetConfig {
            file_bytes_max: self.reports.file_bytes_max,
            file_rows_max: self.reports.file_rows_max,
            rotation_ms_max: self.reports.rotation_ms_max,
            open_bytes_max: self.reports.open_bytes_max,
            event_folders_max: self.reports.event_folders_max,
            typed_columns_max: self.reports.typed_columns_max,
            typed_columns: Vec::new(),
        }
    }

    /// The certificate, if the server speaks TLS.
    ///
    /// # Errors
    /// When half of it is there, or a proxy speaks TLS already.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (&self.server.certificate, &self.server.certificate_key, self.server.tls) {
            (None, None, _) => Ok(None),
            (Some(certificate), Some(key), None) => {
                Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }))
            }
            (Some(_), Some(_), Some(TlsBy::Proxy)) => anyhow::bail!(
                "server.tls = \"proxy\" and server.certificate contradict each other: leave one out"
            ),
            (Some(_), None, _) => anyhow::bail!(
                "server.certificate needs server.certificate_key, the file of its private key"
            ),
            (None, Some(_), _) => {
                anyhow::bail!(
                    "server.certificate_key needs server.certificate, the file of what it is for"
                )
            }
        }
    }

    /// Where the Parquet tables lie.
    pub(crate) fn reports(&self) -> PathBuf {
        let reports = self.server.reports.clone();
        reports.unwrap_or_else(|| self.server.data.join("reports"))
    }
}
