//! What the tests, the checks and the recordings of the guide share. The programs themselves are in `src/bin`.

pub mod exercises;
pub mod play;
