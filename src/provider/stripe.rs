//! The adapter to Stripe
