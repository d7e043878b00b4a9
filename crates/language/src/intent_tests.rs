//! Rules of the intent model, on examples made here.

use super::*;

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for (intent, subjects) in [
        ("card", ["card", "debit card", "visa card", "plastic"]),
        ("loan", ["loan", "mortgage", "home credit", "borrowing"]),
        ("deposit", ["deposit", "savings account", "saved money", "certificate"]),
    ] {
        for subject in subjects {
            for frame in [
                "tell me about my {}",
                "I have a question on the {}",
                "how does a {} work?",
                "{} help",
                "what of the {} I have",
            ] {
                examples.push(Example { text: frame.replace("{}", subject), intent: intent.to_owned() });
            }
        }
    }
    examples
}

#[test]
fn the_intent_of_a_new_wording_is_found() {
    let model = Model::train(&examples(), &Settings::default()).expect("trains");
    for (text, want) in
        [("my debit cards are gone", "card"), ("a mortgage, please", "loan"), ("Saving account?", "deposit")]
    {
        let scored = model.predict(text);
        assert_eq!(scored[0].intent, want, "{text}: {scored:?}");
        assert!(scored.is_sorted_by(|a, b| a.probability >= b.probability));
        assert!((scored.iter().map(|s| s.probability).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}

#[test]
fn training_twice_gives_the_same_model() {
    let [one, other] = [(); 2].map(|()| Model::train(&examples(), &Settings::default()).expect("trains"));
    assert_eq!(one.predict("some card or loan"), other.predict("some card or loan"));
    assert_eq!(one.calibration(), other.calibration());
}

#[test]
fn calibration_is_measured_on_examples_of_every_intent() {
    let model = Model::train(&examples(), &Settings::default()).expect("trains");
    let calibration = model.calibration();
    assert_eq!(calibration.n, 12);
    assert!(calibration.accuracy >= 0.9, "{calibration:?}");
    assert!(calibration.ece <= 0.2, "{calibration:?}");
}

#[test]
fn a_text_of_unknown_words_is_surely_nothing() {
    let model = Model::train(&examples(), &Settings::default()).expect("trains");
    for text in ["", "   ", "☃☃☃", "xyzzy"] {
        let scored = model.predict(text);
        assert_eq!(scored.len(), 3);
        assert!(scored[0].probability < 0.6, "{text:?}: {scored:?}");
    }
}

#[test]
fn examples_that_hold_no_choice_are_refused() {
    let example = |text: &str, intent: &str| Example { text: text.to_owned(), intent: intent.to_owned() };
    let train = |examples: &[Example]| Model::train(examples, &Settings::default()).map(|_| ());
    assert_eq!(train(&[]), Err(TrainError::TooFewIntents { found: 0 }));
    assert_eq!(train(&[example("a", "x")]), Err(TrainError::TooFewIntents { found: 1 }));
    assert_eq!(
        train(&[example("a", "x"), example(" ", "y")]),
        Err(TrainError::EmptyExample { index: 1, intent: "y".to_owned() })
    );
    assert_eq!(train(&[example("a", "x"), example("b", "y")]), Ok(()));
}
