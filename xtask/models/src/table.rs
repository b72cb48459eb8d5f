//! The README's table of models, as the registry has them.

use crane_sdk::models::registry;

/// A Markdown table: family, well-known models, names in `config.json` and in GGUF.
pub fn markdown() -> String {
    let mut table = String::from(
        "| family | such as | `architectures` in config.json | `general.architecture` in GGUF |\n\
         | --- | --- | --- | --- |\n",
    );
    for architecture in registry() {
        let row = [
            architecture.name.to_owned(),
            architecture.examples.to_owned(),
            code(architecture.hugging_face),
            code(architecture.gguf),
        ];
        table.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    table
}

fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
