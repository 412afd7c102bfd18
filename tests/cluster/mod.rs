//! What a load balancer in front of two nodes adds, and what it must not take away.

mod balancer;
mod compose;
mod nodes_that_leave;
mod script;
mod traffic;
mod verdicts;

use std::net::SocketAddr;

use crate::harness::{Backend, Haproxy, Knobs, ProviderKnobs, ServerProcess, World};

/// Two nodes and the balancer in front of them.
struct Cluster {
    balancer: Haproxy,
    nodes: [ServerProcess; 2],
    world: World,
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
        let knobs = SHORT_TIMES.map(|(name, value)| (name, value.to_owned()));
        let provider = ProviderKnobs {
            attempt_timeout_ms: 2_500,
            ..ProviderKnobs::named("stripe")
        };
        let mut world =
            World::start_at(Backend::Postgres, Knobs(knobs.into()), vec![provider]).await;
        let other = world.another_node(Knobs::default()).await;
        let one = world.another_node(Knobs::default()).await;
        // The world's own server would settle what the two leave behind.
        world.kill_server();
        let nodes = [one, other];
        let balancer = Haproxy::start([nodes[0].address(), nodes[1].address()]).await;
        balancer.sees_ready(2).await;
        Self {
            balancer,
            nodes,
            world,
        }
    }

    /// Starts the node again, where it was.
    async fn start_again(&mut self, node: usize) {
        let address: SocketAddr = self.nodes[node].address();
        self.nodes[node].kill();
        let listen = Knobs(vec![("ONCEPAY_LISTEN", address.to_string())]);
        self.nodes[node] = self.world.another_node(listen).await;
    }
}
