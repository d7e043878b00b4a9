//! Calls of a worker that runs: their order, their queue, their deadlines and how they are given up.

use domain::chat::ChatChunk;
use domain::fault::Kind;
use futures_util::StreamExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn calls_wait_for_loading_and_are_answered_one_after_the_other() {
    let house = house(&[Script::Answers], |_| {});
    let first = house.call(MINUTE).await.unwrap();
    let second = house.call(MINUTE).await.unwrap();
    assert_eq!(text_of(second).await.unwrap(), "Yes, up to $250,000.");
    assert_eq!(text_of(first).await.unwrap(), "Yes, up to $250,000.");
    assert_eq!(house.worker.state(), State::Ready);
    let ids: Vec<u64> = house
        .received
        .lock()
        .iter()
        .filter_map(|frame| if let Down::Generate(call) = frame { Some(call.id) } else { None })
        .collect();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_cancelled_and_the_next_call_starts() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    let mut first = house.call(MINUTE).await.unwrap();
    assert_eq!(first.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    let mut second = house.call(MINUTE).await.unwrap();
    assert_eq!(house.worker.status().n_answering, 1);
    assert_eq!(house.worker.status().n_waiting, 1);
    drop(first);
    assert_eq!(second.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    assert!(house.received.lock().contains(&Down::Cancel { id: 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_waiting_never_reaches_the_worker() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    let mut first = house.call(MINUTE).await.unwrap();
    first.next().await.unwrap().unwrap();
    drop(house.call(MINUTE).await.unwrap());
    let mut third = house.call(MINUTE).await.unwrap();
    drop(first);
    third.next().await.unwrap().unwrap();
    let n = house.received.lock().iter().filter(|frame| matches!(frame, Down::Generate(_))).count();
    assert_eq!(n, 2);
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_answered_at_once_and_the_next_waits_for_one_of_them() {
    let house = house(&[Script::Endless], |config| config.parallel = 3);
    house.ready().await;
    let mut running = Vec::new();
    for _ in 0..3 {
        let mut stream = house.call(MINUTE).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
        running.push(stream);
    }
    let mut fourth = house.call(Duration::from_secs(30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = house.worker.status();
    assert_eq!((status.n_answering, status.n_waiting), (3, 1));
    drop(running.remove(1));
    assert_eq!(fourth.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    assert!(house.received.lock().contains(&Down::Cancel { id: 2 }));
    let error = fourth.next().await.unwrap().unwrap_err();
    assert_eq!(error.error.fault.kind, Kind::Timeout, "its own deadline");
    assert_eq!(house.worker.status().n_answering, 2, "which ended no other");
    assert!(house.received.lock().contains(&Down::Cancel { id: 4 }));
    assert!(!house.received.lock().contains(&Down::Cancel { id: 1 }));
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_leave_at_their_deadline_and_running_ones_are_cancelled() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    house.ready().await;
    let running = house.call(Duration::from_secs(9)).await.unwrap();
    let waiting = house.call(Duration::from_secs(3)).await.unwrap();
    let started = house.clock.now();
    for (stream, seconds) in [(waiting, 3), (running, 9)] {
        let error = text_of(stream).await.unwrap_err();
        assert_eq!(error.fault.kind, Kind::Timeout);
        let waited = house.clock.now().since(started).as_secs_f32();
        assert!((waited - seconds as f32).abs() < 0.1, "{waited} s");
    }
    assert_eq!(house.worker.status().n_waiting, 0);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(house.received.lock().contains(&Down::Cancel { id: 1 }));
    assert!(!house.received.lock().contains(&Down::Cancel { id: 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_unless_some_of_it_was_given_up() {
    let house = house(&[Script::Endless], |config| (config.parallel, config.waiting_max) = (1, 2));
    house.ready().await;
    let mut running = house.call(MINUTE).await.unwrap();
    running.next().await.unwrap().unwrap();
    let first = house.call(MINUTE).await.unwrap();
    let _second = house.call(MINUTE).await.unwrap();
    let refused = house.call(MINUTE).await.err().expect("the queue is full");
    assert_eq!(refused.fault.kind, Kind::Unavailable);
    drop(first);
    assert!(house.call(MINUTE).await.is_ok());
}
