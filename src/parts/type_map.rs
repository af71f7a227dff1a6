//! Values by their type, at most one of each.

use std::any::{Any, TypeId};

/// A list, for there are few: it is searched from the front.
#[derive(Default)]
pub(crate) struct TypeMap {
    values: Vec<(TypeId, Box<dyn Any>)>,
}

impl TypeMap {
    /// Puts a value in; returns the former one of its type.
    pub(crate) fn insert<T: Any>(&mut self, value: T) -> Option<T> {
        let former = self.remove();
        self.values.push((TypeId::of::<T>(), Box::new(value)));
        former
    }

    pub(crate) fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        let (_, value) = self.values.iter_mut().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        value.downcast_mut()
    }

    pub(crate) fn remove<T: Any>(&mut self) -> Option<T> {
        let at = self.values.iter().position(|(kind, _)| *kind == TypeId::of::<T>())?;
        self.values.remove(at).1.downcast().ok().map(|value| *value)
    }

    /// Takes out the value that was put in last.
    pub(crate) fn pop(&mut self) -> Option<Box<dyn Any>> {
        self.values.pop().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type() {
        let mut map = TypeMap::default();
        assert_eq!((map.insert(1_u8), map.insert(2_u16), map.insert(3_u8)), (None, None, Some(1)));
        *map.get_mut::<u16>().unwrap() += 5;
        assert_eq!((map.remove::<u16>(), map.remove::<u16>()), (Some(7), None));
        assert_eq!(map.get_mut::<u32>(), None);
        assert_eq!(map.pop().unwrap().downcast_ref(), Some(&3_u8));
        assert!(map.pop().is_none());
    }
}
