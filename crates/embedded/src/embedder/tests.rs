//! The embedder on a tiny random model written by the test.

use std::collections::BTreeMap;
use std::path::Path;

use domain::id::ContentHash;
use domain::ports::Embedder;
use safetensors::tensor::{Dtype, TensorView};

use super::{Config, Files, OpenError, SentenceEmbedder};

const WORDS: [&str; 12] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "is", "my", "deposit", "insured", "what", "a", "fee", "costs"];
const WIDTH: usize = 8;

fn write_model(folder: &Path) -> Config {
    let mut state = 7_u64;
    let mut random = |n: usize| -> Vec<u8> {
        (0..n)
            .flat_map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 40) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes()
            })
            .collect()
    };
    let mut tensors = BTreeMap::new();
    let mut put = |name: String, dims: &[usize]| {
        tensors.insert(name, (dims.to_vec(), random(dims.iter().product())));
    };
    put("embeddings.word_embeddings.weight".to_owned(), &[WORDS.len(), WIDTH]);
    put("embeddings.position_embeddings.weight".to_owned(), &[16, WIDTH]);
    put("embeddings.token_type_embeddings.weight".to_owned(), &[2, WIDTH]);
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let base = format!("encoder.layer.{layer}");
        for (name, out, into) in [
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", 16, WIDTH),
            ("output.dense", WIDTH, 16),
        ] {
            put(format!("{base}.{name}.weight"), &[out, into]);
            put(format!("{base}.{name}.bias"), &[out]);
        }
        norms.push(format!("{base}.attention.output.LayerNorm"));
        norms.push(format!("{base}.output.LayerNorm"));
    }
    for norm in norms {
        put(format!("{norm}.weight"), &[WIDTH]);
        put(format!("{norm}.bias"), &[WIDTH]);
    }
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    let views = tensors
        .iter()
        .map(|(name, (dims, bytes))| (name, TensorView::new(Dtype::F32, dims.clone(), bytes).unwrap()));
    std::fs::write(&files.weights, safetensors::serialize(views, None).unwrap()).unwrap();
    write_tokenizer(&files.tokenizer);
    let shape = serde_json::json!({
        "vocab_size": WORDS.len(), "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12
    });
    std::fs::write(&files.shape, shape.to_string()).unwrap();
    Config { tokens_max: 16, ..Config::new(files, ContentHash::from("abc")) }
}

fn write_tokenizer(path: &Path) {
    let vocabulary: serde_json::Map<_, _> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    let special = |word: &str| serde_json::json!({ "SpecialToken": { "id": word, "type_id": 0 } });
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "truncation": { "max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": { "strategy": { "Fixed": 4 }, "direction": "Right", "pad_to_multiple_of": null,
                     "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "TemplateProcessing",
            "single": [special("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, special("[SEP]")],
            "pair": [special("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, special("[SEP]"),
                     { "Sequence": { "id": "B", "type_id": 1 } }, special("[SEP]")],
            "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] },
                                "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] } } },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" }
    });
    std::fs::write(path, tokenizer.to_string()).unwrap();
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "is my deposit insured",
        "what is a fee",
        "fee",
        "",
        "a fee costs what my deposit costs what is my fee a fee costs my deposit a fee what what what",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend(
        (0..30).map(|n| WORDS[4..].iter().cycle().skip(n).take(n % 9).copied().collect::<Vec<_>>().join(" ")),
    );
    texts
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn vectors_have_unit_length_and_come_in_the_order_of_their_texts() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_model(folder.path());
    let embedder = SentenceEmbedder::open(config.clone()).unwrap();
    let together = embedder.embed(texts()).await.unwrap();
    assert_eq!(together.len(), texts().len());
    let again = SentenceEmbedder::open(Config { cache_entries_max: 0, ..config }).unwrap();
    for (text, vector) in texts().into_iter().zip(&together) {
        assert_eq!(vector.len(), WIDTH, "{text}");
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{text}: {norm}");
        let alone = again.embed(vec![text.clone()]).await.unwrap();
        assert!(distance(&alone[0], vector) < 1e-5, "{text}: padding must not change a vector");
    }
    assert!(distance(&together[0], &together[1]) > 1e-3, "different texts differ");
}

/// The first numbers of the vectors that onnxruntime 1.31.1 makes of these texts with all-MiniLM-L6-v2, from the graph
/// that `bench/embeddings/graph.py` writes.
#[tokio::test]
async fn the_vectors_of_a_real_model_are_those_of_onnxruntime() {
    let models = std::env::var_os("MAINSTAY_TEST_MODELS").expect(
        "MAINSTAY_TEST_MODELS must name a models folder with all-minilm-l6-v2 in it; ./test pulls it there and sets it",
    );
    let folder = Path::new(&models).join("all-minilm-l6-v2");
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    let embedder = SentenceEmbedder::open(Config::new(files, ContentHash::from("real"))).unwrap();
    let long = "How long may a bank hold a deposited check before the money must be available to me today?";
    let known = [
        ("Is my deposit insured?", [0.064_551, 0.044_588, -0.018_217, 0.048_273, 0.066_139, -0.022_749]),
        ("", [-0.118_838, 0.048_299, -0.002_548, -0.011_011, 0.051_951, 0.010_292]),
        (long, [0.017_172, 0.023_852, -0.014_499, 0.034_843, 0.013_711, -0.073_485]),
    ];
    let vectors = embedder.embed(known.iter().map(|(text, _)| (*text).to_owned()).collect()).await.unwrap();
    for ((text, want), vector) in known.iter().zip(&vectors) {
        assert_eq!(vector.len(), 384);
        assert!(distance(&vector[..6], want) < 2e-6, "{text}: {:?}, not {want:?}", &vector[..6]);
    }
}

#[tokio::test]
async fn a_token_that_the_weights_do_not_have_is_an_error_and_not_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_model(folder.path());
    let text = std::fs::read_to_string(&config.tokenizer).unwrap();
    std::fs::write(&config.tokenizer, text.replace("\"fee\":10", "\"fee\":4000")).unwrap();
    let embedder = SentenceEmbedder::open(config).unwrap();
    let error = embedder.embed(vec!["what fee".to_owned()]).await.unwrap_err();
    assert!(error.0.contains("no token 4000"), "{error}");
    assert!(embedder.embed(vec!["what".to_owned()]).await.is_ok(), "the embedder goes on");
}

#[tokio::test]
async fn the_same_text_has_the_same_vector_cached_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_model(folder.path());
    let cached = SentenceEmbedder::open(config.clone()).unwrap();
    let fresh = SentenceEmbedder::open(Config { cache_entries_max: 0, ..config }).unwrap();
    let text = || vec!["what is a fee".to_owned()];
    let first = cached.embed(text()).await.unwrap();
    assert_eq!(cached.embed(text()).await.unwrap(), first);
    assert_eq!(fresh.embed(text()).await.unwrap(), first);
    let mixed = cached.embed(vec!["fee".to_owned(), "what is a fee".to_owned()]).await.unwrap();
    assert_eq!(mixed[1], first[0], "hits and misses keep their places");
    assert_eq!(cached.embed(Vec::new()).await.unwrap(), Vec::<Vec<f32>>::new());
}

#[tokio::test]
async fn tokens_are_counted_without_special_ones_and_without_the_files_limits() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = SentenceEmbedder::open(write_model(folder.path())).unwrap();
    for (text, want) in [("", 0), ("fee", 1), ("is my deposit insured what costs", 6)] {
        assert_eq!(embedder.count_tokens(text), want, "{text}");
    }
}

#[tokio::test]
async fn a_full_line_refuses_and_a_closed_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { waiting_max: 0, ..write_model(folder.path()) };
    let embedder = SentenceEmbedder::open(config).unwrap();
    let error = embedder.embed(vec!["fee".to_owned()]).await.unwrap_err();
    assert!(error.0.contains("too many"), "{error}");
    embedder.shared.questions.close();
    let error = embedder.embed(vec!["fee".to_owned()]).await.unwrap_err();
    assert!(error.0.contains("stopped"), "{error}");
}

#[test]
fn a_bad_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_model(folder.path());
    let whole = std::fs::read(&config.weights).unwrap();
    std::fs::write(&config.weights, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(SentenceEmbedder::open(config.clone()), Err(OpenError::Weights { .. })));
    std::fs::write(&config.tokenizer, "{}").unwrap();
    assert!(matches!(SentenceEmbedder::open(config.clone()), Err(OpenError::Tokenizer { .. })));
    std::fs::write(&config.shape, r#"{"vocab_size": 1}"#).unwrap();
    assert!(matches!(SentenceEmbedder::open(config.clone()), Err(OpenError::Shape { .. })));
    std::fs::remove_file(&config.shape).unwrap();
    assert!(matches!(SentenceEmbedder::open(config), Err(OpenError::Read { .. })));
}
