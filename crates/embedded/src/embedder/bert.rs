//! The forward pass of a BERT sentence encoder: token ids in, unit vectors out.
//!
//! Architecture of Devlin et al. 2018 with the pooling of Sentence-BERT (Reimers and Gurevych 2019):
//! mean of the last layer over the mask, then L2 norm. GELU by erf, layer norms as the model's file says.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder};
use serde::Deserialize;

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
    layer_norm_eps: f64,
}

fn type_vocab_size() -> usize {
    2
}

fn layer_norm_eps() -> f64 {
    1e-12
}

/// A loaded encoder.
#[derive(Debug)]
pub(super) struct Bert {
    words: Embedding,
    /// Position embeddings with the first token type's already added, as only that one is used.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value in one matrix: one large product is faster than three.
    qkv: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    narrow_norm: LayerNorm,
    n_heads: usize,
}

impl Bert {
    /// Reads the weights in `path` (safetensors) into memory.
    pub(super) fn load(path: &Path, shape: &Shape) -> candle_core::Result<Self> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        // Checkpoints of the bare encoder have no prefix, those with a head name it.
        let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let weights = if weights.contains_tensor("embeddings.word_embeddings.weight") {
            weights
        } else {
            weights.pp("bert")
        };
        let width = shape.hidden_size;
        let eps = shape.layer_norm_eps;
        let embeddings = weights.pp("embeddings");
        let words = embeddings.get((shape.vocab_size, width), "word_embeddings.weight")?;
        let positions =
            embeddings.get((shape.max_position_embeddings, width), "position_embeddings.weight")?;
        let first_type = embeddings
            .get((shape.type_vocab_size, width), "token_type_embeddings.weight")?
            .narrow(0, 0, 1)?;
        let layers = (0..shape.num_hidden_layers)
            .map(|index| Layer::load(&weights.pp(format!("encoder.layer.{index}")), shape))
            .collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self {
            words: Embedding::new(words, width),
            positions: positions.broadcast_add(&first_type)?,
            norm: candle_nn::layer_norm(width, eps, embeddings.pp("LayerNorm"))?,
            layers,
        })
    }

    /// Unit vectors of `ids`, a non-empty batch of non-empty token lists, each within the model's positions.
    pub(super) fn forward(&self, ids: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>> {
        let rows = ids.len();
        let length = ids.iter().map(|list| list.len()).max().unwrap_or(0);
        let mut padded = Vec::with_capacity(rows * length);
        let mut mask = Vec::with_capacity(rows * length);
        for list in ids {
            let padding = length - list.len();
            padded.extend_from_slice(list);
            padded.extend(std::iter::repeat_n(0_u32, padding));
            mask.extend(std::iter::repeat_n(1_f32, list.len()));
            mask.extend(std::iter::repeat_n(0_f32, padding));
        }
        let is_padded = mask.contains(&0.0);
        let padded = Tensor::from_vec(padded, (rows, length), &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, (rows, length, 1), &Device::Cpu)?;
        // Added to the attention scores: 0 where there is a token, so low elsewhere that its weight is 0.
        let bias =
            if is_padded { Some(mask.reshape((rows, 1, 1, length))?.affine(1e9, -1e9)?) } else { None };

        let words = self.words.forward(&padded)?;
        let mut hidden = self.norm.forward(&words.broadcast_add(&self.positions.narrow(0, 0, length)?)?)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, bias.as_ref())?;
        }
        let summed = hidden.broadcast_mul(&mask)?.sum(1)?;
        // The mean's divisor cancels in the norm, so the sum is enough.
        let norms = summed.sqr()?.sum_keepdim(1)?.sqrt()?;
        summed.broadcast_div(&norms)?.to_vec2::<f32>()
    }
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, shape: &Shape) -> candle_core::Result<Self> {
        let width = shape.hidden_size;
        let eps = shape.layer_norm_eps;
        let attention = weights.pp("attention.self");
        let part = |name: &str| -> candle_core::Result<(Tensor, Tensor)> {
            let part = attention.pp(name);
            Ok((part.get((width, width), "weight")?, part.get(width, "bias")?))
        };
        let (query, key, value) = (part("query")?, part("key")?, part("value")?);
        // The scores' scale 1/sqrt(d) goes into the query, which saves a pass over the scores.
        let scale = 1.0 / f64::sqrt((width / shape.num_attention_heads) as f64);
        let query = (query.0.affine(scale, 0.0)?, query.1.affine(scale, 0.0)?);
        Ok(Self {
            qkv: Linear::new(
                Tensor::cat(&[&query.0, &key.0, &value.0], 0)?,
                Some(Tensor::cat(&[&query.1, &key.1, &value.1], 0)?),
            ),
            attended: candle_nn::linear(width, width, weights.pp("attention.output.dense"))?,
            attended_norm: candle_nn::layer_norm(width, eps, weights.pp("attention.output.LayerNorm"))?,
            wide: candle_nn::linear(width, shape.intermediate_size, weights.pp("intermediate.dense"))?,
            narrow: candle_nn::linear(shape.intermediate_size, width, weights.pp("output.dense"))?,
            narrow_norm: candle_nn::layer_norm(width, eps, weights.pp("output.LayerNorm"))?,
            n_heads: shape.num_attention_heads,
        })
    }

    fn forward(&self, hidden: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (rows, length, width) = hidden.dims3()?;
        let heads = self
            .qkv
            .forward(hidden)?
            .reshape((rows, length, 3, self.n_heads, width / self.n_heads))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        let (query, key, value) = (heads.get(0)?, heads.get(1)?, heads.get(2)?);
        let mut scores = query.matmul(&key.t()?)?;
        if let Some(bias) = bias {
            scores = scores.broadcast_add(bias)?;
        }
        let mixed = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&value)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((rows, length, width))?;
        let hidden = self.attended_norm.forward(&(self.attended.forward(&mixed)? + hidden)?)?;
        let wide = self.wide.forward(&hidden)?.apply_op1_no_bwd(&super::gelu::Gelu)?;
        self.narrow_norm.forward(&(self.narrow.forward(&wide)? + &hidden)?)
    }
}

/// Checks what the shape's numbers must hold for the reshapes above.
pub(super) fn is_sound(shape: &Shape) -> bool {
    shape.num_attention_heads > 0
        && shape.hidden_size.is_multiple_of(shape.num_attention_heads)
        && shape.num_hidden_layers > 0
        && shape.max_position_embeddings > 2
}
