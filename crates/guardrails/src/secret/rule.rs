//! The patterns, each with the keywords without which it cannot match.

use super::Detector;
use super::shape::{self, Candidate};

/// One way a secret is written. The secret is the group `value`, or else the whole match.
pub(super) struct Rule {
    pub(super) detector: Detector,
    /// Lower-case; one of them stands in every match. None: the pattern always runs.
    pub(super) keywords: &'static [&'static str],
    pub(super) pattern: &'static str,
    pub(super) accept: fn(&Candidate<'_>) -> bool,
}

fn any(_: &Candidate<'_>) -> bool {
    true
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        detector: Detector::PrivateKey,
        keywords: &["private key", "putty-user-key-file"],
        pattern: concat!(
            r"(?i-u)-{3,}\s*BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?\s*-{3,}",
            r"(?:\s*(?:Proc-Type|DEK-Info|Version|Comment): ?[ -~]*)*[A-Z0-9+/=\s]*",
            r"(?:-{3,}\s*END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?\s*-{3,})?|PuTTY-User-Key-File-\d",
        ),
        accept: any,
    },
    Rule {
        detector: Detector::AwsKey,
        keywords: &["akia", "asia", "abia", "acca"],
        pattern: r"(?-u)\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::AwsKey,
        keywords: &[],
        pattern: r"(?-u)[A-Za-z0-9/+]{40,}",
        accept: shape::is_aws_secret,
    },
    Rule {
        detector: Detector::ProviderKey,
        keywords: &["sk-", "sk_", "rk_", "whsec_", "pplx-", "gsk_", "xai-", "r8_", "hf_", "tgp_"],
        pattern: concat!(
            r"(?-u)\bsk-ant-[A-Za-z0-9]+-[\w-]{20,}|\bsk-or-v1-[0-9a-f]{32,}|\bsk-(?:proj|svcacct|admin|ms|lf)-[\w-]{20,}",
            r"|\bsk-[A-Za-z0-9]{32,}|\bsk_[0-9a-f]{40,}|\b[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",
            r"|\bwhsec_[A-Za-z0-9+/=]{20,}|\bpplx-[A-Za-z0-9]{32,}|\bgsk_[A-Za-z0-9]{32,}|\bxai-[A-Za-z0-9]{40,}",
            r"|\br8_[A-Za-z0-9]{30,}|\bhf_[A-Za-z0-9]{30,}|\btgp_v1_[\w-]{30,}",
        ),
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::ProviderKey,
        keywords: &[
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "gldt-",
            "glrt-",
            "glptt-",
            "glcbt-",
            "glft-",
            "glsoat-",
            "npm_",
            "pypi-",
            "dckr_pat_",
            "rubygems_",
            "atatt3",
            "cargo_",
        ],
        pattern: concat!(
            r"(?-u)\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}|\bgl(?:pat|dt|rt|ptt|cbt|ft|soat)-[\w-]{20,}",
            r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{50,}|\bdckr_pat_[\w-]{20,}|\brubygems_[0-9a-f]{40,}",
            r"|\bATATT3[\w=-]{50,}",
        ),
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::ProviderKey,
        keywords: &["xox", "xapp-", "hooks.slack.com", "discord", "sg.", ":aa", "sk", "key-", "eaaa", "sq0"],
        pattern: concat!(
            r"(?-u)\bxox[abeoprs]-[\w-]{10,}|\bxapp-\d-[\w-]{20,}|\bhooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}",
            r"|\bdiscord(?:app)?\.com/api/webhooks/\d+/[\w-]{30,}|\bSG\.[\w-]{16,32}\.[\w-]{16,64}",
            r"|\b\d{8,10}:AA[\w-]{30,}|\bSK[0-9a-f]{32}\b|\bkey-[0-9a-f]{32}\b|\bEAAA[\w-]{56,}|\bsq0[a-z]{3}-[\w-]{22,}",
        ),
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::ProviderKey,
        keywords: &[
            "aiza",
            "ya29.",
            "gocspx-",
            "1//0",
            "dapi",
            "hvs.",
            "hvb.",
            "shp",
            "dop_v1_",
            "doo_v1_",
            "dor_v1_",
            "lin_api_",
            "pmak-",
            "nrak-",
            "age-secret-key-",
            "eyjrijoi",
            "hrku-",
            "sntrys_",
            "phc_",
            "figd_",
            "secret_",
            "ntn_",
            "pscale_",
            "dp.",
            "tskey-",
            "pul-",
        ],
        pattern: concat!(
            r"(?-u)\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{24,}|\b1//0[\w-]{30,}|\bdapi[0-9a-f]{32}\b|\bhv[sb]\.[\w-]{24,}",
            r"|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|\bdo[opr]_v1_[0-9a-f]{64}|\blin_api_\w{32,}|\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}",
            r"|\bNRAK-[A-Z0-9]{27}|\bAGE-SECRET-KEY-1[A-Z0-9]{50,}|\bHRKU-[\w-]{36,}|\bsntrys_[\w=+/-]{40,}",
            r"|\bfigd_[\w-]{38,}|\bsecret_[A-Za-z0-9]{40,}|\bntn_[A-Za-z0-9]{40,}|\bpscale_(?:pw|tkn|oauth)_[\w.=-]{32,}",
            r"|\bdp\.(?:pt|st|ct|sa)\.[\w.-]{40,}|\btskey-[a-z]+-[\w-]{20,}|\bpul-[0-9a-f]{40}",
        ),
        accept: shape::is_filled,
    },
    Rule {
        // Discord's bot tokens have no mark but their three parts.
        detector: Detector::ProviderKey,
        keywords: &["."],
        pattern: r"(?-u)\b[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,40}",
        accept: shape::is_random,
    },
    Rule {
        detector: Detector::Token,
        keywords: &["eyj"],
        pattern: r"(?-u)\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{10,}",
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::Token,
        keywords: &["bearer", "basic", "authorization"],
        pattern: r"(?i-u)\b(?:bearer|authorization:\s*(?:basic|token))\s+(?P<value>[A-Z0-9._~+/=-]{16,})",
        accept: shape::is_random,
    },
    Rule {
        detector: Detector::ConnectionString,
        keywords: &["://"],
        // A class of all letters is not written in both cases: it holds both, and finding that takes long.
        pattern: r#"\b[A-Za-z][A-Za-z0-9+.-]{1,24}://[^\s:/@"'<>]*:(?P<value>[^\s/@"'<>][^\s@"'<>]*)@[\w.\[-]+"#,
        accept: shape::is_url_password,
    },
    Rule {
        detector: Detector::ConnectionString,
        keywords: &["accountkey", "sharedaccesskey", "sharedaccesssignature", "sig="],
        pattern: r"(?i-u)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)\s*=\s*(?P<value>[A-Z0-9+/=%&_-]{30,})|[?&]sig=(?P<signature>[A-Z0-9%+/=]{40,})",
        accept: shape::is_filled,
    },
    Rule {
        detector: Detector::ConnectionString,
        keywords: &["curl"],
        pattern: r#"(?i)\bcurl\b[^\n]*?\s(?:-u|--user)[ =]["']?[^\s:"']+:(?P<value>[^\s"'@]{4,})"#,
        accept: shape::is_assigned,
    },
    Rule {
        detector: Detector::Password,
        keywords: &["pass", "pwd", "secret", "token", "key", "credential"],
        pattern: concat!(
            r"(?i)(?:pass(?:word|wd|phrase|code)?|pwd|secret(?:[ _-]?key)?|(?:api|access|auth|client|private|encryption|signing|service)[ _-]?(?:key|token|secret)|token|credentials?)",
            r#"\d?["'`\]]{0,2}[ \t]{0,4}(?::=|=>|==|=|:)[ \t]{0,4}["'`]{0,2}(?P<value>[^\s"'`<>,;]{4,})"#,
        ),
        accept: shape::is_assigned,
    },
    Rule {
        detector: Detector::Password,
        keywords: &["passw", "pass word", "passcode", "passphrase", "pwd", "passwd"],
        pattern: concat!(
            r"(?i)\b(?:pass[ -]?(?:word|wd|code|phrase)|pwd)s?\b[^.!?\n]{0,40}?\b(?:is|was|are|be|to|as)\b[ \t]*:?\s{0,4}",
            r#"["'“‘`*]{0,2}(?P<value>[^\s"'”’`]{4,})"#,
        ),
        accept: shape::is_told,
    },
    Rule {
        detector: Detector::Password,
        keywords: &["pin", "passcode", "security code", "cvv", "cvc"],
        pattern: r"(?i-u)\b(?:pin|passcode|security code|cvv2?|cvc2?)(?: (?:code|number))?(?: for [\w ]{1,24})?(?: is| was|:|=)(?: :)?\s*(?P<value>\d{3,8})\b",
        accept: shape::is_pin,
    },
    Rule {
        detector: Detector::HighEntropy,
        keywords: &["key", "token", "secret", "credential", "auth", "password"],
        pattern: r"(?-u)[A-Za-z0-9][A-Za-z0-9+/_-]{19,}={0,2}",
        accept: shape::is_key_by_context,
    },
];
