//! Loads candle-transformers' own models and says what was loaded.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{bail, Context, Result};
use candle_core::quantized::{gguf_file, GgmlDType};
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{utils, DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use candle_transformers::models::llama::{Cache, Config, Llama, LlamaConfig};
use candle_transformers::models::quantized_llama::ModelWeights;
use serde_json::{json, Value};

pub enum Model {
    Float { model: Llama, empty: Cache, cache: Cache, device: Device },
    Quantised { model: ModelWeights, device: Device },
}

impl Model {
    /// Forget the last sequence. Copies the empty cache, since a new one would compute its rotary tables again.
    pub fn clear(&mut self) {
        match self {
            Self::Float { empty, cache, .. } => *cache = empty.clone(),
            Self::Quantised { model, .. } => model.clear_kv_cache(),
        }
    }

    /// Logits of each row's last position, float32 [rows, vocabulary].
    pub fn forward(&mut self, rows: &[Vec<u32>], position: usize) -> candle_core::Result<Tensor> {
        match self {
            Self::Float { model, cache, device, .. } => {
                model.forward(&Tensor::new(rows.to_vec(), device)?, position, cache)
            }
            Self::Quantised { model, device } => {
                let ids = Tensor::new(rows.to_vec(), device)?;
                let before = ids.dim(1)? - 1;
                if rows.len() == 1 || before == 0 {
                    return model.forward(&ids, position);
                }
                // The head of quantized_llama.rs fails for several rows of several tokens (candle issue 2788), but only
                // after the layers have filled the KV cache. So ignore that failure and feed the last token separately.
                match model.forward(&ids.narrow(1, 0, before)?.contiguous()?, position) {
                    Err(error) if !error.to_string().contains("contiguous") => Err(error),
                    _ => model.forward(&ids.narrow(1, before, 1)?.contiguous()?, position + before),
                }
            }
        }
    }
}

/// The model of `directory`, from its model.gguf or else its checkpoint in `dtype`, and the facts about it.
pub fn load(directory: &Path, dtype: &str, device: &Device) -> Result<(Model, Value)> {
    let (model, held) = if directory.join("model.gguf").exists() {
        load_gguf(directory, device)?
    } else {
        load_checkpoint(directory, dtype, device)?
    };
    let lock = include_str!("../Cargo.lock"); // candle has no call that returns its version
    let version = lock.split("name = \"candle-core\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let weights: BTreeMap<_, _> = held.iter().map(|(kind, (bytes, count))| (kind, json!([bytes, count]))).collect();
    let facts = json!({
        "version": version,
        "weights": weights, // kind: [bytes, tensors]
        "threads": {"rayon": rayon::current_num_threads(), "barrier": utils::barrier_pool().n_workers() + 1},
    });
    Ok((model, facts))
}

type Held = BTreeMap<String, (usize, usize)>;

fn add(held: &mut Held, kind: &str, bytes: usize) {
    let entry = held.entry(kind.to_string()).or_default();
    *entry = (entry.0 + bytes, entry.1 + 1);
}

/// Hands out the checkpoint's tensors and counts what the model really received.
struct Counting {
    tensors: MmapedSafetensors,
    held: Arc<Mutex<Held>>,
}

impl SimpleBackend for Counting {
    fn get(&self, s: Shape, name: &str, h: Init, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        let tensor = SimpleBackend::get(&self.tensors, s, name, h, dtype, dev)?;
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        add(&mut self.held.lock().unwrap(), tensor.dtype().as_str(), bytes);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without its shape, and so not counted")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_tensor(name)
    }
}

fn load_checkpoint(directory: &Path, dtype: &str, device: &Device) -> Result<(Model, Held)> {
    let dtype = match dtype {
        "float32" => DType::F32,
        "bfloat16" => DType::BF16,
        "float16" => DType::F16,
        _ => bail!("unsupported: candle's llama.rs computes in no {dtype}"),
    };
    let config = config(directory)?;
    let held = Arc::new(Mutex::new(Held::new()));
    let counting = Counting { tensors: tensors(directory)?, held: held.clone() };
    let vb = VarBuilder::from_backend(Box::new(counting), dtype, device.clone());
    let model = Llama::load(vb, &config)?;
    let empty = Cache::new(true, dtype, &config, device)?;
    let held = held.lock().unwrap().clone();
    Ok((Model::Float { model, cache: empty.clone(), empty, device: device.clone() }, held))
}

fn load_gguf(directory: &Path, device: &Device) -> Result<(Model, Held)> {
    let mut file = File::open(directory.join("model.gguf"))?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut held = Held::new();
    let untied = content.tensor_infos.contains_key("output.weight");
    for (name, info) in &content.tensor_infos {
        let (kind, count) = (info.ggml_dtype, info.shape.elem_count());
        // quantized_llama.rs widens the embedding and keeps the quantised one only as a tied head.
        if name == "token_embd.weight" {
            add(&mut held, "f32", count * 4);
            if untied {
                continue;
            }
        }
        add(&mut held, &format!("{kind:?}").to_lowercase(), count / kind.block_size() * kind.type_size());
        if matches!(kind, GgmlDType::F16 | GgmlDType::BF16) {
            bail!("{name} is {kind:?}, which quantized_llama.rs would widen to float32");
        }
    }
    let model = ModelWeights::from_gguf(content, &mut file, device)?;
    Ok((Model::Quantised { model, device: device.clone() }, held))
}

/// The tensors of all the checkpoint's files.
pub fn tensors(directory: &Path) -> Result<MmapedSafetensors> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    if files.is_empty() {
        bail!("no *.safetensors in {}", directory.display());
    }
    // SAFETY: nobody writes to a checkpoint while it is read; the suite mounts it read-only.
    Ok(unsafe { MmapedSafetensors::multi(&files)? })
}

/// The model's config.json. Rejects what llama.rs would silently ignore.
pub fn config(directory: &Path) -> Result<Config> {
    let path = directory.join("config.json");
    let mut json: Value = serde_json::from_reader(File::open(&path).with_context(|| path.display().to_string())?)?;
    if json["model_type"] != "llama" {
        bail!("unsupported: model type {}; this engine runs candle's llama models only", json["model_type"]);
    }
    // transformers 5 writes rope_parameters alone, and LlamaConfig would take its default base of 10000 instead.
    let rope = json["rope_parameters"].take();
    if rope.is_object() {
        json["rope_theta"] = rope["rope_theta"].clone();
        json["rope_scaling"] = rope;
    }
    let scaling = &json["rope_scaling"];
    let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str).unwrap_or("default");
    match kind {
        "default" => json["rope_scaling"] = Value::Null,
        "llama3" => (),
        _ => bail!("unsupported: llama.rs has no rotary scaling of the type {kind}"),
    }
    for key in ["attention_bias", "mlp_bias"] {
        if json[key] == true {
            bail!("unsupported: llama.rs has no {key}");
        }
    }
    if json["hidden_act"].as_str().is_some_and(|act| act != "silu") {
        bail!("unsupported: llama.rs has no activation {}", json["hidden_act"]);
    }
    let head_dim = json["head_dim"].as_u64();
    let config = serde_json::from_value::<LlamaConfig>(json)?.into_config(false);
    if head_dim.is_some_and(|dim| dim as usize * config.num_attention_heads != config.hidden_size) {
        bail!("unsupported: llama.rs has heads of hidden_size / num_attention_heads only");
    }
    Ok(config)
}
