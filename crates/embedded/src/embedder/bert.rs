//! The forward pass of a BERT sentence encoder: token ids in, unit vectors out.
//!
//! Architecture of Devlin et al. 2018 with the pooling of Sentence-BERT (Reimers and Gurevych 2019):
//! mean of the last layer over the tokens, then L2 norm. GELU by erf, layer norms as the model's file says.
//! The tokens of all texts of a pass stand in one matrix without padding; only attention looks at texts apart.
#![expect(
    clippy::indexing_slicing,
    reason = "offsets into buffers whose sizes follow from the model's shape"
)]

use std::path::Path;

use pulp::Arch;
use serde::Deserialize;

use super::matrix::{Aligned, Linear, Out, Panels, Product, Rows, Then};
use super::vector::{AddAndNorm, Norm, Softmax, Vectors, Widths};
use super::weights::{Weights, WeightsError};

/// The parts of a model's `config.json` that the forward pass needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Shape {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "type_vocab_size")]
    type_vocab_size: usize,
    #[serde(default = "layer_norm_eps")]
    layer_norm_eps: f32,
}

fn type_vocab_size() -> usize {
    2
}

fn layer_norm_eps() -> f32 {
    1e-12
}

impl Shape {
    /// Whether the numbers are what the forward pass relies on.
    pub(super) fn is_sound(&self) -> bool {
        self.num_attention_heads > 0
            && self.hidden_size > 0
            && self.hidden_size.is_multiple_of(self.num_attention_heads)
            && self.num_hidden_layers > 0
            && self.intermediate_size > 0
            && self.type_vocab_size > 0
            && self.max_position_embeddings > 2
    }
}

/// A text has a token that the model does not know: tokenizer and weights are of different models.
#[derive(Debug, thiserror::Error)]
#[error("the model has no token {0}")]
pub(super) struct UnknownToken(u32);

/// A loaded encoder.
#[derive(Debug)]
pub(super) struct Bert {
    arch: Arch,
    widths: Widths,
    words: Vec<f32>,
    /// Position embeddings with the first token type's already added, as only that one is used.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    width: usize,
    n_heads: usize,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value in one matrix: one large product is faster than three.
    qkv: Linear,
    attended: Linear,
    attended_norm: Norm,
    wide: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

/// Room for the numbers between the steps of a pass; kept from pass to pass.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    hidden: Aligned,
    /// Query, key and value; later what is between the two products of the feed-forward part.
    broad: Aligned,
    mixed: Aligned,
    made: Aligned,
    attention: Attention,
}

/// Room for one head of one text.
#[derive(Debug, Default)]
struct Attention {
    keys: Aligned,
    values: Aligned,
    scores: Aligned,
}

impl Scratch {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let Self { hidden, broad, mixed, made, attention: Attention { keys, values, scores } } = self;
        [hidden, broad, mixed, made, keys, values, scores].iter().map(|room| room.bytes()).sum()
    }
}

impl Bert {
    /// Reads the weights in `path` (safetensors) into memory, laid out for products.
    pub(super) fn load(path: &Path, shape: &Shape) -> Result<Self, WeightsError> {
        let mut weights = Weights::open(path, "embeddings.word_embeddings.weight", "bert.")?;
        let arch = Arch::new();
        let width = shape.hidden_size;
        let words = weights.read("embeddings.word_embeddings.weight", &[shape.vocab_size, width])?;
        let mut positions =
            weights.read("embeddings.position_embeddings.weight", &[shape.max_position_embeddings, width])?;
        let types =
            weights.read("embeddings.token_type_embeddings.weight", &[shape.type_vocab_size, width])?;
        for (number, more) in positions.iter_mut().zip(types[..width].iter().cycle()) {
            *number += more;
        }
        let norm = read_norm(&mut weights, shape, "embeddings.LayerNorm")?;
        let layers = (0..shape.num_hidden_layers)
            .map(|index| Layer::load(arch, &mut weights, shape, index))
            .collect::<Result<_, _>>()?;
        let (widths, n_heads) = (arch.dispatch(Vectors), shape.num_attention_heads);
        Ok(Self { arch, widths, words, positions, norm, layers, width, n_heads })
    }

    /// Unit vectors of `texts`, non-empty token lists, each within the model's positions.
    pub(super) fn forward(
        &self,
        texts: &[Vec<u32>],
        scratch: &mut Scratch,
    ) -> Result<Vec<Vec<f32>>, UnknownToken> {
        let n_tokens: usize = texts.iter().map(Vec::len).sum();
        let (width, arch) = (self.width, self.arch);
        let hidden = scratch.hidden.room(n_tokens * width);
        let made = scratch.made.room(n_tokens * width);
        let mut rows = hidden.chunks_exact_mut(width).zip(made.chunks_exact_mut(width));
        for text in texts {
            let positions = self.positions.chunks_exact(width);
            for ((id, position), (row, made)) in text.iter().zip(positions).zip(&mut rows) {
                let word = self.words.chunks_exact(width).nth(*id as usize).ok_or(UnknownToken(*id))?;
                row.copy_from_slice(word);
                made.copy_from_slice(position);
            }
        }
        arch.dispatch(AddAndNorm { norm: &self.norm, numbers: hidden, added: made });
        for layer in &self.layers {
            self.pass(layer, texts, scratch);
        }
        let mut rows = scratch.hidden.numbers().chunks_exact(width);
        Ok(texts.iter().map(|text| pool(rows.by_ref().take(text.len()), width)).collect())
    }

    /// Takes all tokens, which are in `scratch.hidden`, through one layer.
    fn pass(&self, layer: &Layer, texts: &[Vec<u32>], scratch: &mut Scratch) {
        let n_tokens: usize = texts.iter().map(Vec::len).sum();
        let (width, arch) = (self.width, self.arch);
        let hidden = scratch.hidden.room(n_tokens * width);
        let mixed = scratch.mixed.room(n_tokens * width);
        let made = scratch.made.room(n_tokens * width);

        let qkv = scratch.broad.room(n_tokens * layer.qkv.columns());
        layer.qkv.apply(hidden, qkv, Then::Keep);
        let mut first = 0;
        for text in texts {
            let end = first + text.len();
            let qkv = &qkv[first * 3 * width..end * 3 * width];
            self.attend(qkv, &mut mixed[first * width..end * width], &mut scratch.attention);
            first = end;
        }
        layer.attended.apply(mixed, made, Then::Keep);
        arch.dispatch(AddAndNorm { norm: &layer.attended_norm, numbers: hidden, added: made });

        let wide = scratch.broad.room(n_tokens * layer.wide.columns());
        layer.wide.apply(hidden, wide, Then::Gelu);
        layer.narrow.apply(wide, made, Then::Keep);
        arch.dispatch(AddAndNorm { norm: &layer.narrow_norm, numbers: hidden, added: made });
    }

    /// Attention within one text: for each head softmax(query · keyᵀ) · value.
    fn attend(&self, qkv: &[f32], mixed: &mut [f32], room: &mut Attention) {
        let (width, panel) = (self.width, self.widths.narrow);
        let (n, head_width) = (qkv.len() / (3 * width), width / self.n_heads);
        let (stride, value_panels) = (n.next_multiple_of(panel), head_width.div_ceil(panel));
        let keys = room.keys.room(stride * head_width);
        let values = room.values.room(n * value_panels * panel);
        let scores = room.scores.room(n * stride);
        // Columns beyond the last must be 0, and hold what an earlier text left.
        keys.fill(0.0);
        values.fill(0.0);
        for head in 0..self.n_heads {
            let start = head * head_width;
            for (index, row) in qkv.chunks_exact(3 * width).enumerate() {
                let place = index / panel * panel * head_width + index % panel;
                let key = &row[width + start..][..head_width];
                for (number, place) in key.iter().zip(keys[place..].iter_mut().step_by(panel)) {
                    *place = *number;
                }
                let value = &row[2 * width + start..][..head_width];
                for (part, place) in value.chunks(panel).zip(values[index * panel..].chunks_mut(n * panel)) {
                    place[..part.len()].copy_from_slice(part);
                }
            }
            self.arch.dispatch(Product {
                left: Rows { numbers: &qkv[start..], n, width: head_width, stride: 3 * width },
                right: Panels { numbers: keys, width: panel, columns: stride, bias: &[] },
                out: Out { numbers: scores, stride },
                then: Then::Keep,
            });
            self.arch.dispatch(Softmax { numbers: scores, stride, len: n });
            self.arch.dispatch(Product {
                left: Rows { numbers: scores, n, width: n, stride },
                right: Panels { numbers: values, width: panel, columns: head_width, bias: &[] },
                out: Out { numbers: &mut mixed[start..], stride: width },
                then: Then::Keep,
            });
        }
    }
}

/// The mean of the rows, at length 1; the mean's divisor cancels in the norm, so the sum is enough.
fn pool<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; width];
    for row in rows {
        for (sum, number) in sum.iter_mut().zip(row) {
            *sum += number;
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    for number in &mut sum {
        *number /= norm;
    }
    sum
}

impl Layer {
    fn load(arch: Arch, weights: &mut Weights, shape: &Shape, index: usize) -> Result<Self, WeightsError> {
        let (width, inner) = (shape.hidden_size, shape.intermediate_size);
        let base = format!("encoder.layer.{index}");
        let mut linear = |name: &str, out: usize, into: usize| {
            let numbers = weights.read(&format!("{base}.{name}.weight"), &[out, into])?;
            let bias = weights.read(&format!("{base}.{name}.bias"), &[out])?;
            Ok::<_, WeightsError>((numbers, bias))
        };
        let (mut qkv, mut qkv_bias) = linear("attention.self.query", width, width)?;
        // The scores' scale 1/sqrt(d) goes into the query, which saves a pass over the scores.
        let scale = 1.0 / ((width / shape.num_attention_heads) as f32).sqrt();
        for number in qkv.iter_mut().chain(&mut qkv_bias) {
            *number *= scale;
        }
        for name in ["attention.self.key", "attention.self.value"] {
            let (numbers, bias) = linear(name, width, width)?;
            qkv.extend(numbers);
            qkv_bias.extend(bias);
        }
        let attended = linear("attention.output.dense", width, width)?;
        let wide = linear("intermediate.dense", inner, width)?;
        let narrow = linear("output.dense", width, inner)?;
        Ok(Self {
            qkv: Linear::new(arch, &qkv, qkv_bias),
            attended: Linear::new(arch, &attended.0, attended.1),
            attended_norm: read_norm(weights, shape, &format!("{base}.attention.output.LayerNorm"))?,
            wide: Linear::new(arch, &wide.0, wide.1),
            narrow: Linear::new(arch, &narrow.0, narrow.1),
            narrow_norm: read_norm(weights, shape, &format!("{base}.output.LayerNorm"))?,
        })
    }
}

fn read_norm(weights: &mut Weights, shape: &Shape, name: &str) -> Result<Norm, WeightsError> {
    let width = [shape.hidden_size];
    Ok(Norm {
        weight: weights.read(&format!("{name}.weight"), &width)?,
        bias: weights.read(&format!("{name}.bias"), &width)?,
        epsilon: shape.layer_norm_eps,
    })
}
