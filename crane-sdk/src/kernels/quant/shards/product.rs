//! Products with matrices whose rows are shared out among instances.

use super::super::{Activations, matmul};
use super::matrix::{Away, ShardedMatrix};
use super::{MULTIPLY, to_floats};

/// x · Wᵀ + b for `x` `[tokens, width]` and each of `matrices`: f32 `[tokens, matrix.rows()]` each.
///
/// `None` if a matrix has another width, a bias another length than the matrix has rows, or a helper is gone.
pub fn sharded_matmul(
    x: &[f32],
    width: usize,
    matrices: &[(&ShardedMatrix, Option<&[f32]>)],
) -> Option<Vec<Vec<f32>>> {
    let fits = |(matrix, bias): &(&ShardedMatrix, Option<&[f32]>)| {
        matrix.width() == width && bias.is_none_or(|bias| bias.len() == matrix.rows())
    };
    if !x.len().is_multiple_of(width) || !matrices.iter().all(fits) {
        return None;
    }
    let away: Vec<&Away> = matrices.iter().filter_map(|(matrix, _)| matrix.away.as_ref()).collect();
    if let Some(first) = away.first() {
        let mut message = Vec::with_capacity(3 + away.len() + x.len());
        message.extend([MULTIPLY, width as u32, away.len() as u32]);
        message.extend(away.iter().map(|away| away.id));
        message.extend(x.iter().map(|x| x.to_bits()));
        (0..first.parts.len()).for_each(|helper| first.helpers.post(helper, &message));
    }
    let own: Vec<_> = matrices
        .iter()
        .map(|(matrix, bias)| (&matrix.own, bias.map(|bias| &bias[..matrix.own.rows()])))
        .collect();
    let own = matmul(&Activations::quantize(x, width)?, &own)?;
    let Some(first) = away.first() else { return Some(own) };
    let tokens = x.len() / width;
    let mut outs: Vec<Vec<f32>> = Vec::new();
    for ((matrix, _), own) in matrices.iter().zip(own) {
        if matrix.away.is_none() {
            outs.push(own);
            continue;
        }
        let (rows, kept) = (matrix.rows(), matrix.own.rows());
        let mut out = vec![0f32; tokens * rows];
        for (out, own) in out.chunks_mut(rows).zip(own.chunks(kept)) {
            out[..kept].copy_from_slice(own);
        }
        outs.push(out);
    }
    for helper in 0..first.parts.len() {
        let answer = first.helpers.answer(helper)?;
        let answer = to_floats(&answer);
        let mut at = 0;
        for ((matrix, bias), out) in matrices.iter().zip(&mut outs) {
            let Some(away) = &matrix.away else { continue };
            let part = &away.parts[helper];
            for out in out.chunks_mut(matrix.rows()) {
                let out = &mut out[part.clone()];
                out.copy_from_slice(answer.get(at..at + part.len())?);
                if let Some(bias) = bias {
                    out.iter_mut().zip(&bias[part.clone()]).for_each(|(out, bias)| *out += bias);
                }
                at += part.len();
            }
        }
    }
    Some(outs)
}
