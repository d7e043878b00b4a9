//! The format against itself: what is written is read back, and whatever comes is survived.

use std::time::Duration;

use bytes::BytesMut;
use domain::conversation::{
    Block, CacheTime, Delta, Ending, Event, Format, Json, Media, Part, Sampling, Speaker, Thinking, Tool,
    ToolChoice, Turn, Which,
};
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;

use super::*;
use crate::relay::tests as relay;

fn about() -> About {
    About { id: "0f".repeat(16), created: 7, model: "claude".to_owned(), took: Duration::ZERO }
}

/// As `answer` is read again: with our id and model, refusals as text.
fn as_written(answer: &Answer) -> Answer {
    let about = about();
    let mut written = Answer { id: format!("msg_{}", about.id), model: about.model, ..answer.clone() };
    for part in &mut written.parts {
        match part {
            Part::Refusal(said) => {
                written.ending.finish = Finish::ContentFilter;
                *part = text(said);
            }
            Part::Call { arguments, .. } if arguments.is_empty() => "{}".clone_into(arguments),
            _ => {}
        }
    }
    if written.ending.finish == Finish::Stop && written.ending.stop.is_some() {
        written.ending.finish = Finish::StopText;
    }
    written
}

fn calls_without_arguments(answer: Answer) -> Answer {
    let parts = answer.parts.into_iter().map(|part| match part {
        Part::Call { id, name, arguments } if arguments.is_empty() => {
            Part::Call { id, name, arguments: "{}".to_owned() }
        }
        other => other,
    });
    Answer { parts: parts.collect(), ..answer }
}

fn usages() -> BoxedStrategy<Usage> {
    [0_u32..1000, 0..1000, 0..1000, 0..1000, 0..1000, 0..1000]
        .prop_map(|[fresh, read, written, hour, output, thought]| Usage {
            input: TokenCount(fresh + read + written),
            output: TokenCount(output),
            cached_input: TokenCount(read),
            cache_write_input: TokenCount(written),
            cache_write_hour_input: TokenCount(hour.min(written)),
            reasoning_output: TokenCount(thought.min(output)),
        })
        .boxed()
}

fn spoken() -> BoxedStrategy<Part> {
    prop_oneof![
        "\\PC{0,11}[a-z]".prop_map(Part::Text),
        ("\\PC{1,12}", proptest::option::of("[a-z=]{1,9}"))
            .prop_map(|(text, proof)| Part::Thought { text, proof }),
        "[a-zA-Z=]{1,9}".prop_map(Part::SealedThought),
        "\\PC{1,12}".prop_map(Part::Refusal),
        (
            "[a-z_]{1,9}",
            "[a-z]{1,9}",
            prop_oneof![Just(String::new()), Just(r#"{"a": [1.50, "\n"]}"#.to_owned())]
        )
            .prop_map(|(id, name, arguments)| Part::Call { id, name, arguments }),
    ]
    .boxed()
}

prop_compose! {
    fn answers()(
        parts in proptest::collection::vec(spoken(), 1..5),
        finish in prop_oneof![
            Just(Finish::Stop), Just(Finish::StopText), Just(Finish::ToolUse), Just(Finish::Length), Just(Finish::ContentFilter)
        ],
        stop in proptest::option::of("[A-Z]{1,4}"),
        usage in usages(),
    ) -> Answer {
        Answer { id: "x".to_owned(), model: "y".to_owned(), parts, ending: Ending { finish, stop, usage: Some(usage) } }
    }
}

/// The events that tell `answer`.
fn telling(answer: &Answer) -> Vec<Event> {
    let mut events = vec![Event::Begun { id: "x".to_owned(), model: "y".to_owned(), usage: None }];
    for (index, part) in (0..).zip(answer.parts.clone()) {
        let (block, deltas) = match part {
            Part::Text(text) => (Block::Text, vec![Delta::Text(text)]),
            Part::Refusal(text) => (Block::Refusal, vec![Delta::Text(text)]),
            Part::Thought { text, proof } => {
                (Block::Thought, [Delta::Text(text)].into_iter().chain(proof.map(Delta::Proof)).collect())
            }
            Part::SealedThought(data) => (Block::SealedThought(data), Vec::new()),
            Part::Call { id, name, arguments } => {
                (Block::Call { id, name }, vec![Delta::Arguments(arguments)])
            }
            other => panic!("{other:?}"),
        };
        events.push(Event::Opened { index, block });
        events.extend(deltas.into_iter().map(|delta| Event::Delta { index, delta }));
        events.push(Event::Closed { index });
    }
    events.push(Event::Ended(answer.ending.clone()));
    events
}

fn cached(part: impl Strategy<Value = Part> + 'static) -> BoxedStrategy<Vec<Part>> {
    let time = prop_oneof![Just(CacheTime::Usual), Just(CacheTime::FiveMinutes), Just(CacheTime::Hour)];
    (part, proptest::option::of(time))
        .prop_map(|(part, time)| {
            let is_thought = matches!(part, Part::Thought { .. } | Part::SealedThought(_));
            let point = time.filter(|_| !is_thought).map(Part::CachePoint);
            [part].into_iter().chain(point).collect()
        })
        .boxed()
}

fn several(part: impl Strategy<Value = Part> + 'static) -> BoxedStrategy<Vec<Part>> {
    proptest::collection::vec(cached(part), 1..4).prop_map(|parts| parts.concat()).boxed()
}

fn texts() -> BoxedStrategy<Part> {
    "\\PC{0,11}[a-z]".prop_map(Part::Text).boxed()
}

fn shown() -> BoxedStrategy<Part> {
    let media = |kind: &'static str| {
        prop_oneof![
            Just(Media::Inline { kind: kind.to_owned(), base64: "AAAA".into() }),
            "[a-z]{1,9}".prop_map(|path| Media::Url(format!("https://example.com/{path}"))),
            "[a-z]{1,9}".prop_map(Media::Stored),
        ]
    };
    prop_oneof![
        texts(),
        media("image/webp").prop_map(|media| Part::Image { media, detail: None }),
        (prop_oneof![media("application/pdf"), media("text/plain")], proptest::option::of("[a-z]{1,9}"))
            .prop_map(|(media, name)| Part::Document { media, name }),
    ]
    .boxed()
}

fn user_parts() -> BoxedStrategy<Vec<Part>> {
    let result = ("[a-z_]{1,9}", several(shown()), any::<bool>())
        .prop_map(|(id, parts, is_error)| Part::Result { id, parts, is_error });
    several(prop_oneof![shown(), result])
}

fn assistant_parts() -> BoxedStrategy<Vec<Part>> {
    several(prop_oneof![
        texts(),
        ("\\PC{1,12}", "[a-z=]{1,9}").prop_map(|(text, proof)| Part::Thought { text, proof: Some(proof) }),
        "[a-zA-Z=]{1,9}".prop_map(Part::SealedThought),
        ("[a-z_]{1,9}", "[a-z]{1,9}").prop_map(|(id, name)| Part::Call {
            id,
            name,
            arguments: r#"{"a": [1.50, "\n"]}"#.to_owned()
        }),
    ])
    .boxed()
}

fn tools() -> BoxedStrategy<Vec<Tool>> {
    let schema = Just(Some(Json::checked(r#"{"type": "object", "z": 1, "a": 2.50}"#)));
    let tool = ("[a-z]{1,9}", proptest::option::of("\\PC{0,9}"), schema, any::<Option<bool>>()).prop_map(
        |(name, description, schema, strict)| Tool { name, description, schema, strict, cache: None },
    );
    proptest::collection::vec(tool, 0..3).boxed()
}

fn choices() -> BoxedStrategy<ToolChoice> {
    let which = prop_oneof![Just(Which::Auto), Just(Which::Any), "[a-z]{1,9}".prop_map(Which::This)];
    prop_oneof![
        Just(ToolChoice::default()),
        Just(ToolChoice { which: Which::Never, parallel: None }),
        (which, any::<Option<bool>>()).prop_map(|(which, parallel)| ToolChoice { which, parallel }),
    ]
    .boxed()
}

prop_compose! {
    fn samplings()(
        max_tokens in 1_u32..100_000,
        temperature in proptest::option::of(0.0..=1.0_f64),
        top_p in proptest::option::of(0.0..=1.0_f64),
        top_k in any::<Option<u32>>(),
        stop in proptest::collection::vec("\\PC{1,5}", 0..3),
    ) -> Sampling {
        Sampling { max_tokens: Some(max_tokens), temperature, top_p, top_k, stop, ..Sampling::default() }
    }
}

fn thinkings() -> BoxedStrategy<Thinking> {
    prop_oneof![
        Just(Thinking::Unsaid),
        Just(Thinking::Off),
        Just(Thinking::Adaptive),
        "(low|medium|high|xhigh|max)".prop_map(Thinking::Effort),
        any::<u32>().prop_map(Thinking::Tokens),
    ]
    .boxed()
}

fn formats() -> BoxedStrategy<Format> {
    let schema = Format::Schema {
        name: "answer".to_owned(),
        description: None,
        schema: Json::checked(r#"{"type": "object", "b": 1.0}"#),
        strict: Some(true),
    };
    prop_oneof![Just(Format::Text), Just(schema)].boxed()
}

prop_compose! {
    fn conversations()(
        instructions in prop_oneof![Just(Vec::new()), several(texts())],
        pairs in proptest::collection::vec((user_parts(), assistant_parts()), 0..3),
        last in user_parts(),
        system in proptest::option::of(several(texts())),
        tools in tools(),
        choice in choices(),
        format in formats(),
        sampling in samplings(),
        thinking in thinkings(),
        user in proptest::option::of("\\PC{0,9}"),
    ) -> Conversation {
        let mut turns: Vec<Turn> = pairs.into_iter().flat_map(|(asked, said)| {
            [Turn { by: Speaker::User, parts: asked }, Turn { by: Speaker::Assistant, parts: said }]
        }).collect();
        turns.push(Turn { by: Speaker::User, parts: last });
        let (mut sampling, mut thinking) = (sampling, thinking);
        if let Some(parts) = system {
            turns.push(Turn { by: Speaker::System, parts });
            // Models that take it sample as they like.
            (sampling.temperature, sampling.top_p, sampling.top_k) = (None, None, None);
            if matches!(thinking, Thinking::Tokens(_)) {
                thinking = Thinking::Adaptive;
            }
        }
        // Without tools there is nothing to choose.
        let choice = if tools.is_empty() { ToolChoice::default() } else { choice };
        Conversation { instructions, turns, tools, choice, format, sampling, thinking, user }
    }
}

proptest! {
    #[test]
    fn a_request_survives_the_way_there_and_back(conversation in conversations()) {
        let written = write(&conversation, Delivery::Whole);
        prop_assert_eq!(read(&written), Ok(conversation));
    }

    #[test]
    fn a_whole_answer_that_is_written_is_read_back(answer in answers()) {
        let body = Face::answer(&Messages, &about(), &answer, &relayed(b"{}"));
        let mut want = as_written(&answer);
        // What has no proof comes back as a thought without one.
        let read = answer::read(&body).expect("readable");
        prop_assert_eq!(&read, &want);
        want.ending.stop = None;
        let done = Messages.whole(&body).expect("whole");
        prop_assert_eq!((done.finish, done.usage), (want.ending.finish, want.ending.usage));
    }

    #[test]
    fn a_stream_that_is_written_is_read_back(answer in answers(), cuts in proptest::collection::vec(any::<usize>(), 0..9)) {
        let mut frames = BytesMut::new();
        let mut writer = Messages.writer(about(), &relayed(b"{}"));
        for event in telling(&answer) {
            writer.write(&event, &mut frames);
        }
        let (events, ended) = events(&relay::portions(&frames, cuts.clone()));
        prop_assert_eq!(ended, Ok(()));
        prop_assert_eq!(calls_without_arguments(told::answer(&events)), as_written(&answer));
        let mut portions = Messages.portions(&relayed(b"{}"));
        for portion in relay::portions(&frames, cuts.clone()) {
            prop_assert!(portions.push(portion).is_ok());
        }
        prop_assert_eq!(portions.give_out().map(|portion| portion.bytes), Some(frames.freeze()));
    }

    #[test]
    fn portions_make_no_difference(cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
        for body in [STREAM, STREAM_THINKING, ANSWER] {
            prop_assert_eq!(events(&relay::portions(body, cuts.clone())), events(&[body]));
        }
    }

    #[test]
    fn a_cut_anywhere_is_never_a_clean_end(at in any::<usize>()) {
        for body in [STREAM, STREAM_THINKING] {
            let reason = b"\"stop_reason\":\"";
            let end = body.windows(reason.len()).position(|window| window == reason).expect("in the file");
            prop_assert!(events(&[&body[..at % end]]).1.is_err());
        }
        prop_assert!(events(&[&ANSWER[..at % (ANSWER.len() - 2)]]).1.is_err());
        prop_assert!(answer::read(&ANSWER[..at % (ANSWER.len() - 2)]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[\\[\\]{}\":,a-z0-9 ]{0,60}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = (read(bytes), answer::read(bytes), Messages.whole(bytes), events(&[bytes]));
            let _ = events(&[b"data: ", bytes, b"\n\n"]);
            let _ = failure::words(400, bytes, &str::to_owned);
        }
    }
}
