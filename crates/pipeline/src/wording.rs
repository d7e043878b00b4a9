//! The sentences that Mainstay itself says, each in one place.

use domain::document::Passage;
use domain::id::CaseId;
use registry::texts::Contact;

/// "I don't have that information", with contact.
pub(crate) fn declined(contact: &Contact) -> String {
    format!("I don't have that information. {}", contact.sentence())
}

/// The passages themselves, when no generated answer held.
pub(crate) fn quoted(passages: &[&Passage]) -> String {
    titled(passages, "Here is what our information on \"", "\" says: ")
}

/// The passage after sentences that were already released.
pub(crate) fn closing_quote(passage: &Passage) -> String {
    format!(" Our information on \"{}\" says: {}", passage.title, passage.text)
}

/// A question back, with choices; never the same sentence twice in a row.
pub(crate) fn clarify(choices: &[&str], asked_before: u32) -> String {
    let opening = match (asked_before, choices) {
        (0, []) => "I want to be sure that I understand you. What is your question about?",
        (0, _) => "I want to be sure that I understand you. Is your question about one of these?",
        (_, []) => "I still cannot tell what you need. What would you like to do?",
        (_, _) => "I still cannot tell what you need. Which of these comes closest?",
    };
    let mut text = opening.to_owned();
    for choice in choices {
        text.push_str("\n- ");
        text.push_str(choice);
    }
    text.push_str("\n- Something else (please say it in a full sentence)\n- Talk to a person");
    text
}

/// The turn is handed to a person.
pub(crate) fn escalated(case: &CaseId, contact: &Contact, passages: &[&Passage]) -> String {
    let opening = format!("I am handing this to a person. Your case number is {case}; please keep it.");
    format!("{opening} {}{}", contact.sentence(), meanwhile(passages))
}

/// A person must take the turn, but no case could be opened: nobody is told of it but the customer.
pub(crate) fn escalated_without_case(contact: &Contact, passages: &[&Passage]) -> String {
    let opening = "This needs a person, and I cannot open a case at the moment: please contact us yourself.";
    format!("{opening} {}{}", contact.sentence(), meanwhile(passages))
}

fn meanwhile(passages: &[&Passage]) -> String {
    titled(passages, "\n\nWhat our information on \"", "\" says meanwhile: ")
}

/// The passages under their titles, the first one's between `before` and `behind`.
fn titled(passages: &[&Passage], before: &str, behind: &str) -> String {
    let mut text = String::new();
    let mut last_title = None;
    for passage in passages {
        match last_title {
            None => text.extend([before, &passage.title, behind]),
            Some(title) if title == passage.title => text.push_str("\n\n"),
            Some(_) => text.extend(["\n\nAnd on \"", &passage.title, "\": "]),
        }
        text.push_str(&passage.text);
        last_title = Some(passage.title.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::id::{ContentHash, DocumentId};

    use super::*;

    #[test]
    fn passages_are_quoted_under_their_titles() {
        let passage = |title: &str, text: &str| Passage {
            document: DocumentId::from("d"),
            version: ContentHash::from("v"),
            title: title.to_owned(),
            source: String::new(),
            as_of: String::new(),
            start: 0,
            end: text.len(),
            text: text.to_owned(),
            score: 1.0,
            sentences: Vec::new(),
        };
        let [fees, more, cards] =
            [passage("Fees", "One."), passage("Fees", "Two."), passage("Cards", "Three.")];
        for (passages, want) in [
            (vec![&fees], "Here is what our information on \"Fees\" says: One."),
            (vec![&fees, &more], "Here is what our information on \"Fees\" says: One.\n\nTwo."),
            (
                vec![&fees, &cards],
                "Here is what our information on \"Fees\" says: One.\n\nAnd on \"Cards\": Three.",
            ),
        ] {
            assert_eq!(quoted(&passages), want);
        }
    }
}
