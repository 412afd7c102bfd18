//! The provider that fails on request.
