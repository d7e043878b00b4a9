//! Where the configuration comes from, and for which environment it is read.

use std::path::{Path, PathBuf};

use registry::folder::Folder;
use registry::problem::Problems;

use super::{Config, Loaded, SETTINGS_FILE, loaded};
use crate::files;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    place: Place,
    environment: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    /// The folder shipped inside the binary.
    Shipped,
    /// A folder on disk, watched while the server runs.
    Folder(PathBuf),
}

impl Source {
    /// The folder given, else `config` where there is one, else the shipped one; as it is in `environment`.
    pub(crate) fn choose(given: Option<PathBuf>, environment: Option<String>) -> Self {
        let place = match given {
            Some(path) => Place::Folder(path),
            None if Path::new("config").join(SETTINGS_FILE).is_file() => {
                Place::Folder(PathBuf::from("config"))
            }
            None => Place::Shipped,
        };
        Self { place, environment }
    }

    /// The folder on disk, where it is one.
    pub(crate) fn root(&self) -> Option<&Path> {
        match &self.place {
            Place::Shipped => None,
            Place::Folder(path) => Some(path),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let folder = match &self.place {
            Place::Shipped => "the shipped configuration".to_owned(),
            Place::Folder(path) => path.display().to_string(),
        };
        match &self.environment {
            Some(environment) => format!("{folder} for `{environment}`"),
            None => folder,
        }
    }

    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Folder, files::FolderError> {
        match &self.place {
            Place::Shipped => Ok(files::shipped()),
            Place::Folder(path) => files::read(path),
        }
    }

    /// The settings alone: what is needed before the folder is checked whole.
    pub(crate) fn settings(&self, folder: &Folder) -> Result<Config, Problems> {
        loaded::settings(folder, self.environment.as_deref())
    }

    /// Checks a folder whole: this is the exact path that serving takes.
    pub(crate) fn load(&self, folder: Folder) -> Result<Loaded, Problems> {
        loaded::load(folder, self.environment.as_deref())
    }
}
