//! The tokens that survive the filters: found by partial selection, never by sorting a vocabulary.

use std::cmp::Ordering;

use super::SamplingParams;
use super::weight::{UNIT, ln, ln_total, share, weight};

/// How many tokens are looked at first for top-p; most distributions end long before.
const FIRST_LOOK: usize = 256;

/// A depth below which nothing weighs anything: `exp(-29) < 2^-41`.
const DEEPEST: f64 = -29.0;

/// Ids whose weights are summed together when the whole vocabulary survives.
const BLOCK: usize = 1024;

/// A token that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// What the tokens are ordered by, best first when it falls.
    key: f32,
    /// The token.
    pub(super) id: u32,
    /// Its share of the distribution, in [`UNIT`]s of the best token.
    pub(super) weight: u64,
}

impl Candidate {
    /// Falling keys; of equal ones the lower id first.
    fn order(&self, other: &Self) -> Ordering {
        other.key.total_cmp(&self.key).then(self.id.cmp(&other.id))
    }
}

/// The scaled logits of one step: what a weight is computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaled<'a> {
    /// The row after penalties and bias.
    pub(super) logits: &'a [f32],
    /// The best logit of the row.
    pub(super) max: f32,
    /// Above 0.
    pub(super) temperature: f32,
}

impl Scaled<'_> {
    /// How far below the best one a logit lies, over the temperature; 0 or negative.
    #[inline]
    pub(super) fn depth(&self, logit: f32) -> f32 {
        (logit - self.max) / self.temperature
    }
}

/// The distribution that a token is drawn from, and the scratch that it is found with.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    /// The survivors, in no order; not used if `everything`.
    few: Vec<Candidate>,
    /// No filter is on: the whole vocabulary is the distribution.
    everything: bool,
    /// If `everything`: the weight of each [`BLOCK`] ids.
    blocks: Vec<u64>,
    /// The sum of the survivors' weights; never 0 after [`Candidates::filter`].
    total: u64,
    /// One bit an id: the survivors while they are walked in the order of ids; zero between steps.
    bits: Vec<u64>,
}

impl Candidates {
    /// Runs top-k, top-p, min-p and typical-p.
    pub(super) fn filter(&mut self, row: Scaled<'_>, params: &SamplingParams) {
        let vocabulary = row.logits.len();
        self.few.clear();
        self.everything = false;
        let top_k = params.top_k > 0 && params.top_k < vocabulary;
        if top_k {
            self.select(row, params.top_k, DEEPEST);
            self.total = mass(&self.few);
        } else if params.top_p < 1.0 {
            self.sum_blocks(row);
            let goal = share(params.top_p, self.total);
            let mut look = FIRST_LOOK.min(vocabulary);
            self.select(row, look, DEEPEST);
            while mass(&self.few) < goal && look < vocabulary {
                look = (look * 16).min(vocabulary);
                self.select(row, look, DEEPEST);
            }
        } else if params.min_p > 0.0 || params.typical_p < 1.0 {
            // The logarithm is of this library, and the slack is its error: min-p itself is decided
            // by the weights, below.
            let floor =
                if params.min_p > 0.0 { ln(f64::from(params.min_p)) - 1e-3 } else { DEEPEST };
            self.select(row, vocabulary, floor);
            self.total = mass(&self.few);
        } else {
            self.everything = true;
            self.sum_blocks(row);
        }
        if params.top_p < 1.0 {
            keep_mass(&mut self.few, share(params.top_p, self.total));
        }
        if params.min_p > 0.0 {
            let least = share(params.min_p, UNIT);
            self.few.retain(|candidate| candidate.weight >= least);
        }
        if params.typical_p < 1.0 {
            self.typical(row, params.typical_p);
        }
        if !self.everything {
            self.total = mass(&self.few);
        }
    }

    /// The `k` best tokens that weigh anything and lie above the depth `floor`, into `few`.
    ///
    /// One pass with a rising threshold: the buffer takes what beats it, and each time it is full
    /// only its best half stays.
    fn select(&mut self, row: Scaled<'_>, k: usize, floor: f64) {
        let few = &mut self.few;
        few.clear();
        let room = (2 * k).max(FIRST_LOOK).min(row.logits.len());
        // A little too deep, for the rounding of large logits.
        let deepest = f64::from(row.max) + floor.max(DEEPEST) * f64::from(row.temperature)
            - f64::from(row.max.abs()) * 1e-6;
        let mut threshold = deepest as f32;
        for (id, &logit) in row.logits.iter().enumerate() {
            if logit > threshold {
                let weight = weight(row.depth(logit));
                if weight == 0 {
                    continue;
                }
                few.push(Candidate { key: logit, id: id as u32, weight });
                if few.len() == room && room > k {
                    keep_first(few, k);
                    threshold = few.iter().fold(f32::INFINITY, |least, c| least.min(c.key));
                }
            }
        }
        keep_first(few, k);
    }

    /// The weight of the whole row, block by block.
    fn sum_blocks(&mut self, row: Scaled<'_>) {
        self.blocks.clear();
        self.blocks.extend(
            row.logits
                .chunks(BLOCK)
                .map(|block| block.iter().map(|&logit| weight(row.depth(logit))).sum::<u64>()),
        );
        self.total = self.blocks.iter().sum();
    }

    /// Keeps the tokens whose surprise is nearest to the entropy, until they reach the share.
    fn typical(&mut self, row: Scaled<'_>, part: f32) {
        // The entropy is ln Z - sum(w x) / Z over the survivors; the sum is of integers, so that
        // their order does not matter: depths in units of 2^-24.
        let total = mass(&self.few);
        let depth = |id: u32| f64::from(row.depth(row.logits[id as usize]));
        let moment: i128 = self
            .few
            .iter()
            .map(|c| i128::from(c.weight) * i128::from((depth(c.id) * 16_777_216.0) as i64))
            .sum();
        let log_z = ln_total(total);
        let mean_depth = moment as f64 / 16_777_216.0 / total as f64;
        let entropy = log_z - mean_depth;
        for candidate in &mut self.few {
            let surprise = log_z - depth(candidate.id);
            candidate.key = -(surprise - entropy).abs() as f32;
        }
        keep_mass(&mut self.few, share(part, total));
    }

    /// The sum of the survivors' weights.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Calls `visit` with each survivor and its weight in the order of ids until it returns true, and
    /// returns the token at which it did.
    fn walk(&mut self, row: Scaled<'_>, mut visit: impl FnMut(u32, u64) -> bool) -> Option<u32> {
        self.bits.resize(row.logits.len().div_ceil(64), 0);
        for candidate in &self.few {
            self.bits[candidate.id as usize / 64] |= 1 << (candidate.id % 64);
        }
        let mut found = None;
        for (index, word) in self.bits.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            while rest != 0 && found.is_none() {
                let id = index as u32 * 64 + rest.trailing_zeros();
                rest &= rest - 1;
                if visit(id, weight(row.depth(row.logits[id as usize]))) {
                    found = Some(id);
                }
            }
        }
        found
    }

    /// The first token, in the order of ids, at which the running sum of weights exceeds `target`.
    pub(super) fn at(&mut self, row: Scaled<'_>, target: u64) -> Option<u32> {
        let mut sum = 0;
        if !self.everything {
            return self.walk(row, |_, weight| {
                sum += weight;
                sum > target
            });
        }
        for (index, &block) in self.blocks.iter().enumerate() {
            if sum + block > target {
                let start = index * BLOCK;
                let end = (start + BLOCK).min(row.logits.len());
                for (offset, &logit) in row.logits[start..end].iter().enumerate() {
                    sum += weight(row.depth(logit));
                    if sum > target {
                        return Some((start + offset) as u32);
                    }
                }
            }
            sum += block;
        }
        None
    }

    /// The survivors, best first, at most `limit` of them.
    pub(super) fn best(&mut self, row: Scaled<'_>, limit: usize) -> &[Candidate] {
        if self.everything {
            self.select(row, limit.min(row.logits.len()), DEEPEST);
        } else {
            // typical-p has ordered them by something else.
            for candidate in &mut self.few {
                candidate.key = row.logits[candidate.id as usize];
            }
            keep_first(&mut self.few, limit);
        }
        self.few.sort_unstable_by(Candidate::order);
        &self.few
    }
}

/// The sum of the weights.
fn mass(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.weight).sum()
}

/// Keeps the first `k`, in no order.
fn keep_first(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, Candidate::order);
    }
    candidates.truncate(k);
}

/// Keeps the shortest run of first candidates whose weights reach `goal`, in no order.
///
/// A selection by weight: each round halves the part in which the run ends, so that the whole costs
/// a few passes and not a sort.
fn keep_mass(candidates: &mut Vec<Candidate>, goal: u64) {
    let (mut low, mut high, mut before) = (0, candidates.len(), 0);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        candidates[low..high].select_nth_unstable_by(middle - low, Candidate::order);
        let upper = mass(&candidates[low..middle]);
        if before + upper >= goal {
            high = middle;
        } else {
            before += upper;
            low = middle;
        }
    }
    candidates.truncate(high);
}
