//! How long those who are turned away are told to wait. Start reading at [`TurnedAway::span_s`].
//!
//! Told the same time, they would all come back at once. So each is told a random one within a span,
//! and the span is as long as the house takes to serve them: when ten are refused for one that is let
//! in, it takes ten times as long as they took to come.

use std::time::Duration;

/// What was let in and turned away lately; every time is the one since some fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnedAway {
    window: u64,
    now: Counts,
    before: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    admitted: u32,
    refused: u32,
}

impl TurnedAway {
    const WINDOW: Duration = Duration::from_secs(1);
    /// Beyond it a client would not believe that waiting is of use.
    const SPAN_MAX_S: u32 = 30;

    pub fn admitted(&mut self, at: Duration) {
        self.turn(at);
        self.now.admitted = self.now.admitted.saturating_add(1);
    }

    pub fn refused(&mut self, at: Duration) {
        self.turn(at);
        self.now.refused = self.now.refused.saturating_add(1);
    }

    /// The seconds over which to spread those who are refused now: 2 to 30.
    pub fn span_s(&mut self, at: Duration) -> u32 {
        self.turn(at);
        let admitted = self.now.admitted.saturating_add(self.before.admitted);
        let refused = self.now.refused.saturating_add(self.before.refused);
        refused
            .div_ceil(admitted.max(1))
            .saturating_add(1)
            .clamp(2, Self::SPAN_MAX_S)
    }

    fn turn(&mut self, at: Duration) {
        let window = at.as_secs() / Self::WINDOW.as_secs();
        match window.saturating_sub(self.window) {
            0 => return, // Or a moment that came late, which counts as now.
            1 => self.before = self.now,
            _ => self.before = Counts::default(),
        }
        self.now = Counts::default();
        self.window = window;
    }
}

/// A number of seconds within a span: 1 to `span_s`, as `chance` is drawn evenly from 0 <= chance < 1.
pub fn spread_s(span_s: u32, chance: f64) -> u32 {
    let drawn = f64::from(span_s) * chance.clamp(0.0, 1.0);
    // Truncated on purpose: 0 <= drawn <= span_s.
    (drawn as u32).saturating_add(1).min(span_s.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_span_grows_with_what_is_refused_for_each_that_is_let_in() {
        for (admitted, refused, span) in [
            (0, 0, 2),
            (100, 1, 2),
            (100, 100, 2),
            (100, 101, 3),
            (100, 900, 10),
            (0, 7, 8),
            (1, 1_000_000, 30),
        ] {
            let mut turned_away = TurnedAway::default();
            (0..admitted).for_each(|_| turned_away.admitted(ms(10)));
            (0..refused).for_each(|_| turned_away.refused(ms(20)));
            let got = turned_away.span_s(ms(30));
            assert_eq!(got, span, "{refused} refused, {admitted} let in");
        }
    }

    #[test]
    fn what_was_is_forgotten_after_two_windows() {
        let mut turned_away = TurnedAway::default();
        (0..10).for_each(|_| turned_away.refused(ms(500)));
        assert_eq!(turned_away.span_s(ms(1_999)), 11);
        assert_eq!(turned_away.span_s(ms(2_000)), 2);
        (0..10).for_each(|_| turned_away.refused(ms(2_000)));
        assert_eq!(turned_away.span_s(ms(9_000)), 2);
    }

    proptest! {
        #[test]
        fn seconds_are_spread_over_the_whole_span_and_never_beyond(span in 1..60_u32) {
            prop_assert_eq!(spread_s(span, 0.0), 1);
            prop_assert_eq!(spread_s(span, 0.999_999), span);
            let drawn: Vec<_> = (0..span)
                .map(|n| spread_s(span, (f64::from(n) + 0.5) / f64::from(span)))
                .collect();
            prop_assert_eq!(drawn, (1..=span).collect::<Vec<_>>());
        }
    }
}
