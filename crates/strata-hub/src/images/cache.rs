//! Values that were costly to make, kept up to a number of bytes; what was not used for longest goes first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A cache of few, large values.
pub(crate) struct Cache<K, T> {
    size: usize,
    /// Used last comes last: key, value, bytes.
    entries: Mutex<VecDeque<(K, Arc<T>, usize)>>,
}

impl<K: PartialEq, T> Cache<K, T> {
    /// For so many bytes.
    pub(crate) fn new(size: usize) -> Cache<K, T> {
        Cache { size, entries: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Arc<T>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let position = entries.iter().position(|(found, ..)| found == key)?;
        let entry = entries.remove(position)?;
        let value = entry.1.clone();
        entries.push_back(entry);
        Some(value)
    }

    /// Keeps a value of so many bytes; the one just put stays even if it alone is too large, so that paging through it works.
    pub(crate) fn put(&self, key: K, value: Arc<T>, bytes: usize) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(found, ..)| *found != key);
        entries.push_back((key, value, bytes));
        while entries.len() > 1 && entries.iter().map(|(.., bytes)| bytes).sum::<usize>() > self.size {
            entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = Cache::new(10);
        for key in ["a", "b"] {
            cache.put(key, Arc::new(key), 4);
        }
        assert!(cache.get(&"a").is_some());
        cache.put("c", Arc::new("c"), 4);
        assert_eq!((cache.get(&"a").is_some(), cache.get(&"b").is_some()), (true, false));
        cache.put("large", Arc::new("large"), 100);
        assert_eq!((cache.get(&"c").is_some(), cache.get(&"large").is_some()), (false, true));
    }
}
