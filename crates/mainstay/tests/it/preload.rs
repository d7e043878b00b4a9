//! Small C libraries that stand between the server and the system (`LD_PRELOAD`): a clock that jumps, a disk that
//! forgets.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::server::Start;

/// A built library; its folder goes away with it.
#[derive(Debug)]
pub(crate) struct Preload {
    folder: TempDir,
}

impl Preload {
    /// Builds `source`, a file beside this one; `None`, told on stderr, where no C compiler is.
    pub(crate) fn build(source: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
        let mut build = Command::new("cc");
        build.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("preload.so")).arg(source);
        match build.stdin(Stdio::null()).output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(Self { folder })
            }
            Err(error) => {
                eprintln!("not tested: no C compiler ({error})");
                None
            }
        }
    }

    /// A file beside the library.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `start` with the library, and with a variable for it.
    pub(crate) fn given_to(&self, start: Start, (variable, value): (&'static str, String)) -> Start {
        let mut environment = start.environment.clone();
        environment.push(("LD_PRELOAD", self.file("preload.so").display().to_string()));
        environment.push((variable, value));
        Start { environment, ..start }
    }
}
