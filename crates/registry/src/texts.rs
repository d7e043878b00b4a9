//! Contact, disclaimers and the static answer of each agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::folder::Folder;
use crate::problem::Problem;

/// `contact.toml`: how a person is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Name of the institution.
    pub name: String,
    /// Phone number.
    pub phone: String,
    /// Web address.
    pub web: String,
    /// Mail address.
    pub email: String,
    /// When people answer.
    pub hours: String,
}

impl Contact {
    /// The block that ends static answers.
    #[must_use]
    pub fn block(&self) -> String {
        format!("Phone: {} ({})\nWeb: {}\nEmail: {}", self.phone, self.hours, self.web, self.email)
    }

    /// One sentence naming all three ways.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "You can reach {} at {} ({}), at {} or by writing to {}.",
            self.name, self.phone, self.hours, self.web, self.email
        )
    }
}

/// `disclaimers.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclaimers {
    /// The texts by name.
    pub texts: BTreeMap<String, String>,
    /// Product class → names of texts. An agent without product classes carries all texts.
    #[serde(default)]
    pub classes: BTreeMap<String, Vec<String>>,
}

/// The file with the contact.
pub const CONTACT_FILE: &str = "contact.toml";
/// The file with the disclaimers.
pub const DISCLAIMERS_FILE: &str = "disclaimers.toml";

impl Disclaimers {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// A [`Problem`] when a class names a text that does not exist.
    pub fn read(folder: &Folder) -> Result<Self, Problem> {
        let disclaimers: Self = folder.toml(DISCLAIMERS_FILE)?;
        for (class, names) in &disclaimers.classes {
            if let Some(name) = names.iter().find(|name| !disclaimers.texts.contains_key(*name)) {
                let text = folder.text(DISCLAIMERS_FILE)?;
                let offset = text.find(&format!("\"{name}\"")).unwrap_or(0);
                let reason = format!("class `{class}` names the text `{name}`, which is not in [texts]");
                return Err(Problem::at(DISCLAIMERS_FILE, text, offset, reason));
            }
        }
        Ok(disclaimers)
    }

    /// The texts for `product_classes`, each once, in the order of their names; all when there are no classes.
    ///
    /// # Errors
    /// The first class that does not exist.
    pub fn for_classes<'a>(&'a self, product_classes: &'a [String]) -> Result<Vec<&'a str>, &'a str> {
        if product_classes.is_empty() {
            return Ok(self.texts.values().map(String::as_str).collect());
        }
        let mut names = std::collections::BTreeSet::new();
        for class in product_classes {
            names.extend(self.classes.get(class).ok_or(class.as_str())?);
        }
        Ok(names.into_iter().filter_map(|name| self.texts.get(name)).map(String::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> Folder {
        let mut folder = Folder::default();
        folder.insert(DISCLAIMERS_FILE, text.as_bytes());
        folder
    }

    const TEXTS: &str = "[texts]\nfdic = \"Member FDIC.\"\nadvice = \"Not advice.\"\n";

    #[test]
    fn no_class_means_every_disclaimer() {
        let disclaimers =
            Disclaimers::read(&folder(&format!("{TEXTS}[classes]\nloan = [\"advice\"]"))).expect("valid");
        let classes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(disclaimers.for_classes(&[]), Ok(vec!["Not advice.", "Member FDIC."]));
        assert_eq!(disclaimers.for_classes(&classes(&["loan", "loan"])), Ok(vec!["Not advice."]));
        assert_eq!(disclaimers.for_classes(&classes(&["gold"])), Err("gold"));
    }

    #[test]
    fn a_class_with_an_unknown_text_is_refused_with_its_line() {
        let problem =
            Disclaimers::read(&folder(&format!("{TEXTS}[classes]\nloan = [\"ehl\"]"))).expect_err("unknown");
        assert_eq!(problem.line, Some(5));
    }
}
