//! Loading a model file, and what is asked of it besides computing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use sha2::{Digest, Sha256};

use crate::schema::{SchemaError, Schemas};
use crate::template::{Said, Segment, Template, TemplateError};
use domain::hex;

/// A model file that is open.
pub struct Model {
    pub(crate) llama: LlamaModel,
    template: Template,
    template_hash: String,
    schemas: OnceLock<Result<Schemas, SchemaError>>,
}

/// A model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the model file {name} cannot be read: {source}")]
    Read {
        /// Its name without the folder.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file begins like no model file.
    #[error("{name} is not a GGUF file")]
    NotGguf {
        /// Its name without the folder.
        name: String,
    },
    /// llama.cpp refuses the file.
    #[error("{name} is damaged, incomplete or of an unknown kind: {reason}")]
    Refused {
        /// Its name without the folder.
        name: String,
        /// What llama.cpp said last.
        reason: String,
    },
    /// It cannot chat.
    #[error("{name} cannot be used for chat: {reason}")]
    Template {
        /// Its name without the folder.
        name: String,
        /// Why.
        reason: String,
    },
    /// No context could be made.
    #[error("no context of {n_ctx} tokens could be made: {reason}")]
    Context {
        /// Tokens asked for.
        n_ctx: u32,
        /// What llama.cpp said.
        reason: String,
    },
}

/// A tokenized prompt.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<LlamaToken>,
    /// Tokens before everything that changes from call to call: template and system message.
    pub(crate) head: usize,
}

impl Model {
    /// Opens the GGUF file at `path`.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the file. Some damage makes llama.cpp end the process instead.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        check_magic(path, &name)?;
        let last_error = LastError::default();
        let said = last_error.clone();
        let loaded = tracing::subscriber::with_default(last_error, || {
            LlamaModel::load_from_file(backend(), path, &LlamaModelParams::default())
        });
        let llama = loaded.map_err(|error| LoadError::Refused {
            name: name.clone(),
            reason: said.take().unwrap_or_else(|| error.to_string()),
        })?;
        let unusable = |reason: String| LoadError::Template { name: name.clone(), reason };
        let source = llama
            .chat_template(None)
            .ok()
            .and_then(|template| template.to_string().ok())
            .ok_or_else(|| unusable("it has no chat template".to_owned()))?;
        let vocabulary = llama.vocab();
        let text = |token: LlamaToken| match vocabulary.text(token) {
            Some(text) if token.0 >= 0 => text.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        let template = Template::new(&source, text(vocabulary.bos()), text(vocabulary.eos()))
            .map_err(|error| unusable(error.to_string()))?;
        let template_hash = hex::of(&Sha256::digest(source.as_bytes()));
        Ok(Self { llama, template, template_hash, schemas: OnceLock::new() })
    }

    /// SHA-256 of the chat template, as hex.
    #[must_use]
    pub fn template_hash(&self) -> &str {
        &self.template_hash
    }

    /// The tokens of a conversation with the beginning of an answer.
    pub(crate) fn prompt(&self, messages: &[Said]) -> Result<Prompt, TemplateError> {
        let vocabulary = self.llama.vocab();
        let mut tokens = Vec::new();
        if vocabulary.should_add_bos() {
            tokens.push(vocabulary.bos());
        }
        let mut head = None;
        for (index, segment) in self.template.render(messages)?.iter().enumerate() {
            match segment {
                Segment::Template(text) => {
                    let text = if index == 0 { self.without_bos(text) } else { text };
                    tokens.extend(vocabulary.tokenize(text.as_bytes(), false, true));
                }
                Segment::Said { text, is_system } => {
                    if !is_system {
                        head.get_or_insert(tokens.len());
                    }
                    tokens.extend(vocabulary.tokenize(text.as_bytes(), false, false));
                }
            }
        }
        Ok(Prompt { head: head.unwrap_or(tokens.len()), tokens })
    }

    /// A template that writes the opening token itself would double it.
    fn without_bos<'t>(&self, text: &'t str) -> &'t str {
        let vocabulary = self.llama.vocab();
        if !vocabulary.should_add_bos() {
            return text;
        }
        let bos = vocabulary.text(vocabulary.bos()).map(std::ffi::CStr::to_string_lossy);
        bos.and_then(|bos| text.strip_prefix(bos.as_ref())).unwrap_or(text)
    }

    /// Whether `token` ends an answer: an end-of-generation token, or a control token, which is never text.
    pub(crate) fn ends(&self, token: LlamaToken) -> bool {
        let vocabulary = self.llama.vocab();
        vocabulary.is_eog(token) || vocabulary.is_control(token)
    }

    /// A sampler that keeps to a JSON schema; the first one takes some hundred milliseconds.
    pub(crate) fn schema_sampler(&self, schema: &str) -> Result<LlamaSampler, SchemaError> {
        match self.schemas.get_or_init(|| Schemas::new(&self.llama)) {
            Ok(schemas) => schemas.sampler(schema),
            Err(_) => Err(SchemaError::Unsupported),
        }
    }

    /// The bytes that `token` stands for.
    pub(crate) fn bytes(&self, token: LlamaToken) -> Vec<u8> {
        self.llama.vocab().token_to_piece(token, false, None)
    }
}

/// llama.cpp's own state, made once in a process.
pub(crate) fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().expect("this is the only place that makes it")
    })
}

fn check_magic(path: &Path, name: &str) -> Result<(), LoadError> {
    use std::io::Read;
    let mut magic = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|source| LoadError::Read { name: name.to_owned(), source })?;
    if magic == b"GGUF" { Ok(()) } else { Err(LoadError::NotGguf { name: name.to_owned() }) }
}

/// Keeps the last error that llama.cpp logs, as its functions return none.
#[derive(Clone, Default)]
struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    fn take(&self) -> Option<String> {
        self.0.lock().ok()?.take()
    }
}

impl tracing::Subscriber for LastError {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(Option<String>);
        impl tracing::field::Visit for Message {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                if field.name() == "message" {
                    self.0 = Some(value.trim_start_matches("error loading model: ").to_owned());
                }
            }

            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = Some(format!("{value:?}"));
                }
            }
        }
        let mut message = Message(None);
        event.record(&mut message);
        // The first error is the cause; those after it say that loading failed.
        if let (Some(message), Ok(mut kept)) = (message.0, self.0.lock()) {
            kept.get_or_insert(message);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Physical cores that this process may use, at most 8: more threads than that wait for memory.
#[must_use]
pub fn default_threads() -> u32 {
    let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = physical_cores(&PathBuf::from("/sys/devices/system/cpu")).unwrap_or(allowed);
    u32::try_from(cores.min(allowed).clamp(1, 8)).unwrap_or(1)
}

/// Processors that share a core name the same siblings.
fn physical_cores(folder: &Path) -> Option<usize> {
    let mut siblings = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path().join("topology/thread_siblings_list");
        if let Ok(list) = std::fs::read_to_string(path) {
            siblings.insert(list.trim().to_owned());
        }
    }
    (!siblings.is_empty()).then_some(siblings.len())
}
