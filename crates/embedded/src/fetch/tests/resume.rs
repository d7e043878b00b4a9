//! Broken downloads: continued where the server can, begun anew where the beginning is of no use.

use super::*;

/// What a server does when it is asked.
#[derive(Clone, Copy)]
enum Act {
    /// Sends up to this byte of the file and breaks off.
    UpTo(usize),
    /// Sends all of it.
    Whole,
    /// Sends all of it from its first byte on, whatever was asked for.
    WithoutRanges,
    /// Sends a part that was not asked for.
    Unasked,
    /// Cannot be reached.
    Down,
}

/// A server whose file is known by `validator`.
struct Server {
    acts: Mutex<Vec<Act>>,
    validator: Option<&'static str>,
    file: &'static [u8],
    asked: Mutex<Vec<Option<Kept>>>,
}

impl Server {
    fn new(validator: Option<&'static str>, acts: &[Act]) -> Arc<Self> {
        let acts = Mutex::new(acts.iter().rev().copied().collect());
        Arc::new(Self { acts, validator, file: WEIGHTS, asked: Mutex::default() })
    }

    /// The first bytes that were kept at each call.
    fn asked(&self) -> Vec<u64> {
        self.asked.lock().iter().map(|kept| kept.as_ref().map_or(0, |kept| kept.bytes)).collect()
    }
}

impl Download for Server {
    fn get(&self, _: String, kept: Option<Kept>) -> BoxFuture<'_, Result<Body, DownloadError>> {
        self.asked.lock().push(kept.clone());
        let act = self.acts.lock().pop().unwrap_or(Act::Down);
        let is_same = |kept: &Kept| Some(kept.validator.as_str()) == self.validator;
        let begin = kept.filter(is_same).map_or(0, |kept| usize::try_from(kept.bytes).unwrap());
        let (begin, end) = match act {
            Act::Down => return Box::pin(async { Err(DownloadError("no route to the hub".to_owned())) }),
            Act::UpTo(end) => (begin, end),
            Act::Whole => (begin, self.file.len()),
            Act::WithoutRanges => (0, self.file.len()),
            Act::Unasked => (7, self.file.len()),
        };
        let mut pieces: Vec<Result<Bytes, DownloadError>> =
            self.file[begin..end].chunks(3).map(|piece| Ok(Bytes::from_static(piece))).collect();
        if end < self.file.len() {
            pieces.push(Err(DownloadError("the connection broke".to_owned())));
        }
        let begins = u64::try_from(begin).unwrap();
        let validator = self.validator.map(str::to_owned);
        let body = Body { begins, validator, pieces: Box::pin(futures_util::stream::iter(pieces)) };
        Box::pin(async { Ok(body) })
    }
}

const TAG: Option<&str> = Some("\"v1\"");
const PLACE: &str = "tiny.gguf";
const PARTIAL: &str = "tiny.gguf.partial";
const NOTE: &str = "tiny.gguf.partial.json";

/// As a process that starts would have them.
fn models_of(folder: &Path, server: &Arc<Server>) -> Models {
    Models::new(folder.to_owned(), catalogue(HUB)).with_download(Arc::clone(server) as _)
}

/// A folder in which a download broke after ten bytes.
async fn broken() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(TAG, &[Act::UpTo(10)]);
    models_of(folder.path(), &server).pull("tiny", silent()).await.unwrap_err();
    assert_eq!(names(&folder.path().join("tiny")), [".lock", PARTIAL, NOTE]);
    folder
}

#[tokio::test]
async fn a_download_that_breaks_is_continued_at_once_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(TAG, &[Act::UpTo(10), Act::UpTo(20), Act::Whole]);
    let heard = Arc::new(Mutex::new(Vec::<(u64, u64)>::new()));
    let hears = Arc::clone(&heard);
    let progress = move |pulled: Pulled| hears.lock().push((pulled.bytes, pulled.kept));
    let paths = models_of(folder.path(), &server).pull("tiny", Arc::new(progress)).await.unwrap();
    assert_eq!(std::fs::read(paths.weights()).unwrap(), WEIGHTS);
    assert_eq!(server.asked(), [0, 10, 20]);
    let heard = heard.lock();
    for want in [(10, 0), (10, 10), (20, 10), (20, 20), (26, 20)] {
        assert!(heard.contains(&want), "{want:?} in {heard:?}");
    }
    assert_eq!(names(&paths.folder), [".lock", PLACE, "tiny.gguf.verified"]);
}

#[tokio::test]
async fn a_download_is_continued_by_a_later_process() {
    let folder = broken().await;
    let server = Server::new(TAG, &[Act::Whole]);
    let paths = models_of(folder.path(), &server).pull("tiny", silent()).await.unwrap();
    assert_eq!(std::fs::read(paths.weights()).unwrap(), WEIGHTS);
    assert_eq!(*server.asked.lock(), [Some(Kept { bytes: 10, validator: "\"v1\"".to_owned() })]);
    assert_eq!(names(&paths.folder), [".lock", PLACE, "tiny.gguf.verified"]);
}

type Meanwhile<'a> = &'a dyn Fn(&Path);
/// What happened meanwhile, how the server knows its file, what it does, from where it was asked.
type Case<'a> = (&'a str, Meanwhile<'a>, Option<&'static str>, &'a [Act], &'a [u64]);

#[tokio::test]
async fn what_cannot_be_continued_starts_over() {
    let bent = |path: &Path| std::fs::write(path.join(PARTIAL), b"GGUX and t").unwrap();
    let whole = |path: &Path| std::fs::write(path.join(PARTIAL), WEIGHTS).unwrap();
    let wrong = |path: &Path| std::fs::write(path.join(PARTIAL), b"another file of 26 bytes!!").unwrap();
    let long = |path: &Path| std::fs::write(path.join(PARTIAL), [b'x'; 27]).unwrap();
    let torn = |path: &Path| std::fs::write(path.join(NOTE), "{\"url\": \"https").unwrap();
    let noteless = |path: &Path| std::fs::remove_file(path.join(NOTE)).unwrap();
    let other = |path: &Path| {
        let note = std::fs::read_to_string(path.join(NOTE)).unwrap();
        std::fs::write(path.join(NOTE), note.replace(&sum(WEIGHTS), &sum(b"another"))).unwrap();
    };
    let nothing = |_: &Path| {};
    let table: [Case<'_>; 11] = [
        ("the file has changed", &nothing, Some("\"v2\""), &[Act::Whole], &[10]),
        ("the server knows no ranges", &nothing, TAG, &[Act::WithoutRanges], &[10]),
        ("it no longer says what file it is", &nothing, None, &[Act::Whole], &[10]),
        ("the beginning is damaged", &bent, TAG, &[Act::Whole, Act::Whole], &[10, 0]),
        ("all was there", &whole, TAG, &[], &[]),
        ("all was there and wrong", &wrong, TAG, &[Act::Whole], &[0]),
        ("more than all was there", &long, TAG, &[Act::Whole], &[0]),
        ("the note is torn", &torn, TAG, &[Act::Whole], &[0]),
        ("the note is missing", &noteless, TAG, &[Act::Whole], &[0]),
        ("another file is wanted now", &other, TAG, &[Act::Whole], &[0]),
        ("it breaks again", &nothing, TAG, &[Act::UpTo(12), Act::UpTo(20), Act::Whole], &[10, 12, 20]),
    ];
    for (case, meanwhile, validator, acts, asked) in table {
        let folder = broken().await;
        meanwhile(&folder.path().join("tiny"));
        let server = Server::new(validator, acts);
        let paths = models_of(folder.path(), &server).pull("tiny", silent()).await.expect(case);
        assert_eq!(std::fs::read(paths.weights()).unwrap(), WEIGHTS, "{case}");
        assert_eq!(server.asked(), asked, "{case}");
        assert_eq!(names(&paths.folder), [".lock", PLACE, "tiny.gguf.verified"], "{case}");
    }
}

/// How the server knows its file, what it does, how often it is asked, what is left.
type End<'a> = (&'a str, Option<&'static str>, &'a [Act], usize, usize);

#[tokio::test]
async fn tries_end_and_leave_what_may_be_continued() {
    let steps: Vec<Act> = (1..20).map(Act::UpTo).collect();
    let table: [End<'_>; 6] = [
        ("a byte each time", TAG, &steps, 5, 5),
        ("no byte more", TAG, &[Act::UpTo(4), Act::UpTo(4), Act::Whole], 2, 4),
        ("it goes away", TAG, &[Act::UpTo(4), Act::Down, Act::Whole], 2, 4),
        ("it does not say what file it is", None, &[Act::UpTo(4), Act::Whole], 1, 0),
        ("it sends what was not asked for", TAG, &[Act::Unasked], 1, 0),
        ("it was never there", TAG, &[Act::Down], 1, 0),
    ];
    for (case, validator, acts, n_asked, left) in table {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(validator, acts);
        let error = models_of(folder.path(), &server).pull("tiny", silent()).await.expect_err(case);
        assert!(matches!(error, PullError::NoSource { .. }), "{case}: {error}");
        assert_eq!(server.asked().len(), n_asked, "{case}");
        let partial = std::fs::read(folder.path().join("tiny").join(PARTIAL)).unwrap_or_default();
        assert_eq!(partial, &WEIGHTS[..left], "{case}");
    }
}

#[tokio::test]
async fn a_file_that_is_wrong_leaves_nothing() {
    for (file, n_asked) in
        [(&b"GGUF and then many numberz"[..], 1), (b"GGUF and then many numbers and more", 1)]
    {
        let folder = tempfile::tempdir().unwrap();
        let server = Server { file, ..Arc::into_inner(Server::new(TAG, &[Act::Whole])).unwrap() };
        let server = Arc::new(server);
        models_of(folder.path(), &server).pull("tiny", silent()).await.unwrap_err();
        assert_eq!(server.asked().len(), n_asked);
        assert_eq!(names(&folder.path().join("tiny")), [".lock"]);
    }
}

#[tokio::test]
async fn another_source_delivers_and_then_no_beginning_is_left() {
    let sources = format!("{HUB}, {PARTS}");
    for (shelf, want) in [
        (parts(), vec![".lock", PLACE, "tiny.gguf.verified"]),
        (Shelf(Vec::new()), vec![".lock", PARTIAL, NOTE]),
    ] {
        let folder = broken().await;
        let server = Server::new(TAG, &[]);
        let models = Models::new(folder.path().to_owned(), catalogue(&sources))
            .with_download(server)
            .with_packages(Arc::new(shelf));
        let found = models.pull("tiny", silent()).await;
        assert_eq!(found.is_ok(), want.contains(&PLACE), "{found:?}");
        assert_eq!(names(&folder.path().join("tiny")), want);
    }
}
