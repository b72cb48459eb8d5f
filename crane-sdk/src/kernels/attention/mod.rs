//! Attention over the key/value cache in one pass: grouped queries, each seeing what came before it, a window of that, or everything.

mod blocks;
mod sets;
mod stored;
mod tile;

use super::rows::{RotaryTable, rotate};
use super::shared::Shared;
use super::threads::{parallel_with, thread_count};
pub(crate) use blocks::Block;
use blocks::HeadStarts;
pub use blocks::{BLOCK, KvBlocks};
use sets::Set;
pub use stored::KvType;
use tile::{SUMS, Tile};

/// Rows of a tile: enough to use each key and value often, few enough for the first-level cache.
const TILE_ROWS: usize = 48;

/// The shape of the heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads; head j serves query heads j·g .. j·g + g with g = heads / kv_heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What a query sees.
    pub sight: Sight,
}

/// Which tokens a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Itself and all before it.
    Causal,
    /// Itself and so many less one before it.
    Window(usize),
    /// Every token of its job, those behind it too: an encoder's.
    All,
}

/// The new tokens of one sequence: rows of a batch, and the cache that holds their keys and values already.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The first of the sequence's rows in the batch.
    pub row: usize,
    /// How many rows.
    pub queries: usize,
    /// The position of the first of them in the sequence.
    pub position: usize,
    /// The keys and values of all tokens up to the last query.
    pub cache: &'a KvBlocks,
}

/// A part of the work that one thread does at a time.
struct Part {
    job: usize,
    kv_head: usize,
    /// The first query, and how many.
    query: usize,
    queries: usize,
    /// The first of the query heads of `kv_head`, and how many.
    head: usize,
    group: usize,
}

/// softmax(q·kᵀ / √head_dim) · v for every row of `q`, `[rows, heads · head_dim]`; the result has the same
/// shape. Queries are rotated by their row of `table`, if there is one.
///
/// A row's result is the same to the last bit whatever rows are computed with it. Rows that no job names
/// are 0; `None` if a job's rows or tokens are not there.
pub fn attend(
    q: &[f32],
    table: Option<&RotaryTable>,
    jobs: &[Job<'_>],
    heads: &Heads,
) -> Option<Vec<f32>> {
    let Heads { heads: count, kv_heads, head_dim, .. } = *heads;
    let width = count * head_dim;
    let group = count / kv_heads.max(1);
    let rows = q.len() / width.max(1);
    let fits = |job: &Job<'_>| {
        job.row + job.queries <= rows
            && job.position + job.queries <= job.cache.room()
            && job.cache.has_heads(kv_heads, head_dim)
            && table.is_none_or(|table| {
                2 * table.half == head_dim && table.rows() >= job.row + job.queries
            })
    };
    if !jobs.iter().all(fits) || group * kv_heads != count || rows * width != q.len() {
        return None;
    }
    let set = sets::fastest();
    let parts = parts(jobs, kv_heads, group);
    let tokens = jobs.iter().map(|job| job.position + job.queries).max().unwrap_or(0);
    let mut out = vec![0f32; q.len()];
    let shared = Shared::new(&mut out);
    let cost = 2 * tokens * head_dim * parts.first().map_or(1, |part| part.queries * part.group);
    let caches: Vec<Vec<HeadStarts<'_>>> =
        jobs.iter().map(|job| (0..kv_heads).map(|head| job.cache.heads(head)).collect()).collect();
    let room = parts.iter().map(|part| part.room(&jobs[part.job], head_dim)).max().unwrap_or(0);
    parallel_with(parts.len(), cost, room, |range, room| {
        for part in range {
            let (part, job) = (&parts[part], &jobs[parts[part].job]);
            let blocks = &caches[part.job][part.kv_head];
            run_part(set, part, job, blocks, q, table, heads, room, |at, values| {
                // SAFETY: each head of each row belongs to one part.
                unsafe { shared.slice(at..at + values.len()) }.copy_from_slice(values);
            });
        }
    });
    Some(out)
}

/// Cuts jobs into parts of about [`TILE_ROWS`] rows, and smaller if threads would go without.
fn parts(jobs: &[Job<'_>], kv_heads: usize, group: usize) -> Vec<Part> {
    let threads = thread_count();
    let queries = (TILE_ROWS / group.max(1)).max(1);
    let mut whole: usize = jobs.iter().map(|job| job.queries.div_ceil(queries)).sum();
    whole *= kv_heads;
    // Heads that share keys are split up only where there is nothing else to share out.
    let pieces = if whole == 0 { 1 } else { threads.div_ceil(whole).min(group.max(1)) };
    let per_piece = group.div_ceil(pieces).max(1);
    let mut parts = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        // The last queries see the most: the longest parts come first.
        for query in (0..job.queries).step_by(queries).rev() {
            for kv_head in 0..kv_heads {
                for head in (0..group).step_by(per_piece) {
                    parts.push(Part {
                        job: index,
                        kv_head,
                        query,
                        queries: queries.min(job.queries - query),
                        head,
                        group: per_piece.min(group - head),
                    });
                }
            }
        }
    }
    parts
}

impl Part {
    /// Floats that a tile's queries, scores and sums take.
    fn room(&self, job: &Job<'_>, head_dim: usize) -> usize {
        let per_row = head_dim + 2 * BLOCK + SUMS + 1 + job.cache.layout().padded;
        self.queries * self.group * per_row
    }
}

#[allow(clippy::too_many_arguments, reason = "one caller beside the tests")]
fn run_part(
    set: &Set,
    part: &Part,
    job: &Job<'_>,
    blocks: &HeadStarts<'_>,
    q: &[f32],
    table: Option<&RotaryTable>,
    heads: &Heads,
    room: &mut [f32],
    mut put: impl FnMut(usize, &[f32]),
) {
    let Heads { heads: count, kv_heads, head_dim, sight } = *heads;
    let layout = *job.cache.layout();
    let rows = part.queries * part.group;
    let room = &mut room[..part.room(job, head_dim)];
    room.fill(0.0);
    let (queries, rest) = room.split_at_mut(rows * head_dim);
    let (scores, rest) = rest.split_at_mut(rows * BLOCK);
    let (weights, rest) = rest.split_at_mut(rows * BLOCK);
    let (sums, rest) = rest.split_at_mut(rows * SUMS);
    let (max, out) = rest.split_at_mut(rows);
    max.fill(f32::NEG_INFINITY);

    // Where a row of the tile lies among the batch's rows.
    let place = |row: usize| {
        let query = job.row + part.query + row / part.group;
        let head = part.kv_head * (count / kv_heads) + part.head + row % part.group;
        (query, (query * count + head) * head_dim)
    };
    let scale = 1.0 / (head_dim as f32).sqrt();
    for (row, rotated) in queries.chunks_exact_mut(head_dim).enumerate() {
        let (query, at) = place(row);
        let x = &q[at..at + head_dim];
        match table {
            Some(table) => rotate(x, table, query, rotated),
            None => rotated.copy_from_slice(x),
        }
        rotated.iter_mut().for_each(|x| *x *= scale);
    }
    let tile = Tile {
        blocks: blocks.starts.as_ptr(),
        layout,
        head_dim,
        queries: part.queries,
        group: part.group,
        position: job.position + part.query,
        window: match sight {
            Sight::Window(tokens) => tokens.max(1),
            Sight::Causal | Sight::All => usize::MAX,
        },
        behind: (sight == Sight::All).then_some(job.position + job.queries),
        q: queries.as_ptr(),
        scores: scores.as_mut_ptr(),
        weights: weights.as_mut_ptr(),
        max: max.as_mut_ptr(),
        sums: sums.as_mut_ptr(),
        out: out.as_mut_ptr(),
    };
    // SAFETY: the buffers have the tile's sizes, the cache holds the tokens that it looks at, and the set is
    // one that the processor runs.
    unsafe { set.run(job.cache.kind(), &tile) };
    for (row, (values, sums)) in
        out.chunks_exact_mut(layout.padded).zip(sums.as_chunks::<SUMS>().0).enumerate()
    {
        let inverse = 1.0 / sum(sums);
        let values = &mut values[..head_dim];
        values.iter_mut().for_each(|x| *x *= inverse);
        put(place(row).1, values);
    }
}

/// Halves, then quarters, and so on: an order that does not depend on the instruction set.
fn sum(x: &[f32; SUMS]) -> f32 {
    let mut sums = *x;
    let mut half = SUMS / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests;
