//! Requests under way by number: JavaScript keeps a number, the ticket stays here.

/// Bits of a number that say where; the rest says which of those that were there.
const PLACE_BITS: u32 = 20;
/// Requests that can be under way at once.
pub(crate) const MOST: usize = 1 << PLACE_BITS;
/// Turns of a place before its numbers come again. Numbers stay below 2^30, which engines keep without allocating.
const TURNS: u32 = 1 << 10;

/// Things by number; 0 is never one.
#[derive(Debug)]
pub(crate) struct Tickets<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Tickets<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.places.len() >= MOST
    }

    /// Keeps a thing; its number. The caller looks at `is_full` first: what comes then is dropped, with number 0.
    pub(crate) fn keep(&mut self, thing: T) -> u32 {
        if self.is_full() {
            return 0;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((1, None));
            self.places.len() as u32 - 1
        });
        let (turn, held) = &mut self.places[place as usize];
        *held = Some(thing);
        *turn << PLACE_BITS | place
    }

    /// Gives a thing back, once.
    pub(crate) fn take(&mut self, number: u32) -> Option<T> {
        let place = number & (MOST as u32 - 1);
        let (turn, held) = self.places.get_mut(place as usize)?;
        if *turn != number >> PLACE_BITS {
            return None;
        }
        let thing = held.take()?;
        *turn = if *turn + 1 == TURNS { 1 } else { *turn + 1 };
        self.free.push(place);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_its_thing_once() {
        let mut tickets = Tickets::new();
        let (a, b) = (tickets.keep('a'), tickets.keep('b'));
        assert!(a != 0 && b != 0 && a != b);
        assert_eq!(tickets.take(a), Some('a'));
        assert_eq!(tickets.take(a), None);
        let c = tickets.keep('c');
        assert_ne!(c, a, "the place is the same, the number is another");
        assert_eq!(tickets.take(a), None);
        assert_eq!((tickets.take(c), tickets.take(b)), (Some('c'), Some('b')));
        assert_eq!((tickets.take(0), tickets.take(u32::MAX)), (None, None));
    }

    #[test]
    fn numbers_stay_small_and_places_are_used_again() {
        let mut tickets = Tickets::new();
        for n in 0..5 * TURNS {
            let number = tickets.keep(n);
            assert!(number > 0 && number < 1 << 30);
            assert_eq!(tickets.take(number), Some(n));
        }
        assert_eq!(tickets.places.len(), 1);
    }

    #[test]
    fn there_is_an_end() {
        let mut tickets = Tickets::new();
        let first = tickets.keep(());
        for _ in 1..MOST {
            assert_ne!(tickets.keep(()), 0);
        }
        assert!(tickets.is_full());
        assert_eq!(tickets.keep(()), 0);
        assert!(tickets.take(first).is_some());
        assert!(!tickets.is_full());
    }
}
