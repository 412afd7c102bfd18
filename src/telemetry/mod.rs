use crate::provider::Outcome;
#[derive(Debug, Default)]
pub struct Metrics;
#[derive(Clone, Copy, Debug)]
pub enum BatchKind {
    Begin,
    Change,
}
#[derive(Debug)]
pub struct T;
impl T {
    pub fn ended(self, _: &Outcome) {}
}
impl Metrics {
    pub fn batch_started(&self, _: BatchKind, _: usize) -> T {
        T
    }
    pub fn attempt_started(&self, _: &str) -> T {
        T
    }
    pub fn key_actor_started(&self) {}
    pub fn key_actor_ended(&self) {}
    pub fn encode(&self) -> String {
        String::new()
    }
    pub fn http_request(&self, _: &str, _: &str, _: u16, _: std::time::Duration) {}
}
