pub fn is_well_formed(_: &str) -> bool {
    true
}
pub fn digest(_: &str) -> [u8; 32] {
    [0; 32]
}
