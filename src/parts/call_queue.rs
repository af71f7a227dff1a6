//! Closures of other threads in order, without a box for each.
//!
//! Every closure has a type of its own, so a queue of closures is a queue of boxes, as a rule. A box that one
//! thread makes and another frees took a third of the time of a call. Here each *type* of closure has a
//! queue, for a program has few of them, and a list of runs says which queue is next:
//!
//! ```text
//!   runs    3 of A, 1 of B, 2 of A
//!   A       a1 a2 a3 a4 a5          in order: a1 a2 a3 b1 a4 a5
//!   B       b1
//! ```
//!
//! A large closure has a box, and so has one of a type for which there is no queue left. The boxes are one more type.

use std::any::{Any, TypeId};
use std::collections::VecDeque;

use crate::parts::surplus::surplus;

/// So many types have a queue. Each is compared with the type of a closure, and each may keep memory.
const MOST_KINDS: usize = 16;

/// A larger closure gets a box. Queues keep room for a thousand, so large ones would keep much.
const LARGE: usize = 64;

/// Closures that take a `&mut C`, each under a name.
pub(crate) struct CallQueue<C> {
    kinds: Vec<(TypeId, Box<dyn Kind<C>>)>,
    runs: VecDeque<Run>,
    len: usize,
}

/// Closures of one type that follow each other, under one name.
struct Run {
    name: Option<&'static str>,
    kind: usize,
    count: usize,
}

/// The closures of one type.
pub(crate) trait Kind<C>: Any + Send {
    /// Calls the first.
    fn call_next(&mut self, context: &mut C);
    /// Drops the first.
    fn drop_next(&mut self);
    fn give_memory_back(&mut self);
    /// For how many there is room.
    #[cfg(test)]
    fn capacity(&self) -> usize;
}

impl<C, F: FnOnce(&mut C) + Send + 'static> Kind<C> for VecDeque<F> {
    fn call_next(&mut self, context: &mut C) {
        if let Some(function) = self.pop_front() {
            function(context);
        }
    }

    fn drop_next(&mut self) {
        drop(self.pop_front());
    }

    fn give_memory_back(&mut self) {
        give_back(self);
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        Self::capacity(self)
    }
}

impl<C: 'static> CallQueue<C> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a closure at the end.
    pub(crate) fn push<F: FnOnce(&mut C) + Send + 'static>(
        &mut self,
        name: Option<&'static str>,
        function: F,
    ) {
        let has_queue = size_of::<F>() <= LARGE
            && (self.kinds.len() < MOST_KINDS || self.find(TypeId::of::<F>()).is_some());
        if has_queue {
            self.push_unboxed(name, function);
        } else {
            let function: Box<dyn FnOnce(&mut C) + Send> = Box::new(function);
            self.push_unboxed(name, function);
        }
    }

    fn push_unboxed<F: FnOnce(&mut C) + Send + 'static>(
        &mut self,
        name: Option<&'static str>,
        function: F,
    ) {
        let id = TypeId::of::<F>();
        let last = self.runs.back().map(|run| run.kind);
        let last = last.filter(|&kind| self.kinds[kind].0 == id);
        let kind = last.or_else(|| self.find(id)).unwrap_or_else(|| {
            self.kinds.push((id, Box::new(VecDeque::<F>::new())));
            self.kinds.len() - 1
        });
        let functions: &mut dyn Any = &mut *self.kinds[kind].1;
        let Some(functions) = functions.downcast_mut::<VecDeque<F>>() else { return };
        functions.push_back(function);
        self.len += 1;
        match self.runs.back_mut() {
            Some(run) if run.kind == kind && run.name == name => run.count += 1,
            _ => self.runs.push_back(Run { name, kind, count: 1 }),
        }
    }

    fn find(&self, id: TypeId) -> Option<usize> {
        self.kinds.iter().position(|&(of, _)| of == id)
    }

    /// Counts the next closure off: its name, and the queue where it is the first. The caller has it called or
    /// dropped.
    pub(crate) fn next(&mut self) -> Option<(Option<&'static str>, &mut dyn Kind<C>)> {
        let run = self.runs.front_mut()?;
        let (name, kind) = (run.name, run.kind);
        run.count -= 1;
        if run.count == 0 {
            self.runs.pop_front();
        }
        self.len -= 1;
        Some((name, &mut *self.kinds[kind].1))
    }

    /// Keeps no more memory than is needed often.
    pub(crate) fn give_memory_back(&mut self) {
        give_back(&mut self.runs);
        for (_, functions) in &mut self.kinds {
            functions.give_memory_back();
        }
    }
}

impl<C> Default for CallQueue<C> {
    fn default() -> Self {
        Self { kinds: Vec::new(), runs: VecDeque::new(), len: 0 }
    }
}

/// Keeps no more memory than is needed often.
pub(crate) fn give_back<T>(queue: &mut VecDeque<T>) {
    if let Some(room) = surplus(queue.len(), queue.capacity()) {
        queue.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Said = Vec<(Option<&'static str>, usize)>;

    fn call_all(queue: &mut CallQueue<Vec<usize>>) -> Said {
        let (mut names, mut said) = (Vec::new(), Vec::new());
        while let Some((name, functions)) = queue.next() {
            names.push(name);
            functions.call_next(&mut said);
        }
        assert_eq!((queue.len(), names.len()), (0, said.len()));
        names.into_iter().zip(said).collect()
    }

    #[test]
    fn closures_of_several_types_come_in_order_under_their_names() {
        let mut queue = CallQueue::<Vec<usize>>::default();
        for round in 0..3 {
            let mut expected = Vec::new();
            for number in 0..100 {
                let name = [None, Some("a"), Some("b")][number / 7 % 3];
                let large = [number; 10];
                match number % 11 {
                    0..4 => queue.push(name, move |said| said.push(number)),
                    4..6 => queue.push(name, move |said| said.push(number + round - round)),
                    6 => queue.push(name, move |said| said.push(large[9])),
                    _ => queue.push(name, move |said: &mut Vec<_>| said.extend([number])),
                }
                expected.push((name, number));
            }
            assert_eq!(call_all(&mut queue), expected);
        }
        assert_eq!(queue.kinds.len(), 4, "the large one is a box");
    }

    /// Makes as many types as it has levels, with two calls of each.
    fn push_types<const LEVEL: usize, T: Default + Send + 'static>(
        queue: &mut CallQueue<Vec<usize>>,
    ) {
        for _ in 0..2 {
            let value = T::default();
            queue.push(None, move |said| {
                let _value = &value;
                said.push(LEVEL);
            });
        }
    }

    #[test]
    fn types_without_a_queue_of_their_own_are_boxed() {
        let mut queue = CallQueue::default();
        macro_rules! push {
            ($($level:literal)*) => { $( push_types::<$level, ()>(&mut queue); )* };
        }
        push!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        assert_eq!(queue.kinds.len(), MOST_KINDS + 1);
        let said: Vec<usize> = call_all(&mut queue).into_iter().map(|(_, level)| level).collect();
        assert_eq!(said, (0..40).map(|index| index / 2).collect::<Vec<_>>());
    }

    #[test]
    fn closures_can_be_dropped_one_by_one() {
        let alive = Arc::new(());
        let mut queue = CallQueue::<()>::default();
        for _ in 0..3 {
            let alive = Arc::clone(&alive);
            queue.push(None, move |()| drop(alive));
        }
        for left in (0..3).rev() {
            queue.next().unwrap().1.drop_next();
            assert_eq!((queue.len(), Arc::strong_count(&alive)), (left, left + 1));
        }
    }

    #[test]
    fn a_queue_gives_memory_back() {
        let mut queue = CallQueue::<usize>::default();
        for number in 0..100_000 {
            queue.push(Some(["a", "b"][number % 2]), move |sum| *sum += number);
        }
        let mut sum = 0;
        while let Some((_, functions)) = queue.next() {
            functions.call_next(&mut sum);
        }
        queue.give_memory_back();
        assert_eq!(sum, 100_000 * 99_999 / 2);
        assert!(queue.runs.capacity() <= 1024, "{}", queue.runs.capacity());
        let rooms: Vec<usize> = queue.kinds.iter().map(|(_, kind)| kind.capacity()).collect();
        assert!(rooms.len() == 1 && rooms[0] <= 1024, "{rooms:?}");
    }
}
