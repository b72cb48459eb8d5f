//! Helpers in the same process give what one instance gives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::super::{Activations, PackedMatrix, matmul};
use super::{FORGET, Helpers, Keeper, MULTIPLY, PUT, ROWS, ShardedMatrix, sharded_matmul};

/// Helpers in the same process.
#[derive(Debug)]
struct Here {
    latency: usize,
    helpers: Vec<Mutex<(Keeper, VecDeque<Vec<u32>>)>>,
}

impl Here {
    fn new(count: usize, latency: usize) -> Arc<Self> {
        Arc::new(Self { latency, helpers: (0..count).map(|_| Mutex::default()).collect() })
    }

    fn held(&self) -> Vec<usize> {
        let held = |keeper: &Keeper| keeper.matrices.values().map(PackedMatrix::rows).sum();
        self.helpers.iter().map(|helper| held(&helper.lock().unwrap().0)).collect()
    }
}

impl Helpers for Here {
    fn count(&self) -> usize {
        self.helpers.len()
    }

    fn post(&self, helper: usize, message: &[u32]) {
        let mut helper = self.helpers[helper].lock().unwrap();
        let answer = helper.0.take(message).unwrap();
        helper.1.extend(answer);
    }

    fn answer(&self, helper: usize) -> Option<Vec<u32>> {
        self.helpers[helper].lock().unwrap().1.pop_front()
    }

    fn latency(&self) -> usize {
        self.latency
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect()
}

/// Blocks of any bits whose scales are small.
fn blocks(dtype: GgmlDType, rows: usize, width: usize) -> Vec<u8> {
    let dense = Tensor::from_vec(numbers(rows * width), (rows, width), &Device::Cpu).unwrap();
    QTensor::quantize(&dense, dtype).unwrap().data().unwrap().into_owned()
}

#[test]
fn shards_are_the_whole_to_the_last_bit() {
    for (count, tokens) in [(1, 1), (2, 1), (3, 5), (1, 70)] {
        let here = Here::new(count, 0);
        let helpers: Arc<dyn Helpers> = here.clone();
        let (width, shapes) =
            (256, [(GgmlDType::Q4_1, 100), (GgmlDType::Q6K, 64), (GgmlDType::Q4_0, 8)]);
        let mut sharded = Vec::new();
        let mut whole = Vec::new();
        for (dtype, rows) in shapes {
            let bytes = blocks(dtype, rows, width);
            let mut matrix = ShardedMatrix::room(dtype, rows, width, Some(&helpers)).unwrap();
            // In pieces that end within a helper's rows.
            let row_bytes = bytes.len() / rows;
            for (i, piece) in bytes.chunks(row_bytes * 24).enumerate() {
                assert!(matrix.put(i * 24, piece));
            }
            assert_eq!((matrix.rows(), matrix.width()), (rows, width));
            sharded.push(matrix);
            whole.push(PackedMatrix::new(&bytes, dtype, rows, width).unwrap());
        }
        assert!(here.held().iter().all(|rows| *rows > 0));
        let (x, bias) = (numbers(tokens * width), numbers(100));
        let with_bias = |i: usize| (i == 0).then_some(&bias[..]);
        let expected: Vec<_> = whole.iter().enumerate().map(|(i, m)| (m, with_bias(i))).collect();
        let found: Vec<_> = sharded.iter().enumerate().map(|(i, m)| (m, with_bias(i))).collect();
        let expected = matmul(&Activations::quantize(&x, width).unwrap(), &expected);
        assert_eq!(sharded_matmul(&x, width, &found), expected);

        let rows = [99, 3, 60, 3];
        let expected = rows.map(|row| whole[0].row(row as usize).unwrap()).concat();
        assert_eq!(sharded[0].floats(&rows), Some(expected));
        assert_eq!(sharded[0].floats(&[100]), None);
        drop(sharded);
        assert_eq!(here.held(), vec![0; count]);
    }
}

#[test]
fn small_matrices_stay_whole_and_large_ones_leave_less_than_half() {
    let here = Here::new(1, 32 * 256);
    let helpers: Arc<dyn Helpers> = here.clone();
    let room = |rows| ShardedMatrix::room(GgmlDType::Q8_0, rows, 256, Some(&helpers)).unwrap();
    assert_eq!(room(63).own.rows(), 63);
    let large = room(160);
    assert_eq!((large.own.rows(), here.held()), (96, vec![64]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut keeper = Keeper::default();
    for message in
        [&[][..], &[MULTIPLY, 32, 1, 5], &[PUT, 0, 0, 9, 1], &[ROWS, 3, 1], &[FORGET, 0], &[9]]
    {
        assert!(keeper.take(message).is_none(), "{message:?}");
    }
    let matrix = ShardedMatrix::room(GgmlDType::Q8_0, 2, 32, None).unwrap();
    assert!(sharded_matmul(&[0.; 64], 64, &[(&matrix, None)]).is_none());
    assert!(sharded_matmul(&[0.; 32], 32, &[(&matrix, Some(&[1.]))]).is_none());
}
