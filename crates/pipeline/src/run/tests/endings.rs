//! Each way a turn can end.

use domain::interaction::{GuardrailAction, Outcome};
use domain::model::Tier;
use domain::signal::step;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_grounded_answer_is_given_with_its_citation_and_every_step() {
    let house = House::saying(&[GOOD]);
    let reply = house.ask(QUESTION).await;
    let interaction = &reply.interaction;
    assert_eq!(reply.response, GOOD);
    assert_eq!(told(interaction), (Outcome::Answered, Some(Tier::Primary), "cloud/big"));
    assert_eq!(interaction.citations.len(), 1);
    assert_eq!((interaction.citations[0].n, interaction.citations[0].passage.text.as_str()), (1, PASSAGE));
    assert_eq!((interaction.attempt, interaction.attempts.len()), (1, 1));
    assert!(interaction.usage.output.0 > 0 && interaction.cost.amount().is_some_and(|cost| cost.0 > 0));
    let quality = interaction.quality.as_ref().expect("validated");
    assert_eq!((quality.score, quality.regenerations), (100, 0));
    assert!(interaction.intent.is_some());
    assert_eq!(
        step_names(interaction),
        [
            step::CAPTURE,
            step::GUARD_INPUT,
            step::RETRIEVE,
            step::INTENT,
            step::CLARITY,
            step::GENERATE,
            step::GUARD_OUTPUT,
            step::VALIDATE,
            step::QUALITY,
            step::RECORD
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn below_the_abstain_score_a_clear_question_is_declined_without_a_model() {
    let house = House::saying(&[GOOD]);
    house.retriever.set(finds(0.1));
    for reply in [house.ask(OFF_TOPIC).await, house.generate("general", OFF_TOPIC).await] {
        assert_eq!(told(&reply.interaction), (Outcome::Declined, None, "none"));
        assert!(reply.response.starts_with("I don't have that information."), "{}", reply.response);
        assert!(reply.response.contains("1-800-555-0100"), "{}", reply.response);
        assert!(reply.interaction.citations.is_empty());
        assert_eq!(reply.interaction.attempt, 0);
    }
    assert_eq!(house.n_calls(0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_says_it_cannot_know_declines_also_behind_a_stock_opening() {
    for refusal in [
        "I don't have that information.",
        "Sure, I can help with that! I don't have that information.",
        "The facts do not mention it. Deposits at an insured bank are covered up to $900,000.",
    ] {
        let house = House::saying(&[refusal]);
        house.retriever.set(finds(0.6));
        let reply = house.ask(QUESTION).await;
        assert_eq!(
            told(&reply.interaction),
            (Outcome::Declined, Some(Tier::Primary), "cloud/big"),
            "{refusal}"
        );
        assert!(reply.response.contains("1-800-555-0100"), "with contact, not in the model's words");
        assert!(reply.interaction.citations.is_empty());
        assert_eq!(house.n_calls(0), 1, "a refusal is an answer: it is not asked for again");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_search_is_sure_a_refusing_model_is_overruled_by_the_passage() {
    let house = House::saying(&["I don't have that information."]);
    house.retriever.set(finds(0.9));
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(Tier::Primary), "QUOTED_PASSAGE"));
    assert!(reply.response.ends_with(PASSAGE), "{}", reply.response);
    assert_eq!((house.n_calls(0), reply.interaction.citations.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_something_of_substance_only_limits_the_answer() {
    let text = format!("{GOOD} I don't have information on other countries.");
    let reply = House::saying(&[text.as_str()]).ask(QUESTION).await;
    assert_eq!((reply.interaction.outcome, reply.response), (Outcome::Answered, text));
}

#[tokio::test(start_paused = true)]
async fn a_vague_text_is_asked_back_twice_in_different_words_and_then_escalated() {
    let house = House::saying(&[GOOD]);
    house.retriever.set(finds(0.1));
    let mut replies = Vec::new();
    for text in ["the thing", "you know", "that"] {
        replies.push(house.run(in_session(house.turn(text), "ses_1")).await);
    }
    let outcomes: Vec<_> = replies.iter().map(|reply| reply.interaction.outcome).collect();
    assert_eq!(outcomes, [Outcome::Clarify, Outcome::Clarify, Outcome::Escalated]);
    assert_ne!(replies[0].response, replies[1].response);
    for reply in &replies[..2] {
        assert!(reply.response.contains("\n- Talk to a person"), "{}", reply.response);
        assert!(reply.response.matches("\n- ").count() >= 4, "two intents, something else, a person");
    }
    assert!(replies[2].interaction.case.is_some());
    assert_eq!(house.n_calls(0), 0);
    // The case closes the chain: the next vague text starts anew.
    let after = house.run(in_session(house.turn("hm"), "ses_1")).await;
    assert_eq!(after.interaction.outcome, Outcome::Clarify);
}

#[tokio::test(start_paused = true)]
async fn an_answered_turn_ends_a_row_of_clarifying_questions() {
    let house = House::saying(&[GOOD]);
    for (text, confidence, want) in [
        ("the thing", 0.1, Outcome::Clarify),
        (QUESTION, 0.9, Outcome::Answered),
        ("the thing", 0.1, Outcome::Clarify),
        ("that thing", 0.1, Outcome::Clarify),
    ] {
        house.retriever.set(finds(confidence));
        let reply = house.run(in_session(house.turn(text), "ses_1")).await;
        assert_eq!(reply.interaction.outcome, want, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_human_opens_a_case_and_quotes_only_what_is_sure() {
    for (confidence, n_citations) in [(0.9, 1), (0.1, 0)] {
        let house = House::saying(&[GOOD]);
        house.retriever.set(finds(confidence));
        let reply = house.ask("I want a human to look at my deposit").await;
        let case = reply.interaction.case.as_ref().expect("a case");
        assert_eq!(told(&reply.interaction), (Outcome::Escalated, None, "none"));
        assert!(case.as_str().starts_with("cas_") && reply.response.contains(case.as_str()));
        assert!(reply.response.contains("1-800-555-0100"));
        assert_eq!(reply.response.contains(PASSAGE), n_citations == 1);
        assert_eq!(reply.interaction.citations.len(), n_citations);
        assert_eq!(house.n_calls(0), 0, "without generation");
    }
}

#[tokio::test(start_paused = true)]
async fn generate_never_escalates_asks_back_or_detects_intents() {
    let house = House::saying(&[GOOD]);
    let reply = house.generate("general", "I want a human to look at my deposit").await;
    assert_eq!(reply.interaction.outcome, Outcome::Answered);
    assert!(reply.interaction.intent.is_none() && reply.interaction.session.is_none());
    assert!(!step_names(&reply.interaction).contains(&step::CLARITY));
    house.retriever.set(finds(0.1));
    assert_eq!(house.generate("general", "thing").await.interaction.outcome, Outcome::Declined);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_text_gets_the_policys_reply_and_reaches_nobody() {
    let house = House::saying(&[GOOD]);
    let turn =
        Turn { metadata: Some("{\"note\":\"hunter2\"}".to_owned()), ..house.turn("my password is hunter2") };
    let reply = house.run(turn).await;
    assert_eq!(told(&reply.interaction), (Outcome::Blocked, None, "none"));
    assert_eq!(reply.response, "Please leave secrets out.");
    assert_eq!(reply.interaction.guardrail.action, GuardrailAction::Blocked);
    assert_eq!(reply.interaction.guardrail.findings[0].rule, "secret");
    assert_eq!((house.n_calls(0), house.retriever.queries().len()), (0, 0));
    let recorded = &house.ledger.recorded()[0];
    assert!(recorded.interaction.question.is_none() && recorded.interaction.question_hash.is_none());
    assert!(recorded.interaction.metadata.is_none());
    assert!(!format!("{recorded:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_masked_text_is_masked_for_the_model_the_search_and_the_record() {
    let house = House::saying(&[GOOD]);
    let reply = house.ask("Is the deposit on acct-12345 insured, and up to what amount?").await;
    assert_eq!(reply.interaction.outcome, Outcome::Answered);
    assert_eq!(reply.interaction.guardrail.action, GuardrailAction::Masked);
    assert!(house.prompts(0)[0][1].text.contains("[removed: account]"));
    assert!(house.retriever.queries()[0].contains("[removed: account]"));
    assert!(!format!("{:?}", house.ledger.recorded()).contains("acct-12345"));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_answer_is_replaced_by_the_policys_reply() {
    let house = House::saying(&["The password is hunter2."]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Blocked, Some(Tier::Primary), "cloud/big"));
    assert_eq!(reply.response, "This was withheld.");
    assert_eq!(house.n_calls(0), 1);
    assert!(!format!("{:?}", house.ledger.recorded()).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn when_the_search_fails_nothing_is_claimed_from_memory() {
    for finds in [Finds::Failure, Finds::Nothing] {
        let house = House::saying(&[GOOD]);
        house.retriever.set(finds.clone());
        for reply in [house.ask(QUESTION).await, house.generate("general", QUESTION).await] {
            assert_eq!(
                told(&reply.interaction),
                (Outcome::Degraded, Some(Tier::Degraded), "DEGRADED_SERVICE")
            );
            assert!(reply.response.starts_with(STATIC));
            assert!(reply.interaction.latency < Duration::from_secs(60));
        }
        assert_eq!(house.n_calls(0), 0);
        // What needs no knowledge goes on.
        assert_eq!(house.ask("a human please").await.interaction.outcome, Outcome::Escalated);
        assert_eq!(
            house.generate("chat", "Say hello to my team.").await.interaction.outcome,
            Outcome::Answered
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_knowledge_is_not_judged_by_sources_but_by_form() {
    let house = House::saying(&["Our team has grown by 40 people since 2019."]);
    let reply = house.generate("chat", "Write a line on the growth of our team.").await;
    assert_eq!(reply.interaction.outcome, Outcome::Answered);
    assert!(reply.interaction.citations.is_empty());
    let house = House::saying(&["Dear [Your Name], our team has grown."]);
    let reply = house.generate("chat", "Write a line on the growth of our team.").await;
    assert_eq!(reply.interaction.outcome, Outcome::Degraded, "a placeholder is never shown");
    assert_eq!(house.n_calls(0), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_use_case_is_served_by_the_default_agent_or_refused_by_name() {
    let house = House::saying(&[GOOD]);
    let reply = house.generate("nothing", QUESTION).await;
    assert_eq!(reply.interaction.agent.to_string(), "general@1.0");

    let rungs = vec![(TierName::Primary, scripts(&[GOOD]))];
    let house = House::build(Plan { rungs, unknown_use_case: UnknownUseCase::Reject, ..Plan::default() });
    let turn = Turn { agent: Some(AgentName::from("nothing")), ..house.turn(QUESTION) };
    let error = refused(&house, turn).await;
    assert_eq!(
        error.to_string(),
        "there is no use case `nothing`; known are alike, cached, chat, general, kept, own, private"
    );
    assert!(house.ledger.recorded().is_empty());
}
