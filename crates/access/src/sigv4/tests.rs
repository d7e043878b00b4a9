//! Requests signed by others: boto3, an independent implementation, and AWS's own crate.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Debug, Clone, serde::Deserialize)]
struct Recorded {
    signed_by: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Request for Recorded {
    fn method(&self) -> &str {
        "POST"
    }

    fn path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }

    fn header_names(&self) -> Vec<&str> {
        self.headers.keys().map(String::as_str).collect()
    }
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("signed.json")).expect("readable")
}

fn check(request: &Recorded, secret: &str, now: Timestamp) -> Result<(), SignatureError> {
    let authorization = request.headers.get("authorization").expect("signed");
    let claim = Claim::read(authorization, request, now)?;
    assert_eq!(claim.access_key_id, "AKIDMAINSTAYEXAMPLE");
    claim.check(request, request.body.as_bytes(), &Secret::new(secret.to_owned()))
}

fn signed_at(request: &Recorded) -> Timestamp {
    parse_time(&request.headers["x-amz-date"]).expect("a time")
}

#[test]
fn what_others_signed_holds_and_nothing_else_does() {
    for request in recorded() {
        let now = signed_at(&request);
        assert_eq!(check(&request, SECRET, now), Ok(()), "{}", request.signed_by);
        assert_eq!(check(&request, "other", now), Err(SignatureError::Mismatch));
        for (minutes, want) in [(4, Ok(())), (6, Err(SignatureError::Expired))] {
            let later = now.after(Duration::from_mins(minutes));
            assert_eq!(check(&request, SECRET, later), want);
            let mut early = request.clone();
            early.headers.insert(DATE_HEADER.to_owned(), request.headers["x-amz-date"].clone());
            let before = parse_time(&request.headers["x-amz-date"]).expect("a time");
            let before = Timestamp(before.0 - i64::try_from(minutes).expect("small") * 60_000_000);
            assert_eq!(check(&early, SECRET, before), want);
        }
        let changed = |change: &dyn Fn(&mut Recorded)| {
            let mut changed = request.clone();
            change(&mut changed);
            check(&changed, SECRET, now)
        };
        let has_hash = request.headers.contains_key(HASH_HEADER);
        let body = if has_hash { SignatureError::Body } else { SignatureError::Mismatch };
        assert_eq!(changed(&|request| request.body.push(' ')), Err(body));
        assert_eq!(changed(&|request| request.path.push('x')), Err(SignatureError::Mismatch));
        assert_eq!(changed(&|request| request.path.push_str("?a=b")), Err(SignatureError::Mismatch));
        assert_eq!(
            changed(&|request| drop(request.headers.insert("x-amz-future".to_owned(), "1".to_owned()))),
            Err(SignatureError::Headers)
        );
        for host in ["host", ":authority"] {
            if request.headers.contains_key(host) {
                let other =
                    |request: &mut Recorded| request.headers.insert(host.to_owned(), "other".to_owned());
                assert_eq!(changed(&|request| drop(other(request))), Err(SignatureError::Mismatch));
                assert_eq!(
                    changed(&|request| drop(request.headers.remove(host))),
                    Err(SignatureError::Headers)
                );
            }
        }
        let authorization = |from: &str, to: &str| {
            changed(&|request| {
                let text = request.headers["authorization"].replace(from, to);
                request.headers.insert("authorization".to_owned(), text);
            })
        };
        assert_eq!(authorization("/bedrock/", "/s3/"), Err(SignatureError::Service));
        assert_eq!(authorization("20261121/", "20261120/"), Err(SignatureError::Date));
        assert_eq!(authorization("Signature=", "Signature=0"), Err(SignatureError::Mismatch));
        assert_eq!(authorization("SignedHeaders=", "Signed="), Err(SignatureError::Unreadable));
        assert_eq!(authorization(";x-amz-date", ""), Err(SignatureError::Headers));
        assert_eq!(authorization("AWS4-HMAC-SHA256", "Bearer"), Err(SignatureError::Unreadable));
        for hash in ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
            let unsigned = changed(&|request| {
                request.headers.insert(HASH_HEADER.to_owned(), hash.to_owned());
                let text = &request.headers["authorization"];
                let text = match has_hash {
                    true => text.clone(),
                    false => text.replace(";x-amz-date", ";x-amz-content-sha256;x-amz-date"),
                };
                request.headers.insert("authorization".to_owned(), text);
            });
            assert_eq!(unsigned, Err(SignatureError::UnsignedBody));
        }
    }
}

/// Signs with AWS's own crate.
fn signed(path: &str, body: &str, now: SystemTime) -> Recorded {
    let identity = Credentials::new("AKIDMAINSTAYEXAMPLE", SECRET, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("ap-southeast-2")
        .name("bedrock")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .expect("complete");
    let url = format!("http://example.com:8080{path}");
    let headers = [("host", "example.com:8080"), ("content-type", "application/json")];
    let request =
        SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) = sign(request.expect("a request"), &params.into()).expect("signed").into_parts();
    let mut headers: BTreeMap<String, String> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, value) in instructions.headers() {
        headers.insert(name.to_owned(), value.to_owned());
    }
    Recorded { signed_by: "aws-sigv4".to_owned(), path: path.to_owned(), headers, body: body.to_owned() }
}

proptest! {
    #[test]
    fn what_aws_signs_holds(
        model in "[a-z][a-z0-9.-]{0,20}(%3A[0-9])?(%2F[a-z]{1,5})?", query in "|\\?[a-z]=1&b=2|\\?z=1&a", body in "\\PC{0,40}", days in 0_u64..30_000,
    ) {
        let seconds = days * 86_400 + 3_661;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let request = signed(&format!("/model/{model}/invoke{query}"), &body, now);
        let now = Timestamp(i64::try_from(seconds * 1_000_000).expect("small"));
        prop_assert_eq!(check(&request, SECRET, now), Ok(()));
        prop_assert_eq!(check(&request, "", now), Err(SignatureError::Mismatch));
    }

    #[test]
    fn arbitrary_claims_never_panic(text in "(AWS4-HMAC-SHA256 )?(Credential=[A-Z/0-9a-z]{0,30},?)?\\PC{0,60}", date in "\\PC{0,20}") {
        let mut request = recorded().swap_remove(0);
        request.headers.insert("authorization".to_owned(), text.clone());
        request.headers.insert(DATE_HEADER.to_owned(), date);
        if let Ok(claim) = Claim::read(&text, &request, Timestamp::default()) {
            let _ = claim.check(&request, b"", &Secret::new(String::new()));
        }
    }
}
