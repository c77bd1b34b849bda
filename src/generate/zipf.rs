//! Zipf's law by table: rank `k` of `n` has weight `1 / k`.
//!
//! Web pages are visited so (Breslau et al., "Web caching and Zipf-like distributions", 1999). A
//! cumulative table and a binary search cost less than rejection sampling at the sizes used here.

/// Ranks 0 to `n - 1`, the first the most frequent.
#[derive(Debug)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// A distribution over `n` ranks; at least one.
    pub(crate) fn new(n: u32) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n.max(1))
            .map(|rank| {
                sum += 1.0 / f64::from(rank);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// Draws a rank.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let sum = self.cumulative.last().copied().unwrap_or(1.0);
        let point = random.f64() * sum;
        self.cumulative.partition_point(|edge| *edge <= point).min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_comes_twice_as_often_as_the_second() {
        let zipf = Zipf::new(100);
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
