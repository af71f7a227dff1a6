//! The answer that a client reads, checked byte by byte.

use crate::frame::{self, Point};
use crate::server::{Task, pattern};

/// An answer as it comes in. Only its first 81 bytes are kept; the others are compared.
#[derive(Debug)]
pub(crate) struct Answer {
    expected: usize,
    came: usize,
    frame: Vec<u8>,
    wrong_at: Option<usize>,
}

pub(crate) enum Fault {
    /// It is not over, or was cut off.
    Short(String),
    /// It is not the answer.
    Wrong(String),
}

impl Answer {
    pub(crate) fn new(task: Task) -> Self {
        let expected = match task {
            Task::Long(size) => size,
            _ => frame::LEN,
        };
        Self { expected, came: 0, frame: Vec::with_capacity(frame::LEN), wrong_at: None }
    }

    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(), ()> {
        let (head, mut rest) = data.split_at(data.len().min(frame::LEN - self.frame.len()));
        self.frame.extend_from_slice(head);
        self.came += head.len();
        while !rest.is_empty() && self.wrong_at.is_none() {
            let due = pattern(self.came, rest.len().min(self.expected - self.came));
            if due.is_empty() || rest[..due.len()] != *due {
                self.wrong_at = Some(self.came);
            }
            rest = &rest[due.len()..];
            self.came += due.len();
        }
        if self.wrong_at.is_some() { Err(()) } else { Ok(()) }
    }

    pub(crate) fn result(&self) -> Result<[Point; 2], Fault> {
        let Self { expected, came, .. } = self;
        if let Some(at) = self.wrong_at {
            return Err(Fault::Wrong(format!("an answer is wrong after byte {at}")));
        }
        if came < expected {
            return Err(Fault::Short(format!("an answer ends after {came} of {expected} bytes")));
        }
        frame::decode(&self.frame).map_err(|error| Fault::Wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    /// Longer than the piece in which the pattern is kept.
    const SIZE: usize = 200_000;

    fn long_answer() -> Vec<u8> {
        let mut bytes = frame::encode([7; frame::RANDOM]).to_vec();
        while bytes.len() < SIZE {
            bytes.extend_from_slice(pattern(bytes.len(), SIZE - bytes.len()));
        }
        bytes
    }

    #[test]
    fn a_whole_answer_is_right_in_whatever_portions_it_comes() {
        for portion in [1, 80, 81, 82, 4096, SIZE] {
            let mut answer = Answer::new(Task::Long(SIZE));
            for data in long_answer().chunks(portion) {
                answer.take(data).unwrap();
            }
            assert!(answer.result().is_ok(), "{portion}");
        }
    }

    #[test]
    fn bytes_lost_doubled_or_too_many_are_noticed() {
        let right = long_answer();
        let mut lost = right.clone();
        lost.remove(100_000);
        let mut doubled = right.clone();
        doubled.insert(100_000, right[100_000]);
        let mut longer = right.clone();
        longer.push(0);
        for wrong in [&lost, &doubled, &longer] {
            let mut answer = Answer::new(Task::Long(SIZE));
            assert!(answer.take(wrong).is_err());
            assert!(matches!(answer.result(), Err(Fault::Wrong(_))));
        }
        let mut answer = Answer::new(Task::Long(SIZE));
        answer.take(&right[..SIZE - 1]).unwrap();
        assert!(matches!(answer.result(), Err(Fault::Short(_))));
        let mut answer = Answer::new(Task::Answer);
        assert!(answer.take(&right[..82]).is_err());
    }
}
