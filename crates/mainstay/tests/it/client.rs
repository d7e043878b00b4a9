//! HTTP/1.1 over a plain socket: one request for each connection, and event streams as they come.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any reply of these tests takes.
const PATIENCE: Duration = Duration::from_secs(65);

/// A request to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET".into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of JSON.
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { method: "POST".into(), path: path.into(), headers, body: body.into() }
    }

    pub(crate) fn method(self, method: &str) -> Self {
        Self { method: method.into(), ..self }
    }

    /// Sets a header in place of an earlier one; an empty value leaves it out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for an event stream.
    pub(crate) fn streamed(self) -> Self {
        self.header("accept", "text/event-stream")
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        self.bytes_with(address, "connection: close\r\n")
    }

    fn bytes_with(&self, address: SocketAddr, connection: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n{connection}", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head += &format!("host: {address}\r\n");
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            head += &format!("{name}: {value}\r\n");
        }
        if self.method != "GET" {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it and reads the head of the response.
    pub(crate) fn open(&self, address: SocketAddr) -> io::Result<Opened> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        // A server that refuses a body early may answer before it has read it all.
        let written = stream.write_all(&self.bytes(address));
        Opened::read(BufReader::new(stream)).map_err(|error| written.err().unwrap_or(error))
    }

    /// Sends it and reads the whole response.
    pub(crate) fn send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut opened = self.open(address)?;
        let mut body = Vec::new();
        opened.body.read_to_end(&mut body)?;
        Ok(Response { status: opened.status, headers: opened.headers, body })
    }
}

/// A connection that carries one request after the other.
#[derive(Debug)]
pub(crate) struct Kept {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Kept {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { address, reader: BufReader::new(stream) })
    }

    /// Sends `request` and reads the head of the response.
    pub(crate) fn open(self, request: &Request) -> io::Result<Opened> {
        let mut reader = self.reader;
        reader.get_mut().write_all(&request.bytes_with(self.address, ""))?;
        Opened::read(reader)
    }
}

/// A response whose body is still coming.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    body: BufReader<Body>,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    /// Whether it says that the step `name` is in `state`.
    pub(crate) fn is_step(&self, name: &str, state: &str) -> bool {
        self.name == "step" && self.data["name"] == name && self.data["state"] == state
    }
}

impl Opened {
    /// Reads the head of a response.
    fn read(mut reader: BufReader<TcpStream>) -> io::Result<Self> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find =
            |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let left = match (find("transfer-encoding"), find("content-length")) {
            (Some(_), _) => Left::Chunks { here: 0 },
            (None, Some(length)) => Left::Bytes(length.parse().map_err(|_| io::ErrorKind::InvalidData)?),
            (None, None) => Left::UntilClosed,
        };
        Ok(Opened { status, headers, body: BufReader::new(Body { reader, left }) })
    }

    /// Whether the connection may carry another request.
    pub(crate) fn is_kept(&self) -> bool {
        !self.header("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("close"))
    }

    /// The connection, once the body is read whole.
    pub(crate) fn into_kept(self, address: SocketAddr) -> Kept {
        Kept { address, reader: self.body.into_inner().reader }
    }

    /// The next event; `None` at the end of the stream. Comments are passed over.
    pub(crate) fn next_event(&mut self) -> io::Result<Option<Event>> {
        let mut name = String::new();
        let mut data = String::new();
        loop {
            let mut line = String::new();
            if self.body.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data: ") {
                text.clone_into(&mut data);
            } else if line.is_empty() && !name.is_empty() {
                let data = serde_json::from_str(&data)?;
                return Ok(Some(Event { name, data }));
            }
        }
    }

    /// Reads what is left of the body.
    pub(crate) fn body_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.body.read_to_end(bytes)
    }

    /// The next line of the body; empty at its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.body.read_line(&mut line)?;
        Ok(line)
    }

    pub(crate) fn events(mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next_event()? {
            events.push(event);
        }
        Ok(events)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A response read whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// What of a body has not come yet.
#[derive(Debug)]
enum Left {
    Bytes(usize),
    /// Bytes of the chunk that is being read.
    Chunks {
        here: usize,
    },
    UntilClosed,
}

#[derive(Debug)]
struct Body {
    reader: BufReader<TcpStream>,
    left: Left,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Left::Chunks { here: 0 } = self.left {
            let size = self.chunk_size()?;
            self.left = match size {
                0 => self.last_line()?,
                here => Left::Chunks { here },
            };
        }
        let most = match self.left {
            Left::Bytes(left) | Left::Chunks { here: left } => left.min(buffer.len()),
            Left::UntilClosed => buffer.len(),
        };
        if most == 0 {
            // A server that keeps the connection open sends nothing more.
            return Ok(0);
        }
        let n = self.reader.read(&mut buffer[..most])?;
        if n == 0 && most > 0 && !matches!(self.left, Left::UntilClosed) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.left {
            Left::Bytes(left) => *left -= n,
            Left::Chunks { here } => {
                *here -= n;
                if *here == 0 {
                    // The line end after a chunk.
                    let mut line = String::new();
                    self.reader.read_line(&mut line)?;
                }
            }
            Left::UntilClosed => {}
        }
        Ok(n)
    }
}

impl Body {
    /// The empty line after the last chunk; a connection that ends instead carries no other request anyway.
    fn last_line(&mut self) -> io::Result<Left> {
        self.reader.read_line(&mut String::new())?;
        Ok(Left::Bytes(0))
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}
