//! Loading by name: a folder is one, and its model answers.

use crane_native::prelude::*;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures/qwen2_tied");

#[test]
fn a_tokenizer_and_a_model_load_by_name() {
    let tokenizer = AutoTokenizer::from_pretrained(TINY).unwrap();
    let model = AutoModelForCausalLM::from_pretrained(TINY).unwrap();
    let ids = tokenizer.encode("The quick brown fox", true).unwrap();
    let config = GenerationConfig { max_new_tokens: Some(4), ..GenerationConfig::default() };
    assert!(!model.generate(&ids, &config).unwrap().ids.is_empty());
}

#[test]
fn options_reach_the_model() {
    let short = AutoModelForCausalLM::from_pretrained_with(TINY, |options| options.context(32));
    assert_eq!(short.unwrap().context(), 32);
    let missing = AutoModelForCausalLM::from_pretrained("./no-such-model").unwrap_err();
    assert_eq!(missing.exit_code(), 3);
}

#[test]
fn a_pipeline_loads_by_name() {
    let mut generator = pipeline(Task::TextGeneration, TINY).unwrap();
    generator.config.max_new_tokens = Some(4);
    let by_task = generator.run("The quick brown fox").unwrap();
    let mut generator = TextGeneration::from_pretrained(TINY).unwrap();
    generator.config.max_new_tokens = Some(4);
    assert_eq!(generator.run("The quick brown fox").unwrap().text, by_task.text);
    let missing = pipeline(Task::TextGeneration, "./no-such-model");
    assert_eq!(missing.map(|_| ()).unwrap_err().exit_code(), 3);
}
