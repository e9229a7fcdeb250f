//! The pauses between attempts.

use std::time::Duration;

/// Pauses that double, up to the longest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Backoff { next: first, longest }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// A random part of the next pause (full jitter), so that many pods do not try again at the same time.
    pub(crate) fn jittered(&mut self) -> Duration {
        self.pause().mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let pauses = [50, 100, 200, 300, 300].map(Duration::from_millis);
        assert_eq!(pauses, pauses.map(|_| backoff.pause()));
    }

    #[test]
    fn jittered_pauses_are_spread() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second);
        let drawn: Vec<Duration> = (0..100).map(|_| backoff.jittered()).collect();
        assert!(drawn.iter().all(|pause| *pause <= second));
        let half = second / 2;
        assert!(drawn.iter().any(|pause| *pause < half) && drawn.iter().any(|pause| *pause > half));
    }
}
