//! What is given again and what is not, who waits for whom, and how much is kept.

use std::future::pending;

use testkit::clock::ManualClock;

use super::*;
use crate::form::Form;
use crate::key::KeyMaker;

struct House {
    clock: ManualClock,
    answers: Arc<Answers<&'static str>>,
}

const MINUTE: Duration = Duration::from_secs(60);

fn house(config: &Config) -> House {
    let clock = ManualClock::new();
    let answers = Answers::new(config, Arc::new(clock.clone()));
    House { clock, answers }
}

fn key(text: &str) -> Key {
    KeyMaker::of("test").text("question", text).key()
}

fn keeping(bytes: usize) -> Keeping {
    Keeping { bytes, ttl: MINUTE, question: None }
}

fn question(within: &str, text: &str, vector: [f32; 2]) -> Question {
    Question { within: key(within), vector: Box::new(vector), form: Form::of(text), likeness_min: 0.9 }
}

impl House {
    async fn look(&self, text: &str) -> Looked<&'static str> {
        self.look_for(text, None).await
    }

    async fn look_for(&self, text: &str, question: Option<&Question>) -> Looked<&'static str> {
        let shelf = Shelf { key: key(text), question, holds: &|value| *value != "unfit" };
        self.answers.look(shelf, Box::pin(pending())).await
    }

    async fn lead(&self, text: &str) -> Lead<&'static str> {
        match self.look(text).await {
            Looked::Lead(lead) => lead,
            Looked::Given(given) => panic!("{text} is there: {given:?}"),
            Looked::Alone => panic!("{text} is not led"),
        }
    }
}

fn given(looked: Looked<&'static str>) -> Option<(&'static str, Came)> {
    match looked {
        Looked::Given(given) => Some((given.value, given.came)),
        Looked::Lead(_) | Looked::Alone => None,
    }
}

#[tokio::test]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let house = house(&Config::default());
    house.lead("a").await.keep("yes", keeping(3));
    house.clock.advance(MINUTE - Duration::from_secs(1));
    let Looked::Given(found) = house.look("a").await else { panic!("it is there") };
    assert_eq!((found.value, found.came, found.age), ("yes", Came::Hit, Duration::from_secs(59)));
    assert_eq!(given(house.look("b").await), None);
    house.clock.advance(Duration::from_secs(1));
    drop(house.lead("a").await);
    house.answers.renew(key("a")).keep("no", keeping(2));
    assert_eq!(given(house.look("a").await), Some(("no", Came::Hit)));
    house.answers.renew(key("a")).keep("maybe", keeping(2));
    assert_eq!(given(house.look("a").await), Some(("maybe", Came::Hit)));
}

#[tokio::test]
async fn many_who_ask_the_same_make_one_call() {
    let house = house(&Config::default());
    let lead = house.lead("a").await;
    let waiting = futures(&house, 99);
    while house.answers.read().waited < 99 {
        tokio::task::yield_now().await;
    }
    lead.keep("yes", keeping(3));
    for one in waiting {
        assert_eq!(one.await.expect("no panic"), Some(("yes", Came::Hit)));
    }
    assert_eq!(house.answers.flights.n_open(), 0);
}

/// So many who look for `a`; a leader among them answers "mine".
fn futures(house: &House, n: usize) -> Vec<tokio::task::JoinHandle<Option<(&'static str, Came)>>> {
    let one = || {
        let answers = Arc::clone(&house.answers);
        async move {
            let shelf = Shelf { key: key("a"), question: None, holds: &|_| true };
            match answers.look(shelf, Box::pin(pending())).await {
                Looked::Given(given) => Some((given.value, given.came)),
                Looked::Lead(lead) => {
                    lead.keep("mine", keeping(4));
                    Some(("led", Came::Miss))
                }
                Looked::Alone => None,
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a test awaits what it spawns")]
    (0..n).map(|_| tokio::spawn(one())).collect()
}

#[tokio::test]
async fn who_waits_does_not_fail_with_its_leader() {
    // One that failed, or has an answer for itself alone: all others ask for themselves.
    let house = house(&Config::default());
    let lead = house.lead("a").await;
    let waiting = futures(&house, 5);
    tokio::task::yield_now().await;
    lead.give_up();
    for one in waiting {
        assert_eq!(one.await.expect("no panic"), None);
    }
    // One that left: the first of the others leads, and those behind it get its answer.
    let lead = house.lead("a").await;
    let waiting = futures(&house, 5);
    tokio::task::yield_now().await;
    drop(lead);
    let mut came = Vec::new();
    for one in waiting {
        came.push(one.await.expect("no panic"));
    }
    came.sort_by_key(|came| came.map(|(text, _)| text));
    let hit = Some(("mine", Came::Hit));
    assert_eq!(came, [Some(("led", Came::Miss)), hit, hit, hit, hit]);
}

#[tokio::test]
async fn nobody_waits_longer_than_it_can() {
    let house = house(&Config::default());
    let _lead = house.lead("a").await;
    let shelf = Shelf { key: key("a"), question: None, holds: &|_| true };
    let patience = house.clock.sleep(MINUTE);
    let looking = house.answers.look(shelf, patience);
    let clock = house.clock.clone();
    let (looked, ()) = tokio::join!(looking, async move {
        tokio::task::yield_now().await;
        clock.advance(MINUTE);
    });
    assert!(matches!(looked, Looked::Alone));
}

#[tokio::test]
async fn a_question_like_another_gets_its_answer_where_nothing_tells_them_apart() {
    const ASKED: &str = "Is my deposit insured by the FDIC?";
    let house = house(&Config::default());
    let kept = |value| {
        let question = Some(question("tenant a", ASKED, [1.0, 0.0]));
        house.answers.renew(key("kept")).keep(value, Keeping { question, ..keeping(3) });
    };
    kept("yes");
    let near = [0.95, 0.312];
    for (within, text, vector, want) in [
        ("tenant a", "Are my deposits insured by the FDIC?", near, Some(("yes", Came::Semantic))),
        ("tenant b", "Are my deposits insured by the FDIC?", near, None),
        ("tenant a", "Are my deposits insured by the FDIC?", [0.8, 0.6], None),
        ("tenant a", "Are my deposits not insured by the FDIC?", near, None),
        ("tenant a", "Are my deposits insured by the NCUA?", near, None),
    ] {
        let question = question(within, text, vector);
        assert_eq!(given(house.look_for(text, Some(&question)).await), want, "{within}: {text}");
    }
    let again = question("tenant a", ASKED, [1.0, 0.0]);
    kept("unfit");
    assert_eq!(given(house.look_for("again", Some(&again)).await), None, "its answer does not fit");
    kept("yes");
    house.clock.advance(MINUTE);
    assert_eq!(given(house.look_for("again", Some(&again)).await), None, "its time is over");
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let config =
        Config { bytes_max: 1 << 20, entries_max: 100, entry_bytes_max: 100 << 10, questions_max: 10 };
    for (bytes, entries_max) in [(10, 100), (90 << 10, 11)] {
        let house = house(&config);
        for n in 0..1_000 {
            let question = Some(question("all", "Is my deposit insured by the FDIC?", [1.0, 0.0]));
            house.answers.renew(key(&n.to_string())).keep("x", Keeping { question, ..keeping(bytes) });
        }
        let reading = house.answers.read();
        assert!((1..=entries_max).contains(&reading.entries), "{reading:?}");
        assert!(reading.bytes <= config.bytes_max, "{reading:?}");
        assert_eq!(given(house.look("999").await), Some(("x", Came::Hit)), "the last one");
    }
    let house = house(&config);
    house.answers.renew(key("a")).keep("x", keeping((100 << 10) + 1));
    assert_eq!(given(house.look("a").await), None, "too large");
}
