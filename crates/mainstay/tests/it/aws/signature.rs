//! Signature Version 4, calculated once more from a request as it came over the wire
//! (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, read 2026-11).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};

/// A request as it came.
pub(super) struct Signed<'a> {
    /// Its method and path, as `POST /model/x/converse`.
    pub(super) line: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
}

/// What a header `authorization` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) key: &'a str,
    /// Day, region and service.
    pub(super) scope: [&'a str; 3],
    pub(super) names: &'a str,
    pub(super) signature: &'a str,
}

pub(super) fn authorization(text: &str) -> Option<Authorization<'_>> {
    let rest = text.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (credential, rest) = rest.split_once(", SignedHeaders=")?;
    let (names, signature) = rest.split_once(", Signature=")?;
    let mut parts = credential.split('/');
    let mut part = || parts.next();
    let (key, scope) = (part()?, [part()?, part()?, part()?]);
    (part() == Some("aws4_request")).then_some(Authorization { key, scope, names, signature })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The signature of `request` with `secret`, over the headers that `claimed` names.
pub(super) fn of(request: &Signed<'_>, claimed: &Authorization<'_>, secret: &str) -> String {
    let (method, path) = request.line.split_once(' ').expect("a method and a path");
    // What is encoded already is encoded once more.
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(byte);
    let path: String = path
        .bytes()
        .map(|byte| if unreserved(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let value = |name: &str| {
        let found = request.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("`{name}` is signed and not there"))
    };
    let headers: String = claimed.names.split(';').map(|name| format!("{name}:{}\n", value(name))).collect();
    let canonical = [method, &path, "", &headers, claimed.names, &hash(request.body)].join("\n");
    let [day, region, service] = claimed.scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = ["AWS4-HMAC-SHA256", value("x-amz-date"), &scope, &hash(canonical.as_bytes())].join("\n");
    let first = sign(format!("AWS4{secret}").as_bytes(), day);
    let key = [region, service, "aws4_request"].iter().fold(first, |key, part| sign(&key, part));
    hex(&sign(&key, &text))
}

/// The example `get-vanilla` of AWS's own suite.
#[test]
fn the_calculation_is_that_of_awss_suite() {
    let text = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                SignedHeaders=host;x-amz-date, \
                Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let claimed = authorization(text).expect("well formed");
    let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = Signed { line: "GET /", headers: &headers, body: b"" };
    assert_eq!(of(&request, &claimed, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), claimed.signature);
}
