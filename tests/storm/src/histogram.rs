//! How many events fell into each tenth of a second.

/// Width of a bin, in milliseconds.
const BIN_MS: u64 = 100;
/// Lines of a picture.
const LINES_MAX: u64 = 24;
/// Characters of its longest bar.
const BAR_CHARS: u64 = 60;

/// Counts over time, from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bins: Vec<u64>,
    count: u64,
    last_ms: u64,
}

impl Histogram {
    /// Counts an event.
    pub fn add(&mut self, at_ms: u64) {
        let bin = usize::try_from(at_ms / BIN_MS).unwrap_or(usize::MAX);
        if bin >= self.bins.len() {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
        self.count += 1;
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Adds all events of another one.
    pub fn merge(&mut self, other: &Self) {
        if other.bins.len() > self.bins.len() {
            self.bins.resize(other.bins.len(), 0);
        }
        for (mine, others) in self.bins.iter_mut().zip(&other.bins) {
            *mine += others;
        }
        self.count += other.count;
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    /// Events in all.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Time of the last event, in milliseconds.
    pub const fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// Most events per second, over bins of `bin_ms`, from `from_ms` on. Both are rounded down to
    /// tenths of a second.
    pub fn peak_per_s(&self, bin_ms: u64, from_ms: u64) -> f64 {
        let first = usize::try_from(from_ms / BIN_MS).unwrap_or(usize::MAX);
        let most = self.sums(bin_ms, first).max().unwrap_or(0);
        most as f64 * 1000.0 / (bin_ms / BIN_MS * BIN_MS) as f64
    }

    /// When this part of the events had happened, in milliseconds, to a tenth of a second.
    pub fn part_ms(&self, part: f64) -> u64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bin, count) in (1..).zip(&self.bins) {
            seen += count;
            if seen >= wanted {
                return (bin * BIN_MS).min(self.last_ms);
            }
        }
        self.last_ms
    }

    /// A picture: one line per stretch of time, with its rate per second.
    pub fn picture(&self) -> String {
        let line_ms = self.last_ms.div_ceil(LINES_MAX).max(1).next_multiple_of(BIN_MS);
        let lines: Vec<u64> = self.sums(line_ms, 0).collect();
        let most = lines.iter().copied().max().unwrap_or(0).max(1);
        let mut text = String::new();
        for (at, count) in (0..).map(|line| line * line_ms).zip(lines) {
            let rate = count as f64 * 1000.0 / line_ms as f64;
            let bar = "█".repeat(usize::try_from(count * BAR_CHARS / most).unwrap_or(0));
            text += &format!("{:>8.1} s {rate:>9.1} /s  {bar}\n", at as f64 / 1000.0);
        }
        text
    }

    fn sums(&self, bin_ms: u64, first: usize) -> impl Iterator<Item = u64> {
        let width = usize::try_from(bin_ms / BIN_MS).unwrap_or(usize::MAX).max(1);
        let rest = self.bins.get(first..).unwrap_or_default();
        rest.chunks(width).map(|bins| bins.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|at| histogram.add(*at));
        histogram
    }

    #[test]
    fn a_peak_is_a_rate_over_its_own_bins() {
        let histogram = of(&[0, 99, 100, 950, 1_000, 1_001, 1_002, 1_003, 2_500]);
        assert_eq!(histogram.count(), 9);
        assert!((histogram.peak_per_s(1_000, 0) - 4.0).abs() < 1e-9);
        assert!((histogram.peak_per_s(100, 0) - 40.0).abs() < 1e-9);
        assert!((histogram.peak_per_s(1_000, 2_000) - 1.0).abs() < 1e-9);
        assert_eq!((histogram.last_ms(), histogram.part_ms(1.0)), (2_500, 2_500));
        assert_eq!(histogram.part_ms(0.25), 200);
    }

    #[test]
    fn merging_is_the_same_as_counting_in_one() {
        let (mut one, other) = (of(&[1, 700]), of(&[3, 400, 9_000]));
        one.merge(&other);
        assert_eq!(one, of(&[1, 3, 400, 700, 9_000]));
    }
}
