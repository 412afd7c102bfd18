//! What a load balancer in front of two nodes adds, and what it must not take away.

mod balancer;
mod compose;
mod nodes_that_leave;
mod script;
mod traffic;
mod verdicts;

use crate::harness::{Backend, Haproxy, Knobs, ProviderKnobs, Reserved, ServerProcess, World};

/// Two nodes and the balancer in front of them.
struct Cluster {
    balancer: Haproxy,
    nodes: [ServerProcess; 2],
    /// Where the nodes listen, also between an end and the next start.
    reserved: [Reserved; 2],
    world: World,
}

fn listening_at(reserved: &Reserved) -> Knobs {
    let address = reserved.address().to_string();
    Knobs(vec![("ONCEPAY_LISTEN", address)])
}

/// Times that a test can wait for. A lease outlives deadline and attempt by 10 s.
const LEASE_S: u64 = 18;
const SHORT_TIMES: [(&str, &str); 3] = [
    ("ONCEPAY_LIMITS__DEADLINE_MS", "5000"),
    ("ONCEPAY_LIMITS__LEASE_S", "18"),
    ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "200"),
];

impl Cluster {
    async fn start() -> Self {
        Self::start_with(SHORT_TIMES, 2_500).await
    }

    async fn start_with(times: [(&'static str, &str); 3], attempt_timeout_ms: u32) -> Self {
        let knobs = times.map(|(name, value)| (name, value.to_owned()));
        let provider = ProviderKnobs {
            attempt_timeout_ms,
            ..ProviderKnobs::named("stripe")
        };
        let mut world =
            World::start_at(Backend::Postgres, Knobs(knobs.into()), vec![provider]).await;
        let reserved = [Reserved::any(), Reserved::any()];
        let one = world.another_node(listening_at(&reserved[0])).await;
        let other = world.another_node(listening_at(&reserved[1])).await;
        // The world's own server would settle what the two leave behind.
        world.kill_server();
        let nodes = [one, other];
        let balancer = Haproxy::start([nodes[0].address(), nodes[1].address()]).await;
        balancer.sees_ready(2).await;
        Self {
            balancer,
            nodes,
            reserved,
            world,
        }
    }

    /// Starts the node again, where it was.
    async fn start_again(&mut self, node: usize) {
        self.nodes[node].kill();
        let listen = listening_at(&self.reserved[node]);
        self.nodes[node] = self.world.another_node(listen).await;
    }
}
