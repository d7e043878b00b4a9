//! Starts the binary on a free port and stops it again.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Request, Response};
use crate::folder::Folder;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mainstay");
/// Longest time to a server that answers, on a machine that does much else.
const START_MAX: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) model: &'static str,
    pub(crate) config: Option<Arc<Folder>>,
    pub(crate) data: Arc<TempDir>,
    pub(crate) log: &'static str,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Start {
    /// The shipped configuration without an embedded model, in a new data folder.
    pub(crate) fn bare() -> Self {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self { model: "none", config: None, data, log: "info", environment: Vec::new() }
    }

    /// The same without articles, for what asks nothing of them.
    pub(crate) fn plain() -> Self {
        Self::with(&Arc::new(Folder::without_articles()))
    }

    /// `config` without an embedded model, in a new data folder.
    pub(crate) fn with(config: &Arc<Folder>) -> Self {
        Self { config: Some(Arc::clone(config)), ..Self::bare() }
    }

    /// The command line, listening on `port`.
    pub(crate) fn command(&self, port: u16) -> Command {
        let mut command = Command::new(BINARY);
        // Elsewhere than the sources, whose `config` folder would be found.
        command.current_dir(self.data.path());
        command.args(["--log", self.log, "serve", "--model", self.model]);
        command.arg("--data").arg(self.data()).args(["--listen", &format!("127.0.0.1:{port}")]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config.path());
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The data folder; it does not exist before the first start.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// Starts it and waits until its first start is done.
    pub(crate) fn serve(&self) -> Server {
        let server = self.launch();
        server.wait_until("the server is ready", || {
            let ready = server.get("/health/ready").ok()?;
            (ready.status == 200).then_some(())
        });
        server
    }

    /// Starts it without waiting.
    pub(crate) fn launch(&self) -> Server {
        self.launch_by(|port| self.command(port))
    }

    /// Starts what `command` makes, without waiting.
    pub(crate) fn launch_by(&self, command: impl FnOnce(u16) -> Command) -> Server {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        self.launch_into(log.into(), command)
    }

    /// The same, with another place for its log than the file.
    pub(crate) fn launch_into(&self, log: Stdio, command: impl FnOnce(u16) -> Command) -> Server {
        let port = free_port();
        File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = command(port);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the binary was built");
        Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)), start: self.clone() }
    }
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    start: Start,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> io::Result<Response> {
        Request::get(path).send(self.address)
    }

    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.address).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.send(&Request::post(path, body.to_string()))
    }

    /// The body of a reply to `/query`, which must be a 200.
    pub(crate) fn query(&self, question: &str) -> Value {
        let response = self.post("/query", &json!({ "query": question }));
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// One interaction as it was recorded.
    pub(crate) fn interaction(&self, id: &str) -> Response {
        self.get(&format!("/admin/v1/interactions/{id}")).expect("a reply")
    }

    /// All interactions, newest first, read page by page.
    pub(crate) fn interactions(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = "/admin/v1/interactions?limit=1000".to_owned();
        loop {
            let page = self.get(&path).expect("a reply").json();
            all.extend(page["interactions"].as_array().expect("a list").iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return all };
            path = format!("/admin/v1/interactions?limit=1000&cursor={cursor}");
        }
    }

    /// The part `name` of `/health/deep`.
    pub(crate) fn part(&self, name: &str) -> Value {
        let deep = self.get("/health/deep").expect("a reply").json();
        let parts = deep["parts"].as_array().expect("parts");
        parts
            .iter()
            .find(|part| part["name"] == name)
            .unwrap_or_else(|| panic!("no part `{name}`: {deep}"))
            .clone()
    }

    /// Everything it has logged, earlier starts in the same data folder included.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.start.log_file()).expect("a log")
    }

    /// Waits until `look` sees it; a server that ends meanwhile, or takes too long, fails the test with its log.
    pub(crate) fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let found = wait_for(START_MAX, || {
            assert!(self.is_running(), "{what}: it ended before\n{}", self.log());
            look()
        });
        found.unwrap_or_else(|| panic!("{what}: not after {START_MAX:?}\n{}", self.log()))
    }

    fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The state follows the name in brackets; Z is a process that ended.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    /// `mainstay doctor` about this server; its output.
    pub(crate) fn doctor(&self) -> String {
        self.doctor_with(&[])
    }

    /// The same, with `environment` in its shell.
    pub(crate) fn doctor_with(&self, environment: &[(&'static str, String)]) -> String {
        let mut command = Command::new(BINARY);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.start.data.path());
        command.args(["doctor", "--url", &self.url(), "--data"]).arg(self.start.data());
        if let Some(config) = &self.start.config {
            command.arg("--config").arg(config.path());
        }
        let output = command.output().expect("the binary was built");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The reading end of its log, where that is a pipe.
    pub(crate) fn take_log(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("a pipe")
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        signal(self.pid(), "TERM");
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_for(limit, || self.child.try_wait().expect("a child"))
    }

    /// Processes that it started, the model's worker among them.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// A value in KiB of `/proc/PID/status`.
    pub(crate) fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(&format!("{field}:"))).expect("a field of it");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().expect("kill");
    assert!(status.success(), "kill -{name} {pid}");
}

/// What `look` finds, looking every few milliseconds until `limit`.
pub(crate) fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command of the binary, run to its end in an empty folder.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output =
        Command::new(BINARY).current_dir(folder.path()).args(arguments).stdin(Stdio::null()).output();
    output.expect("the binary was built")
}

/// A port below those that the kernel gives to clients, so that no connection of another test takes it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder with the models that these tests need.
pub(crate) fn test_models() -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_TEST_MODELS").map(PathBuf::from);
    folder.filter(|folder| folder.join("smollm2-135m").is_dir()).expect(
        "MAINSTAY_TEST_MODELS must name a folder with the models `smollm2-135m` and `all-minilm-l6-v2`: ./test sets \
         it; by hand: mainstay models pull --folder FOLDER smollm2-135m all-minilm-l6-v2",
    )
}

/// Puts a model of the test models into a data folder, without a copy where the disk allows it.
pub(crate) fn place_model(data: &Path, name: &str) {
    let (from, to) = (test_models().join(name), data.join("models").join(name));
    std::fs::create_dir_all(&to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the test models").flatten() {
        let place = to.join(entry.file_name());
        if std::fs::hard_link(entry.path(), &place).is_err() {
            std::fs::copy(entry.path(), &place).expect("room on the disk");
        }
    }
}
