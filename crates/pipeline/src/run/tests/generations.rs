//! What a model is asked, what is let through of its answer, and what follows when it does not hold.

use domain::document::NearSentence;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_foreign_number_is_generated_again_with_the_reason_at_the_prompts_end() {
    let house = House::saying(&[BAD, GOOD]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(reply.response, GOOD);
    assert_eq!(reply.interaction.quality.as_ref().expect("validated").regenerations, 1);
    assert_eq!((reply.interaction.attempt, reply.interaction.attempts.len()), (2, 2));
    let prompts = house.prompts(0);
    assert_eq!(prompts[0][0], prompts[1][0], "the system part never changes");
    let (first, second) = (prompts[0][1].text.as_str(), prompts[1][1].text.as_str());
    let added = second.strip_prefix(first).expect("the prompt's beginning stays byte for byte");
    assert!(first.contains(PASSAGE) && added.contains("$900,000"), "{added:?}");
}

#[tokio::test(start_paused = true)]
async fn after_two_regenerations_the_passage_is_quoted_and_one_on_the_embedded_tier() {
    for (rung, n_calls, tier) in
        [(TierName::Primary, 3, Tier::Primary), (TierName::Embedded, 2, Tier::Embedded)]
    {
        let house = House::new(vec![(rung, scripts(&[BAD]))]);
        let reply = house.ask(QUESTION).await;
        assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(tier), "QUOTED_PASSAGE"));
        assert!(reply.response.ends_with(PASSAGE) && !reply.response.contains("900,000"));
        assert_eq!(house.n_calls(0), n_calls);
        assert_eq!(usize::try_from(reply.interaction.attempt), Ok(n_calls));
        assert_eq!(reply.interaction.citations.len(), 1);
        let quality = reply.interaction.quality.expect("validated");
        assert_eq!(usize::try_from(quality.regenerations), Ok(n_calls - 1));
        let numbers = quality.checks.iter().find(|check| check.name == "numbers").expect("judged");
        assert!(!numbers.passed && numbers.reason.contains("$900,000"), "{numbers:?}");
        let reasons = house.prompts(0).last().expect("asked")[1].text.matches("\n- ").count();
        assert_eq!(reasons, 1, "the same reason is told once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_regeneration_asks_the_tier_that_answered_and_not_those_that_failed() {
    let fault = domain::fault::Fault::provider(domain::fault::Kind::Transient);
    let house = House::new(vec![
        (TierName::Primary, vec![Script::Refuse(fault)]),
        (TierName::Fallback, scripts(&[BAD, GOOD])),
    ]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(Tier::Fallback), "FALLBACK:other/small"));
    assert_eq!((house.n_calls(0), house.n_calls(1)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn when_the_model_fails_after_a_refused_draft_the_passage_is_quoted() {
    let fault = domain::fault::Fault::provider(domain::fault::Kind::RouteFatal);
    let house = House::new(vec![(TierName::Primary, vec![Script::text(BAD), Script::Refuse(fault)])]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(Tier::Primary), "QUOTED_PASSAGE"));
}

#[tokio::test(start_paused = true)]
async fn an_echo_of_the_question_is_no_answer() {
    let house = House::saying(&["Yes. A deposit is insured up to an amount.", GOOD]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(reply.response, GOOD);
    assert_eq!(reply.interaction.quality.expect("validated").regenerations, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_said_before_what_the_answer_rests_on() {
    let joint = "Joint accounts are insured separately.";
    let (limit_end, joint_start) = (GOOD.len(), GOOD.len() + 1);
    for (nearness, want) in [(0.7, format!("{GOOD} {joint}")), (0.5, joint.to_owned())] {
        let house = House::saying(&[joint]);
        let Finds::Passages(mut found) = finds(0.9) else { panic!("passages") };
        found.passages[0].sentences = vec![
            NearSentence { start: 0, end: limit_end, nearness },
            NearSentence { start: joint_start, end: joint_start + joint.len(), nearness: 0.5 },
        ];
        house.retriever.set(Finds::Passages(found));
        let reply = house.ask(QUESTION).await;
        assert_eq!(reply.response, want, "{nearness}");
        let [citation] = reply.interaction.citations.as_slice() else { panic!("one passage") };
        assert!(citation.passage.sentences.is_empty(), "citations keep no nearness");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_generated_again_that_would_come_too_late() {
    let slow = |text: &str| {
        Script::Steps(vec![
            Step::Wait(Duration::from_secs(4)),
            Step::Delta(text.to_owned()),
            Step::Done(Finish::Stop, None),
        ])
    };
    for (deadline_s, n_calls) in [(7, 1), (9, 2)] {
        let house = House::new(vec![(TierName::Primary, vec![slow(BAD)])]);
        let deadline = house.clock.now().after(Duration::from_secs(deadline_s));
        let reply = house.run(Turn { deadline, ..house.turn(QUESTION) }).await;
        assert_eq!(reply.interaction.model_used.as_deref(), Some("QUOTED_PASSAGE"));
        assert_eq!(house.n_calls(0), n_calls, "{deadline_s} s");
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_of_the_question_contact_and_disclaimers_may_be_used() {
    for extra in [
        " Call us at 1-800-555-0100.",
        " You can reach us from 8am to 6pm.",
        " Coverage is described in 12 CFR 330.",
    ] {
        let text = format!("{GOOD}{extra}");
        let reply = House::saying(&[text.as_str()]).ask(QUESTION).await;
        assert_eq!(reply.response, text);
    }
    let answer =
        "Your deposit of $70,000 is covered, as deposits at an insured bank are covered up to $250,000.";
    let reply = House::saying(&[answer]).ask("Is my deposit of $70,000 at your bank insured?").await;
    assert_eq!(reply.response, answer);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_at_its_limit_ends_at_its_last_whole_sentence() {
    let text = format!("{GOOD}{ALSO_GOOD} The limit is set");
    let house = House::new(vec![(TierName::Primary, vec![cut(&text, Finish::Length)])]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(reply.response, format!("{GOOD}{ALSO_GOOD}"));
    assert_eq!((reply.interaction.outcome, house.n_calls(0)), (Outcome::Answered, 1));
    // Without a whole sentence there is no answer yet.
    for started in ["Deposits at an insured bank are", "Sure, I can help with that! Deposits at"] {
        let script = vec![cut(started, Finish::Length), Script::text(GOOD)];
        let house = House::new(vec![(TierName::Primary, script)]);
        assert_eq!(house.ask(QUESTION).await.response, GOOD, "{started}");
        assert_eq!(house.n_calls(0), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_only_an_opening_is_generated_again() {
    let house = House::saying(&["Sure, I can help with that!", GOOD]);
    assert_eq!(house.ask(QUESTION).await.response, GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_bare_yes_is_no_answer_and_not_said_before_one() {
    let house = House::saying(&["Yes.", &format!("No, it does not. {GOOD}")]);
    assert_eq!(house.ask(QUESTION).await.response, GOOD);
    assert_eq!(house.n_calls(0), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_by_the_providers_filter_is_generated_again() {
    let content = domain::fault::Fault::provider(domain::fault::Kind::Content);
    let broken = Script::Steps(vec![Step::Delta(format!("{GOOD} And")), Step::Fail(content)]);
    for filtered in [cut(&format!("{GOOD} And"), Finish::ContentFilter), broken] {
        let house = House::new(vec![(TierName::Primary, vec![filtered, Script::text(GOOD)])]);
        assert_eq!(house.ask(QUESTION).await.response, GOOD);
        assert_eq!(house.n_calls(0), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_follow_up_is_understood_with_the_question_before_it() {
    let house = House::saying(&[GOOD, "Joint accounts are insured separately."]);
    house.run(in_session(house.turn(QUESTION), "ses_1")).await;
    let reply = house.run(in_session(house.turn("And joint accounts?"), "ses_1")).await;
    assert_eq!(reply.interaction.outcome, Outcome::Answered);
    assert_eq!(house.retriever.queries()[1], format!("{QUESTION} And joint accounts?"));
    assert!(house.prompts(0)[1][1].text.contains(&format!("Earlier: {QUESTION}")));
    // A question that stands on its own is looked for alone.
    house.run(in_session(house.turn("Which wire transfer fees does your bank charge?"), "ses_1")).await;
    assert_eq!(house.retriever.queries()[2], "Which wire transfer fees does your bank charge?");
}

#[tokio::test(start_paused = true)]
async fn the_callers_parameters_reach_the_model() {
    let house = House::saying(&[GOOD]);
    let turn =
        Turn { door: Door::Generate, max_tokens: Some(33), temperature: Some(0.5), ..house.turn(QUESTION) };
    house.run(turn).await;
    let request = house.models[0].calls()[0].request.clone();
    assert_eq!((request.parameters.max_tokens, request.parameters.temperature), (33, 0.5));
}
