//! Which cached prompt a new one builds on: a few sequences in one shared store, the least used dropped first.
//!
//! Prompts of one agent share their beginning (the system message) and mostly come again; each such beginning
//! keeps a sequence of its own. Bookkeeping only: [`crate::generation`] carries a plan out.

/// A token as the model numbers it.
pub(crate) type Token = i32;

/// A beginning shared with another agent's prompt is copied when it is at least this long.
const COPY_MIN: usize = 16;

/// The tokens of each cached sequence.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    capacity: usize,
    turn: u64,
}

#[derive(Debug, Default, Clone)]
struct Slot {
    tokens: Vec<Token>,
    /// Length of the part that all prompts of its agent share.
    head: usize,
    used: u64,
}

/// What to do before a prompt is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The sequence to use.
    pub(crate) slot: usize,
    /// Its tokens to keep; those after it are dropped.
    pub(crate) keep: usize,
    /// Sequence to copy the kept tokens from, after `slot` was emptied.
    pub(crate) copy_from: Option<usize>,
    /// Sequences to empty for want of room.
    pub(crate) drop: Vec<usize>,
}

impl Slots {
    pub(crate) fn new(n_slots: usize, capacity: usize) -> Self {
        Self { slots: vec![Slot::default(); n_slots.max(1)], capacity, turn: 0 }
    }

    /// Plans for `prompt`, whose first `head` tokens its agent's prompts share, with `room` more tokens to come.
    /// The slots' bookkeeping is as after the plan when this returns.
    pub(crate) fn plan(&mut self, prompt: &[Token], head: usize, room: usize) -> Plan {
        self.turn += 1;
        // The last token is always read, since reading it is what gives the first answer token.
        let most = prompt.len().saturating_sub(1);
        let common = |slot: &Slot| {
            slot.tokens.iter().zip(prompt).take(most).take_while(|(cached, new)| cached == new).count()
        };
        let kept: Vec<usize> = self.slots.iter().map(common).collect();
        let best = (0..kept.len()).max_by_key(|&index| kept.get(index)).unwrap_or(0);
        let best_kept = kept.get(best).copied().unwrap_or(0);
        let oldest = (0..self.slots.len())
            .min_by_key(|&index| self.slots.get(index).map_or(0, |slot| slot.used))
            .unwrap_or(0);
        let is_same_agent = self
            .slots
            .get(best)
            .is_some_and(|slot| best_kept > 0 && (best_kept >= slot.head || best_kept == slot.tokens.len()));
        let (slot, keep, copy_from) = if is_same_agent || best == oldest {
            (best, best_kept, None)
        } else if best_kept >= COPY_MIN {
            (oldest, best_kept, Some(best))
        } else {
            (oldest, kept.get(oldest).copied().unwrap_or(0), None)
        };
        let turn = self.turn;
        if let Some(chosen) = self.slots.get_mut(slot) {
            chosen.tokens = prompt.get(..keep).unwrap_or_default().to_vec();
            chosen.head = head;
            chosen.used = turn;
        }
        let drop = self.make_room(slot, prompt.len() + room);
        Plan { slot, keep, copy_from, drop }
    }

    /// Empties the least used sequences until `needed` tokens fit beside the others. Tokens that sequences share
    /// count for each of them, which can only drop one too many.
    fn make_room(&mut self, slot: usize, needed: usize) -> Vec<usize> {
        let mut dropped = Vec::new();
        loop {
            let others = self.slots.iter().enumerate().filter(|(index, _)| *index != slot);
            let taken: usize = others.clone().map(|(_, other)| other.tokens.len()).sum();
            if taken + needed <= self.capacity || taken == 0 {
                return dropped;
            }
            let oldest =
                others.filter(|(_, other)| !other.tokens.is_empty()).min_by_key(|(_, other)| other.used);
            let Some(oldest) = oldest.map(|(index, _)| index) else { return dropped };
            self.clear(oldest);
            dropped.push(oldest);
        }
    }

    /// The sequences that hold something.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = usize> {
        (0..self.slots.len()).filter(|slot| self.len(*slot) > 0)
    }

    /// Tokens cached in `slot`.
    pub(crate) fn len(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |slot| slot.tokens.len())
    }

    /// Remembers that `tokens` were read into `slot`.
    pub(crate) fn extend(&mut self, slot: usize, tokens: &[Token]) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.tokens.extend_from_slice(tokens);
        }
    }

    /// Forgets what is in `slot`.
    pub(crate) fn clear(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of an agent: its system tokens, then a question's.
    fn prompt(agent: Token, question: Token) -> Vec<Token> {
        let mut tokens = vec![agent; 30];
        tokens.extend([question; 10]);
        tokens
    }

    fn ask(slots: &mut Slots, agent: Token, question: Token) -> Plan {
        let prompt = prompt(agent, question);
        let plan = slots.plan(&prompt, 30, 20);
        slots.extend(plan.slot, &prompt[plan.keep..]);
        plan
    }

    #[test]
    fn each_agent_keeps_its_prefix_and_a_repeated_prompt_reads_one_token() {
        let mut slots = Slots::new(3, 1_000);
        let first: Vec<Plan> = (1..=3).map(|agent| ask(&mut slots, agent, 50)).collect();
        let places: Vec<usize> = first.iter().map(|plan| plan.slot).collect();
        assert_eq!(first.iter().map(|plan| plan.keep).max(), Some(0));
        for (agent, place) in (1..=3).zip(places) {
            let plan = ask(&mut slots, agent, 51);
            assert_eq!((plan.slot, plan.keep), (place, 30), "the system part");
            let plan = ask(&mut slots, agent, 51);
            assert_eq!((plan.slot, plan.keep), (place, 39), "all but the last token");
        }
    }

    #[test]
    fn the_least_used_agent_goes_first() {
        let mut slots = Slots::new(2, 1_000);
        ask(&mut slots, 1, 50);
        ask(&mut slots, 2, 50);
        ask(&mut slots, 1, 51);
        assert_eq!(ask(&mut slots, 3, 50).keep, 0);
        assert_eq!(ask(&mut slots, 1, 52).keep, 30, "agent 1 was used after agent 2");
        assert_eq!(ask(&mut slots, 2, 50).keep, 0);
    }

    #[test]
    fn a_long_common_beginning_of_two_agents_is_copied() {
        let mut slots = Slots::new(2, 1_000);
        let first: Vec<Token> = (0..40).collect();
        let plan = slots.plan(&first, 35, 5);
        slots.extend(plan.slot, &first);
        let second: Vec<Token> = (0..20).chain(100..120).collect();
        let copied = slots.plan(&second, 35, 5);
        assert_eq!((copied.keep, copied.copy_from), (20, Some(plan.slot)));
        assert_ne!(copied.slot, plan.slot);
        assert_eq!(slots.len(copied.slot), 20);
    }

    #[test]
    fn room_is_made_by_dropping_the_least_used() {
        let mut slots = Slots::new(3, 100);
        let first = ask(&mut slots, 1, 50);
        ask(&mut slots, 2, 50);
        let third = ask(&mut slots, 3, 50);
        assert_eq!(third.drop, [first.slot], "40 + 40 + 60 are over 100, 40 + 60 are not");
        let long = vec![9; 90];
        let plan = slots.plan(&long, 90, 10);
        assert_eq!(plan.keep, 0);
        assert_eq!((0..3).filter(|&slot| slots.len(slot) > 0).count(), 0);
    }

    #[test]
    fn a_single_slot_and_an_empty_prompt_work() {
        let mut slots = Slots::new(1, 10);
        assert_eq!(slots.plan(&[], 0, 0).keep, 0);
        assert_eq!(slots.len(0), 0);
    }
}
