//! Questions that say the same, and many that nearly do.

use super::*;

fn form(text: &str) -> String {
    let mut order = Order::default();
    said(text).iter().for_each(|word| order.add(word));
    order.finish().join(" ")
}

#[test]
fn ways_to_say_one_thing_have_one_form() {
    for (ways, want) in [
        (
            &[
                "Is my deposit insured by the FDIC?",
                "Does the FDIC insure my deposits?",
                "are deposits insured by the fdic",
            ][..],
            "fdic insur deposit",
        ),
        (
            &[
                "How do I dispute a charge on my card?",
                "How can I dispute a card charge?",
                "how to dispute a card charge",
                "I want to know how to dispute a charge on a card",
                "Could you please tell me how to dispute a card charge?",
            ],
            "how i disput card charg",
        ),
        (&["If the bank fails, am I insured?", "Am I insured if the bank fails?"], "i insur if bank fail"),
        (
            &["What is the limit on transfers of an account?", "What's the account transfer limit?"],
            "what account transfer limit",
        ),
        (
            &[
                "What tells a Roth and a traditional IRA apart?",
                "What tells a traditional and a Roth IRA apart?",
            ],
            "what tell roth tradit and ira apart",
        ),
        (
            &[
                "May I close my account?",
                "Am I able to close my account?",
                "Is it possible to close my account?",
            ],
            "can i close account",
        ),
    ] {
        for way in ways {
            assert_eq!(form(way), want, "{way}");
        }
    }
}

#[test]
fn the_same_in_other_words_is_the_same() {
    for (one, other) in [
        ("Is my deposit insured by the FDIC?", "Are my deposits insured by the FDIC?"),
        ("How do I dispute a charge on my card?", "how can i dispute a charge on my card"),
        ("Can I dispute a card charge after 30 days?", "After thirty days, can I dispute a card charge?"),
        ("What is the share of my spouse?", "What is my spouse's share?"),
        ("Which documents do I need for a mortgage?", "What documents do I need for a mortgage?"),
        ("Can a debt collector call me at work?", "May a debt collector call me at work?"),
        ("HOW DO I RESET MY PASSWORD?", "Could you please tell me how I can reset my password?"),
        ("Do my wife and I sign the form?", "Do I and my wife sign the form?"),
    ] {
        assert!(Form::of(one).is_same(&Form::of(other)), "{one} / {other}: {} / {}", form(one), form(other));
    }
}

#[test]
fn what_is_different_in_one_word_is_kept_apart() {
    for (one, other) in [
        ("Can I dispute a card charge after 30 days?", "Can I dispute a card charge after 60 days?"),
        ("Can I cancel my loan payment transfer?", "Can't I cancel my loan payment transfer?"),
        ("What is the maximum deposit by mobile check?", "What is the minimum deposit by mobile check?"),
        ("Is my account money insured by the FDIC?", "Is my account money insured by the NCUA?"),
        ("How long does a wire transfer abroad take?", "How much does a wire transfer abroad cost?"),
        ("Do I owe $500 on the stolen card?", "Do I owe 500 % on the stolen card?"),
        ("Is a $5 fee on a $100 deposit legal?", "Is a $100 fee on a $5 deposit legal?"),
        ("Is a deposit insured up to $250,000?", "Is a deposit insured up to 250,000 euros?"),
        // Who does what to whom, and whose it is.
        ("Can I move money from checking to savings?", "Can I move money from savings to checking?"),
        ("Can my wife use my debit card?", "Can I use my wife's debit card?"),
        ("Can the tenant sue the landlord?", "Can the tenant be sued by the landlord?"),
        ("Does the bank owe me money?", "Do I owe the bank money?"),
        ("Can I deposit my check with your bank?", "Can I deposit your check with my bank?"),
        ("Is the seller liable to pay his agent?", "Is the seller liable to pay her agent?"),
        ("Can I be sued for my parents debt?", "Can my parents be sued for my debt?"),
        ("Is the bank required to notify me?", "Am I required to notify the bank?"),
        // Small words.
        ("Can I roll my pension over into an IRA?", "Can I roll my pension over from an IRA?"),
        ("Is my payment due during the grace period?", "Is my payment due outside the grace period?"),
        ("Is there a charge for the banking app?", "Is there a charge in the banking app?"),
        ("Must I report a lost card?", "May I report a lost card?"),
        ("Was the tax deadline in May 2025 moved?", "Was the tax deadline in March 2025 moved?"),
        ("Should I freeze my credit report?", "Could I freeze my credit report?"),
        ("Are all my deposits at the bank insured?", "Are some of my deposits at the bank insured?"),
        ("Can only the holder drive the car?", "Can the holder drive only the car?"),
        ("Was the bank charge refunded?", "Will the bank charge be refunded?"),
        ("Are wire transfers reversible?", "Are wire transfers rarely reversible?"),
        ("Do I pay the buyer or the seller?", "Do I pay the buyer and the seller?"),
        ("Is US income taxable to me here?", "Is our income taxable to me here?"),
        // One says more.
        ("Can a bank close my account?", "Can a bank refuse to close my account?"),
        ("Can I cancel a wire transfer?", "Can I cancel a recurring wire transfer?"),
        // Other languages.
        ("Kann ich den Kredit kündigen?", "Kann ich den Kredit nicht kündigen?"),
        ("¿Puedo cerrar mi cuenta antes del plazo?", "¿Puedo cerrar mi cuenta después del plazo?"),
        ("my card", "my card"), // too little to go by
    ] {
        let (one_form, other_form) = (Form::of(one), Form::of(other));
        assert!(!one_form.is_same(&other_form), "{one} / {other}: {} / {}", form(one), form(other));
        assert!(!other_form.is_same(&one_form), "{other} / {one}");
    }
}

#[test]
fn long_questions_are_like_no_other() {
    let text = |n| format!("Is my deposit insured {}", "by the bank ".repeat(n));
    assert!(Form::of(&text(32)).is_same(&Form::of(&text(32))));
    assert!(!Form::of(&text(33)).is_same(&Form::of(&text(33))));
}

proptest::proptest! {
    /// But for words that say nothing, none gets lost, and none comes in.
    #[test]
    fn every_word_of_content_is_in_it(text in "([b-z]{5,9}( by | for | my | of |, | and | | to ){1}){0,9}[b-z]{5}") {
        let mut content = language::word::content_stems(&text);
        let mut ordered: Vec<String> = form(&text).split(' ').map(str::to_owned).collect();
        ordered.retain(|word| !is_stop_word(word) && !word.is_empty());
        content.sort();
        ordered.sort();
        proptest::prop_assert_eq!(ordered, content);
    }

    #[test]
    fn a_text_is_the_same_as_itself_and_nothing_panics(text in ".{0,60}") {
        let form = Form::of(&text);
        proptest::prop_assert_eq!(form.is_same(&form.clone()), form.is_comparable);
    }
}
