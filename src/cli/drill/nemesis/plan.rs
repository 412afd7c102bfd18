//! What the nemesis does and when: a pure function of the seed. Start reading at [`Plan::of`].
//!
//! The time of a campaign is cut into rounds. The first quarter of a round is left to the healthy, so
//! that work gets done; in the other three there is trouble, on several lanes at once, and in the last
//! round right until the clients leave. A lane draws from a shuffled deck, and so does everything it
//! can do before it does anything twice.
//!
//! **Invariant:** the same seed and the same duration are the same plan.
//! **Invariant:** nothing is broken in the first quarter of a round, nor beyond the campaign.

use std::{fmt, time::Duration};

use super::{super::gate::Way, settings};
use crate::sandbox::{FaultKind, random::Random};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) duration: Duration,
    /// In the order in which they begin.
    pub(super) actions: Vec<Action>,
}

/// Something that is broken for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Action {
    /// Since the campaign began.
    pub(super) from: Duration,
    /// Afterwards it is mended: started again, opened, let go on.
    pub(super) lasts: Duration,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// SIGKILL, and started again afterwards.
    KillNodes(Nodes),
    /// SIGSTOP and SIGCONT: it believes that no time has passed.
    StopNodes(Nodes),
    /// SIGKILL of all of PostgreSQL, and started again afterwards.
    KillDatabase,
    StopDatabase,
    /// SIGKILL, and started again afterwards.
    KillBalancer,
    StopBalancer,
    KillRedis,
    StopRedis,
    /// Everything in it is gone, once.
    FlushRedis,
    Link(Link, Way),
    /// The provider does this to so many percent of the calls that move money; if `lookups` is set,
    /// also to those that only look.
    Provider {
        kind: FaultKind,
        percent: u8,
        lookups: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    First,
    Second,
    Both,
}

/// A way between two parts of the world, with a gate in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// From clients to the load balancer.
    Balancer,
    /// From the load balancer, and from clients that pass it by, to that node: 0 or 1.
    ToNode(usize),
    /// From that node to PostgreSQL.
    Database(usize),
    /// From that node to Redis.
    Redis(usize),
    /// From both nodes to the provider, whose address is a part of the account.
    Provider,
}

/// A card of a lane's deck: what it does, and how long at least and at most, in milliseconds.
type Card = (What, u64, u64);

/// About as long as a round: so long that a node can be stopped for longer than its lease.
const ROUND: Duration = Duration::from_secs(24);
/// Between two actions of a lane, in milliseconds; what stands still without its database rests longer,
/// and most clients get nowhere without the balancer.
const GAP_MS: (u64, u64) = (200, 2_500);
const DATABASE_GAP_MS: (u64, u64) = (2_000, 6_000);
const BALANCER_GAP_MS: (u64, u64) = (5_000, 10_000);
/// A stop that is short: shorter than most deadlines.
const SHORT_STOP_MS: (u64, u64) = (500, 3_000);
const LINK_MS: (u64, u64) = (500, 5_000);
const PERCENTS: [u8; 4] = [10, 30, 60, 100];

/// What a drawn link may do.
const WAYS: [Way; 6] = [
    Way::Stalled,
    Way::StalledThere,
    Way::StalledBack,
    Way::Slow,
    Way::Cut,
    Way::Refused,
];

impl Plan {
    pub(super) fn of(seed: u64, duration: Duration) -> Self {
        let rounds = rounds(duration);
        let half = duration / 2;
        let lanes = [
            (nodes(), GAP_MS),
            (database(), DATABASE_GAP_MS),
            (redis(), GAP_MS),
            (links(), GAP_MS),
            (faults(), GAP_MS),
            (faults(), GAP_MS),
            (balancer(), BALANCER_GAP_MS),
        ];
        let mut actions = Vec::new();
        for (number, (cards, gap_ms)) in (1_u64..).zip(lanes) {
            let mut deck = Deck::of(cards, gap_ms, Random::stream(seed, number));
            for &(start, end) in &rounds {
                deck.play(start, end, half, &mut actions);
            }
        }
        actions.sort_by_key(|action: &Action| action.from);
        Self {
            seed,
            duration,
            actions,
        }
    }
}

/// When trouble begins and ends in each round.
fn rounds(duration: Duration) -> Vec<(Duration, Duration)> {
    let count = (duration.as_millis() / ROUND.as_millis()).max(1);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let round = duration / count;
    // The last ends with the campaign, to the nanosecond.
    let start = |number: u32| duration * number / count;
    (0..count)
        .map(|number| (start(number) + round / 4, start(number + 1)))
        .collect()
}

fn nodes() -> Vec<Card> {
    use Nodes::{Both, First, Second};
    let (short, long) = (SHORT_STOP_MS, settings::LONG_STOP_MS);
    vec![
        (What::KillNodes(First), 100, 2_000),
        (What::KillNodes(Second), 100, 2_000),
        (What::KillNodes(Both), 100, 1_000),
        (What::StopNodes(First), short.0, short.1),
        (What::StopNodes(Second), short.0, short.1),
        (What::StopNodes(First), long.0, long.1),
        (What::StopNodes(Second), long.0, long.1),
    ]
}

fn database() -> Vec<Card> {
    vec![
        (What::KillDatabase, 100, 2_000),
        (What::StopDatabase, 500, 5_000),
    ]
}

fn balancer() -> Vec<Card> {
    vec![
        (What::KillBalancer, 100, 2_000),
        (What::StopBalancer, 500, 3_000),
    ]
}

fn redis() -> Vec<Card> {
    vec![
        (What::KillRedis, 100, 3_000),
        (What::StopRedis, 500, 5_000),
        (What::FlushRedis, 1, 1),
    ]
}

fn links() -> Vec<Card> {
    let both = |link: fn(usize) -> Link| [link(0), link(1)];
    let links = [both(Link::ToNode), both(Link::Database), both(Link::Redis)];
    let links = links.into_iter().flatten();
    // What two nodes share comes as often as what each has of its own.
    let links = links.chain([
        Link::Provider,
        Link::Provider,
        Link::Balancer,
        Link::Balancer,
    ]);
    let all = links.flat_map(|link| WAYS.map(|way| (What::Link(link, way), LINK_MS.0, LINK_MS.1)));
    all.collect()
}

/// All that the provider can do, but for forgetting its keys before their time: against a provider
/// that breaks its own promise nobody can keep ours.
fn faults() -> Vec<Card> {
    let kinds = FaultKind::ALL.into_iter();
    let kinds = kinds.filter(|kind| *kind != FaultKind::ForgetKeys);
    kinds
        .map(|kind| {
            let fault = What::Provider {
                kind,
                percent: 100,
                lookups: false,
            };
            (fault, 1_000, 6_000)
        })
        .collect()
}

/// The cards of a lane that are still to come, and chance.
struct Deck {
    all: Vec<Card>,
    left: Vec<Card>,
    gap_ms: (u64, u64),
    chance: Random,
}

impl Deck {
    fn of(all: Vec<Card>, gap_ms: (u64, u64), chance: Random) -> Self {
        Self {
            left: Vec::new(),
            all,
            gap_ms,
            chance,
        }
    }

    /// Draws a card; a new deck is begun only if `may_renew`.
    fn draw(&mut self, may_renew: bool) -> Option<Card> {
        if self.left.is_empty() && may_renew {
            self.left.clone_from(&self.all);
        }
        let last = self.left.len().checked_sub(1)? as u64;
        let at = usize::try_from(self.chance.between(0, last)).ok()?;
        Some(self.left.swap_remove(at))
    }

    /// Plays from `start` on until nothing fits before `end`. What is known for certain only after
    /// the provider has forgotten it is played in the first half of the campaign.
    fn play(&mut self, start: Duration, end: Duration, half: Duration, actions: &mut Vec<Action>) {
        let ms = Duration::from_millis;
        let mut from = start + ms(self.chance.between(0, 700));
        // What does not fit any more is left for the start of the next round, if it fits there.
        let mut kept = Vec::new();
        // Every turn takes time or a card that is not put back before the next round.
        while let Some((what, least, most)) = self.draw(kept.is_empty() && from < end) {
            let lasts = ms(self.chance.between(least, most));
            let what = self.adjust(what);
            if what.takes_long_to_settle() && from + lasts > half {
                continue;
            }
            if from + lasts > end {
                kept.push((what, least, most));
                continue;
            }
            actions.push(Action { from, lasts, what });
            from += lasts + ms(self.chance.between(self.gap_ms.0, self.gap_ms.1));
        }
        let fits = |(_, _, most): &Card| start + ms(700 + most) <= end;
        self.left.extend(kept.into_iter().filter(fits));
    }

    /// How often a fault of the provider strikes.
    fn adjust(&mut self, what: What) -> What {
        match what {
            What::Provider { kind, .. } if kind != FaultKind::LookupLag => {
                let at = usize::try_from(self.chance.between(0, PERCENTS.len() as u64 - 1));
                let percent = at.ok().and_then(|at| PERCENTS.get(at));
                let percent = percent.copied().unwrap_or(100);
                let lookups = kind != FaultKind::RefuseConnection && self.chance.between(0, 2) == 0;
                What::Provider {
                    kind,
                    percent,
                    lookups,
                }
            }
            other => other,
        }
    }
}

impl What {
    fn takes_long_to_settle(self) -> bool {
        matches!(
            self,
            Self::Provider {
                kind: FaultKind::ErrorStored,
                ..
            }
        )
    }

    /// What the report counts it as.
    pub(super) fn kind(self) -> String {
        match self {
            Self::KillNodes(Nodes::Both) => "both nodes killed".to_owned(),
            Self::KillNodes(_) => "node killed".to_owned(),
            Self::StopNodes(_) => "node stopped".to_owned(),
            Self::KillDatabase => "PostgreSQL killed".to_owned(),
            Self::StopDatabase => "PostgreSQL stopped".to_owned(),
            Self::KillBalancer => "HAProxy killed".to_owned(),
            Self::StopBalancer => "HAProxy stopped".to_owned(),
            Self::KillRedis => "Redis killed".to_owned(),
            Self::StopRedis => "Redis stopped".to_owned(),
            Self::FlushRedis => "Redis flushed".to_owned(),
            Self::Link(link, way) => {
                let link = match link {
                    Link::Balancer => "HAProxy",
                    Link::ToNode(_) => "node",
                    Link::Database(_) => "PostgreSQL",
                    Link::Redis(_) => "Redis",
                    Link::Provider => "provider",
                };
                format!("way to {link} {way}")
            }
            Self::Provider { kind, .. } => format!("provider {}", kind.name()),
        }
    }

    pub(super) fn needs_redis(self) -> bool {
        matches!(
            self,
            Self::KillRedis | Self::StopRedis | Self::FlushRedis | Self::Link(Link::Redis(_), _)
        )
    }
}

impl Nodes {
    pub(super) fn each(self) -> &'static [usize] {
        match self {
            Self::First => &[0],
            Self::Second => &[1],
            Self::Both => &[0, 1],
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "node 1",
            Self::Second => "node 2",
            Self::Both => "both nodes",
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balancer => f.write_str("to HAProxy"),
            Self::ToNode(node) => write!(f, "to node {}", node + 1),
            Self::Database(node) => write!(f, "from node {} to PostgreSQL", node + 1),
            Self::Redis(node) => write!(f, "from node {} to Redis", node + 1),
            Self::Provider => f.write_str("to the provider"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillNodes(nodes) => write!(f, "kill {nodes}"),
            Self::StopNodes(nodes) => write!(f, "stop {nodes}"),
            Self::KillDatabase => f.write_str("kill PostgreSQL"),
            Self::StopDatabase => f.write_str("stop PostgreSQL"),
            Self::KillBalancer => f.write_str("kill HAProxy"),
            Self::StopBalancer => f.write_str("stop HAProxy"),
            Self::KillRedis => f.write_str("kill Redis"),
            Self::StopRedis => f.write_str("stop Redis"),
            Self::FlushRedis => f.write_str("flush Redis"),
            Self::Link(link, way) => write!(f, "the way {link}: {way}"),
            Self::Provider {
                kind,
                percent,
                lookups,
            } => {
                let also = if *lookups { ", look-ups too" } else { "" };
                write!(f, "the provider: {} at {percent} %{also}", kind.name())
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, lasts) = (self.from.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{from:7.2} s, for {lasts:5.2} s: {}", self.what)
    }
}

#[cfg(test)]
mod tests;
