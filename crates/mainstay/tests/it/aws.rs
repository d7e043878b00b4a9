//! Calls of Bedrock by the real server, with credentials from wherever AWS's own tools find them: found, signed with,
//! renewed in time, and told what to do when there are none.

mod services;
mod signature;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::folder::Folder;
use crate::server::{Server, Start};

use services::{Answer, Services};

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const NEVER: &str = "2099-01-01T00:00:00Z";

/// A server before Bedrock, and the home of who runs it.
struct House {
    bedrock: Upstream,
    server: Server,
    environment: Vec<(&'static str, String)>,
    _home: TempDir,
}

impl House {
    /// `aws` are settings of `[providers.aws.aws]`, `files` those of the home.
    fn new(aws: &str, files: &[(&str, &str)], environment: &[(&'static str, String)]) -> Self {
        let bedrock = Upstream::start(Behaviour::default());
        let home = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            write(home.path(), name, text);
        }
        let url = bedrock.base_url();
        let settings = format!(
            "schema = 1\n[providers.aws]\nkind = \"bedrock\"\nbase_url = \"{}\"\nallow_private = true\n\
             [providers.aws.aws]\nregion = \"eu-central-1\"\n{aws}\n\
             [models.\"aws/{MODEL}\"]\n[[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"aws/{MODEL}\" }}]\n",
            url.trim_end_matches("/v1")
        );
        let mut variables = environment.to_vec();
        variables.push(("HOME", home.path().display().to_string()));
        // Only where a test says so: on a machine of AWS there would be credentials.
        if !environment.iter().any(|(name, _)| *name == METADATA) {
            variables.push(("AWS_EC2_METADATA_DISABLED", "true".to_owned()));
        }
        let config = Folder::with_settings(&settings);
        let server = Start { environment: variables.clone(), ..Start::with(&config) }.serve();
        Self { bedrock, server, environment: variables, _home: home }
    }

    /// What `doctor` says of the credentials, in the server's environment.
    fn doctor(&self) -> String {
        let said = self.server.doctor_with(&self.environment);
        let line = said.lines().find(|line| line.contains("credentials of provider `aws`"));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    fn ask(&self) -> Response {
        let messages = [json!({ "role": "user", "content": "Is my deposit insured?" })];
        let body = json!({ "model": format!("aws/{MODEL}"), "messages": messages });
        self.server.send(&Request::post("/v1/chat/completions", body.to_string()))
    }

    /// Asks, and whose key signed the call.
    fn signed_by(&self, secret: &str, token: Option<&str>) -> String {
        let response = self.ask();
        assert_eq!(response.status, 200, "{}\n{}", response.text(), self.server.log());
        let received = self.bedrock.received().pop().expect("a call");
        assert_eq!(received.header("x-amz-security-token"), token, "the token of the session");
        let text = received.header("authorization").expect("signed");
        let claimed = signature::authorization(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(claimed.scope[1..], ["eu-central-1", "bedrock"]);
        for name in ["content-type", "host", "x-amz-date"] {
            assert!(claimed.names.split(';').any(|signed| signed == name), "`{name}` is not signed: {text}");
        }
        assert_eq!(received.line, format!("POST /model/{}/converse", MODEL.replace(':', "%3A")));
        let request =
            signature::Signed { line: &received.line, headers: &received.headers, body: &received.body };
        assert_eq!(signature::of(&request, &claimed, secret), claimed.signature, "{text}");
        let (wrong, log) = (signature::of(&request, &claimed, "another secret"), self.server.log());
        assert_ne!(wrong, claimed.signature);
        assert!(!log.contains(secret), "the log holds the secret");
        claimed.key.to_owned()
    }
}

const METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    fs::write(path, text).expect("a writable folder");
}

fn ok(body: String) -> Vec<Answer> {
    vec![(200, "", body)]
}

/// What STS answers to `action`.
fn assumed(action: &str, key: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser>\
         <AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret of {key}</SecretAccessKey>\
         <SessionToken>token</SessionToken><Expiration>{NEVER}</Expiration></Credentials></{action}Result>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// What the services of containers and instances answer.
fn temporary(key: &str) -> String {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": NEVER,
        "AccessKeyId": key, "SecretAccessKey": format!("secret of {key}"), "Token": "token",
    })
    .to_string()
}

/// What the portal of SSO answers; `ends` is a moment in JSON.
fn role(key: &str, ends: &str) -> String {
    let secret = format!("secret of {key}");
    json!({ "roleCredentials": {
        "accessKeyId": key, "secretAccessKey": secret, "sessionToken": "token", "expiration": "ENDS",
    } })
    .to_string()
    .replace("\"ENDS\"", ends)
}

const SSO: &str = "[default]\nsso_session = team\nsso_account_id = 123456789012\nsso_role_name = chat\n\
                   [sso-session team]\nsso_start_url = https://team.awsapps.com/start\nsso_region = eu-central-1\n";
/// The name is the SHA-1 of `team`.
const SSO_CACHE: &str = ".aws/sso/cache/d25187dc137f35c88bc80ec8c3ffbdb17b5eb873.json";

fn sso_token(ends: &str) -> String {
    let start = "https://team.awsapps.com/start";
    json!({ "startUrl": start, "region": "eu-central-1", "accessToken": "sso-token", "expiresAt": ends })
        .to_string()
}

#[test]
fn keys_of_the_environment_and_of_profiles_sign() {
    let keys =
        [("AWS_ACCESS_KEY_ID", "AKIDENV".to_owned()), ("AWS_SECRET_ACCESS_KEY", "s/e+c=ret".to_owned())];
    let house = House::new("", &[], &keys);
    assert_eq!(house.signed_by("s/e+c=ret", None), "AKIDENV");
    assert!(house.doctor().starts_with("works"), "{}", house.doctor());
    let files = [(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = one\n\
         [finance]\naws_access_key_id = AKIDFINANCE\naws_secret_access_key = two\naws_session_token = three\n",
    )];
    assert_eq!(House::new("", &files, &[]).signed_by("one", None), "AKIDFILE");
    let finance = House::new("profile = \"finance\"", &files, &keys);
    assert_eq!(
        finance.signed_by("two", Some("three")),
        "AKIDFINANCE",
        "the configuration's before the environment's"
    );
}

#[test]
fn a_profile_takes_a_role() {
    let sts = Services::start(vec![("POST /", ok(assumed("AssumeRole", "AKIDROLE")))]);
    let files = [
        (".aws/credentials", "[base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = one\n"),
        (
            ".aws/config",
            "[profile chat]\nrole_arn = arn:aws:iam::123456789012:role/chat\nsource_profile = base\n",
        ),
    ];
    let house = House::new("profile = \"chat\"", &files, &[("AWS_ENDPOINT_URL_STS", sts.url())]);
    assert_eq!(house.signed_by("secret of AKIDROLE", Some("token")), "AKIDROLE");
    let asked = sts.asked();
    assert!(
        asked[0].body.contains("Action=AssumeRole&") && asked[0].body.contains("role%2Fchat"),
        "{asked:?}"
    );
    assert!(asked[0].header("authorization").contains("Credential=AKIDBASE/"), "{asked:?}");
}

#[test]
fn a_session_of_sso_signs_and_is_renewed_before_it_ends() {
    let in_an_hour = (services::now_ms() + 3_600_000).to_string();
    let portal = Services::start(vec![(
        "GET /federation/credentials?",
        vec![
            (200, "", role("AKIDFIRST", services::SOON)),
            (500, "", "{}".to_owned()),
            (500, "", "{}".to_owned()),
            (500, "", "{}".to_owned()),
            (200, "", role("AKIDSECOND", &in_an_hour)),
        ],
    )]);
    let token = sso_token(NEVER);
    let files = [(".aws/config", SSO), (SSO_CACHE, token.as_str())];
    let house = House::new("", &files, &[("AWS_ENDPOINT_URL_SSO", portal.url())]);
    for _ in 0..3 {
        assert_eq!(house.signed_by("secret of AKIDFIRST", Some("token")), "AKIDFIRST");
    }
    let asked = portal.asked();
    assert_eq!(asked.len(), 1, "found once, kept: {asked:?}");
    assert!(asked[0].line.contains("role_name=chat") && asked[0].line.contains("account_id=123456789012"));
    assert_eq!(asked[0].header("x-amz-sso_bearer_token"), "sso-token");
    std::thread::sleep(Duration::from_secs(11));
    // The service is down, and those at hand are good for five minutes more.
    assert_eq!(house.signed_by("secret of AKIDFIRST", Some("token")), "AKIDFIRST");
    // Lines are written behind the reply.
    let told = || Some(house.server.log()).filter(|log| log.contains("could not be renewed"));
    let log = house.server.wait_until("the log tells it", told);
    assert!(!log.contains("SdkBody"), "{log}");
    house.server.wait_until("the new ones are taken", || {
        house.ask();
        let received = house.bedrock.received().pop()?;
        received.header("authorization")?.contains("AKIDSECOND").then_some(())
    });
    assert_eq!(house.signed_by("secret of AKIDSECOND", Some("token")), "AKIDSECOND");
}

#[test]
fn a_web_identity_signs() {
    let action = "AssumeRoleWithWebIdentity";
    let sts = Services::start(vec![("POST /", ok(assumed(action, "AKIDWEB")))]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "token", "a.signed.token");
    let environment = [
        ("AWS_ENDPOINT_URL_STS", sts.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", folder.path().join("token").display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod".to_owned()),
        ("AWS_ROLE_SESSION_NAME", "mainstay".to_owned()),
    ];
    let house = House::new("", &[], &environment);
    assert_eq!(house.signed_by("secret of AKIDWEB", Some("token")), "AKIDWEB");
    let asked = sts.asked();
    for part in [&format!("Action={action}"), "WebIdentityToken=a.signed.token", "RoleSessionName=mainstay"] {
        assert!(asked[0].body.contains(part), "{part}: {asked:?}");
    }
    assert_eq!(asked[0].header("authorization"), "", "the token proves enough");
}

#[test]
fn a_container_signs() {
    let agent = Services::start(vec![("GET /v2/credentials/7 ", ok(temporary("AKIDTASK")))]);
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v2/credentials/7", agent.url())),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the task".to_owned()),
    ];
    let house = House::new("", &[], &environment);
    assert_eq!(house.signed_by("secret of AKIDTASK", Some("token")), "AKIDTASK");
    assert_eq!(agent.asked()[0].header("authorization"), "of the task");
}

#[test]
fn an_instance_signs() {
    let path = "/latest/meta-data/iam/security-credentials";
    let token = (200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "of the session".to_owned());
    let metadata = Services::start(vec![
        ("PUT /latest/api/token ", vec![token]),
        ("GET /latest/meta-data/iam/security-credentials/chat ", ok(temporary("AKIDINSTANCE"))),
        ("GET /latest/meta-data/iam/security-credentials", ok("chat".to_owned())),
    ]);
    let house = House::new("", &[], &[(METADATA, metadata.url())]);
    assert_eq!(house.signed_by("secret of AKIDINSTANCE", Some("token")), "AKIDINSTANCE");
    for asked in metadata.asked().iter().filter(|asked| asked.line.contains(path)) {
        assert_eq!(asked.header("x-aws-ec2-metadata-token"), "of the session", "version 2 only");
    }
}

#[test]
fn who_has_no_credentials_is_told_what_to_do() {
    let expired = sso_token("2020-01-01T00:00:00Z");
    for (aws, files, what) in [
        ("", &[][..], "AWS_PROFILE"),
        ("profile = \"nobody\"", &[], "nobody"),
        ("", &[(".aws/config", SSO)], "aws sso login"),
        ("", &[(".aws/config", SSO), (SSO_CACHE, expired.as_str())], "aws sso login"),
    ] {
        let house = House::new(aws, files, &[]);
        let response = house.ask();
        let log = house.server.log();
        let line = log.lines().find(|line| line.contains("could not be signed")).unwrap_or_default();
        assert!(line.contains(what), "{what}: {}\n{log}", response.text());
        assert_eq!((house.bedrock.calls(), response.status), (0, 503), "{}", response.text());
        let doctor = house.doctor();
        assert!(doctor.starts_with("degraded") && doctor.contains(what), "{doctor}");
    }
}
