//! Shared by the tests, the checks and the recordings of the guide. The programs themselves are in `src/bin`.

pub mod exercises;
pub mod play;
