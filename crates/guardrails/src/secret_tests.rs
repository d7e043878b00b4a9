//! What is a secret and what only looks like one; every value here is made up.

use super::*;

/// A random-looking body of `length` characters, so that no test holds a key that a scanner would take for real.
fn body(length: usize) -> String {
    "q7Rk2VbXw9TzLm4NcY8dHs3FgJ6PaKe5".chars().cycle().take(length).collect()
}

#[track_caller]
fn check(text: &str, want: Option<Detector>) {
    let hits = find(text, &Detector::ALL);
    match want {
        Some(detector) => assert!(hits.iter().any(|hit| hit.detector == detector), "{text:?}: {hits:?}"),
        None => assert!(hits.is_empty(), "{text:?}: {hits:?}"),
    }
}

#[test]
fn every_keyword_is_lower_case_and_every_pattern_compiles() {
    assert!(RULES.iter().flat_map(|rule| rule.keywords).all(|word| word.to_lowercase() == **word));
    assert_eq!(CATALOGUE.patterns.len(), RULES.len());
}

#[test]
fn private_keys_of_every_kind_are_found_by_their_header() {
    for kind in ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "] {
        check(&format!("-----BEGIN {kind}PRIVATE KEY-----\nMIIB"), Some(Detector::PrivateKey));
    }
    check("-----BEGIN PGP PRIVATE KEY BLOCK-----", Some(Detector::PrivateKey));
    check("-----begin rsa private key-----", Some(Detector::PrivateKey));
    check("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", None);
    check("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", None);
    let whole = "a -----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY----- b";
    assert_eq!(
        find(whole, &[Detector::PrivateKey]).first().map(|hit| hit.range.clone()),
        Some(2..whole.len() - 2)
    );
}

#[test]
fn keys_with_a_makers_mark_are_found() {
    let upper = "Q7RK2VBXW6TZLM4N";
    check(&format!("AKIA{upper}"), Some(Detector::AwsKey));
    check(&format!("use ASIA{upper}, please"), Some(Detector::AwsKey));
    check("AKIAIOSFODNN7EXAMPLE", Some(Detector::AwsKey));
    check(&format!("aws {}", body(40)), Some(Detector::AwsKey));
    for prefix in [
        "sk-proj-",
        "sk-ant-api03-",
        "sk-",
        "ghp_",
        "github_pat_",
        "glpat-",
        "npm_",
        "AIza",
        "sk_live_",
        "rk_live_",
        "whsec_",
        "xoxb-",
        "EAAA",
        "hf_",
        "GOCSPX-",
        "pypi-",
        "12345678:AA",
    ] {
        let length = match prefix {
            "AIza" => 35,
            "EAAA" | "pypi-" => 60,
            _ => 36,
        };
        check(&format!("it is {prefix}{}", body(length)), Some(Detector::ProviderKey));
    }
    check(
        &format!("https://hooks.slack.com/services/T0AB1CD2E/B0AB1CD2E/{}", body(24)),
        Some(Detector::ProviderKey),
    );
}

#[test]
fn tokens_and_connection_strings_are_found() {
    check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.q7Rk2VbXw9TzLm4NcY8d", Some(Detector::Token));
    check(&format!("Authorization: Bearer {}", body(24)), Some(Detector::Token));
    for text in [
        "postgres://app:Zq8rT2@db/x",
        "mongodb+srv://a:b7Kq2Lm@c.example.com",
        "redis://:p4ssTh1s@cache:6379",
        "https://user:s3cr3tVal@example.com/x",
    ] {
        check(text, Some(Detector::ConnectionString));
    }
    check(&format!("AccountName=a;AccountKey={}==", body(64)), Some(Detector::ConnectionString));
}

#[test]
fn passwords_are_found_by_what_they_look_like() {
    for text in [
        "my password is hunter2",
        "My password is: Tr0ub4dor&3",
        "the password for my online account is Blue42sky",
        "I changed my password to summer2024!",
        "my password is \"correcthorse\"",
        "password=letmein",
        "password: Zq8rT2xx",
        "db_password = 'SqWT#kK8MHx'",
        "api_key=c62788588198b7547ef3e921c63b34fe",
        "passwd = 'avvKdUujz7y'",
        "my PIN is 4921",
        "my password is 12345678",
        "{\"password\": \"Zq8rT2xx\"}",
    ] {
        check(text, Some(Detector::Password));
    }
    check(&format!("my api key: {}", body(32)), Some(Detector::HighEntropy));
}

#[test]
fn look_alikes_pass() {
    for text in [
        "I forgot my password",
        "How do I reset my password?",
        "Why is my password not accepted?",
        "My password is not working and my PIN is blocked",
        "my password is wrong",
        "My password was changed yesterday",
        "The password is case-sensitive",
        "the PIN is 4 digits long",
        "My PIN is 6-digit, is it right?",
        "Password: must be at least 8 characters",
        "password = os.environ[\"DB_PASSWORD\"]",
        "password = getpass()",
        "export TOKEN=${VAULT_TOKEN}",
        "Set OPENAI_API_KEY=<your-key-here> before starting",
        "AWS_ACCESS_KEY_ID=AKIAXXXXXXXXXXXXXXXX",
        "postgres://app:${DB_PASS}@localhost:5432/dev",
        "etag: W/\"4d7966f1e0dedfe0384e8744b47d47b3\"",
        "commit 20bbed72aff71a96dd1453424a63a4fa7f8cc019 fixes the rounding bug",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is the digest",
        "Order id 3f2b8c1e-b71f-4631-84da-1c2d3e4f5a6b has shipped.",
        "The api_key parameter is required; see the docs for api_key rotation.",
        "sk_test_ keys start with sk_test_, live keys with sk_live_",
        "What is a routing number and is it secret?",
        "Is a security key safer than a code by SMS?",
        "https://example.com/a/very/long/path/to/Some/Page2/with/many/Parts",
        "The token: is it safe?",
        "scikit sk-learn-pipeline-with-many-words",
    ] {
        check(text, None);
    }
}

#[test]
fn time_is_linear_in_the_text() {
    for piece in [
        "password is ",
        "a://b:",
        "-----BEGIN PRIVATE KEY-----",
        "key ",
        "A",
        "password=${",
        "eyJ-",
        "curl ",
        "-----END PRIVATE KEY-----",
        "AKIA ",
    ] {
        let _ = find(&piece.repeat(20_000), &Detector::ALL);
    }
}
