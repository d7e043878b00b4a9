//! Somebody who asks as ever while others misbehave: how long it takes alone, and how long beside them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::Request;
use crate::server::Server;

/// What noise of the machine may add to twice the usual time: whoever misbehaves runs on the same cores.
const NOISE: Duration = Duration::from_millis(30);
/// What a server may take for good or for a while, whatever is done to it.
const GROWTH_KIB_MAX: u64 = 96 << 10;

fn ask(address: SocketAddr) -> Duration {
    let began = Instant::now();
    let request = Request::post("/query", r#"{"query":"Is my deposit FDIC insured, and up to how much?"}"#);
    let response = request.send(address).expect("others are answered");
    assert_eq!(response.status, 200, "{}", response.text());
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Says that it is over also when a check of the attack failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `attack`; meanwhile others are answered in at most twice the usual time, and memory stays bounded.
pub(super) fn beside<T>(server: &Server, what: &str, attack: impl FnOnce() -> T) -> T {
    let address = server.address;
    let usual = median((0..15).map(|_| ask(address)).collect());
    let before_kib = server.status_kib("VmRSS");
    let is_over = AtomicBool::new(false);
    let (result, times) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut times = vec![ask(address)];
            while !is_over.load(Ordering::SeqCst) {
                times.push(ask(address));
            }
            times
        });
        let over = Over(&is_over);
        let result = attack();
        drop(over);
        (result, asking.join().expect("others are answered"))
    });
    let limit = usual * 2 + NOISE;
    let (n, meanwhile) = (times.len(), median(times));
    assert!(meanwhile <= limit, "{what}: others wait {meanwhile:?}, usually {usual:?} ({n} requests)");
    let after_kib = server.status_kib("VmRSS");
    assert!(after_kib < before_kib + GROWTH_KIB_MAX, "{what}: from {before_kib} to {after_kib} KiB");
    result
}
