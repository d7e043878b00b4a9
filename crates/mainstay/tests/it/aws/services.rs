//! AWS's services that give credentials, on loopback: each request is answered by what its line begins with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands in an answer for the moment, in milliseconds since 1970, that is [`SOON_MS`] after it was given.
pub(super) const SOON: &str = "\"soon\"";
/// Credentials are renewed five minutes before their end.
const SOON_MS: u128 = (5 * 60 + 10) * 1_000;

pub(super) fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

/// A request as it came: its line, its header fields (names in lower case) and its body.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// What is answered: a status, more header fields (each with its line end), and a body.
pub(super) type Answer = (u16, &'static str, String);

type Answers = Arc<Mutex<Vec<(&'static str, Vec<Answer>)>>>;

/// The services; their port stays open until the process ends.
#[derive(Debug)]
pub(super) struct Services {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Services {
    /// Gives to requests whose line begins so these answers, one after the other; the last one stays.
    pub(super) fn start(answers: Vec<(&'static str, Vec<Answer>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, remembered): (Answers, _) = (Arc::new(Mutex::new(answers)), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, remembered) = (Arc::clone(&answers), Arc::clone(&remembered));
                std::thread::spawn(move || serve(&stream, &answers, &remembered));
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("whole").clone()
    }
}

fn serve(mut stream: &TcpStream, answers: &Answers, remembered: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let line = next()?;
    let mut headers = Vec::new();
    while let Some((name, value)) = next()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a number"))];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).expect("text");
    let answer = {
        let mut answers = answers.lock().expect("whole");
        let found = answers.iter_mut().find(|(begin, _)| line.starts_with(begin));
        found.map(|(_, answers)| if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    };
    remembered.lock().expect("whole").push(Asked { line, headers, body });
    let (status, fields, body) = answer.unwrap_or((404, "", String::new()));
    let body = body.replace(SOON, &(now_ms() + SOON_MS).to_string());
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Mock\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).ok()
}
