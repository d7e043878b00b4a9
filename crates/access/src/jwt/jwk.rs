//! Public keys as issuers publish them (RFC 7517), and signatures checked with them (RFC 7518).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// Algorithms with a public key. There are no others here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const NAMES: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A set of keys as fetched; fields and keys that are not understood are left out.
#[derive(Debug, Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: Option<String>,
    /// The one algorithm that it is for, when it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

/// Keys of a set at most.
const KEYS_MAX: usize = 100;

/// The keys of a document that can be used here; `None` when it is no such document.
pub(crate) fn read(document: &[u8]) -> Option<Vec<Key>> {
    let set: RawSet = serde_json::from_slice(document).ok()?;
    let keys = set.keys.into_iter().take(KEYS_MAX);
    Some(keys.filter_map(|key| Key::of(serde_json::from_value(key).ok()?)).collect())
}

impl Key {
    fn of(raw: Raw) -> Option<Self> {
        let is_for_others = raw.key_ops.is_some_and(|ops| ops.iter().all(|op| op != "verify"));
        if is_for_others || raw.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = || {
            let (x, y) = (bytes(&raw.x)?, bytes(&raw.y)?);
            // As SEC 1 writes a point that is not compressed.
            (x.len() == y.len()).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: bytes(&raw.n)?, e: bytes(&raw.e)? },
            ("EC", Some("P-256")) => Material::P256(point()?),
            ("EC", Some("P-384")) => Material::P384(point()?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&raw.x)?),
            _ => return None,
        };
        let algorithm = match raw.alg {
            Some(name) => Some(Algorithm::parse(&name)?),
            None => None,
        };
        Some(Self { id: raw.kid, algorithm, material })
    }

    /// Whether a signature by `algorithm` may be checked with it.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let fits = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        fits && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether `signature` over `message` holds.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let plain =
            |scheme, key: &[u8]| UnparsedPublicKey::new(scheme, key).verify(message, signature).is_ok();
        let ecdsa = |scheme: &'static signature::EcdsaVerificationAlgorithm, key: &[u8]| plain(scheme, key);
        if !self.is_for(algorithm) {
            return false;
        }
        match &self.material {
            Material::P256(point) => ecdsa(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => ecdsa(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature).is_ok()
            }
            Material::Rsa { n, e } => {
                // 2048 bits at least: shorter ones are refused by these.
                let scheme = match algorithm {
                    Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signature).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_for_something_else_are_left_out() {
        for (told, is_taken) in [
            ("", true),
            (r#","use":"sig""#, true),
            (r#","use":"enc""#, false),
            (r#","key_ops":["verify"]"#, true),
            (r#","key_ops":["sign","verify"]"#, true),
            (r#","key_ops":["encrypt","wrapKey"]"#, false),
            (r#","key_ops":[]"#, false),
            (r#","key_ops":"verify""#, false),
        ] {
            let document = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"AAAA"{told}}}]}}"#);
            let keys = read(document.as_bytes()).expect("a set of keys");
            assert_eq!(keys.len(), usize::from(is_taken), "{told}");
        }
    }

    /// RFC 7515, appendix A.2: a key and a signature that others made.
    #[test]
    fn a_signature_of_the_standard_holds() {
        let document = br#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA"},7]}"#;
        let keys = read(document).expect("a set of keys");
        assert_eq!(keys.len(), 1, "a secret is no public key");
        let message = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL_SAFE_NO_PAD.decode("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").expect("base64");
        let key = keys.first().expect("one");
        assert!(key.verify(Algorithm::Rs256, message, &signature));
        assert!(!key.verify(Algorithm::Rs384, message, &signature));
        assert!(!key.verify(Algorithm::Es256, message, &signature));
        assert!(!key.verify(Algorithm::Rs256, b"another", &signature));
    }
}
