//! Attention beside its definition, on every instruction set, with every type of cache.

use proptest::prelude::*;

use super::*;

/// Numbers in −1 .. 1.
fn numbers(len: usize, mut state: u32) -> Vec<f32> {
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn filled(kind: KvType, heads: &Heads, tokens: usize, seed: u32) -> KvBlocks {
    let width = heads.kv_heads * heads.head_dim;
    let mut cache = KvBlocks::new(kind, heads.kv_heads, heads.head_dim);
    cache.reserve(tokens);
    let (keys, values) = (numbers(tokens * width, seed), numbers(tokens * width, seed ^ 77));
    // In two pieces, as chunks of a prompt come.
    let cut = tokens / 3;
    assert!(cache.write(0, &keys[..cut * width], &values[..cut * width], None));
    assert!(cache.write(cut, &keys[cut * width..], &values[cut * width..], None));
    cache
}

/// The formula in f64 over what the cache holds.
fn by_definition(q: &[f32], job: &Job<'_>, heads: &Heads) -> Vec<f64> {
    let Heads { heads: count, kv_heads, head_dim, sight } = *heads;
    let tokens = job.position + job.queries;
    let (keys, values) = job.cache.read(tokens);
    let mut out = vec![0f64; q.len()];
    for query in 0..job.queries {
        let end = job.position + query + 1;
        for head in 0..count {
            let at = ((job.row + query) * count + head) * head_dim;
            let q = &q[at..at + head_dim];
            let row = |token: usize| (head / (count / kv_heads) * tokens + token) * head_dim;
            let visible = match sight {
                Sight::Causal => 0..end,
                Sight::Window(window) => end.saturating_sub(window)..end,
                Sight::All => 0..tokens,
            };
            let weights: Vec<f64> = visible
                .clone()
                .map(|token| {
                    let key = &keys[row(token)..][..head_dim];
                    let dot: f64 =
                        q.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    (dot / (head_dim as f64).sqrt()).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for (token, weight) in visible.zip(weights) {
                for (out, v) in out[at..].iter_mut().zip(&values[row(token)..][..head_dim]) {
                    *out += weight / sum * f64::from(*v);
                }
            }
        }
    }
    out
}

/// What the loops of `set` give.
fn with_set(set: &sets::Set, q: &[f32], job: &Job<'_>, heads: &Heads) -> Vec<f32> {
    let mut out = vec![0f32; q.len()];
    let group = heads.heads / heads.kv_heads;
    for part in parts(&[*job], heads.kv_heads, group) {
        let mut room = vec![f32::NAN; part.room(job, heads.head_dim)];
        let blocks = job.cache.heads(part.kv_head);
        run_part(set, &part, job, &blocks, q, None, heads, &mut room, |at, values| {
            out[at..at + values.len()].copy_from_slice(values);
        });
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn attention_is_its_definition_on_every_instruction_set(
        kind in 0usize..KvType::ALL.len(),
        kv_heads in 1usize..4,
        group in 1usize..8,
        half in 1usize..50,
        before in prop_oneof![0usize..150, Just(63), Just(64)],
        queries in prop_oneof![1usize..6, 30usize..140],
        sight in prop_oneof![
            Just(Sight::Causal), (1usize..150).prop_map(Sight::Window), Just(Sight::All),
        ],
        seed in any::<u32>(),
    ) {
        let kind = KvType::ALL[kind];
        let heads = Heads { heads: kv_heads * group, kv_heads, head_dim: 2 * half, sight };
        let cache = filled(kind, &heads, before + queries, seed);
        let job = Job { row: 0, queries, position: before, cache: &cache };
        let width = heads.heads * heads.head_dim;
        let q: Vec<f32> = numbers(queries * width, seed ^ 5).iter().map(|x| 4.0 * x).collect();
        let expected = by_definition(&q, &job, &heads);
        let found = attend(&q, None, &[job], &heads).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} {expected}");
        }
        for set in sets::sets() {
            prop_assert_eq!(&with_set(set, &q, &job, &heads), &found, "{}", set.name);
        }
        // A query alone gives the same bits; one that sees all is never alone.
        let alone = if sight == Sight::All { [].as_slice() } else { &[0, queries / 2, queries - 1] };
        for &query in alone {
            let alone = Job { row: 0, queries: 1, position: before + query, cache: &cache };
            let q = &q[query * width..(query + 1) * width];
            let alone = attend(q, None, &[alone], &heads).unwrap();
            prop_assert_eq!(&alone[..], &found[query * width..(query + 1) * width]);
        }
    }

    #[test]
    fn a_cache_gives_back_what_was_written(
        kind in 0usize..KvType::ALL.len(), kv_heads in 1usize..4, head_dim in 1usize..80,
        tokens in 1usize..150, seed in any::<u32>(),
    ) {
        let kind = KvType::ALL[kind];
        let heads = Heads { heads: kv_heads, kv_heads, head_dim, sight: Sight::Causal };
        let cache = filled(kind, &heads, tokens, seed);
        let allowed = match kind {
            KvType::F32 => 0.0,
            KvType::F16 => 1.0 / 2048.0,
            KvType::Q8_0 => 0.51 / 127.0,
        };
        let (keys, values) = cache.read(tokens);
        for (found, seed) in [(keys, seed), (values, seed ^ 77)] {
            let written = numbers(tokens * kv_heads * head_dim, seed);
            for (at, found) in found.iter().enumerate() {
                let (head, rest) = (at / (tokens * head_dim), at % (tokens * head_dim));
                let (token, d) = (rest / head_dim, rest % head_dim);
                let expected = written[(token * kv_heads + head) * head_dim + d];
                prop_assert!((found - expected).abs() <= allowed, "{found} {expected}");
            }
        }
    }
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    let heads = Heads { heads: 6, kv_heads: 2, head_dim: 32, sight: Sight::Causal };
    let width = heads.heads * heads.head_dim;
    let lengths = [(70, 1), (3, 40), (200, 2)];
    let caches: Vec<KvBlocks> = (1u32..)
        .zip(lengths)
        .map(|(seed, (before, queries))| filled(KvType::F32, &heads, before + queries, seed))
        .collect();
    let rows: usize = lengths.iter().map(|(_, queries)| queries).sum();
    let q = numbers(rows * width, 9);
    let mut jobs = Vec::new();
    let mut row = 0;
    for (cache, (position, queries)) in caches.iter().zip(lengths) {
        jobs.push(Job { row, queries, position, cache });
        row += queries;
    }
    let together = attend(&q, None, &jobs, &heads).unwrap();
    for job in &jobs {
        let rows = job.row * width..(job.row + job.queries) * width;
        let alone = attend(&q[rows.clone()], None, &[Job { row: 0, ..*job }], &heads).unwrap();
        assert_eq!(alone, together[rows]);
    }
}

#[test]
fn the_largest_scores_do_not_overflow() {
    let heads = Heads { heads: 1, kv_heads: 1, head_dim: 2, sight: Sight::Causal };
    for kind in KvType::ALL {
        let mut cache = KvBlocks::new(kind, 1, 2);
        cache.reserve(3);
        let keys = [1e5, 1e5, -1e5, -1e5, 6e4, 0.0];
        assert!(cache.write(0, &keys, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None));
        let job = Job { row: 0, queries: 1, position: 2, cache: &cache };
        let out = attend(&[1e30, 1e30], None, &[job], &heads).unwrap();
        assert!((out[0] - 1.0).abs() < 0.02 && (out[1] - 2.0).abs() < 0.02, "{kind} {out:?}");
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let heads = Heads { heads: 4, kv_heads: 2, head_dim: 8, sight: Sight::Causal };
    let mut cache = KvBlocks::new(KvType::F32, 2, 8);
    cache.reserve(10);
    assert_eq!(cache.room(), BLOCK);
    assert!(!cache.write(60, &[0.; 16 * 5], &[0.; 16 * 5], None));
    assert!(!cache.write(0, &[0.; 16], &[0.; 15], None));
    assert!(cache.write(0, &[], &[], None));
    let job = Job { row: 0, queries: 1, position: 0, cache: &cache };
    assert!(attend(&[0.; 32], None, &[job], &heads).is_some());
    assert!(attend(&[0.; 32], None, &[Job { row: 1, ..job }], &heads).is_none());
    assert!(attend(&[0.; 32], None, &[Job { position: 64, ..job }], &heads).is_none());
    assert!(attend(&[0.; 32], None, &[job], &Heads { heads: 2, head_dim: 16, ..heads }).is_none());
    assert!("f8".parse::<KvType>().is_err());
    assert!(KvType::ALL.iter().all(|kind| kind.name().parse::<KvType>().unwrap() == *kind));
}
