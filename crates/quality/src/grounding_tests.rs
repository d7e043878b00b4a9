//! What counts as said in a passage, and what as its opposite.

use super::*;

const INSURANCE: &str = "FDIC deposit insurance covers depositors of an insured bank, dollar for dollar, up to at \
    least $250,000 per depositor, per insured bank, for each account ownership category. It does not cover \
    stocks, bonds, mutual funds, crypto assets or the contents of safe deposit boxes, even if they were bought \
    at an insured bank.";
const CARD: &str = "If your credit card is used without your permission, you are not responsible for more than \
    $50 of the charges. If you report the loss before the card is used, federal law says you owe nothing.";
const RESCISSION: &str = "You may cancel a home equity loan until midnight of the third business day after \
    signing. The right does not apply to a loan that buys the home. To cancel, tell the lender in writing.";

#[test]
fn reworded_passages_are_support() {
    for (sentence, passage) in [
        ("Yes, up to $250,000 per depositor, per insured bank, per ownership category.", INSURANCE),
        (
            "Your deposits are protected up to $250,000 for each depositor at each insured institution.",
            INSURANCE,
        ),
        ("FDIC insurance does not cover stocks, bonds or mutual funds.", INSURANCE),
        ("Crypto assets are not insured by the FDIC.", INSURANCE),
        ("No, safe deposit box contents are not covered.", INSURANCE),
        ("You are not liable for more than $50 of unauthorized charges.", CARD),
        ("You owe nothing if you report the lost card before it is used.", CARD),
        ("You can cancel until midnight of the third business day after you sign.", RESCISSION),
        ("The right to cancel does not apply to a loan to purchase a home.", RESCISSION),
        ("Notify the lender in writing.", RESCISSION),
    ] {
        let support =
            Sources::new(&[passage], &["Is my deposit FDIC insured? What about my card and my home loan?"])
                .support(sentence);
        assert!(support.is_enough(), "{sentence}: {support:?}");
    }
}

#[test]
fn what_no_passage_says_is_not_support() {
    for (sentence, passage) in [
        ("The Federal Reserve prints money whenever inflation falls.", INSURANCE),
        ("You should invest in gold because prices always rise.", INSURANCE),
        ("Your credit score improves after every dispute with the merchant.", CARD),
        ("Mortgage brokers earn a commission from title companies.", RESCISSION),
    ] {
        let support = Sources::new(&[passage], &["Is my deposit insured?"]).support(sentence);
        assert!(!support.is_enough(), "{sentence}: {support:?}");
    }
}

#[test]
fn the_opposite_of_a_passage_is_a_contradiction() {
    for (sentence, passage) in [
        ("No, it is not FDIC insured.", INSURANCE),
        ("Your deposit at an insured bank is not covered.", INSURANCE),
        ("The deposit is uninsured.", INSURANCE),
        ("FDIC insurance covers mutual funds and stocks.", INSURANCE),
        ("The right applies to a loan that buys the home.", RESCISSION),
        ("You may not cancel a home equity loan.", RESCISSION),
    ] {
        let support = Sources::new(&[passage], &["Is it insured?"]).support(sentence);
        assert_eq!(support, Support::Contradicted, "{sentence}");
    }
}

#[test]
fn small_talk_claims_nothing() {
    for sentence in ["Yes.", "No.", "You can do that.", "1234", ""] {
        assert_eq!(Sources::new(&[CARD], &[]).support(sentence), Support::NoClaim, "{sentence}");
    }
    assert_eq!(Sources::new(&[], &[]).support("Anything goes here."), Support::NoClaim);
}
