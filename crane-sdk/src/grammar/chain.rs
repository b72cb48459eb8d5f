//! How deep a compiler that follows definitions by calling itself can get.

/// Definitions by number, each with what it names and how deep it is by itself.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) depths: Vec<usize>,
    pub(super) names: Vec<Vec<usize>>,
}

/// What following can come to.
pub(super) struct Longest {
    /// The deepest pile of definitions, in whatever order they are followed.
    pub(super) depth: usize,
    /// All definitions, each behind those that it names, but for circles.
    pub(super) order: Vec<usize>,
}

/// A definition that is being followed.
struct Visit {
    node: usize,
    next: usize,
    low: usize,
    /// The deepest pile below it so far.
    below: usize,
}

impl Graph {
    /// Follows everything once (Tarjan 1972, without recursion): definitions that name one another in a circle can all be on one
    /// pile, so a circle is as deep as the sum of its members.
    pub(super) fn longest(&self) -> Longest {
        let count = self.depths.len();
        let (mut index, mut deep, mut done) =
            (vec![usize::MAX; count], vec![0; count], vec![false; count]);
        let mut longest = Longest { depth: 0, order: Vec::with_capacity(count) };
        let (mut open, mut visits, mut seen) = (Vec::new(), Vec::new(), 0);
        for root in 0..count {
            if index.get(root) != Some(&usize::MAX) {
                continue;
            }
            visits.push(Visit { node: root, next: 0, low: seen, below: 0 });
            while let Some(visit) = visits.last_mut() {
                let node = visit.node;
                if visit.next == 0 {
                    set(&mut index, node, seen);
                    visit.low = seen;
                    seen += 1;
                    open.push(node);
                }
                let names = self.names.get(node).map_or(&[][..], Vec::as_slice);
                let name = names.get(visit.next).copied();
                visit.next += 1;
                match name {
                    Some(name) if done.get(name) == Some(&true) => {
                        visit.below = visit.below.max(deep.get(name).copied().unwrap_or(0));
                    }
                    Some(name) => match index.get(name) {
                        Some(&usize::MAX) => {
                            visits.push(Visit { node: name, next: 0, low: 0, below: 0 });
                        }
                        Some(&at) => visit.low = visit.low.min(at),
                        None => {}
                    },
                    None => {
                        let (low, mut below) = (visit.low, visit.below);
                        visits.pop();
                        if index.get(node) == Some(&low) {
                            let from = open.iter().rposition(|&other| other == node).unwrap_or(0);
                            let circle = open.split_off(from);
                            let depth = |node: &usize| self.depths.get(*node).copied().unwrap_or(0);
                            below += circle.iter().map(depth).sum::<usize>();
                            for &member in &circle {
                                set(&mut deep, member, below);
                                set(&mut done, member, true);
                            }
                            longest.order.extend(circle.iter().rev());
                            longest.depth = longest.depth.max(below);
                        }
                        if let Some(parent) = visits.last_mut() {
                            parent.low = parent.low.min(low);
                            parent.below = parent.below.max(below);
                        }
                    }
                }
            }
        }
        longest
    }
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(names: &[&[usize]]) -> usize {
        let names: Vec<Vec<usize>> = names.iter().map(|names| names.to_vec()).collect();
        let graph = Graph { depths: vec![1; names.len()], names };
        let longest = graph.longest();
        assert_eq!(longest.order.len(), graph.depths.len());
        longest.depth
    }

    #[test]
    fn chains_and_circles_are_as_deep_as_they_can_get() {
        assert_eq!(depth(&[&[1], &[2], &[]]), 3);
        // Order does not matter.
        assert_eq!(depth(&[&[], &[0], &[1, 0]]), 3);
        // A circle of two in the middle of a chain.
        assert_eq!(depth(&[&[1], &[2], &[1, 3], &[]]), 4);
        assert_eq!(depth(&[&[0]]), 1);
        // Two circles side by side, and one that names both.
        assert_eq!(depth(&[&[1], &[0], &[3], &[2], &[0, 2]]), 3);
        assert_eq!(depth(&[]), 0);
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let names: Vec<Vec<usize>> = (1..=100_000).map(|next| vec![next % 100_000]).collect();
        let graph = Graph { depths: vec![2; names.len()], names };
        assert_eq!(graph.longest().depth, 200_000);
    }
}
