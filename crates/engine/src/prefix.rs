//! Which cached prompt a new one builds on: a few sequences in one shared store, the least used dropped first.
//!
//! Prompts of one agent share their beginning (the system message) and mostly come again; each such beginning
//! keeps a sequence of its own. Bookkeeping only: [`crate::context`] carries a plan out.

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
    /// Tokens that the answer which runs here may come to hold; `None` while it is only kept.
    reserved: Option<usize>,
}

impl Slot {
    /// Tokens that must be thought of as taken.
    fn taken(&self) -> usize {
        self.reserved.unwrap_or(0).max(self.tokens.len())
    }
}

/// What to do before a prompt is read, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The sequence to use; it belongs to the prompt until it is released.
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

    /// Plans for `prompt`, whose first `head` tokens its agent's prompts share, with `room` more tokens to come;
    /// `None` while the answers that run leave no room for it. The slots' bookkeeping is as after the plan when this
    /// returns.
    pub(crate) fn plan(&mut self, prompt: &[Token], head: usize, room: usize) -> Option<Plan> {
        let needed = prompt.len() + room;
        let running: usize = self.slots.iter().filter_map(|slot| slot.reserved).sum();
        if running + needed > self.capacity {
            return None;
        }
        // The last token is always read, since reading it is what gives the first answer token.
        let most = prompt.len().saturating_sub(1);
        let common = |slot: &Slot| {
            slot.tokens.iter().zip(prompt).take(most).take_while(|(cached, new)| cached == new).count()
        };
        let kept: Vec<usize> = self.slots.iter().map(common).collect();
        let kept_in = |index: usize| kept.get(index).copied().unwrap_or(0);
        let free = || (0..self.slots.len()).filter(|&index| self.at(index).reserved.is_none());
        let oldest = free().min_by_key(|&index| self.at(index).used)?;
        let best = free().max_by_key(|&index| kept_in(index))?;
        let running = (0..kept.len())
            .filter(|&index| self.at(index).reserved.is_some())
            .max_by_key(|&index| kept_in(index))
            .filter(|&index| kept_in(index) >= kept_in(best) + COPY_MIN);
        let is_same_agent = {
            let slot = self.at(best);
            kept_in(best) > 0 && (kept_in(best) >= slot.head || kept_in(best) == slot.tokens.len())
        };
        let slot = if is_same_agent { best } else { oldest };
        let source = running.unwrap_or(best);
        let (keep, copy_from) = if source != slot && kept_in(source) >= kept_in(slot) + COPY_MIN {
            (kept_in(source), Some(source))
        } else {
            (kept_in(slot), None)
        };
        self.turn += 1;
        let turn = self.turn;
        if let Some(chosen) = self.slots.get_mut(slot) {
            let tokens = prompt.get(..keep).unwrap_or_default().to_vec();
            *chosen = Slot { tokens, head, used: turn, reserved: Some(needed) };
        }
        Some(Plan { slot, keep, copy_from, drop: self.make_room() })
    }

    fn at(&self, index: usize) -> &Slot {
        static EMPTY: Slot = Slot { tokens: Vec::new(), head: 0, used: 0, reserved: None };
        self.slots.get(index).unwrap_or(&EMPTY)
    }

    /// Empties the least used sequences that no answer runs in, until everything fits. Tokens that sequences share
    /// count for each of them, which can only drop one too many.
    fn make_room(&mut self) -> Vec<usize> {
        let mut dropped = Vec::new();
        while self.slots.iter().map(Slot::taken).sum::<usize>() > self.capacity {
            let oldest = (0..self.slots.len())
                .filter(|&index| self.at(index).reserved.is_none() && !self.at(index).tokens.is_empty())
                .min_by_key(|&index| self.at(index).used);
            let Some(oldest) = oldest else { break };
            self.clear(oldest);
            dropped.push(oldest);
        }
        dropped
    }

    /// The answer in `slot` is over; what it read is kept for the next of its agent.
    pub(crate) fn release(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.reserved = None;
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

    /// Only the first `keep` tokens of `slot` could be kept.
    pub(crate) fn keep(&mut self, slot: usize, keep: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.tokens.truncate(keep);
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
        let plan = slots.plan(&prompt, 30, 20).unwrap();
        slots.extend(plan.slot, &prompt[plan.keep..]);
        slots.release(plan.slot);
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
        let plan = slots.plan(&first, 35, 5).unwrap();
        slots.extend(plan.slot, &first);
        slots.release(plan.slot);
        let second: Vec<Token> = (0..20).chain(100..120).collect();
        let copied = slots.plan(&second, 35, 5).unwrap();
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
        let plan = slots.plan(&long, 90, 10).unwrap();
        assert_eq!(plan.keep, 0);
        assert_eq!((0..3).filter(|&slot| slots.len(slot) > 0).count(), 0);
    }

    #[test]
    fn a_single_slot_and_an_empty_prompt_work() {
        let mut slots = Slots::new(1, 10);
        assert_eq!(slots.plan(&[], 0, 0).map(|plan| plan.keep), Some(0));
        assert_eq!(slots.len(0), 0);
        assert_eq!(slots.plan(&[], 0, 0), None, "its only slot is taken");
    }

    #[test]
    fn running_answers_keep_their_slots_and_lend_their_beginnings() {
        let mut slots = Slots::new(3, 200);
        let first = prompt(1, 50);
        let running = slots.plan(&first, 30, 20).unwrap();
        slots.extend(running.slot, &first);
        let second = slots.plan(&prompt(1, 51), 30, 20).unwrap();
        assert_ne!(second.slot, running.slot);
        assert_eq!((second.keep, second.copy_from), (30, Some(running.slot)), "of the same agent");
        let third = slots.plan(&prompt(2, 50), 30, 20).unwrap();
        assert_eq!(third.keep, 0);
        assert_eq!(slots.plan(&prompt(3, 50), 30, 20), None, "every slot is taken");
        slots.release(running.slot);
        assert_eq!(slots.plan(&prompt(3, 50), 30, 60), None, "60 + 60 + 100 are over 200");
        let plan = slots.plan(&prompt(3, 50), 30, 40).unwrap();
        assert_eq!((plan.slot, plan.keep), (running.slot, 0));
    }
}
