//! How long the campaign is that is part of every run of the tests; what such a plan has in it, the unit
//! tests of the plan see to.

pub(crate) const SHORT_S: u64 = 32;
