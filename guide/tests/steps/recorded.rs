//! Runs that are recorded.
