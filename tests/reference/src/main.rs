//! `cargo run -p terminal-reference`: writes the generated half of the protocol reference.

use std::{fs, path::Path};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let agent = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../agent"));
    let schema = agent.join("schema");
    if schema.exists() {
        fs::remove_dir_all(&schema).with_context(|| format!("emptying {}", schema.display()))?;
    }
    for (path, text) in terminal_reference::files() {
        let path = agent.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
