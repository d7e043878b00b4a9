//! The sentences that Mainstay itself says, each in one place.

use domain::document::Passage;
use domain::id::CaseId;
use registry::texts::Contact;

/// "I don't have that information", with contact.
pub(crate) fn declined(contact: &Contact) -> String {
    format!("I don't have that information. {}", contact.sentence())
}

/// The passage itself, when no generated answer held.
pub(crate) fn quoted(passage: &Passage) -> String {
    format!("Here is what our information on \"{}\" says: {}", passage.title, passage.text)
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
pub(crate) fn escalated(case: &CaseId, contact: &Contact, passage: Option<&Passage>) -> String {
    let opening = format!("I am handing this to a person. Your case number is {case}; please keep it.");
    format!("{opening} {}{}", contact.sentence(), meanwhile(passage))
}

/// A person must take the turn, but no case could be opened: nobody is told of it but the customer.
pub(crate) fn escalated_without_case(contact: &Contact, passage: Option<&Passage>) -> String {
    let opening = "This needs a person, and I cannot open a case at the moment: please contact us yourself.";
    format!("{opening} {}{}", contact.sentence(), meanwhile(passage))
}

fn meanwhile(passage: Option<&Passage>) -> String {
    passage.map_or_else(String::new, |passage| {
        format!("\n\nWhat our information on \"{}\" says meanwhile: {}", passage.title, passage.text)
    })
}
