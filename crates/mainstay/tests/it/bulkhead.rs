//! How many calls a provider may have at once: the bulkheads of its targets decide, and nothing beneath them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::upstream::Phase;
use testkit::{Behaviour, Upstream};

use crate::dialects::Dialect;
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::Start;

/// More than half of the calls that the HTTP client would allow by itself.
const CALLS_MAX: usize = 300;

#[test]
fn every_target_has_all_of_its_calls_and_the_next_is_refused_at_once() {
    let upstream = Upstream::start(Behaviour::Hang(Phase::BeforeHead));
    let base_url = upstream.base_url();
    let config = Folder::with_settings(&format!(
        "schema = 1\n[resilience.bulkhead]\ncalls_max = {CALLS_MAX}\n\
         [providers.one]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
         allow_private = true\n[models.\"one/alpha\"]\n[models.\"one/beta\"]\n\
         [[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/alpha\" }}]\n"
    ));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    let mut waiting = Vec::with_capacity(2 * CALLS_MAX);
    for model in ["one/alpha", "one/beta"] {
        let bytes = Dialect::Chat.ask(model).bytes(server.address);
        for _ in 0..CALLS_MAX {
            let mut stream = TcpStream::connect(server.address).expect("it listens");
            stream.write_all(&bytes).expect("it reads");
            waiting.push(stream);
        }
        let want = waiting.len();
        server.wait_until("all of them are at the provider", || {
            (upstream.calls_in_flight() == want).then_some(())
        });
    }
    for model in ["one/alpha", "one/beta"] {
        let began = Instant::now();
        let refused = server.send(&Dialect::Chat.ask(model));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(began.elapsed() < Duration::from_secs(2), "{model}: {:?}", began.elapsed());
    }
    assert_eq!(upstream.calls(), 2 * CALLS_MAX);
    drop(waiting);
    server.wait_until("the calls are closed", || (upstream.calls_in_flight() == 0).then_some(()));
}
