//! Streams passed on: how the bytes are cut makes no difference, and what goes on are the bytes that came.
#![no_main]

use domain::chat::{Dialect, Done, Relayed};
use libfuzzer_sys::fuzz_target;
use wire::protocol::OwnDialect;
use wire::stream::{Progress, StreamError};

fn pass(
    own: &dyn OwnDialect,
    relayed: &Relayed,
    portions: &[&[u8]],
) -> (Vec<u8>, Option<Done>, Result<(), StreamError>) {
    let mut relay = own.portions(relayed);
    let (mut passed, mut done) = (Vec::new(), None);
    let mut ended = Ok(Progress::Silent);
    for portion in portions {
        ended = relay.push(portion);
        if let Some(out) = relay.give_out() {
            assert!(done.is_none(), "nothing follows the end");
            passed.extend_from_slice(&out.bytes);
            done = out.done;
        }
        if !matches!(ended, Ok(Progress::Silent | Progress::Answering | Progress::Ending)) {
            break;
        }
    }
    let ended = match ended {
        Ok(Progress::Ended) => Ok(()),
        Ok(_) => relay.end(),
        Err(error) => Err(error),
    };
    if let Some(out) = relay.give_out() {
        passed.extend_from_slice(&out.bytes);
        done = out.done;
    }
    assert_eq!(done.is_some(), ended.is_ok(), "an end for who was told everything");
    (passed, done, ended)
}

/// Requests for whose answers the bytes are taken: one of each dialect, and InvokeModel's of each maker.
fn asked() -> Vec<Relayed> {
    let mut asked = fuzz::relayed(br#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#);
    let makers: [&[u8]; 3] =
        [br#"{"anthropic_version":"x"}"#, br#"{"inputText":"x"}"#, br#"{"inferenceConfig":{}}"#];
    let invoked = makers.into_iter().flat_map(fuzz::relayed);
    asked.extend(invoked.filter(|relayed| relayed.dialect == Dialect::BedrockInvoke));
    asked
}

fuzz_target!(|bytes: &[u8]| {
    for relayed in asked() {
        fuzz::each_own_dialect(&relayed, |own, model| {
            if model == fuzz::MODELS[3] {
                return; // taken with every body, and understood by the body
            }
            let _ = own.whole(bytes);
            let (passed, done, ended) = pass(own, &relayed, &[bytes]);
            let cut = pass(own, &relayed, &fuzz::portions(bytes));
            assert_eq!((done, ended), (cut.1, cut.2));
            // Until a failure, the portions decide how much was given out.
            if ended.is_ok() {
                assert_eq!(passed, cut.0);
            }
            let n_same = passed.iter().zip(bytes).take_while(|(out, came)| out == came).count();
            assert!(passed.len() - n_same <= 64, "only the last frame may be ours");
        });
    }
});
