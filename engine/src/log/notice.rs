//! The bytes of notices, and what tells one from its repetition.
//!
//! The body of a record is one byte of version, then (version 1) a [`Notice`] in postcard's form, as in
//! `control.rs`: a variant is added at the end only; whatever else changes is a new version.
//!
//! **Once.** What became of a message at a sink is known by (message, sink, what): a sink that does not
//! know whether its record reached the log before a crash writes it again, and the log keeps the first.

use super::api::{NewRecord, RecordBody};
use crate::model::{Notice, Outcome, SinkName};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;
/// Keys of deliveries begin elsewhere than those of events, whose seeds are hashed from 0 and 1.
const SEED: u64 = 2;

/// Bytes that are no notice of a version that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// A newer Beckon wrote it.
    #[error("a notice has version {0}, this beckon reads version {VERSION}")]
    Version(u8),
    /// It means nothing.
    #[error("a notice has no meaning")]
    Body,
}

impl Notice {
    /// The record's body.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("texts, lists and numbers")
    }

    /// Reads a record's body.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoticeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
                Ok((notice, [])) => Ok(notice),
                Ok(_) | Err(_) => Err(NoticeError::Body),
            },
            Some((version, _)) => Err(NoticeError::Version(*version)),
            None => Err(NoticeError::Body),
        }
    }

    /// The deduplication key; a server's message has none, for its id is drawn anew each time.
    pub(super) fn key(&self) -> Option<u128> {
        let Self::Delivery(delivery) = self else { return None };
        let endpoint = match &delivery.sink {
            SinkName::Notification => "",
            SinkName::Webhook(endpoint) => endpoint,
        };
        let mut seed = xxh3_64_with_seed(endpoint.as_bytes(), SEED);
        // Each attempt may fail once; of what else became of it there is one of each.
        let attempt = delivery.attempt.filter(|_| delivery.outcome == Outcome::Failed);
        for word in [delivery.sink.as_str(), delivery.outcome.as_str()] {
            seed = xxh3_64_with_seed(word.as_bytes(), seed);
        }
        seed = xxh3_64_with_seed(&attempt.unwrap_or(0).to_le_bytes(), seed);
        seed = xxh3_64_with_seed(delivery.site.as_bytes(), seed);
        Some(xxh3_128_with_seed(&delivery.message.0.to_le_bytes(), seed))
    }
}

impl From<Notice> for NewRecord {
    /// The record of a notice. It has the hash of its visit, so that a rewrite finds it.
    fn from(notice: Notice) -> Self {
        let (site, visit) = notice.visit();
        Self {
            site: Arc::clone(site),
            visitor_hash: visit.0.stable_hash(),
            dedup: notice.key(),
            body: RecordBody::Notice(Arc::new(notice)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Delivery, Id, Message, MessageId, PageId, VisitId};
    use crate::testing::fixture;
    use std::collections::BTreeSet;

    /// What became of a message of the number.
    pub(crate) fn delivery(number: u128, outcome: Outcome) -> Delivery {
        Delivery {
            site: "shop".into(),
            visit: VisitId(Id::Bits(7)),
            message: MessageId(number),
            sink: SinkName::Notification,
            outcome,
            page: None,
            reason: None,
            attempt: None,
        }
    }

    /// Every kind and every option, with and without.
    pub(crate) fn everything() -> Vec<Notice> {
        let message = Message {
            site: "shop".into(),
            visit: VisitId(Id::Text("session-9".into())),
            id: MessageId(u128::MAX),
            page: Some(PageId(Id::Bits(5))),
            channel: "gpe.appendContent".into(),
            data: "{\"k\":1}".into(),
            expires_ms: 60_000,
        };
        let to_all = Message { page: None, id: MessageId(1), ..message.clone() };
        let of_page = Delivery {
            page: Some(PageId(Id::Bits(5))),
            reason: Some("page_gone".into()),
            ..delivery(2, Outcome::Withdrawn)
        };
        let webhook = Delivery {
            sink: SinkName::Webhook("crm".into()),
            attempt: Some(3),
            ..delivery(3, Outcome::Failed)
        };
        let said = Outcome::ALL.map(|outcome| Notice::Delivery(delivery(4, outcome)));
        let mut all = vec![Notice::Message(message), Notice::Message(to_all)];
        all.extend([Notice::Delivery(of_page), Notice::Delivery(webhook)]);
        all.extend(said);
        all
    }

    /// The form of a record's body is that of the fixture, which stays.
    #[test]
    fn version_1_is_read() {
        let notices = everything();
        let bodies = notices.iter().map(Notice::encode).collect::<Vec<_>>();
        let bytes = fixture("notice-v1.bin", &bodies.concat());
        let mut rest = bytes.as_slice();
        for (notice, body) in notices.iter().zip(&bodies) {
            let (one, behind) = rest.split_at(body.len());
            assert_eq!(Notice::decode(one).as_ref(), Ok(notice));
            rest = behind;
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let notice = Notice::Delivery(delivery(1, Outcome::Delivered));
        let bytes = notice.encode();
        assert_eq!(Notice::decode(&bytes), Ok(notice));
        assert_eq!(Notice::decode(&bytes[..bytes.len() - 1]), Err(NoticeError::Body));
        assert_eq!(Notice::decode(&[bytes.as_slice(), &[0]].concat()), Err(NoticeError::Body));
        assert_eq!(Notice::decode(&[]), Err(NoticeError::Body));
        assert_eq!(Notice::decode(&[2, 0]), Err(NoticeError::Version(2)));
    }

    #[test]
    fn a_key_tells_message_sink_and_outcome_apart_and_nothing_else() {
        let one = delivery(1, Outcome::Failed);
        let key = |delivery: &Delivery| Notice::Delivery(delivery.clone()).key();
        let same =
            Delivery { reason: Some("why".into()), page: Some(PageId(Id::Bits(1))), ..one.clone() };
        assert_eq!(key(&one), key(&same));
        let hook = |endpoint: &str| SinkName::Webhook(endpoint.into());
        let others = [
            one.clone(),
            delivery(2, Outcome::Failed),
            delivery(1, Outcome::Expired),
            Delivery { site: "blog".into(), ..one.clone() },
            Delivery { sink: hook("crm"), ..one.clone() },
            Delivery { sink: hook("erp"), ..one.clone() },
            Delivery { sink: hook("crm"), attempt: Some(1), ..one.clone() },
            Delivery { sink: hook("crm"), attempt: Some(2), ..one },
        ];
        let keys = others.iter().map(key).collect::<BTreeSet<_>>();
        assert_eq!(keys.len(), others.len());
        assert!(
            everything().iter().all(|it| it.key().is_some() == matches!(it, Notice::Delivery(_)))
        );
    }
}
