//! candle, driven by bench.py.
//!
//!   bench-candle serve DIRECTORY DTYPE DEVICE     loads, prints one JSON line of facts, then answers the lines of stdin:
//!     {"prompts": [[id]], "new_tokens": n}        n lines, each the next id of every prompt: [id]
//!     {"score": [id]}                             raw float32: the next token's log-probabilities after each id
//!   bench-candle convert CHECKPOINT FILE SCHEME   writes FILE, a quantised GGUF

mod convert;
mod model;

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{bail, Context, Result};
use candle_core::{Device, IndexOp, D};
use serde_json::{json, Value};

/// A failure is answered as well: {"error": "..."}, beginning with "unsupported: " where candle itself lacks something.
fn main() {
    if let Err(error) = run() {
        println!("{}", json!({ "error": format!("{error:#}") }));
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", directory, dtype, device] => serve(Path::new(directory), dtype, device),
        ["convert", checkpoint, file, scheme] => convert::convert(Path::new(checkpoint), Path::new(file), scheme),
        _ => bail!("usage: bench-candle serve DIRECTORY DTYPE DEVICE | convert CHECKPOINT FILE SCHEME"),
    }
}

fn serve(directory: &Path, dtype: &str, device: &str) -> Result<()> {
    let device = match device {
        "cpu" => Device::Cpu,
        "cuda" => Device::new_cuda(0)?,
        "metal" => Device::new_metal(0)?,
        _ => bail!("unsupported: candle has no device {device}"),
    };
    // On a CPU: in candle's own thread pool, as its documentation advises for many short parallel sections.
    device.with_context(|| {
        let (mut model, facts) = model::load(directory, dtype, &device)?;
        let mut out = std::io::stdout();
        writeln!(out, "{facts}")?;
        for line in std::io::stdin().lock().lines() {
            let request: Value = serde_json::from_str(&line?)?;
            if let Some(tokens) = request.get("score") {
                score(&mut model, &ids(tokens)?, &mut out)?;
            } else {
                generate(&mut model, &request, &mut out)?;
            }
        }
        Ok(())
    })
}

fn ids(value: &Value) -> Result<Vec<u32>> {
    Ok(serde_json::from_value(value.clone())?)
}

fn generate(model: &mut model::Model, request: &Value, out: &mut impl Write) -> Result<()> {
    let prompts = request["prompts"].as_array().context("no prompts")?;
    let mut rows = prompts.iter().map(ids).collect::<Result<Vec<_>>>()?;
    let steps = request["new_tokens"].as_u64().context("no new_tokens")?;
    let mut position = 0;
    model.clear();
    for _ in 0..steps {
        let logits = model.forward(&rows, position)?;
        position += rows[0].len();
        let next: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
        // In one write: stdout is flushed at every end of line.
        out.write_all(format!("{next:?}\n").as_bytes())?;
        rows = next.into_iter().map(|id| vec![id]).collect();
    }
    Ok(())
}

/// Token by token, since candle's models compute the head for the last position only.
fn score(model: &mut model::Model, tokens: &[u32], out: &mut impl Write) -> Result<()> {
    model.clear();
    for (position, &id) in tokens.iter().enumerate() {
        let logits = model.forward(&[vec![id]], position)?;
        let row: Vec<f32> = candle_nn::ops::log_softmax(&logits.i(0)?, 0)?.to_vec1()?;
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}
