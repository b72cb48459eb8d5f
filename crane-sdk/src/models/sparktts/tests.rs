//! Prompts and tokens beside the original's.

use serde_json::Value;

use super::*;

fn fixture() -> (Tokenizer, Value) {
    let tokenizer = include_bytes!("../../../tests/fixtures/sparktts/LLM/tokenizer.json");
    let recorded = include_str!("../../../tests/fixtures/sparktts/recorded.json");
    let tokenizer = Tokenizer::from_json(tokenizer, None).unwrap();
    (tokenizer, serde_json::from_str::<Value>(recorded).unwrap()["values"].take())
}

fn level(name: &Value) -> Level {
    match name.as_str().unwrap() {
        "very_low" => Level::VeryLow,
        "low" => Level::Low,
        "moderate" => Level::Moderate,
        "high" => Level::High,
        "very_high" => Level::VeryHigh,
        other => panic!("{other}"),
    }
}

#[test]
fn prompts_are_the_originals() {
    let (tokenizer, values) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer, 256, 1024).unwrap();
    let examples = values["control"].as_array().unwrap();
    for example in examples {
        let gender = GENDERS.iter().position(|name| example["gender"] == *name).unwrap();
        let levels = [level(&example["pitch"]), level(&example["speed"])];
        let text = example["text"].as_str().unwrap();
        let found = vocabulary.controlled(&tokenizer, text, gender, levels).unwrap();
        let expected: Vec<u32> = serde_json::from_value(example["ids"].clone()).unwrap();
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(examples.len(), 2);
    let clone = &values["clone"];
    let speaker = [473, 430, 925, 217, 470, 446, 154, 621];
    let text = clone["text"].as_str().unwrap();
    let found = vocabulary.cloned(&tokenizer, text, &speaker, None).unwrap();
    let expected = clone["prompt_without_text"].as_str().unwrap();
    assert_eq!(found, tokenizer.encode(expected, false).unwrap());
    let recorded = include_bytes!("../../../tests/fixtures/sparktts/recorded.safetensors");
    let recorded = safetensors::SafeTensors::deserialize(recorded).unwrap();
    let numbers = |name: &str| -> Vec<u32> {
        let data = recorded.tensor(name).unwrap().data();
        data.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word) as u32).collect()
    };
    let codes = numbers("tok.semantic");
    let said = (clone["prompt_text"].as_str().unwrap(), codes.as_slice());
    let found = vocabulary.cloned(&tokenizer, text, &speaker, Some(said)).unwrap();
    assert_eq!(found, numbers("clone.input_ids"));
    let marked = vocabulary.cloned(&tokenizer, text, &speaker, Some(("a <|im_end|>", &codes)));
    assert!(marked.unwrap_err().to_string().contains("control token"));
    let error = vocabulary.controlled(&tokenizer, "a <|im_end|>", 0, [Level::Low; 2]).unwrap_err();
    assert!(error.to_string().contains("control token"), "{error}");
}

#[test]
fn tokens_are_told_apart() {
    let (tokenizer, values) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer, 256, 1024).unwrap();
    for example in values["parse_examples"].as_array().unwrap().iter().take(1) {
        let ids = tokenizer.encode(example["text"].as_str().unwrap(), false).unwrap();
        let (mut semantic, mut global) = (Vec::new(), Vec::new());
        for id in ids {
            match vocabulary.meaning(id) {
                Spoken::Semantic(code) => semantic.push(code),
                Spoken::Global(code) => global.push(code),
                Spoken::Other => {}
            }
        }
        let expected =
            |name: &str| serde_json::from_value::<Vec<u32>>(example[name].clone()).unwrap();
        assert_eq!((semantic, global), (expected("semantic"), expected("global_")));
    }
    assert!(Vocabulary::find(&tokenizer, 9000, 1024).is_err());
}

#[test]
fn speeds_are_steps() {
    let levels = [0.5, 0.8, 1.0, 1.25, 2.0].map(Level::of_speed);
    assert!(levels.is_sorted() && levels[2] == Level::Moderate && levels[4] == Level::VeryHigh);
}
