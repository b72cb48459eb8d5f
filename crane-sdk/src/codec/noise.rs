//! The noise that some decoders add inside.

use std::fmt;

use crate::sample::Normals;

/// Where a decoder's noise comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// None: the same samples always.
    Off,
    /// Normal numbers (`normal-1`, see [`sample`](crate::sample)) of a seed: the same seed gives the same samples, in whatever
    /// pieces.
    Seed(u64),
}

impl Noise {
    /// Numbers for the block `index` of a decoder: each block has a stream of its own, the seed plus its index.
    pub(crate) fn of_block(self, index: usize) -> Option<Drawn> {
        match self {
            Noise::Off => None,
            Noise::Seed(seed) => {
                let mut normals = Normals::new(seed.wrapping_add(index as u64));
                Some(Drawn(Box::new(move |pair| normals.fill(pair)), None))
            }
        }
    }
}

/// Writes the next two numbers.
type Pairs = Box<dyn FnMut(&mut [f32; 2]) + Send>;

/// Numbers drawn in pairs and handed out one by one.
pub(crate) struct Drawn(Pairs, Option<f32>);

impl Drawn {
    /// Numbers recorded elsewhere, then zeros.
    #[cfg(feature = "golden")]
    pub(crate) fn recorded(numbers: Vec<f32>) -> Self {
        let mut numbers = numbers.into_iter();
        Self(Box::new(move |pair| *pair = [0; 2].map(|_| numbers.next().unwrap_or_default())), None)
    }

    /// The next number.
    pub(crate) fn draw(&mut self) -> f32 {
        if let Some(second) = self.1.take() {
            return second;
        }
        let mut pair = [0f32; 2];
        (self.0)(&mut pair);
        self.1 = Some(pair[1]);
        pair[0]
    }
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn")
    }
}
