//! How long a certificate is good.

use std::time::Duration;

use domain::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::time::{Time, Validity};

/// A life this near to its end is soon over. Whoever renews certificates by a machine does so weeks before.
const SOON_MAX: Duration = Duration::from_hours(14 * 24);
/// Short lives end sooner: the last sixth of one. It is usual to renew in the last third.
const SOON_PART: u32 = 6;

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Before it clients refuse the certificate.
    pub begins: Timestamp,
    /// After it they do, too.
    pub ends: Timestamp,
}

/// Where in its life a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Not good yet.
    Unborn,
    /// Good.
    Good,
    /// Good for at most 14 days more, or for less than a sixth of its life where that is less.
    EndsSoon,
    /// Over.
    Ended,
}

impl Life {
    /// Of a chain: it is good while all of it is. `None` where one of them cannot be read.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let lives: Option<Vec<Self>> = chain.iter().map(|one| Self::read(one)).collect();
        lives?.into_iter().reduce(|life, other| Self {
            begins: life.begins.max(other.begins),
            ends: life.ends.min(other.ends),
        })
    }

    fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let Validity { not_before, not_after, .. } = certificate.tbs_certificate().validity();
        let timestamp = |time: &Time| Timestamp(0).after(time.to_unix_duration());
        Some(Self { begins: timestamp(not_before), ends: timestamp(not_after) })
    }

    /// Where in it `now` is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Age {
        let soon = SOON_MAX.min(self.ends.since(self.begins) / SOON_PART);
        match now {
            _ if now < self.begins => Age::Unborn,
            _ if now > self.ends => Age::Ended,
            _ if now.after(soon) > self.ends => Age::EndsSoon,
            _ => Age::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    #[test]
    fn a_chain_is_good_while_all_of_it_is() {
        let (leaf, authority) = (made((2026, 11, 1), (2027, 1, 30)), made((2020, 2, 29), (2026, 12, 31)));
        let life = Life::of(&[leaf.clone(), authority.clone()]).expect("readable");
        assert_eq!(life.begins, at("2026-11-01T00:00:00Z"));
        assert_eq!(life.ends, at("2026-12-31T00:00:00Z"));
        assert_eq!(Life::of(&[leaf, CertificateDer::from(authority[..20].to_vec())]), None);
        // Years from 2050 on are written in another form.
        let late = Life::of(&[made((2049, 12, 31), (2050, 1, 2))]).expect("readable");
        assert_eq!(late.ends, at("2050-01-02T00:00:00Z"));
    }

    #[test]
    fn a_life_ends_soon_in_its_last_sixth_and_at_most_for_14_days() {
        let life = |begins, ends| Life { begins: at(begins), ends: at(ends) };
        let (year, week) = (
            life("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            life("2026-01-01T00:00:00Z", "2026-01-07T00:00:00Z"),
        );
        for (life, now, want) in [
            (year, "2025-12-31T23:59:59Z", Age::Unborn),
            (year, "2026-01-01T00:00:00Z", Age::Good),
            (year, "2026-12-18T00:00:00Z", Age::Good),
            (year, "2026-12-18T00:00:01Z", Age::EndsSoon),
            (year, "2027-01-01T00:00:00Z", Age::EndsSoon),
            (year, "2027-01-01T00:00:01Z", Age::Ended),
            (week, "2026-01-06T00:00:00Z", Age::Good),
            (week, "2026-01-06T00:00:01Z", Age::EndsSoon),
        ] {
            assert_eq!(life.age(at(now)), want, "{now}");
        }
    }
}
