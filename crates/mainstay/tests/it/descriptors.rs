//! Few open files: connections wait, those that are served go on, and all are served when there is room.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use testkit::{Behaviour, Upstream};

use crate::client::Kept;
use crate::doors::{self, Door, End, Record, ask};
use crate::server::{Server, Start, wait_for};

/// Open files that the process is allowed.
const N_FILES: usize = 128;
/// Far more connections than it can have then.
const N_IDLE: usize = 300;

/// A server that may have `n` open files, and never more.
fn serve_with_files(start: &Start, n: usize) -> Server {
    let server = start.launch_by(|port| {
        let command = start.command(port);
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n $0 && exec \"$@\"", &n.to_string()]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    });
    server.wait_until("it is ready", || {
        server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
    });
    server
}

fn n_open(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs").count()
}

fn is_answered(server: &Server, kept: &mut Option<Kept>) -> bool {
    let end = ask(server.address, &Door::Chat.request("p0/m"), kept);
    matches!(end, End::Answered { record: Record::Kept, .. })
}

#[test]
fn more_connections_than_files_wait_and_break_nothing() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = serve_with_files(&start, N_FILES);
    assert!(server.log().contains("128 open files are allowed"), "{}", server.log());
    let mut kept = None;
    assert!(is_answered(&server, &mut kept) && kept.is_some());
    let idle: Vec<TcpStream> =
        (0..N_IDLE).map(|_| TcpStream::connect(server.address).expect("the kernel takes it")).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(n_open(&server) < N_FILES, "{} files are open: none is left for calls", n_open(&server));
    for _ in 0..20 {
        assert!(is_answered(&server, &mut kept), "who is connected is served: {}", server.log());
    }
    drop(idle);
    assert!(is_answered(&server, &mut None), "who waits is served when others leave: {}", server.log());
    assert!(!server.log().contains("could not accept"), "{}", server.log());
}

#[test]
fn out_of_files_it_accepts_again_by_itself() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = start.serve();
    let mut kept = None;
    assert!(is_answered(&server, &mut kept) && kept.is_some());
    let limit = |n: &str| {
        let pid = server.pid().to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={n}:")]).status();
        assert!(status.expect("prlimit").success());
    };
    // As if something else in the process had taken all of them.
    limit(&n_open(&server).to_string());
    let mut waiting = Vec::new();
    let told = || {
        // A connection of before may have ended since its file was counted: another one takes its place.
        waiting.push(TcpStream::connect(server.address).expect("the kernel takes it"));
        server.log().contains("could not accept a connection").then_some(())
    };
    wait_for(Duration::from_secs(20), told).unwrap_or_else(|| panic!("{}", server.log()));
    for _ in 0..20 {
        assert!(is_answered(&server, &mut kept), "who is connected is served: {}", server.log());
    }
    limit("1024");
    drop(waiting);
    assert!(is_answered(&server, &mut None), "{}", server.log());
    assert_eq!(
        server.log().matches("could not accept a connection").count(),
        1,
        "told once: {}",
        server.log()
    );
    assert!(server.log().contains("accepted again"), "{}", server.log());
}
