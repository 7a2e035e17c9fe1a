//! Hugging Face checkpoint -> quantised GGUF, with candle's own quantiser and writer.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{bail, Result};
use candle_core::quantized::gguf_file::{write, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use candle_transformers::models::llama::Config;

use crate::model;

const LAYER: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

pub fn convert(checkpoint: &Path, target: &Path, scheme: &str) -> Result<()> {
    let config = model::config(checkpoint)?;
    if config.rope_scaling.is_some() {
        bail!("unsupported: quantized_llama.rs ignores rotary scaling (rope_freqs in a GGUF)");
    }
    let source = model::tensors(checkpoint)?;
    let layers = config.num_hidden_layers;
    let mut tensors = vec![];
    let mut add = |name: &str, from: &str, layer: usize| -> Result<()> {
        let mut tensor = source.load(&format!("{from}.weight"), &Device::Cpu)?;
        match name.rsplit('.').next() {
            Some("attn_q") => tensor = interleave(&tensor, config.num_attention_heads)?,
            Some("attn_k") => tensor = interleave(&tensor, config.num_key_value_heads)?,
            _ => (),
        }
        let is_head = name == "output" || name == "token_embd" && config.tie_word_embeddings;
        let kind = match tensor.rank() {
            1 => GgmlDType::F32,
            _ => kind(scheme, name, is_head, (layer, layers), tensor.dim(1)?)?,
        };
        tensors.push((format!("{name}.weight"), QTensor::quantize(&tensor, kind)?));
        Ok(())
    };
    add("token_embd", "model.embed_tokens", 0)?;
    for layer in 0..layers {
        for (to, from) in LAYER {
            add(&format!("blk.{layer}.{to}"), &format!("model.layers.{layer}.{from}"), layer)?;
        }
    }
    add("output_norm", "model.norm", 0)?;
    if !config.tie_word_embeddings {
        add("output", "lm_head", 0)?;
    }
    let metadata = metadata(&config);
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Ok(write(&mut BufWriter::new(File::create(target)?), &metadata, &tensors)?)
}

fn metadata(config: &Config) -> Vec<(&'static str, Value)> {
    let number = |value: usize| Value::U32(value as u32);
    vec![
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", number(config.num_hidden_layers)),
        ("llama.context_length", number(config.max_position_embeddings)),
        ("llama.embedding_length", number(config.hidden_size)),
        ("llama.feed_forward_length", number(config.intermediate_size)),
        ("llama.attention.head_count", number(config.num_attention_heads)),
        ("llama.attention.head_count_kv", number(config.num_key_value_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps as f32)),
        ("llama.rope.dimension_count", number(config.hidden_size / config.num_attention_heads)),
        ("llama.rope.freq_base", Value::F32(config.rope_theta)),
    ]
}

/// A checkpoint rotates dimension i with i + half, a GGUF 2i with 2i + 1, so the rows of Q and K are reordered.
fn interleave(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let (rows, columns) = weight.dims2()?;
    let halves = weight.reshape((heads, 2, rows / heads / 2, columns))?;
    Ok(halves.transpose(1, 2)?.contiguous()?.reshape((rows, columns))?)
}

/// The mix of types that llama-quantize makes of a dense model without importance matrix.
fn kind(scheme: &str, name: &str, is_head: bool, (layer, layers): (usize, usize), row: usize) -> Result<GgmlDType> {
    let is_sensitive = name.ends_with("attn_v") || name.ends_with("ffn_down");
    let (start, end) = (layers / 8, 7 * layers / 8);
    let more_bits = is_sensitive && (layer < start || layer >= end || (layer - start) % 3 == 2);
    Ok(match scheme {
        "q8_0" => GgmlDType::Q8_0,
        "q4_0" | "q4_k_m" if is_head && row.is_multiple_of(256) => GgmlDType::Q6K,
        "q4_0" | "q4_k_m" if is_head => GgmlDType::Q8_0,
        "q4_0" => GgmlDType::Q4_0,
        "q4_k_m" if more_bits => GgmlDType::Q6K,
        "q4_k_m" => GgmlDType::Q4K,
        _ => bail!("unsupported: no scheme {scheme}"),
    })
}
