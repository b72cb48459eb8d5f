//! Grammars and schemas that ask for more than a process has: each compiles within limits, or is refused by a limit's name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;
mod grammar_support;

use crane_sdk::generate::{CancelToken, FinishReason, GenerationConfig, Step, step_together};
use crane_sdk::grammar::{Compiler, Grammar, Limits};
use crane_sdk::sample::SamplingParams;
use generate_support::{Fixture, fixture};
use grammar_support::{FAMILIES, lark, schema, wide};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;

fn compiler(fixture: &Fixture) -> Compiler {
    Compiler::new(&fixture.tokenizer).unwrap()
}

#[test]
fn five_hundred_grammars_compile_or_are_refused() {
    // Schemas of thousands of levels, which are made and dropped here, need a stack of their own.
    let deep = std::thread::Builder::new().stack_size(256 << 20).spawn(compile_five_hundred);
    deep.unwrap().join().unwrap();
}

fn compile_five_hundred() {
    let fixture = fixture("qwen2_tied");
    let compiler = compiler(&fixture);
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let (mut kept, mut refused) = (0, 0);
    for round in 0..500 {
        let (name, make) = FAMILIES[round % FAMILIES.len()];
        // Most are small; some are far too large.
        let size = 1usize << (rng.next_u32() % 13);
        let size = size + rng.next_u32() as usize % size;
        let grammar = make(size);
        match compiler.compile(&grammar) {
            Err(error) => {
                let told = error.to_string();
                assert!(told.starts_with("grammar: ") && told.len() > 20, "{name} {size}: {told}");
                assert!(!told.contains("backtrace") && told.len() < 2_000, "{name} {size}: {told}");
                refused += 1;
            }
            Ok(constraint) => {
                let config = GenerationConfig {
                    sampling: SamplingParams { seed: Some(round as u64), ..Default::default() },
                    constraint: Some(constraint),
                    max_new_tokens: Some(3),
                    ..GenerationConfig::default()
                };
                let mut session = fixture.session(64);
                // A grammar can be too large to be followed; that is an error, too.
                if let Ok(generation) = session.generate(&[5], &config, &CancelToken::new()) {
                    let _ = generation.complete();
                }
                kept += 1;
            }
        }
    }
    assert!(kept > 150 && refused > 60, "{kept} compile, {refused} are refused");
}

/// For each limit of depth, a grammar that comes up to it, and one that is over it.
fn at_limits(limits: &Limits) -> Vec<(&'static str, Grammar, Grammar)> {
    let chain = limits.chain - 2;
    vec![
        ("chain", lark::chain(chain), lark::chain(chain + 4)),
        ("chain", lark::terminals(chain), lark::terminals(chain + 4)),
        ("chain", lark::brackets(limits.chain / 11), lark::brackets(limits.chain / 8)),
        ("chain", schema::references(limits.chain / 5), schema::references(limits.chain)),
        ("properties", wide(limits.properties, true), wide(limits.properties + 1, true)),
        ("properties", wide(limits.properties, false), wide(limits.properties + 1, false)),
        ("depth", schema::arrays(limits.depth - 2), schema::arrays(limits.depth + 1)),
        ("depth", schema::all(limits.depth / 3), schema::all(limits.depth)),
    ]
}

#[test]
fn what_is_at_a_limit_fits_the_stack_and_what_is_over_it_is_told() {
    let fixture = fixture("qwen2_tied");
    // A page's stack is a megabyte. Half of each is left for frames that are larger on another target.
    for stack in [Limits::default().stack, 1 << 20] {
        let limits = Limits::of_stack(stack);
        let tight = Limits { stack: stack / 2, ..limits.clone() };
        let compiler = compiler(&fixture).with_limits(tight);
        for (name, grammar, over) in at_limits(&limits) {
            if let Err(error) = compiler.compile(&grammar) {
                // Within the limit in question, another may come first.
                let told = error.to_string();
                assert!(!told.contains(&format!("the limit {name} ")), "{stack}, {name}: {told}");
            }
            let told = compiler.compile(&over).unwrap_err().to_string();
            assert!(told.contains(&format!("the limit {name} is ")), "{stack}, {name}: {told}");
        }
    }
}

#[test]
fn what_people_write_is_far_below_the_limits() {
    let fixture = fixture("qwen2_tied");
    let compiler = compiler(&fixture);
    for (name, grammar) in [
        ("properties", wide(2_000, true)),
        ("optional properties", wide(2_000, false)),
        ("values", schema::values(10_000)),
        ("options", schema::variants(60)),
        ("rules", lark::chain(600)),
        ("definitions", schema::definitions(300)),
        ("tools", lark::tools(128, 8, 4)),
        ("arrays", schema::arrays(60)),
        ("multiples", schema::multiple(100.0)),
        ("cents", schema::multiple(0.01)),
    ] {
        compiler.compile(&grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_compilation_that_is_cancelled_ends() {
    let fixture = fixture("qwen2_tied");
    let compiler = compiler(&fixture);
    let cancel = CancelToken::new();
    compiler.compile_until(&wide(3, true), &cancel).unwrap();
    cancel.cancel();
    for grammar in [wide(2_000, true), lark::tools(20, 4, 4), lark::chain(100)] {
        let told = compiler.compile_until(&grammar, &cancel).unwrap_err().to_string();
        assert!(told.contains("cancelled"), "{told}");
    }
}

#[test]
fn a_reply_that_cannot_be_followed_fails_alone() {
    let fixture = fixture("qwen2_tied");
    let narrow = Limits { reply_steps: 500, ..Limits::default() };
    let narrow = compiler(&fixture).with_limits(narrow);
    let wanted = Grammar::Regex("(a|b)*a(a|b){12}c".to_owned());
    let config = |constraint| GenerationConfig {
        sampling: SamplingParams { seed: Some(1), ..Default::default() },
        constraint: Some(constraint),
        max_new_tokens: Some(40),
        ..GenerationConfig::default()
    };
    let configs = [
        config(narrow.compile(&wanted).unwrap()),
        config(compiler(&fixture).compile(&Grammar::Regex("[xy]{20}".to_owned())).unwrap()),
    ];
    let mut sessions = [fixture.session(64), fixture.session(64)];
    for (session, config) in sessions.iter_mut().zip(&configs) {
        session.begin(&[5, 6, 7], config, &CancelToken::new()).unwrap();
    }
    let mut told = Vec::new();
    while sessions[1].is_running() {
        let mut all: Vec<_> = sessions.iter_mut().filter(|session| session.is_running()).collect();
        for step in step_together(&mut all).unwrap() {
            match step {
                Ok(Step::Done) | Ok(_) => {}
                Err(error) => told.push(error.to_string()),
            }
        }
    }
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.contains("the limit reply_steps"), "{told}");
    let [_, other] = sessions;
    let mut other = other;
    let output = other.finish().unwrap();
    assert_eq!((output.finish_reason, output.text.len()), (FinishReason::Complete, 20));
}

#[test]
fn definitions_that_hide_are_found() {
    let fixture = fixture("qwen2_tied");
    let compiler = compiler(&fixture);
    let limits = Limits::default();
    let rules = |from: &str| {
        let chain = (0..limits.chain + 5).map(|n| format!("r{n}: r{}\n", n + 1));
        format!("{from}{}r{}: \"a\"\n", chain.collect::<String>(), limits.chain + 5)
    };
    for text in [
        rules("start: \"b\"\n\n # a comment\n\n  | r0\n"),
        rules("start: \"x\"~2r0\n"),
        rules("start: \"a\\\"r\"r0\n"),
        rules("start: /a\\/b/i r0 // r\n"),
        rules("start[capture]: ((\"a\" | [r0]))*\n"),
        rules("%ignorer0\nstart: \"a\"\n"),
        rules("?start: <x> @y r0 -> z\n"),
        rules("start: %json {\"enum\": [\"\\\"}\"]} r0\n"),
        format!("start: %lark {{\n{}}}\n", rules("start: r0\n")),
        format!("start: \"a\" %lark {{ {}}} | \"b\"\n", rules("start: r0\n")),
    ] {
        let head = text.get(..40).unwrap().to_owned();
        let told = compiler.compile(&Grammar::Lark(text)).unwrap_err().to_string();
        assert!(told.contains("the limit chain is"), "{head:?}: {told}");
    }
}

#[test]
fn copies_are_counted_before_they_are_made() {
    let fixture = fixture("qwen2_tied");
    let compiler = compiler(&fixture);
    let told = |schema| compiler.compile(&Grammar::JsonSchema(schema)).unwrap_err().to_string();
    let many = |count: u32| (0..count).map(|n| json!({ "const": n })).collect::<Vec<_>>();
    let names = |count: u32| {
        (0..count).map(|n| (format!("p{n}"), json!({}))).collect::<serde_json::Map<_, _>>()
    };
    // Each option of a thousand gets a copy of a thousand properties.
    let options = vec![json!(true); 1_000];
    let copies = json!({ "type": "object", "properties": names(1_000), "oneOf": options });
    assert!(told(copies).contains("the limit steps"));
    // Each property gets a copy of what all others may be.
    let rest = json!({ "additionalProperties": { "anyOf": many(1_000) } });
    let copies = json!({ "type": "object", "properties": names(1_000), "allOf": [rest] });
    assert!(told(copies).contains("the limit steps"));
    // Two definitions that hold themselves twice, combined.
    let twice = |name: &str, big| {
        let itself = json!({ "$ref": format!("#/$defs/{name}") });
        json!({ "type": "object", "properties": { "c": itself, "d": itself, "big": big } })
    };
    let big = json!({ "type": "array", "items": { "anyOf": many(1_000) } });
    let definitions = json!({ "t": twice("t", big), "u": twice("u", json!({ "type": "array" })) });
    let both = json!([{ "$ref": "#/$defs/t" }, { "$ref": "#/$defs/u" }]);
    let told = told(json!({ "allOf": both, "$defs": definitions }));
    assert!(told.contains("the limit steps") || told.contains("in a circle"), "{told}");
}
