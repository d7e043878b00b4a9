//! Workers that end, fall silent or never come to be: what calls get, and who replaces them.

use domain::chat::ChatChunk;
use domain::fault::{Kind, Retry};
use futures_util::StreamExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_killed_in_the_middle_fails_its_call_at_once_and_comes_back() {
    let house = house(&[Script::DiesAfter(1), Script::Answers], |_| {});
    house.ready().await;
    let mut stream = house.call(MINUTE).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let before = house.clock.now();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.error.fault.kind, error.error.fault.retry), (Kind::Transient, Retry::Here));
    assert!(house.clock.now().since(before) < Duration::from_millis(100), "at once");
    assert!(stream.next().await.is_none());
    tokio::time::sleep(Duration::from_millis(10)).await;
    let want = State::Restarting { restarts: 1, last_exit: "killed (signal 9)".to_owned() };
    assert_eq!(house.worker.state(), want);
    let answer = text_of(house.call(MINUTE).await.unwrap()).await.unwrap();
    assert_eq!(answer, "Yes, up to $250,000.", "a call made in between waits for the new worker");
    let status = house.worker.status();
    assert_eq!((status.state, status.restarts), (State::Ready, 1));
    assert_eq!(status.last_exit.as_deref(), Some("killed (signal 9)"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_with_four_answers_fails_each_of_them_once() {
    let house = house(&[Script::DiesAfter(4), Script::Answers], |config| config.parallel = 4);
    house.ready().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(house.call(MINUTE).await.unwrap());
    }
    let fifth = streams.pop().unwrap();
    for stream in streams {
        let chunks: Vec<_> = stream.collect().await;
        assert_eq!(chunks.len(), 2, "{chunks:?}");
        assert!(matches!(&chunks[0], Ok(ChatChunk::Delta(text)) if text == "Yes"));
        let error = chunks[1].as_ref().unwrap_err();
        assert_eq!((error.error.fault.kind, error.error.fault.retry), (Kind::Transient, Retry::Here));
    }
    assert_eq!(text_of(fifth).await.unwrap(), "Yes, up to $250,000.", "it waited and lost nothing");
    let status = house.worker.status();
    assert_eq!((status.restarts, status.n_answering), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_fails_calls_at_once_and_recovers_by_itself() {
    for (script, reason) in
        [(Script::LoadFails, "not a GGUF file"), (Script::DiesLoading, "while loading it aborted (signal 6)")]
    {
        let house = house(&[script, script, Script::Answers], |_| {});
        let waiting = house.call(MINUTE).await.unwrap();
        let error = text_of(waiting).await.unwrap_err();
        assert_eq!((error.fault.kind, error.fault.retry), (Kind::Unavailable, Retry::Elsewhere));
        assert!(error.detail.contains(reason), "{}", error.detail);
        assert_eq!(house.worker.state(), State::Failed { reason: reason.to_owned() });
        let not_ready = house.worker.wait_ready(house.clock.now().after(MINUTE)).await.unwrap_err();
        assert_eq!(not_ready.reason, reason);
        let refused = house.call(MINUTE).await.err().expect("refused at once");
        assert_eq!(refused.fault.kind, Kind::Unavailable);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(house.worker.state(), State::Ready);
        assert!(text_of(house.call(MINUTE).await.unwrap()).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_worker_is_killed_and_replaced() {
    let house = house(&[Script::FallsSilent, Script::Answers], |_| {});
    house.ready().await;
    let started = house.clock.now();
    let error = text_of(house.call(MINUTE).await.unwrap()).await.unwrap_err();
    assert_eq!(error.fault.kind, Kind::Transient);
    let waited = house.clock.now().since(started);
    assert!(waited >= Duration::from_secs(8) && waited < Duration::from_secs(12), "{waited:?}");
    assert_eq!(text_of(house.call(MINUTE).await.unwrap()).await.unwrap(), "Yes, up to $250,000.");
    let last_exit = house.worker.status().last_exit.unwrap();
    assert!(last_exit.contains("silent"), "{last_exit}");
}

#[tokio::test(start_paused = true)]
async fn pings_keep_an_idle_worker_alive() {
    let house = house(&[Script::Answers], |_| {});
    house.ready().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(house.worker.status().restarts, 0);
    let pings = house.received.lock().iter().filter(|frame| matches!(frame, Down::Ping)).count();
    assert!((140..=151).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_ending_stops_taking_calls() {
    let house = house(&[Script::TalksNonsense], |_| {});
    tokio::time::sleep(Duration::from_secs(30)).await;
    let State::Failed { reason } = house.worker.state() else { unreachable!("{:?}", house.worker.state()) };
    assert!(reason.contains("in a row") && reason.contains("nonsense"), "{reason}");
    assert_eq!(house.call(MINUTE).await.err().map(|error| error.fault.kind), Some(Kind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_worker_and_tells_everyone() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    house.ready().await;
    let mut running = house.call(MINUTE).await.unwrap();
    running.next().await.unwrap().unwrap();
    let waiting = house.call(MINUTE).await.unwrap();
    house.shutdown.cancel();
    for stream in [running, waiting] {
        assert_eq!(text_of(stream).await.unwrap_err().fault.kind, Kind::Unavailable);
    }
    house.tasks.close();
    house.tasks.wait().await;
    assert_eq!(house.worker.state(), State::Stopped);
    assert!(house.call(MINUTE).await.is_err());
}

#[tokio::test]
async fn a_program_that_is_not_there_or_no_worker_is_a_reason() {
    let itself = std::env::current_exe().unwrap();
    for (program, arguments, want) in [
        ("/nowhere/worker".into(), Vec::new(), ["could not be started", "not there"]),
        // This test program lists its tests on stdout and ends; either may be seen first.
        (itself, vec!["--list".into()], ["nonsense", "while loading it ended with exit code 0"]),
    ] {
        let command = WorkerCommand { program, arguments };
        let config = Config::new("tiny", "/models/tiny.gguf".into(), command);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let (supervisor, worker) = Supervisor::new(config, Arc::clone(&clock));
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(supervisor.run(shutdown.clone()));
        let error = worker.wait_ready(clock.now().after(MINUTE)).await.unwrap_err();
        assert!(want.iter().any(|want| error.reason.contains(want)), "{error}");
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

#[test]
fn waits_double_up_to_the_longest() {
    let waits: Vec<u128> =
        [1, 2, 3, 8, 9, 40].map(|losses| crate::supervisor::backoff(losses).as_millis()).to_vec();
    assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000]);
}
